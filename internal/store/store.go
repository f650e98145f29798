// Package store opens SQLite or PostgreSQL, migrates, and runs transactions. It
// knows no table: each package owns its tables and writes its SQL, one text for
// both engines.
//
// Rules that make one text serve both: $n placeholders; TEXT ids made in Go
// ([NewID]); BIGINT microseconds for time ([Micros]); TEXT for JSON, never
// queried inside; races decided by UPDATE … WHERE … and its row count; INSERT …
// ON CONFLICT DO NOTHING where a row may exist already.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Engine names a kind of database.
type Engine string

// The engines.
const (
	SQLite     Engine = "sqlite"
	PostgreSQL Engine = "postgres"
)

// Querier is what a query needs: a [DB] outside of transactions or a [Tx]
// inside one.
type Querier interface {
	// Exec runs a statement and returns the number of rows it changed.
	Exec(ctx context.Context, query string, args ...any) (rows int64, err error)
	// Query runs a query. The caller closes the rows and looks at rows.Err.
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	// QueryRow runs a query of which the first row is wanted.
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
}

var (
	_ Querier = (*DB)(nil)
	_ Querier = (*Tx)(nil)
)

// DB is an open database. All methods may be called at once.
type DB struct {
	engine Engine
	read   *sql.DB // SQLite: read only; PostgreSQL: the one pool
	write  *writer // SQLite only
}

// Open opens the database that dsn names: "sqlite:PATH" (made when it does not
// exist, readable by its owner only) or "postgres://user@host/name". It returns
// only when the database answers.
func Open(ctx context.Context, dsn string) (*DB, error) {
	var (
		db  *DB
		err error
	)
	switch {
	case strings.HasPrefix(dsn, "sqlite:"):
		db, err = openSQLite(strings.TrimPrefix(dsn, "sqlite:"))
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		db, err = openPostgres(dsn)
	default:
		scheme, _, _ := strings.Cut(dsn, ":")
		return nil, fmt.Errorf("open database: %q is no engine: write sqlite:PATH or postgres://user@host/name", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := db.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), db.Close())
	}
	return db, nil
}

// Engine says which kind of database this is.
func (db *DB) Engine() Engine { return db.engine }

// Ping says whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	if db.write != nil {
		if err := db.write.db.PingContext(ctx); err != nil {
			return fmt.Errorf("ping database: %w", err)
		}
	}
	if err := db.read.PingContext(ctx); err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// Close ends all use of the database.
func (db *DB) Close() error {
	err := db.read.Close()
	if db.write != nil {
		err = errors.Join(err, db.write.close())
	}
	return err
}

// Exec runs one statement in a transaction of its own. It is durable when Exec
// returns.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := outside(ctx); err != nil {
		return 0, err
	}
	if db.write == nil {
		return count(db.read.ExecContext(ctx, query, args...))
	}
	var n int64
	err := db.write.run(ctx, func(ctx context.Context, tx *Tx) error {
		var err error
		n, err = tx.Exec(ctx, query, args...)
		return err
	})
	return n, err
}

// Query reads from the last committed state. It cannot write, whatever the
// engine: INSERT … RETURNING belongs into a [DB.Tx].
func (db *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := outside(ctx); err != nil {
		return nil, err
	}
	return db.read.QueryContext(ctx, query, args...)
}

// QueryRow is [DB.Query] for one row. On SQLite it is not interrupted when ctx ends:
// to watch for that takes longer than most reads.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	if err := errors.Join(outside(ctx), context.Cause(ctx)); err != nil {
		return failedRow(ctx, err)
	}
	if s := db.read.Stats(); db.engine == SQLite && s.InUse < s.MaxOpenConnections { // else it waits for a connection
		ctx = context.WithoutCancel(ctx)
	}
	return db.read.QueryRowContext(ctx, query, args...)
}

func count(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
