package samrpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Limits of the connections to a module.
const (
	maxIdle     = 64
	idleTime    = time.Minute // the module closes idle connections after two
	dialTimeout = 5 * time.Second
)

// pool is HTTP/1.1 over connections to one Unix socket, one request at a time on
// each. It does what http.Transport would, in the goroutine of the caller: between
// two processes of one machine its two goroutines cost as much as the rest.
type pool struct {
	path string

	mu   sync.Mutex
	idle []*conn // the one used last at the end
}

// conn is a connection to the module, used by one caller at a time.
type conn struct {
	net.Conn
	r    *bufio.Reader
	used time.Time
}

// post sends one request and reads the answer, of at most limit bytes. A request is
// not sent again once all of it was written: the module may have carried it out. A
// connection that the module has closed fails before that, and the next is tried.
func (p *pool) post(ctx context.Context, path string, body []byte, limit int64) (status int, data []byte, err error) {
	message := fmt.Appendf(make([]byte, 0, len(body)+160),
		"POST %s HTTP/1.1\r\nHost: sam\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, len(body))
	message = append(message, body...)
	for {
		c, old, err := p.take(ctx)
		if err != nil {
			return 0, nil, err
		}
		status, data, written, err := c.exchange(ctx, message, limit, p)
		if err == nil {
			return status, data, nil
		}
		if !old || written || ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, nil, err
		}
	}
}

// exchange uses the connection for one request and gives it back, or closes it.
func (c *conn) exchange(ctx context.Context, message []byte, limit int64, p *pool) (status int, data []byte, written bool, err error) {
	if err := c.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return 0, nil, false, errors.Join(err, c.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // whoever reads or writes ends now
	keep := false
	defer func() {
		if stop() && keep {
			p.give(c)
			return
		}
		_ = c.Close() // nothing is waited for on it
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	if _, err := c.Write(message); err != nil {
		return 0, nil, false, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, nil, true, err
	}
	data, err = read(resp, limit)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, nil, true, err
	}
	keep = !resp.Close && int64(len(data)) <= limit && c.r.Buffered() == 0
	return resp.StatusCode, data, true, nil
}

// read reads the body, or one byte more than limit of it.
func read(resp *http.Response, limit int64) ([]byte, error) {
	if n := resp.ContentLength; n >= 0 && n <= limit {
		data := make([]byte, n)
		_, err := io.ReadFull(resp.Body, data)
		return data, err
	}
	return io.ReadAll(io.LimitReader(resp.Body, limit+1))
}

// take returns a connection; old says that it was used before.
func (p *pool) take(ctx context.Context) (c *conn, old bool, err error) {
	if c := p.last(); c != nil {
		return c, true, nil
	}
	d := net.Dialer{Timeout: dialTimeout}
	n, err := d.DialContext(ctx, "unix", p.path)
	if err != nil {
		return nil, false, err
	}
	return &conn{Conn: n, r: bufio.NewReader(n)}, false, nil
}

// last takes the connection that was used last, if it is not too old; then all are.
func (p *pool) last() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	c := p.idle[n]
	if time.Since(c.used) > idleTime {
		for _, c := range p.idle {
			_ = c.Close()
		}
		p.idle = nil
		return nil
	}
	p.idle = p.idle[:n]
	return c
}

// give keeps a connection for the next request.
func (p *pool) give(c *conn) {
	c.used = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == maxIdle {
		_ = p.idle[0].Close()
		p.idle = append(p.idle[:0], p.idle[1:]...)
	}
	p.idle = append(p.idle, c)
}
