package e2e_test

import (
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// front stands before a door of the installation, at the address that everybody
// knows. It passes connections on, to the door or to where a test leads them.
type front struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	tape   *tape // what is passed is kept there, unless nil
	conns  map[net.Conn]bool
	closed bool
	wg     sync.WaitGroup
}

func newFront(t testing.TB) *front {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{listener: l, conns: map[net.Conn]bool{}}
	f.wg.Go(f.accept)
	t.Cleanup(f.close)
	return f
}

func (f *front) port() int { return f.listener.Addr().(*net.TCPAddr).Port } //nolint:forcetypeassert // it listens on TCP

// lead passes what comes from now on to another address, and breaks what there is.
func (f *front) lead(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = target
	f.hangUp()
}

// detour leads elsewhere until the test ends.
func (f *front) detour(t testing.TB, target string) {
	t.Helper()
	f.mu.Lock()
	before := f.target
	f.mu.Unlock()
	f.lead(target)
	t.Cleanup(func() { f.lead(before) })
}

// record keeps what is passed from now on, on new connections.
func (f *front) record(to *tape) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tape = to
	f.hangUp()
}

func (f *front) hangUp() {
	for c := range f.conns {
		_ = c.Close() // its owner sees it
	}
}

func (f *front) close() {
	_ = f.listener.Close()
	f.mu.Lock()
	f.closed = true
	f.hangUp()
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *front) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.wg.Go(func() { f.pass(c) })
	}
}

func (f *front) pass(client net.Conn) {
	defer client.Close()
	f.mu.Lock()
	target, tape := f.target, f.tape
	f.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return // seen as a door that is shut
	}
	defer server.Close()
	if !f.keep(client, server) {
		return
	}
	defer f.forget(client, server)
	up, down := io.Writer(server), io.Writer(client)
	if tape != nil {
		t := tape.connection()
		up, down = io.MultiWriter(server, t.up()), io.MultiWriter(client, t.down())
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(up, client)
		if t, ok := server.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	})
	_, _ = io.Copy(down, server)
	_ = client.Close()
	both.Wait()
}

func (f *front) keep(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		f.conns[c] = true
	}
	return !f.closed
}

func (f *front) forget(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		delete(f.conns, c)
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts are ports that nobody listens on, each different.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var lc net.ListenConfig
	ports := make([]int, n)
	for i := range ports {
		l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on TCP
	}
	return ports
}

// tape is what was passed, by connection.
type tape struct {
	mu    sync.Mutex
	conns []*connection
}

// connection is what went over one connection, each way.
type connection struct {
	mu         sync.Mutex
	sent, came []byte
}

func (t *tape) connection() *connection {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &connection{}
	t.conns = append(t.conns, c)
	return c
}

// all returns the connections.
func (t *tape) all() []*connection {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*connection(nil), t.conns...)
}

type track struct {
	c  *connection
	at *[]byte
}

func (c *connection) up() io.Writer   { return track{c, &c.sent} }
func (c *connection) down() io.Writer { return track{c, &c.came} }

// Write implements io.Writer.
func (t track) Write(b []byte) (int, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	*t.at = append(*t.at, b...)
	return len(b), nil
}

func (c *connection) bytes() (sent, came []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.sent...), append([]byte(nil), c.came...)
}
