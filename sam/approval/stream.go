package approval

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
)

// Bounds of the streams of events.
const (
	maxStreams  = 2000
	maxOfClient = 100                    // of these, from one client address
	streamLife  = 5 * time.Minute        // then the browser connects again by itself
	streamTick  = 700 * time.Millisecond // how often the state is looked at
	streamQuiet = 15 * time.Second       // after so long without news, a sign of life
	streamWrite = 10 * time.Second       // for one write
)

// stream sends an event "state" with the value of look, at once and whenever it
// changes, until look fails, the server stops or the stream is old. It is no more
// than a hint to load again: pages work without it.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, look func(context.Context) (string, error)) error {
	now, err := look(r.Context())
	if err != nil {
		return err
	}
	client := web.ClientKey(r)
	if !h.streams.enter(client) {
		return fault.New(fault.TooMany, "too many pages are open here at once; this one loads itself again instead")
	}
	defer h.streams.leave(client)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	send := func(format string, args ...any) bool {
		// Where there is no deadline to set, the server's own stands.
		if err := out.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return false
		}
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	if !send("retry: 2000\nevent: state\ndata: %s\n\n", now) {
		return nil
	}
	h.follow(r.Context(), now, look, send)
	return nil
}

// follow looks from time to time and sends what is new.
func (h *Handler) follow(ctx context.Context, now string, look func(context.Context) (string, error), send func(string, ...any) bool) {
	tick := time.NewTicker(streamTick)
	defer tick.Stop()
	end := time.NewTimer(streamLife)
	defer end.Stop()
	quiet := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.stop:
			return
		case <-end.C:
			return
		case <-tick.C:
		}
		next, err := look(ctx)
		switch {
		case err != nil:
			web.Annotate(ctx, "stream_end", fault.Of(err).Code)
			send("event: end\ndata: %s\n\n", fault.Of(err).Code)
			return
		case next != now:
			now, quiet = next, time.Now()
			if !send("event: state\ndata: %s\n\n", now) {
				return
			}
		case time.Since(quiet) > streamQuiet:
			quiet = time.Now()
			if !send(": still here\n\n") {
				return
			}
		}
	}
}

// streams counts the streams that are open, of each client address and of all: one
// client cannot take them from the others.
type streams struct {
	mu   sync.Mutex
	all  int
	each map[string]int
}

func (s *streams) enter(client string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.each[client] >= maxOfClient {
		return false
	}
	if s.each == nil {
		s.each = make(map[string]int)
	}
	s.all++
	s.each[client]++
	return true
}

func (s *streams) leave(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.each[client]--; s.each[client] == 0 {
		delete(s.each, client)
	}
}

func (h *Handler) requestEvents(w http.ResponseWriter, r *http.Request) error {
	return h.stream(w, r, func(ctx context.Context) (string, error) { return h.module.StateOf(ctx, r.PathValue("sid"), view(r)) })
}

func (h *Handler) phoneEvents(w http.ResponseWriter, r *http.Request) error {
	return h.stream(w, r, func(ctx context.Context) (string, error) {
		return h.module.PhoneState(ctx, r.PathValue("sid"), phoneToken(r))
	})
}

func (h *Handler) inboxEvents(w http.ResponseWriter, r *http.Request) error {
	token := h.session(r)
	return h.stream(w, r, func(ctx context.Context) (string, error) { return h.module.Pulse(ctx, token) })
}
