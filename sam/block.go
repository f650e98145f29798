package sam

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// macBlock protects blocks.
const macBlock = "countersign-sam-block-v1"

// After a signer's rejections a relying party waits: so long after the first, the
// second and every further one within rejectionMemory. It keeps signers from being
// asked until they are tired.
var backOff = []time.Duration{time.Minute, 5 * time.Minute, time.Hour}

const rejectionMemory = 24 * time.Hour

// block is a relying party that may not ask a signer.
type block struct {
	ID         string `json:"id"`
	Signer     string `json:"signer"`
	Client     string `json:"client"`
	Locked     int64  `json:"locked"` // 1 until a registration authority lifts it
	Until      int64  `json:"until"`  // microseconds
	Rejections int64  `json:"rejections"`
	Changed    int64  `json:"changed"` // microseconds
	Version    int64  `json:"version"`
}

func (b *block) record() string { return "block/" + b.ID }

func blockID(signer, client string) string {
	sum := sha256.Sum256([]byte(signer + "\x00" + client))
	return hex.EncodeToString(sum[:16])
}

// blockByID reads a block. Without one it returns nil; a row that is gone and was
// there once is an alarm.
func (m *Module) blockByID(ctx context.Context, q store.Querier, id string) (*block, error) {
	ctx = m.reading(ctx)
	var head int64
	if err := q.QueryRow(ctx, `SELECT COALESCE(MAX(version), 0) FROM sam_head WHERE record = $1`, "block/"+id).Scan(&head); err != nil {
		return nil, fmt.Errorf("read block: %w", err)
	}
	if head == 0 {
		return nil, nil //nolint:nilnil // no block is the usual case
	}
	b := block{ID: id}
	var mac []byte
	err := q.QueryRow(ctx, `SELECT signer, client, locked, until, rejections, changed, version, mac FROM sam_block WHERE id = $1`, id).
		Scan(&b.Signer, &b.Client, &b.Locked, &b.Until, &b.Rejections, &b.Changed, &b.Version, &mac)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, tampered("block/"+id, "it is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("read block: %w", err)
	}
	if err := m.verify(ctx, macBlock, b.record(), &b, mac); err != nil {
		return nil, err
	}
	return &b, m.fresh(ctx, q, b.record(), b.Version, head)
}

// storedBlock is blockByID for a row that is there.
func (m *Module) storedBlock(ctx context.Context, q store.Querier, id string) (*block, error) {
	b, err := m.blockByID(ctx, q, id)
	if err == nil && b == nil {
		return nil, tampered("block/"+id, "it was never written")
	}
	return b, err
}

// checkBlock refuses a relying party that the signer does not want to hear now.
func (m *Module) checkBlock(ctx context.Context, q store.Querier, signer, client string, now time.Time) error {
	b, err := m.blockByID(ctx, q, blockID(signer, client))
	switch {
	case err != nil || b == nil:
		return err
	case b.Locked != 0:
		return fault.New(fault.Forbidden, "the signer said of a request of this client that it was not theirs; the registration authority must look into it before the client can ask again").
			WithCode(samapi.CodeClientBlocked)
	case store.Time(b.Until).After(now):
		return fault.New(fault.TooMany, "the signer rejected a request of this client; it can ask again in %d minutes", int(store.Time(b.Until).Sub(now).Minutes())+1).
			WithCode(samapi.CodeBackOff)
	}
	return nil
}

