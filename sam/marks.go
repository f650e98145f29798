package sam

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/countersign/countersign/internal/store"
)

// marks are the newest versions of records that were seen, as long as the process
// lives.
type marks struct {
	turns  atomic.Int64
	byName sync.Map // string → mark
}

// mark is a version and when it was seen, in raises.
type mark struct{ version, turn int64 }

// raise notes that a version of a record was read, committed.
func (s *marks) raise(name string, version int64) {
	if old, ok := s.byName.Load(name); ok {
		if o, ok := old.(mark); ok && o.version >= version {
			return
		}
	}
	next := mark{version, s.turns.Add(1)}
	for {
		old, loaded := s.byName.LoadOrStore(name, next)
		if o, ok := old.(mark); !loaded || !ok || o.version >= version || s.byName.CompareAndSwap(name, old, next) {
			return
		}
	}
}

// of is the newest version of a record that was seen, 0 if none was. Who reads may
// see the database as it was when reading began: what was seen later counts for
// nothing then.
func (s *marks) of(ctx context.Context, name string) int64 {
	found, ok := s.byName.Load(name)
	if !ok {
		return 0
	}
	k, ok := found.(mark)
	if since, inside := ctx.Value(turnKey{}).(int64); !ok || inside && k.turn > since {
		return 0
	}
	return k.version
}

type turnKey struct{}

// reading is for what reads protected records, inside a transaction or not: what is
// seen from now on counts for nothing when they are judged.
func (m *Module) reading(ctx context.Context) context.Context {
	if ctx.Value(turnKey{}) != nil {
		return ctx
	}
	return context.WithValue(ctx, turnKey{}, m.marks.turns.Load())
}

// tx runs a transaction that reads protected records.
func (m *Module) tx(ctx context.Context, do func(context.Context, *store.Tx) error) error {
	return m.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return do(m.reading(ctx), tx)
	})
}
