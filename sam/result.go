package sam

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// States of a batch. Every batch ends in one of the last three.
const (
	batchSpent     = "spent"     // the hashes are spent, nothing is signed yet
	batchSigned    = "signed"    // the signatures wait to be acknowledged
	batchBurned    = "burned"    // nothing was signed and nothing will be
	batchDelivered = "delivered" // the caller has the signatures
	batchForgotten = "forgotten" // nobody fetched them in time
)

// openBatch is the condition of the index by which batches are found that somebody
// must look after.
const openBatch = `state IN ('spent', 'signed', 'burned')`

// Result returns the stored signatures of a SAD that were not acknowledged, for a
// caller who lost the answer of Sign. Whether the credential could sign now does not
// matter: nothing is signed.
func (m *Module) Result(ctx context.Context, sid, client string) (samapi.SignResult, error) {
	now, err := m.clock.read()
	if err != nil {
		return samapi.SignResult{}, err
	}
	r, err := m.requestByID(ctx, m.db, sid, now)
	if err != nil {
		return samapi.SignResult{}, m.alarm(ctx, err)
	}
	if r.Client != client {
		return samapi.SignResult{}, errNoRequest()
	}
	rows, err := m.db.Query(ctx, `SELECT algorithm, positions, signatures FROM sam_batch
		WHERE sid = $1 AND state = $2 AND begun > $3 ORDER BY begun, id`, sid, batchSigned, store.Micros(now.Add(-m.limits.Keep)))
	if err != nil {
		return samapi.SignResult{}, fmt.Errorf("read signatures: %w", err)
	}
	defer rows.Close()
	var out samapi.SignResult
	for rows.Next() {
		var (
			alg                   int
			positions, signatures string
		)
		if err := rows.Scan(&alg, &positions, &signatures); err != nil {
			return samapi.SignResult{}, fmt.Errorf("read signatures: %w", err)
		}
		if err := add(&out, r, signing.Algorithm(alg), positions, signatures); err != nil {
			return samapi.SignResult{}, m.alarm(ctx, err)
		}
	}
	if err := rows.Err(); err != nil {
		return samapi.SignResult{}, fmt.Errorf("read signatures: %w", err)
	}
	if len(out.Signatures) == 0 {
		return out, fault.New(fault.NotFound, "there are no stored signatures for this approval")
	}
	return out, nil
}

// add appends the signatures of one batch.
func add(out *samapi.SignResult, r *request, alg signing.Algorithm, positions, signatures string) error {
	var (
		where []int
		sigs  [][]byte
	)
	bad := tampered(r.record(), "its stored signatures are unreadable")
	if json.Unmarshal([]byte(positions), &where) != nil || json.Unmarshal([]byte(signatures), &sigs) != nil || len(where) != len(sigs) {
		return bad
	}
	for i, p := range where {
		if p < 0 || p >= len(r.sad.Documents) {
			return bad
		}
		if sigs[i] == nil {
			continue // acknowledged
		}
		out.Hashes = append(out.Hashes, r.sad.Documents[p].DTBSR)
		out.Signatures = append(out.Signatures, sigs[i])
		out.Algorithms = append(out.Algorithms, alg)
	}
	return nil
}

// Acknowledge says that the caller has these signatures, as Sign or Result gave
// them. They are then forgotten, and no others: neither those of an answer that may
// be lost, nor those that were made meanwhile.
func (m *Module) Acknowledge(ctx context.Context, sid, client string, signatures [][]byte) error {
	return m.AcknowledgeAll(ctx, []samapi.Arrival{{SID: sid, Client: client, Signatures: signatures}})
}

// maxArrivals is the most approvals of one acknowledgement.
const maxArrivals = 1000

