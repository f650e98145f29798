package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/store"
)

// Filter selects events. Empty members select all.
type Filter struct {
	From, To                           time.Time // From ≤ time < To
	Type, Subject, Actor, SID, Outcome string
	After                              int64 // positions from this one on
	Before                             int64 // positions below this one; 0 is no bound
	Limit                              int   // 0 is no bound
}

// Records returns events that have a position, in order.
func (l *Log) Records(ctx context.Context, f Filter) ([]Record, error) {
	query := `SELECT pos, leaf FROM audit_entry WHERE pos >= $1`
	args := []any{f.After}
	add := func(condition string, value any) {
		args = append(args, value)
		query += fmt.Sprintf(" AND %s $%d", condition, len(args))
	}
	if f.Before > 0 {
		add("pos <", f.Before)
	}
	if !f.From.IsZero() {
		add("at >=", store.Micros(f.From))
	}
	if !f.To.IsZero() {
		add("at <", store.Micros(f.To))
	}
	if f.SID != "" {
		query += " AND sid <> ''" // so that SQLite takes the partial index
	}
	for _, c := range []struct{ column, value string }{
		{"type =", f.Type}, {"subject =", f.Subject}, {"actor =", f.Actor}, {"sid =", f.SID}, {"outcome =", f.Outcome},
	} {
		if c.value != "" {
			add(c.column, c.value)
		}
	}
	query += " ORDER BY pos"
	if f.Limit > 0 {
		args = append(args, f.Limit)
		query += fmt.Sprintf(" LIMIT $%d", len(args))
	}
	return l.records(ctx, query, args)
}

func (l *Log) records(ctx context.Context, query string, args []any) (list []Record, err error) {
	rows, err := l.DB.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			pos  int64
			leaf []byte
		)
		if err := rows.Scan(&pos, &leaf); err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		r, err := decode(pos, leaf)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTampered, err)
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	return list, nil
}

// Report is what [Log.Verify] found in order.
type Report struct {
	Size        int64     // events
	Root        tlog.Hash // root over all of them
	Checkpoints int       // checkpoints that agree with the events
	Last        time.Time // time of the last event
	// LongestGap is the longest time without any event between a start and the
	// stop of the log. Much more than the time between heartbeats means that the
	// process hung or that events never reached the log.
	LongestGap time.Duration
}

// Verify reads the whole log and compares events, hashes and checkpoints, also
// with checkpoints that were kept outside of this database: a log that was cut or
// written anew together with its own checkpoints is seen by these only. What does
// not agree is an error that wraps [ErrTampered] and names it.
func (l *Log) Verify(ctx context.Context, kept ...[]byte) (*Report, error) {
	own, err := l.checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	size, err := treeSize(ctx, l.DB)
	if err != nil {
		return nil, err
	}
	rep := &Report{Size: size}
	if err := l.verifyEvents(ctx, rep); err != nil {
		return nil, err
	}
	// From here on the hashes in the database are known to be those of the events.
	hashes := newHashReader(ctx, l.DB)
	if rep.Root, err = tlog.TreeHash(size, hashes); err != nil {
		return nil, err
	}
	for _, text := range append(own, kept...) {
		c, err := openCheckpoint(text, l.verifier)
		if err != nil {
			return nil, err
		}
		if c.Size > size {
			return nil, fmt.Errorf("%w: it has %d events, a checkpoint says %d: the log was cut", ErrTampered, size, c.Size)
		}
		root, err := tlog.TreeHash(c.Size, hashes)
		if err != nil {
			return nil, err
		}
		if root != c.Root {
			return nil, fmt.Errorf("%w: the first %d events are not those of the checkpoint", ErrTampered, c.Size)
		}
		rep.Checkpoints++
	}
	return rep, nil
}

func (l *Log) checkpoints(ctx context.Context) (notes [][]byte, err error) {
	rows, err := l.DB.Query(ctx, `SELECT note FROM audit_checkpoint ORDER BY size`)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("read checkpoints: %w", err)
		}
		notes = append(notes, text)
	}
	return notes, rows.Err()
}

// verifyEvents compares every event with its columns, which searches use, and
// with the stored hashes.
func (l *Log) verifyEvents(ctx context.Context, rep *Report) error {
	tree := &builder{dirty: map[tile][]byte{}}
	running := false
	for tree.size < rep.Size {
		rows, err := l.rows(ctx, tree.size, min(tree.size+batch, rep.Size))
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fmt.Errorf("%w: event %d is missing", ErrTampered, tree.size)
		}
		for _, r := range rows {
			if r.Pos != tree.size {
				return fmt.Errorf("%w: event %d is missing", ErrTampered, tree.size)
			}
			if gap := r.At.Sub(rep.Last); running && gap > rep.LongestGap && r.Type != typeStarted {
				rep.LongestGap = gap
			}
			running = r.Type != typeStopped
			rep.Last = r.At
			tree.add(tlog.RecordHash(r.Leaf))
		}
		if err := l.compareTiles(ctx, tree); err != nil {
			return err
		}
	}
	return nil
}

// rows returns the events from position from to below to, each checked against
// its columns.
func (l *Log) rows(ctx context.Context, from, to int64) (list []Record, err error) {
	rows, err := l.DB.Query(ctx, `SELECT pos, at, type, subject, actor, sid, outcome, leaf
		FROM audit_entry WHERE pos >= $1 AND pos < $2 ORDER BY pos`, from, to)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			c    Record
			at   int64
			leaf []byte
		)
		if err := rows.Scan(&c.Pos, &at, &c.Type, &c.Subject, &c.Actor, &c.SID, &c.Outcome, &leaf); err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		r, err := decode(c.Pos, leaf)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTampered, err)
		}
		if !r.At.Equal(store.Time(at)) || r.Type != c.Type || r.Subject != c.Subject || r.Actor != c.Actor || r.SID != c.SID || r.Outcome != c.Outcome {
			return nil, fmt.Errorf("%w: the columns of event %d are not those of its record", ErrTampered, c.Pos)
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	return list, nil
}

// compareTiles compares what the events give with what is stored.
func (l *Log) compareTiles(ctx context.Context, tree *builder) error {
	// Level 0 first: it can name the event.
	changed := slices.SortedFunc(maps.Keys(tree.dirty), func(a, b tile) int {
		return cmp.Or(cmp.Compare(a.level, b.level), cmp.Compare(a.n, b.n))
	})
	for _, t := range changed {
		want := tree.dirty[t]
		got, err := readTile(ctx, l.DB, t, int64(len(want)/tlog.HashSize))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTampered, err)
		}
		if !bytes.Equal(got, want) {
			for i := 0; i < len(want); i += tlog.HashSize {
				if t.level == 0 && !bytes.Equal(got[i:i+tlog.HashSize], want[i:i+tlog.HashSize]) {
					return fmt.Errorf("%w: event %d was changed", ErrTampered, t.n*tileWidth+int64(i/tlog.HashSize))
				}
			}
			return fmt.Errorf("%w: stored hashes %d/%d were changed", ErrTampered, t.level, t.n)
		}
	}
	clear(tree.dirty)
	return nil
}
