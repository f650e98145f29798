package web

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// record is what is known of a request; it is logged once, at its end.
type record struct {
	id     string
	client netip.Addr

	mu    sync.Mutex
	route string
	err   error
	attrs []slog.Attr
}

type recordKey struct{}

func recordOf(ctx context.Context) *record {
	if r, ok := ctx.Value(recordKey{}).(*record); ok {
		return r
	}
	return nil
}

// Annotate adds a field to the log record of the request. The key is snake_case;
// the value is no secret. Outside of a request it does nothing.
func Annotate(ctx context.Context, key string, value any) {
	if r := recordOf(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.attrs = slices.DeleteFunc(r.attrs, func(a slog.Attr) bool { return a.Key == key })
		r.attrs = append(r.attrs, slog.Any(key, value))
	}
}

// SetRoute names the route that took the request by its pattern.
func SetRoute(ctx context.Context, pattern string) {
	if r := recordOf(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.route = pattern
	}
}

// Fail puts an error, with its private cause, into the log record. Whoever answers
// a request with an error calls it, and nobody else.
func Fail(ctx context.Context, err error) {
	if r := recordOf(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err = err
	}
}

// RequestID returns the id of the request, "" outside of one.
func RequestID(ctx context.Context) string {
	if r := recordOf(ctx); r != nil {
		return r.id
	}
	return ""
}

// ClientAddr returns the address of the client, behind the trusted proxies. It is
// invalid outside of a request and for Unix sockets.
func ClientAddr(ctx context.Context) netip.Addr {
	if r := recordOf(ctx); r != nil {
		return r.client
	}
	return netip.Addr{}
}

// recorder makes the record and writes it.
func recorder(h http.Handler, c Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := c.Now()
		client, trusted := clientAddr(r, c.Proxies)
		rec := &record{client: client}
		if rec.id = r.Header.Get("X-Request-Id"); !trusted || !validID(rec.id) {
			rec.id = strings.ToLower(rand.Text())
		}
		w.Header().Set("X-Request-Id", rec.id)
		ctx := context.WithValue(r.Context(), recordKey{}, rec)
		a := &answer{ResponseWriter: w}
		// Written also when the handler aborts the connection by a panic.
		defer func() { rec.write(ctx, c, r, a, c.Now().Sub(start)) }()
		h.ServeHTTP(a, r.WithContext(ctx))
	})
}

func (rec *record) write(ctx context.Context, c Config, r *http.Request, a *answer, took time.Duration) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	if c.Observe != nil {
		c.Observe(Observation{
			Name: c.Name, Route: rec.route, Method: method(r.Method), Status: status, Duration: took, Bytes: a.bytes,
		})
	}
	// The query is left out: it may have tokens.
	attrs := append(make([]slog.Attr, 0, 16),
		slog.String("server", c.Name), slog.String("request_id", rec.id), slog.String("client_addr", addrText(rec.client)),
		slog.String("method", r.Method), slog.String("route", rec.route), slog.Int("status", status),
		slog.Int64("bytes", a.bytes), slog.Duration("took", took),
	)
	if rec.route == "" {
		attrs = append(attrs, slog.String("path", shorten(r.URL.Path)))
	}
	attrs = append(attrs, rec.attrs...)
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	if rec.err != nil {
		attrs = append(attrs, slog.String("error", rec.err.Error()))
	}
	c.Log.LogAttrs(ctx, level, "request", attrs...)
}

// recoverer turns a panic into an answer. The stack is in the log record.
func recoverer(h http.Handler, c Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p) // the way to cut a connection
			}
			Annotate(r.Context(), "panic", p)
			Annotate(r.Context(), "stack", string(debug.Stack()))
			if a, ok := w.(*answer); ok && a.status != 0 {
				Fail(r.Context(), errors.New("panic after the answer began"))
				panic(http.ErrAbortHandler) // the client must not take half an answer for a whole
			}
			c.Error(w, r, fault.New(fault.Internal, "internal error"))
		}()
		h.ServeHTTP(w, r)
	})
}

// answer counts what is written.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// Flush implements http.Flusher.
func (a *answer) Flush() {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	_ = http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return m
	}
	return "other"
}

func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func validID(s string) bool {
	if len(s) < 8 || len(s) > 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_'
	})
}