// AcknowledgeAll is Acknowledge for many approvals, in one transaction.
func (m *Module) AcknowledgeAll(ctx context.Context, arrived []samapi.Arrival) error {
	now, err := m.clock.read()
	if err != nil {
		return err
	}
	if len(arrived) > maxArrivals {
		return fault.New(fault.TooLarge, "at most %d approvals are acknowledged at once", maxArrivals)
	}
	return m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, a := range arrived {
			if err := m.acknowledge(ctx, tx, a, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *Module) acknowledge(ctx context.Context, tx *store.Tx, a samapi.Arrival, now time.Time) error {
	arrived := make(map[string]bool, len(a.Signatures))
	for _, s := range a.Signatures {
		arrived[string(s)] = true
	}
	batches, err := keptBatches(ctx, tx, a.SID, a.Client)
	if err != nil {
		return err
	}
	said := delivery{}
	for _, b := range batches {
		n, err := b.forget(ctx, tx, arrived, now)
		if err != nil {
			return err
		}
		if n > 0 {
			said.Batches = append(said.Batches, b.id)
			said.Signatures += n
		}
	}
	if said.Signatures == 0 {
		return nil // again, or never signed: there is nothing to forget
	}
	return m.audit.Append(ctx, tx, audit.Event{Type: eventDelivered, Actor: "client:" + a.Client, SID: a.SID, Data: said})
}

// delivery is the data of an event signature.delivered: how many signatures of
// which batches have arrived.
type delivery struct {
	Batches    []string `json:"batches"`
	Signatures int      `json:"signatures"`
}

// kept is a batch with the text of its signatures; one that has arrived is null.
type kept struct{ id, text string }

func keptBatches(ctx context.Context, tx *store.Tx, sid, client string) ([]kept, error) {
	rows, err := tx.Query(ctx, `SELECT id, signatures FROM sam_batch WHERE sid = $1 AND client = $2 AND state = $3 ORDER BY begun, id`,
		sid, client, batchSigned)
	if err != nil {
		return nil, fmt.Errorf("acknowledge: %w", err)
	}
	defer rows.Close()
	var out []kept
	for rows.Next() {
		var b kept
		if err := rows.Scan(&b.id, &b.text); err != nil {
			return nil, fmt.Errorf("acknowledge: %w", err)
		}
		out = append(out, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("acknowledge: %w", err)
	}
	return out, nil
}

// forget drops the signatures of the batch that have arrived and says how many
// those are. Without any left, the batch is delivered.
func (b *kept) forget(ctx context.Context, tx *store.Tx, arrived map[string]bool, now time.Time) (n int, err error) {
	var signatures [][]byte
	if err := json.Unmarshal([]byte(b.text), &signatures); err != nil {
		return 0, tampered("batch/"+b.id, "its signatures are unreadable")
	}
	left := 0
	for i, s := range signatures {
		switch {
		case s == nil:
		case arrived[string(s)]:
			signatures[i] = nil
			n++
		default:
			left++
		}
	}
	if n == 0 {
		return 0, nil
	}
	state, text := batchDelivered, []byte{}
	if left > 0 {
		state = batchSigned
		if text, err = json.Marshal(signatures); err != nil {
			return 0, err
		}
	}
	changed, err := tx.Exec(ctx, `UPDATE sam_batch SET state = $1, signatures = $2, ended = $3 WHERE id = $4 AND state = $5 AND signatures = $6`,
		state, string(text), store.Micros(now), b.id, batchSigned, b.text)
	if err != nil {
		return 0, fmt.Errorf("acknowledge: %w", err)
	}
	if changed != 1 {
		return 0, fault.New(fault.Conflict, "the stored signatures changed at the same moment; acknowledge them again")
	}
	return n, nil
}

// burn gives up a batch that was spent and not signed.
func (m *Module) burn(ctx context.Context, batch, why string) error {
	return m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var sid, client, positions string
		err := tx.QueryRow(ctx, `SELECT sid, client, positions FROM sam_batch WHERE id = $1`, batch).Scan(&sid, &client, &positions)
		if err != nil {
			return fmt.Errorf("burn: %w", err)
		}
		n, err := tx.Exec(ctx, `UPDATE sam_batch SET state = $1, ended = $2 WHERE id = $3 AND state = $4`,
			batchBurned, store.Micros(m.clock.now()), batch, batchSpent)
		if err != nil {
			return fmt.Errorf("burn: %w", err)
		}
		if n != 1 {
			return nil // signed after all, or burned by another process
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventSignatureBurned, Actor: actorSelf, SID: sid, Outcome: audit.Failure,
			Data: map[string]any{"batch": batch, "client": client, "positions": json.RawMessage(positions), "reason": why},
		})
	})
}

// burnAfter is how old a batch without signatures must be before another process
// than its own gives it up. Sign takes no longer than signTimeout.
const burnAfter = signTimeout + 10*time.Second

// recover burns what a crash left spent and not signed. The owner of a SQLite file
// is its only process, so there nothing can be at work.
func (m *Module) recover(ctx context.Context) error {
	before := store.Micros(m.clock.now())
	if m.db.Engine() != store.SQLite {
		before -= burnAfter.Microseconds()
	}
	return m.burnOld(ctx, before)
}

func (m *Module) burnOld(ctx context.Context, before int64) error {
	ids, err := m.strings(ctx, `SELECT id FROM sam_batch WHERE `+openBatch+` AND state = $1 AND begun <= $2`, batchSpent, before)
	if err != nil {
		return fmt.Errorf("find burned signatures: %w", err)
	}
	for _, id := range ids {
		m.logger.WarnContext(ctx, "hashes were spent and never signed", slog.String("batch", id))
		if err := m.burn(ctx, id, "the module stopped between spending and signing"); err != nil {
			return err
		}
	}
	return nil
}

func (m *Module) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := m.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// Run does what must be done from time to time until ctx ends: expired requests
// are closed, burned hashes recorded, signatures that nobody fetched forgotten.
func (m *Module) Run(ctx context.Context) error {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := m.Maintain(ctx); err != nil && ctx.Err() == nil {
			m.logger.ErrorContext(ctx, "maintenance failed", slog.Any("error", err))
		}
	}
}

// Maintain does the work of Run once.
func (m *Module) Maintain(ctx context.Context) error {
	now, err := m.clock.read()
	if err != nil {
		return err
	}
	sids, err := m.strings(ctx, `SELECT sid FROM sam_request WHERE state = 'pending' AND expires <= $1 LIMIT 500`, store.Micros(now))
	if err != nil {
		return fmt.Errorf("find expired requests: %w", err)
	}
	for _, sid := range sids {
		r, err := m.requestByID(ctx, m.db, sid, now)
		if err == nil {
			err = m.expire(ctx, r, now)
		}
		if err != nil {
			m.logger.ErrorContext(ctx, "request cannot be closed", slog.String("sid", sid), slog.Any("error", m.alarm(ctx, err)))
		}
	}
	if err := m.burnOld(ctx, store.Micros(now.Add(-burnAfter))); err != nil {
		return err
	}
	if err := m.forgetSessions(ctx, now); err != nil {
		return err
	}
	_, err = m.db.Exec(ctx, `UPDATE sam_batch SET state = $1, signatures = '', ended = $2 WHERE `+openBatch+` AND state = $3 AND begun <= $4`,
		batchForgotten, store.Micros(now), batchSigned, store.Micros(now.Add(-m.limits.Keep)))
	if err != nil {
		return fmt.Errorf("forget signatures: %w", err)
	}
	return nil
}
