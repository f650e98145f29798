package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// ErrNested says that a DB was used where its Tx should have been. A read would
// not see what the transaction wrote, and a write would wait for it for ever.
var ErrNested = errors.New("database used directly inside of a transaction: use the *store.Tx")

// Tx is a write transaction. It sees the database as if no other transaction ran
// at the same time. After the first statement that fails nothing else can be done
// in it, on both engines: expected conflicts are avoided with ON CONFLICT or by
// looking at row counts. It is used by one goroutine at a time.
type Tx struct {
	conn conn
	ctx  context.Context //nolint:containedctx // the transaction lives exactly as long as this context
	mu   sync.Mutex
	err  error // why it cannot be committed
}

// conn is what *sql.Conn and *sql.Tx have in common.
type conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Tx runs do in a write transaction, committed when do returns nil and undone
// otherwise; it is durable when Tx returns nil. On PostgreSQL do runs again when
// the server could not serialize the transaction: its effects must be in the
// database, or in variables it sets anew. do must use the ctx it is given, and
// must not wait for anything slow: on SQLite there is one writer.
//
// The error of do comes back as it is.
func (db *DB) Tx(ctx context.Context, do func(ctx context.Context, tx *Tx) error) error {
	if err := outside(ctx); err != nil {
		return err
	}
	if db.write != nil {
		return db.write.run(ctx, do)
	}
	return runPostgres(ctx, db.read, do)
}

// Exec implements [Querier].
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := tx.usable(ctx); err != nil {
		return 0, err
	}
	n, err := count(tx.conn.ExecContext(tx.statement(ctx), query, args...))
	return n, tx.note(err)
}

// Query implements [Querier]. On PostgreSQL the rows must be closed before the
// next statement.
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := tx.usable(ctx); err != nil {
		return nil, err
	}
	rows, err := tx.conn.QueryContext(tx.statement(ctx), query, args...)
	return rows, tx.note(err)
}

// QueryRow implements [Querier].
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	if err := tx.usable(ctx); err != nil {
		return failedRow(ctx, err)
	}
	row := tx.conn.QueryRowContext(tx.statement(ctx), query, args...)
	_ = tx.note(row.Err())
	return row
}

// statement gives the context for one statement. SQLite answers an interrupt
// inside a transaction by undoing all of it, and what came after would be
// committed one by one; so a statement of the writer always runs to its end.
func (tx *Tx) statement(ctx context.Context) context.Context {
	if _, ok := tx.conn.(*sql.Conn); ok {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

func (tx *Tx) usable(ctx context.Context) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.err == nil {
		tx.err = errors.Join(context.Cause(tx.ctx), context.Cause(ctx))
		return tx.err
	}
	return fmt.Errorf("transaction failed before: %w", tx.err)
}

func (tx *Tx) note(err error) error {
	if err == nil {
		return nil
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.err == nil {
		tx.err = err
	}
	return err
}

// end says why the transaction must not be committed, after do returned err.
func (tx *Tx) end(err error) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	cause := tx.err
	switch {
	case err != nil:
	case cause != nil:
		err = fmt.Errorf("transaction failed before: %w", cause)
	default:
		err = context.Cause(tx.ctx)
	}
	tx.err = sql.ErrTxDone
	return err
}

// inside marks the context of a transaction.
type inside struct{}

func enter(ctx context.Context) context.Context { return context.WithValue(ctx, inside{}, true) }

func outside(ctx context.Context) error {
	if ctx.Value(inside{}) != nil {
		return ErrNested
	}
	return nil
}
