// Package daemon is what every long-running process here does around its role:
// it logs, listens, serves its doors until it is told to end, and ends
// gracefully.
package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/countersign/countersign/cmd/internal/buildinfo"
	"github.com/countersign/countersign/cmd/internal/local"
	"github.com/countersign/countersign/internal/metrics"
	"github.com/countersign/countersign/internal/web"
)

// Process is one running role. Its doors are opened one after the other with
// Listen and Socket, work that goes on beside them is added with Go, and Run
// serves until the process is told to end.
type Process struct {
	Role    string
	Log     *slog.Logger
	Metrics *metrics.Metrics
	Build   buildinfo.Info
	Started time.Time

	doors []door
	tasks []func(context.Context) error
}

type door struct {
	listener net.Listener
	server   web.Server
}

// New makes the process of a role. Records go to w as JSON.
func New(role string, w io.Writer) *Process {
	b := buildinfo.Read("countersign")
	return &Process{
		Role: role, Build: b, Started: time.Now().UTC(), Metrics: metrics.New(b.Version, b.Commit),
		Log: slog.New(slog.NewJSONHandler(w, nil)).With("role", role),
	}
}

// Context ends when the process is asked to: by a signal, or when withParent is
// set by the end of standard input, which a supervisor holds open as long as it
// lives.
func Context(parent context.Context, withParent bool, stdin io.Reader) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	if !withParent {
		return ctx, stop
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		// Whatever ends the reading, the supervisor is gone.
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	return ctx, func() { cancel(); stop() }
}

// Listen opens a TCP door. An address that is taken is named in the error.
func (p *Process) Listen(ctx context.Context, address string, h http.Handler, t *tls.Config) error {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is taken by another program: end it, or set another listen address: %w", address, err)
	}
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	p.doors = append(p.doors, door{listener: l, server: web.Server{Handler: h, Log: p.Log, TLS: t}})
	return nil
}

// Socket opens a Unix socket.
func (p *Process) Socket(ctx context.Context, c web.SocketConfig, h http.Handler) error {
	c.Path, c.Log = local.Short(c.Path), p.Log
	l, err := web.ListenUnix(ctx, c)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	p.doors = append(p.doors, door{listener: l, server: web.Server{Handler: h, Log: p.Log}})
	return nil
}

// Go adds work that runs beside the doors until its context ends. When it ends
// by itself, the process ends.
func (p *Process) Go(task func(context.Context) error) { p.tasks = append(p.tasks, task) }

// Every adds work that is done now and then. What goes wrong is logged and tried
// again the next time.
func (p *Process) Every(d time.Duration, name string, do func(context.Context) error) {
	p.Go(func(ctx context.Context) error {
		t := time.NewTicker(d)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
				if err := do(ctx); err != nil && ctx.Err() == nil {
					p.Log.ErrorContext(ctx, "task failed", "task", name, "error", err)
				}
			}
		}
	})
}

// Run serves every door until ctx ends or one of them breaks, then lets the
// requests that run come to their end, and stops the work beside last: it may
// have to record what those requests did.
func (p *Process) Run(ctx context.Context) error {
	p.Log.InfoContext(ctx, "started", "version", p.Build.Version, "commit", p.Build.Commit)
	doorsCtx, closeDoors := context.WithCancel(ctx)
	defer closeDoors()
	tasksCtx, stopTasks := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTasks()
	var (
		doors, tasks sync.WaitGroup
		mu           sync.Mutex
		errs         []error
	)
	fail := func(err error) {
		if err != nil {
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		}
		closeDoors()
	}
	for _, task := range p.tasks {
		tasks.Go(func() { fail(task(tasksCtx)) })
	}
	for _, d := range p.doors {
		doors.Go(func() { fail(d.server.Serve(doorsCtx, d.listener)) })
	}
	doors.Wait()
	stopTasks()
	tasks.Wait()
	p.Log.InfoContext(ctx, "ended")
	return errors.Join(errs...)
}

// Close closes doors that Run never got.
func (p *Process) Close() error {
	var errs []error
	for _, d := range p.doors {
		if err := d.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Status adds the operator's look at the process to its admin socket.
func (p *Process) Status(mux *http.ServeMux, d Door, checks web.Checks, facts func(context.Context) map[string]string) {
	local.Handle(mux, "GET /status", func(ctx context.Context, _ struct{}) (local.Status, error) {
		s := local.Status{Role: p.Role, Ready: true, Started: p.Started, Commit: p.Build.Commit, Health: d.health(), Checks: look(ctx, checks)}
		for _, c := range s.Checks {
			s.Ready = s.Ready && c.OK
		}
		if facts != nil {
			s.Facts = facts(ctx)
		}
		return s, nil
	})
}

// Serve opens a role, runs it, and closes what it opened.
func (p *Process) Serve(ctx context.Context, open func(context.Context, *Process) (closing func() error, err error)) error {
	closing, err := open(ctx, p)
	if err == nil {
		err = p.Run(ctx)
	} else {
		err = errors.Join(err, p.Close())
	}
	if closing != nil {
		err = errors.Join(err, closing())
	}
	return err
}
