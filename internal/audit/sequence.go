package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/store"
)

// batch is the number of events that get their positions in one transaction.
const batch = 1000

// The events that Run itself records.
const (
	typeStarted   = "audit.started"
	typeStopped   = "audit.stopped"
	typeHeartbeat = "audit.heartbeat"
)

// Sequence gives positions to all events that were committed before the call. It
// is what Run does all the time.
func (l *Log) Sequence(ctx context.Context) error {
	for {
		n, err := l.sequence(ctx)
		if err != nil {
			return fmt.Errorf("sequence audit log: %w", err)
		}
		if n < batch {
			return nil
		}
	}
}

func (l *Log) sequence(ctx context.Context) (n int, err error) {
	// An idle log costs a read, no write.
	var some int
	if err := l.DB.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT id FROM audit_outbox LIMIT 1) o`).Scan(&some); err != nil || some == 0 {
		return 0, err
	}
	err = l.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err = l.sequenceTx(ctx, tx)
		return err
	})
	return n, err
}

func (l *Log) sequenceTx(ctx context.Context, tx *store.Tx) (int, error) {
	size, err := treeSize(ctx, tx)
	if err != nil {
		return 0, err
	}
	last, hashes, err := outbox(ctx, tx)
	if err != nil || len(hashes) == 0 {
		return 0, err
	}
	tree, err := resume(ctx, tx, size)
	if err != nil {
		return 0, err
	}
	for _, h := range hashes {
		tree.add(h)
	}
	if err := tree.write(ctx, tx); err != nil {
		return 0, err
	}
	moved, err := tx.Exec(ctx, `INSERT INTO audit_entry (pos, at, type, subject, actor, sid, outcome, leaf)
		SELECT $1 + ROW_NUMBER() OVER (ORDER BY id) - 1, at, type, subject, actor, sid, outcome, leaf
		FROM audit_outbox WHERE id <= $2`, size, last)
	if err != nil {
		return 0, fmt.Errorf("write events: %w", err)
	}
	gone, err := tx.Exec(ctx, `DELETE FROM audit_outbox WHERE id <= $1`, last)
	if err != nil {
		return 0, fmt.Errorf("empty outbox: %w", err)
	}
	grown, err := tx.Exec(ctx, `UPDATE audit_tree SET size = $1 WHERE id = 1 AND size = $2`, tree.size, size)
	if err != nil {
		return 0, fmt.Errorf("write size: %w", err)
	}
	if n := int64(len(hashes)); moved != n || gone != n || grown != 1 {
		return 0, fmt.Errorf("%d events read, %d moved, %d deleted, size changed %d times", n, moved, gone, grown)
	}
	return len(hashes), nil
}

func treeSize(ctx context.Context, q store.Querier) (size int64, err error) {
	if err := q.QueryRow(ctx, `SELECT size FROM audit_tree WHERE id = 1`).Scan(&size); err != nil {
		return 0, fmt.Errorf("read size: %w", err)
	}
	return size, nil
}

// outbox returns the hashes of the events that wait, in order, and the id of the
// last of them.
func outbox(ctx context.Context, tx *store.Tx) (last int64, hashes []tlog.Hash, err error) {
	rows, err := tx.Query(ctx, `SELECT id, leaf FROM audit_outbox ORDER BY id LIMIT $1`, batch)
	if err != nil {
		return 0, nil, fmt.Errorf("read outbox: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var leaf []byte
		if err := rows.Scan(&last, &leaf); err != nil {
			return 0, nil, fmt.Errorf("read outbox: %w", err)
		}
		hashes = append(hashes, tlog.RecordHash(leaf))
	}
	if err := rows.Err(); err != nil {
		return 0, nil, fmt.Errorf("read outbox: %w", err)
	}
	return last, hashes, nil
}

// Run sequences events and signs checkpoints until ctx ends; then it does both a
// last time. It records its own start and stop, and a heartbeat while it runs.
// Trouble is logged and tried again; Run returns only the trouble of the last time.
func (l *Log) Run(ctx context.Context) error {
	l.record(ctx, typeStarted)
	tick := time.NewTicker(l.SequenceEvery)
	defer tick.Stop()
	beat := time.NewTicker(l.HeartbeatEvery)
	defer beat.Stop()
	var signed time.Time
	for {
		if err := l.step(ctx, &signed); err != nil && ctx.Err() == nil {
			l.Log.ErrorContext(ctx, "audit log does not advance", "error", err)
		}
		select {
		case <-tick.C:
		case <-beat.C:
			l.record(ctx, typeHeartbeat)
		case <-ctx.Done():
			return l.stop(context.WithoutCancel(ctx))
		}
	}
}

// step is one turn of Run.
func (l *Log) step(ctx context.Context, signed *time.Time) error {
	if err := l.Sequence(ctx); err != nil {
		return err
	}
	s, err := l.State(ctx)
	if err != nil {
		return err
	}
	if s.Size == s.Signed || (s.Size-s.Signed < l.CheckpointAfter && time.Since(*signed) < l.CheckpointEvery) {
		return nil
	}
	if _, err := l.Checkpoint(ctx); err != nil {
		return err
	}
	*signed = time.Now()
	return nil
}

func (l *Log) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	l.record(ctx, typeStopped)
	if err := l.Sequence(ctx); err != nil {
		return err
	}
	_, err := l.Checkpoint(ctx)
	return err
}

func (l *Log) record(ctx context.Context, kind string) {
	err := l.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return l.Append(ctx, tx, Event{Type: kind, Subject: l.Origin, Actor: "audit"})
	})
	if err != nil && ctx.Err() == nil {
		l.Log.ErrorContext(ctx, "audit log cannot be written", "event_type", kind, "error", err)
	}
}
