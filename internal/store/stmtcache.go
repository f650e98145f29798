package store

import (
	"container/list"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// cachedStatements is the number of compiled statements kept per connection.
const cachedStatements = 128

// cachingConnector makes connections that keep their compiled statements:
// compiling takes SQLite longer than running most of ours.
type cachingConnector struct{ driver.Connector }

// Connect implements driver.Connector.
func (c cachingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	dc, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := dc.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the SQLite driver has changed: %T", dc), dc.Close())
	}
	return &cachingConn{sqliteConn: full, byText: map[string]*list.Element{}, recent: list.New()}, nil
}

// sqliteConn is what the driver's connections can do.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// cachingConn is used by one goroutine at a time: database/sql sees to that.
type cachingConn struct {
	sqliteConn
	byText map[string]*list.Element
	recent *list.List // of *cached, the one used last in front
}

type cached struct {
	text string
	stmt sqliteStmt
	busy bool // rows of it are open
}

// ExecContext implements driver.ExecerContext.
func (c *cachingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	r, err := s.stmt.ExecContext(ctx, args)
	return r, errors.Join(err, c.give(s))
}

// QueryContext implements driver.QueryerContext.
func (c *cachingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.stmt.QueryContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, c.give(s))
	}
	return &cachedRows{Rows: rows, conn: c, stmt: s}, nil
}

// Close implements driver.Conn.
func (c *cachingConn) Close() error {
	var errs []error
	for e := c.recent.Front(); e != nil; e = e.Next() {
		if s, ok := e.Value.(*cached); ok && !s.busy {
			errs = append(errs, s.stmt.Close())
		}
	}
	c.recent.Init()
	clear(c.byText)
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// take returns the compiled statement, which is the caller's until give.
func (c *cachingConn) take(ctx context.Context, query string) (*cached, error) {
	if e := c.byText[query]; e != nil {
		if s, ok := e.Value.(*cached); ok && !s.busy {
			c.recent.MoveToFront(e)
			s.busy = true
			return s, nil
		}
	}
	ds, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	stmt, ok := ds.(sqliteStmt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the SQLite driver has changed: %T", ds), ds.Close())
	}
	return &cached{text: query, stmt: stmt, busy: true}, nil
}

// give keeps the statement for the next use. One whose text is kept already, it
// ran twice at once, is dropped, and so are those used longest ago.
func (c *cachingConn) give(s *cached) error {
	s.busy = false
	if e := c.byText[s.text]; e != nil {
		if e.Value == any(s) {
			return nil
		}
		return s.stmt.Close()
	}
	c.byText[s.text] = c.recent.PushFront(s)
	for e := c.recent.Back(); c.recent.Len() > cachedStatements && e != nil; {
		old, prev := e, e.Prev()
		e = prev
		if s, ok := old.Value.(*cached); ok && !s.busy {
			c.recent.Remove(old)
			delete(c.byText, s.text)
			if err := s.stmt.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// cachedRows gives the statement back when it is closed.
type cachedRows struct {
	driver.Rows
	conn   *cachingConn
	stmt   *cached
	closed bool
}

// Close implements driver.Rows.
func (r *cachedRows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return errors.Join(r.Rows.Close(), r.conn.give(r.stmt))
}
