package federation

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store"
)

// States of an operation: one signHash at a peer. SENDING is committed before the
// first byte leaves. From there every way ends: an operation that was interrupted
// is INDETERMINATE and never sent again.
const (
	opSending       = "SENDING"
	opVerified      = "VERIFIED"      // the signatures are here, checked, and have their receipt
	opDelivered     = "DELIVERED"     // the answer left this process
	opRejected      = "REJECTED"      // certainly not signed
	opIndeterminate = "INDETERMINATE" // perhaps signed
	opQuarantined   = "QUARANTINED"   // the answer was a lie
	opLost          = "LOST"          // perhaps signed, and nobody will ever know here
)

// operation is a row of federation_operation.
type operation struct {
	id, org, sid, client, peer, handle string
	state, fingerprint                 string
	positions                          []int
	request                            *csc.SignHashRequest // as the peer gets it
	signatures                         string               // sealed; "" if there are none
	created, lease                     time.Time
}

func (o *operation) place() string {
	return strings.Join([]string{"operation", o.org, o.client, o.peer, o.sid, o.id}, "\x00")
}

// fingerprintOf is the same for the same request, and for no other.
func fingerprintOf(o *csc.Order) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\x00%d", o.Algorithm, len(o.Digests))
	for _, d := range o.Digests {
		h.Write([]byte{0})
		h.Write(d.Sum)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// errRace says that another request changed the authorisation meanwhile.
var errRace = errors.New("the authorisation changed meanwhile")

// startSending spends the positions and notes the operation, durable when it
// returns. The database decides: a position is spent once, and nothing is sent to
// a peer in quarantine or after the token's end.
func (p *Peers) startSending(ctx context.Context, a *authorization, spent string, o *operation) error {
	positions, err := json.Marshal(o.positions)
	if err != nil {
		return fmt.Errorf("encode positions: %w", err)
	}
	request, err := json.Marshal(o.request)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	return p.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE federation_grant SET spent = $3 WHERE sid = $1 AND spent = $2 AND expires > $4
			AND NOT EXISTS (SELECT 1 FROM federation_quarantine q WHERE q.peer = federation_grant.peer AND q.lifted = 0)`,
			a.sid, a.spent, spent, store.Micros(o.created))
		if err != nil {
			return fmt.Errorf("spend authorisation: %w", err)
		}
		if n != 1 {
			return errRace
		}
		_, err = tx.Exec(ctx, `INSERT INTO federation_operation
			(id, org_id, sid, client, peer, handle, state, fingerprint, positions, request, signatures, detail, created, changed, lease)
			VALUES ($1, $2, $3, $4, $5, $6, 'SENDING', $7, $8, $9, '', '', $10, $10, $11)`,
			o.id, o.org, o.sid, o.client, o.peer, o.handle, o.fingerprint, string(positions), string(request), store.Micros(o.created), store.Micros(o.lease))
		if err != nil {
			return fmt.Errorf("note operation: %w", err)
		}
		return nil
	})
}

// verified keeps checked signatures with their receipt, in one transaction.
func (p *Peers) verified(ctx context.Context, o *operation, sealed string, r Receipt, resolved bool) error {
	return p.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE federation_operation SET state = 'VERIFIED', signatures = $2, changed = $3
			WHERE id = $1 AND (state = 'SENDING' OR state = 'INDETERMINATE')`, o.id, sealed, store.Micros(p.now()))
		if err != nil {
			return fmt.Errorf("keep signatures: %w", err)
		}
		if n != 1 {
			return fmt.Errorf("operation %s is in another state", o.id)
		}
		if resolved {
			err := p.event(ctx, tx, audit.Event{Type: EventResolved, Subject: o.peer, Actor: "gateway", SID: o.sid, Data: map[string]string{"operation": o.id}})
			if err != nil {
				return err
			}
		}
		return insertReceipt(ctx, tx, r)
	})
}

// end puts an operation into a state that says that nothing is delivered. Positions
// that were certainly not signed can be used again.
func (p *Peers) end(ctx context.Context, o *operation, state, detail string) error {
	ctx = context.WithoutCancel(ctx)
	err := p.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE federation_operation SET state = $2, detail = $3, changed = $4, lease = $4
			WHERE id = $1 AND (state = 'SENDING' OR state = 'INDETERMINATE') AND state <> $2`, o.id, state, short(detail), store.Micros(p.now()))
		if err != nil || n != 1 {
			return err
		}
		if state == opRejected {
			return p.releaseIn(ctx, tx, o)
		}
		kind := map[string]string{opIndeterminate: EventIndeterminate, opLost: EventLost}[state]
		if kind == "" {
			return nil
		}
		return p.event(ctx, tx, audit.Event{
			Type: kind, Subject: o.peer, Actor: "gateway", SID: o.sid, Outcome: audit.Failure,
			Data: map[string]string{"operation": o.id, "client": o.client, "detail": short(detail)},
		})
	})
	if err != nil {
		return fmt.Errorf("operation %s to %s: %w", o.id, state, err)
	}
	p.open.forget(o.sid)
	p.config.Count(o.peer, strings.ToLower(state))
	return nil
}

func (p *Peers) releaseIn(ctx context.Context, tx *store.Tx, o *operation) error {
	var spent string
	if err := tx.QueryRow(ctx, `SELECT spent FROM federation_grant WHERE sid = $1`, o.sid).Scan(&spent); err != nil {
		return fmt.Errorf("read authorisation: %w", err)
	}
	n, err := tx.Exec(ctx, `UPDATE federation_grant SET spent = $3 WHERE sid = $1 AND spent = $2`, o.sid, spent, release(spent, o.positions))
	if err != nil {
		return fmt.Errorf("release positions: %w", err)
	}
	if n != 1 {
		return errRace
	}
	return nil
}

// short keeps what is noted about an error from growing.
func short(s string) string {
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
}

const selectOperation = `SELECT id, org_id, sid, client, peer, handle, state, fingerprint, positions, request, signatures, created, lease FROM federation_operation WHERE `

// prior is the last operation with the same request that was not certainly in vain,
// or nil.
func (p *Peers) prior(ctx context.Context, a *authorization, free bool, fingerprint string) (*operation, error) {
	// Nothing was sent yet, or nothing with these digests: each is there once, and free.
	if !strings.Contains(a.spent, "1") || (free && a.distinct()) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	rows, err := p.db.Query(ctx, selectOperation+`sid = $1 AND fingerprint = $2 AND state <> 'REJECTED' ORDER BY created DESC, id DESC LIMIT 1`, a.sid, fingerprint)
	list, err := scanOperations(rows, err)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

func scanOperations(rows *sql.Rows, err error) (list []*operation, _ error) {
	if err != nil {
		return nil, fmt.Errorf("read operations: %w", err)
	}
	for rows.Next() {
		var o operation
		var positions, request string
		var created, lease int64
		if err := rows.Scan(&o.id, &o.org, &o.sid, &o.client, &o.peer, &o.handle, &o.state, &o.fingerprint, &positions, &request, &o.signatures, &created, &lease); err != nil {
			return nil, errors.Join(fmt.Errorf("read operations: %w", err), rows.Close())
		}
		if err := errors.Join(json.Unmarshal([]byte(positions), &o.positions), json.Unmarshal([]byte(request), &o.request)); err != nil {
			return nil, errors.Join(fmt.Errorf("operation %s cannot be read: %w", o.id, err), rows.Close())
		}
		o.created, o.lease = store.Time(created), store.Time(lease)
		list = append(list, &o)
	}
	return list, errors.Join(rows.Err(), rows.Close())
}
