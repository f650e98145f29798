package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// poolConns is the number of connections when the DSN has no pool_max_conns.
const poolConns = 16

// openPostgres opens a pool. Beside what libpq knows, the DSN may say
// pool_max_conns=N.
func openPostgres(dsn string) (*DB, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, errors.New("the PostgreSQL DSN is no URL") // the cause would show the password
	}
	q := u.Query()
	conns := poolConns
	if s := q.Get("pool_max_conns"); s != "" {
		if conns, err = strconv.Atoi(s); err != nil || conns < 1 {
			return nil, fmt.Errorf("pool_max_conns=%s: want a number from 1", s)
		}
		q.Del("pool_max_conns")
		u.RawQuery = q.Encode()
	}
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, fmt.Errorf("read PostgreSQL DSN: %w", err)
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return &DB{engine: PostgreSQL, read: pool}, nil
}

// serializationTries bounds how often a transaction is run again. With the
// pauses below that is a few seconds.
const serializationTries = 40

// errBegin says that no statement of the transaction has run.
var errBegin = errors.New("begin transaction")

func runPostgres(ctx context.Context, pool *sql.DB, do func(context.Context, *Tx) error) error {
	for try := 1; ; try++ {
		cause, err := tryPostgres(ctx, pool, do)
		again := serialization(err) || serialization(cause) || errors.Is(err, errBegin)
		if err == nil || !again || try == serializationTries {
			return err
		}
		// The pause grows, and is random so that the same two do not meet again.
		pause := time.Duration(rand.Int64N(int64(time.Millisecond) << min(try, 7))) //nolint:gosec // no secret
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// tryPostgres also returns the error of the statement that failed, which do may
// have hidden in an error of its own.
func tryPostgres(ctx context.Context, pool *sql.DB, do func(context.Context, *Tx) error) (cause, err error) {
	// Waiting for a connection ends with ctx. The transaction itself does not: the
	// driver would close the connection under it, and the next users of the pool
	// would meet dead ones. tx.end sees to it that nothing is committed then.
	c, err := pool.Conn(ctx)
	if errors.Is(err, driver.ErrBadConn) {
		// It died with a statement that was cancelled; others may be dead too.
		return nil, fmt.Errorf("%w: %w", errBegin, err)
	}
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	defer c.Close()
	t, err := c.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{Isolation: sql.LevelSerializable})
	if errors.Is(err, driver.ErrBadConn) {
		return nil, fmt.Errorf("%w: %w", errBegin, err)
	}
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	defer t.Rollback()
	tx := &Tx{conn: t, ctx: ctx}
	err = do(enter(ctx), tx)
	cause = tx.err
	if err := tx.end(err); err != nil {
		return cause, err
	}
	if err := t.Commit(); err != nil {
		return nil, fmt.Errorf("commit transaction: %w", err)
	}
	return nil, nil
}
