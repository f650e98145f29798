package store

import (
	"container/list"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// A group of transactions is committed at once when it has that many members, or
// is that old; and before that as soon as nobody else waits to write.
const (
	groupSize = 64
	groupAge  = 5 * time.Millisecond
)

// writer is the one SQLite connection that writes. Writers take turns, first come
// first served. While others wait, a transaction that is done stays open as a
// savepoint would, the next runs on top of it, and all are committed together:
// one fsync for many. Nobody is told of success before that commit.
type writer struct {
	db *sql.DB

	mu      sync.Mutex
	busy    bool       // somebody has the turn
	waiting *list.List // of chan struct{}, closed when the turn is given

	group  *group // of whoever has the turn
	before int    // members of the group before
}

// group is a set of transactions that are committed together.
type group struct {
	conn    *sql.Conn
	begun   time.Time
	members int // those to commit

	done chan struct{}
	err  error // how the commit went; read after done
}

func newWriter(db *sql.DB) *writer { return &writer{db: db, waiting: list.New()} }

func (w *writer) close() error {
	free, err := w.hold(context.Background())
	if err != nil {
		return err
	}
	defer free()
	return w.db.Close()
}

// hold waits for the turn and keeps it until free, for someone who uses w.db.
func (w *writer) hold(ctx context.Context) (free func(), err error) {
	if err := w.acquire(ctx); err != nil {
		return nil, err
	}
	// Whoever gave the turn may count on its group being committed.
	if w.group != nil {
		w.commit()
	}
	return func() { w.pass() }, nil
}

// run runs one transaction.
func (w *writer) run(ctx context.Context, do func(context.Context, *Tx) error) error {
	if err := w.acquire(ctx); err != nil {
		return err
	}
	g, err := w.member(ctx, do)
	if err != nil || g == nil {
		return err
	}
	<-g.done
	return g.err
}

// member runs do inside the open group, or a new one, and gives the turn away. It
// returns the group whose end decides, unless do failed.
func (w *writer) member(ctx context.Context, do func(context.Context, *Tx) error) (g *group, err error) {
	defer w.finish() // also when do panics
	if w.group == nil {
		if err := w.begin(ctx); err != nil {
			return nil, err
		}
	}
	g = w.group
	first := g.members == 0
	if !first {
		if err := g.exec(ctx, "SAVEPOINT member"); err != nil {
			return nil, fmt.Errorf("begin transaction: %w", err)
		}
	}
	kept := false
	defer func() {
		if !kept {
			w.undo(ctx, first)
		}
	}()
	tx := &Tx{conn: g.conn, ctx: ctx}
	if err := tx.end(do(enter(ctx), tx)); err != nil {
		return nil, err
	}
	if !first {
		if err := g.exec(ctx, "RELEASE member"); err != nil {
			return nil, fmt.Errorf("commit transaction: %w", err)
		}
	}
	kept = true
	g.members++
	return g, nil
}

func (w *writer) begin(ctx context.Context) error {
	c, err := w.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	g := &group{conn: c, begun: time.Now(), done: make(chan struct{})}
	if err := g.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return errors.Join(fmt.Errorf("begin transaction: %w", err), c.Close())
	}
	w.group = g
	return nil
}

// undo takes back what the present member did. When SQLite has undone the whole
// transaction by itself, on a full disk for example, the group has failed.
func (w *writer) undo(ctx context.Context, first bool) {
	g := w.group
	if first {
		_ = g.exec(ctx, "ROLLBACK") // fails only when there is nothing to undo
		w.end(nil)
		return
	}
	if err := errors.Join(g.exec(ctx, "ROLLBACK TO member"), g.exec(ctx, "RELEASE member")); err != nil {
		_ = g.exec(ctx, "ROLLBACK")
		w.end(fmt.Errorf("commit transaction: %w", err))
	}
}

// finish commits the group, or leaves it to the next in line, and gives the turn
// away.
func (w *writer) finish() {
	if g := w.group; g != nil {
		if g.more() && w.give() {
			return
		}
		if max(g.members, w.before) > 1 {
			runtime.Gosched() // whoever is just about to write comes along: one commit less
			if g.more() && w.give() {
				return
			}
		}
		w.commit()
	}
	w.pass()
}

// more says whether the group may take in another member.
func (g *group) more() bool {
	return g.members < groupSize && time.Since(g.begun) < groupAge
}

func (w *writer) commit() {
	ctx := context.Background()
	err := w.group.exec(ctx, "COMMIT")
	if err != nil {
		_ = w.group.exec(ctx, "ROLLBACK")
		err = fmt.Errorf("commit transaction: %w", err)
	}
	w.end(err)
}

// end tells all members how it went.
func (w *writer) end(err error) {
	g := w.group
	w.group, w.before = nil, g.members
	_ = g.conn.Close() // back into the pool
	g.err = err
	close(g.done)
}

// acquire waits for the turn.
func (w *writer) acquire(ctx context.Context) error {
	w.mu.Lock()
	if !w.busy {
		w.busy = true
		w.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	place := w.waiting.PushBack(turn)
	w.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-turn: // given in the meantime: the duties come with it
		return nil
	default:
		w.waiting.Remove(place)
		return fmt.Errorf("begin transaction: %w", context.Cause(ctx))
	}
}

// give gives the turn to the next in line, if there is one.
func (w *writer) give() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.giveLocked()
}

// pass gives the turn to the next in line, or to nobody.
func (w *writer) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = w.giveLocked()
}

func (w *writer) giveLocked() bool {
	e := w.waiting.Front()
	if e == nil {
		return false
	}
	if turn, ok := w.waiting.Remove(e).(chan struct{}); ok {
		close(turn)
	}
	return true
}

// exec runs a statement that steers the transaction, always to its end.
func (g *group) exec(ctx context.Context, query string) error {
	_, err := g.conn.ExecContext(context.WithoutCancel(ctx), query)
	return err
}