// refuseClient lets a relying party wait after a rejection, or blocks it until the
// RA lifts it.
func (m *Module) refuseClient(ctx context.Context, tx *store.Tx, r *request, a *authenticator, lock bool, now time.Time) error {
	b, err := m.blockByID(ctx, tx, blockID(r.Signer, r.Client))
	if err != nil {
		return err
	}
	if b == nil {
		b = &block{ID: blockID(r.Signer, r.Client), Signer: r.Signer, Client: r.Client}
	}
	if now.Sub(store.Time(b.Changed)) > rejectionMemory {
		b.Rejections = 0
	}
	b.Rejections++
	kind := eventClientBackOff
	b.Until = store.Micros(now.Add(backOff[min(int(b.Rejections), len(backOff))-1]))
	if lock {
		b.Locked, kind = 1, eventClientBlocked
	}
	if err := m.writeBlock(ctx, tx, b, now); err != nil {
		return err
	}
	return m.audit.Append(ctx, tx, audit.Event{
		Type: kind, Subject: r.Client, Actor: "device:" + a.ID, SID: r.SID, Outcome: audit.Failure,
		Data: change{Record: b.record(), Version: b.Version, Details: map[string]any{
			"signer": r.Signer, "gateway": r.Gateway, "rejections": b.Rejections, "until": store.Time(b.Until),
		}},
	})
}

func (m *Module) writeBlock(ctx context.Context, tx *store.Tx, b *block, now time.Time) error {
	b.Changed = store.Micros(now)
	b.Version++
	mac, err := m.mac(ctx, macBlock, b)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `INSERT INTO sam_block (id, signer, client, locked, until, rejections, changed, version, mac)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE
		SET locked = $4, until = $5, rejections = $6, changed = $7, version = $8, mac = $9 WHERE sam_block.version = $8 - 1`,
		b.ID, b.Signer, b.Client, b.Locked, b.Until, b.Rejections, b.Changed, b.Version, mac)
	if err != nil {
		return fmt.Errorf("write block: %w", err)
	}
	if n != 1 {
		return fault.New(fault.Conflict, "the block was changed at the same moment; try again")
	}
	return advance(ctx, tx, b.record(), b.Version)
}

// LiftBlock carries out an RA's order to let a client ask a signer again.
func (m *Module) LiftBlock(ctx context.Context, s signing.Signed) error {
	var p samapi.LiftBlock
	o, err := m.openOrder(ctx, samapi.DomainLiftBlock, s, &p, &p.Order)
	if err != nil {
		return err
	}
	return m.carry(ctx, o, func(ctx context.Context, tx *store.Tx) error {
		b, err := m.blockByID(ctx, tx, blockID(p.Signer, p.Client))
		if err != nil {
			return err
		}
		if b == nil || b.Locked == 0 && !store.Time(b.Until).After(o.at) {
			return fault.New(fault.NotFound, "this client is not blocked for this signer").WithCode(samapi.CodeOrder)
		}
		b.Locked, b.Until, b.Rejections = 0, 0, 0
		if err := m.writeBlock(ctx, tx, b, o.at); err != nil {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventClientUnblocked, Subject: p.Client, Actor: o.actor(),
			Data: change{Record: b.record(), Version: b.Version, Order: p.ID, Details: map[string]string{"signer": p.Signer, "reason": p.Reason}},
		})
	})
}

// DeviceReject ends a pending request in the name of the signer's device. notMe
// says that the signer knows nothing of it: then its client may ask this signer
// nothing more until a registration authority has looked into it.
func (m *Module) DeviceReject(ctx context.Context, secret, sid, reason string, notMe bool) error {
	a, r, now, err := m.deviceRequest(ctx, secret, sid)
	if err != nil {
		return err
	}
	if reason, err = cleanText(reason, maxReason); err != nil {
		return err
	}
	if notMe {
		reason = "the signer says: this was not me"
	}
	err = m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := m.reject(ctx, tx, r, now, "device:"+a.ID, reason); err != nil {
			return err
		}
		if err := m.refuseClient(ctx, tx, r, a, notMe, now); err != nil || !notMe {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventSADDisowned, Subject: r.sad.Credential, Actor: "signer:" + r.Signer, SID: r.SID, Outcome: audit.Failure,
			Data: map[string]string{"client": r.Client, "gateway": r.Gateway, "device": a.ID},
		})
	})
	if err != nil {
		return m.alarm(ctx, err)
	}
	if notMe {
		m.logger.ErrorContext(ctx, "a signer says that a request was not theirs", slog.String("sid", r.SID),
			slog.String("signer", r.Signer), slog.String("client", r.Client), slog.String("gateway", r.Gateway))
	}
	return nil
}
