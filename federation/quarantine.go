package federation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// Codes of answers that only peers cause.
const (
	codeQuarantined   = "peer_quarantined"
	codeIndeterminate = "indeterminate"
	codeChanged       = "certificate_changed"
	codeRevoked       = "certificate_revoked"
)

// Types of events about peers.
const (
	EventQuarantined   = "peer.quarantined"
	EventLifted        = "peer.lifted"
	EventIndeterminate = "operation.indeterminate"
	EventResolved      = "operation.resolved"
	EventLost          = "operation.lost"
	EventReceipt       = "receipt"
)

// finding is a lie and where it was found.
type finding struct {
	org, peer, sid string
	lie            *lie
}

// errQuarantined is what relying parties are told.
func errQuarantined() *fault.Error {
	return fault.New(fault.Unavailable, "the trust service that holds this credential gave an answer that is not true; nothing was passed on, and it is not used until the operator has looked into it").WithCode(codeQuarantined)
}

// Quarantine is a peer that gets no traffic.
type Quarantine struct {
	Peer   string    `json:"peer"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
	Detail string    `json:"detail"`
	SID    string    `json:"sid,omitempty"`
	Org    string    `json:"org,omitempty"`
}

// quarantine takes a peer out of use at once, durably, and raises the alarm. It
// returns what the caller is told.
func (p *Peers) quarantine(ctx context.Context, f finding) error {
	ctx = context.WithoutCancel(ctx) // whoever asked may be gone; the finding stays
	now := p.now()
	first := false
	err := p.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		first = false
		var n int64
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM federation_quarantine WHERE peer = $1 AND lifted = 0`, f.peer).Scan(&n); err != nil {
			return fmt.Errorf("read quarantine: %w", err)
		}
		if n > 0 {
			return nil
		}
		first = true
		_, err := tx.Exec(ctx, `INSERT INTO federation_quarantine (id, org_id, peer, reason, detail, sid, since, lifted, lifted_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '')`, store.NewID(), f.org, f.peer, f.lie.reason, f.lie.detail, f.sid, store.Micros(now))
		if err != nil {
			return fmt.Errorf("quarantine peer %s: %w", f.peer, err)
		}
		return p.event(ctx, tx, audit.Event{
			Type: EventQuarantined, Subject: f.peer, Actor: "gateway", SID: f.sid, Outcome: audit.Failure,
			Data: map[string]string{"reason": f.lie.reason, "detail": f.lie.detail, "org": f.org},
		})
	})
	p.config.Count(f.peer, "lie_"+f.lie.reason)
	p.log.ErrorContext(ctx, "peer lied", "alarm", true, "peer", f.peer, "reason", f.lie.reason, "detail", f.lie.detail, "sid", f.sid, "quarantined_now", first)
	if err != nil {
		return errors.Join(errQuarantined().Because(f.lie), err)
	}
	return errQuarantined().Because(f.lie)
}

func (p *Peers) event(ctx context.Context, tx store.Querier, e audit.Event) error {
	if p.config.Events == nil {
		return nil
	}
	return p.config.Events.Append(ctx, tx, e)
}

// quarantined is errQuarantined for a peer that is in quarantine.
func (p *Peers) quarantined(ctx context.Context, q store.Querier, peer string) error {
	var n int64
	if err := q.QueryRow(ctx, `SELECT COUNT(*) FROM federation_quarantine WHERE peer = $1 AND lifted = 0`, peer).Scan(&n); err != nil {
		return fmt.Errorf("read quarantine: %w", err)
	}
	if n > 0 {
		return errQuarantined()
	}
	return nil
}

// Quarantines lists the peers that are in quarantine.
func (p *Peers) Quarantines(ctx context.Context) (list []Quarantine, err error) {
	rows, err := p.db.Query(ctx, `SELECT peer, since, reason, detail, sid, org_id FROM federation_quarantine WHERE lifted = 0 ORDER BY since, id`)
	if err != nil {
		return nil, fmt.Errorf("read quarantine: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var q Quarantine
		var since int64
		if err := rows.Scan(&q.Peer, &since, &q.Reason, &q.Detail, &q.SID, &q.Org); err != nil {
			return nil, fmt.Errorf("read quarantine: %w", err)
		}
		q.Since = store.Time(since)
		list = append(list, q)
	}
	return list, rows.Err()
}

// Lift ends a peer's quarantine, on the word of a person who is recorded.
func (p *Peers) Lift(ctx context.Context, peer, by, why string) error {
	if by == "" || why == "" {
		return fault.New(fault.Invalid, "say who lifts the quarantine and why")
	}
	err := p.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE federation_quarantine SET lifted = $2, lifted_by = $3 WHERE peer = $1 AND lifted = 0`, peer, store.Micros(p.now()), by)
		if err != nil {
			return fmt.Errorf("lift quarantine of %s: %w", peer, err)
		}
		if n == 0 {
			return fault.New(fault.NotFound, "%s is not in quarantine", peer)
		}
		return p.event(ctx, tx, audit.Event{Type: EventLifted, Subject: peer, Actor: by, Data: map[string]string{"why": why}})
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	clear(p.looks)
	p.mu.Unlock()
	p.log.WarnContext(ctx, "quarantine lifted", "peer", peer, "by", by, "why", why)
	return nil
}
