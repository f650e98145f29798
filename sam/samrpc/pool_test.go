package samrpc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam/samrpc"
)

// module is a socket whose server may be stopped and started again.
type module struct {
	t        *testing.T
	path     string
	requests atomic.Int32
	conns    atomic.Int32
	stop     func()
}

func newModule(t *testing.T) *module {
	dir, err := os.MkdirTemp("", "sam") //nolint:usetesting // a path of t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	m := &module{t: t, path: filepath.Join(dir, "s")}
	t.Cleanup(func() { m.stop(); _ = os.RemoveAll(dir) })
	return m
}

func (m *module) start(h http.HandlerFunc) {
	l, err := web.ListenUnix(context.WithoutCancel(m.t.Context()), web.SocketConfig{Path: m.path})
	if err != nil {
		m.t.Fatal(err)
	}
	srv := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.requests.Add(1); h(w, r) }),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				m.conns.Add(1)
			}
		},
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	m.stop = sync.OnceFunc(func() { _ = srv.Close(); wg.Wait() })
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }

func TestCallsOneAfterTheOtherUseOneConnection(t *testing.T) {
	m := newModule(t)
	m.start(ok)
	c := samrpc.NewClient(m.path)
	for range 5 {
		if err := c.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if m.requests.Load() != 5 || m.conns.Load() != 1 {
		t.Errorf("%d requests over %d connections", m.requests.Load(), m.conns.Load())
	}
}

func TestConnectionsOfAModuleThatWasRestartedAreNotMissed(t *testing.T) {
	m := newModule(t)
	m.start(ok)
	c := samrpc.NewClient(m.path)
	var wg sync.WaitGroup
	for range 8 { // several connections
		wg.Go(func() {
			if err := c.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range 3 {
		m.stop()
		m.start(ok)
		if err := c.Ready(t.Context()); err != nil {
			t.Errorf("after a restart: %v", err)
		}
	}
}

// TestCallThatTheModuleTookIsNotSentAgain: it may have been carried out, whether the
// connection is new or was used before.
func TestCallThatTheModuleTookIsNotSentAgain(t *testing.T) {
	m := newModule(t)
	var lost atomic.Bool
	m.start(func(w http.ResponseWriter, r *http.Request) {
		if lost.Load() {
			panic(http.ErrAbortHandler)
		}
		ok(w, r)
	})
	c := samrpc.NewClient(m.path)
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost.Store(true)
	for i := range 2 {
		if err := c.Ready(t.Context()); !errors.Is(err, fault.Unavailable) {
			t.Errorf("lost answer: %v", err)
		}
		if want := int32(2 + i); m.requests.Load() != want {
			t.Errorf("the module was called %d times, want %d", m.requests.Load(), want)
		}
	}
}

func TestCallerWhoGoesAwayIsNotKept(t *testing.T) {
	m := newModule(t)
	m.start(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := samrpc.NewClient(m.path)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Ready(ctx); !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := c.Ready(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestAnswersAreNotMixedUp: each caller of many gets the answer to its own call,
// also when others go away in the middle of theirs.
func TestAnswersAreNotMixedUp(t *testing.T) {
	m := newModule(t)
	m.start(func(w http.ResponseWriter, r *http.Request) {
		line, err := bufio.NewReader(r.Body).ReadString('}')
		if err != nil {
			t.Error(err)
		}
		_, sid, _ := strings.Cut(strings.TrimSuffix(line, `"}`), `:"`)
		_, _ = fmt.Fprintf(w, "%q", strings.Repeat(sid+" ", 2000))
	})
	c := samrpc.NewClient(m.path)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 40 {
				ctx, cancel := context.WithCancel(t.Context())
				if j%4 == 3 {
					time.AfterFunc(100*time.Microsecond, cancel)
				}
				sid := fmt.Sprintf("%d-%d", i, j)
				answer, err := c.Bundle(ctx, sid)
				if want := fmt.Sprintf("%q", strings.Repeat(sid+" ", 2000)); err == nil && string(answer) != want {
					t.Errorf("call %s was answered with %.40s", sid, answer)
				} else if err != nil && j%4 != 3 {
					t.Errorf("call %s: %v", sid, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}

func TestAnswerThatIsNoHTTPIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":       "",
		"garbage":       "hello\r\n\r\n",
		"half":          "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
		"too long":      "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}",
		"another shape": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
	} {
		t.Run(name, func(t *testing.T) {
			m := newModule(t)
			l, err := web.ListenUnix(t.Context(), web.SocketConfig{Path: m.path})
			if err != nil {
				t.Fatal(err)
			}
			m.stop = sync.OnceFunc(func() { _ = l.Close() })
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 4096))
				_, _ = c.Write([]byte(text))
				_ = c.Close()
			}()
			if err := samrpc.NewClient(m.path).Ready(t.Context()); !errors.Is(err, fault.Unavailable) {
				t.Errorf("got %v", err)
			}
		})
	}
}
