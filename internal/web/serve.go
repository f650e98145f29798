package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server runs a handler on a listener. The zero value of every bound is a sensible
// one.
type Server struct {
	Handler http.Handler
	Log     *slog.Logger
	TLS     *tls.Config // nil is plain HTTP

	ReadTimeout  time.Duration // the whole request; zero is 60 s
	WriteTimeout time.Duration // from the end of the headers to the end of the answer; zero is 2 min
	Grace        time.Duration // for requests that run when the server stops; zero is 20 s
}

// maxHeader bounds the headers of a request.
const maxHeader = 32 << 10

// Serve answers requests until ctx ends, then finishes those that run, for at most
// Grace. It closes the listener. It returns nil when it ended because of ctx and
// no request was cut off.
func (s Server) Serve(ctx context.Context, l net.Listener) error {
	logger := s.Log
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	srv := &http.Server{
		Handler:           s.Handler,
		TLSConfig:         s.TLS,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       or(s.ReadTimeout, time.Minute),
		WriteTimeout:      or(s.WriteTimeout, 2*time.Minute),
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		// Requests outlive ctx by Grace.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnContext: withPeer,
	}
	done := make(chan error, 1)
	go func() {
		if s.TLS != nil {
			done <- srv.ServeTLS(l, "", "")
			return
		}
		done <- srv.Serve(l)
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), or(s.Grace, 20*time.Second))
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop %s: requests were cut off: %w", l.Addr(), err), srv.Close())
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
