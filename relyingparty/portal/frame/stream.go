package frame

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/request"
)

// Bounds of the streams of events.
const (
	maxStreams  = 2000
	streamLife  = 5 * time.Minute // then the browser connects again by itself
	streamQuiet = 15 * time.Second
	streamWrite = 10 * time.Second // for one write
)

// Streams sends events to pages that are open (server-sent events).
type Streams struct {
	stop  <-chan struct{}
	slots chan struct{}
}

// NewStreams makes one; closing stop ends all streams, so that a server can end.
func NewStreams(stop <-chan struct{}) *Streams {
	return &Streams{stop, make(chan struct{}, maxStreams)}
}

// After is the number of the event that a page has seen last: its browser says so
// when it connects again, the page when it connects first.
func After(r *http.Request) int64 {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Serve sends the types of events until the channel is closed, which the page is
// told; the server stops; or the stream is old. What happened the page asks by
// itself: a stream shows no more than that something did.
func (s *Streams) Serve(w http.ResponseWriter, r *http.Request, events <-chan request.Event) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return fault.New(fault.TooMany, "too many pages are open here at once; load this one again to see what is new")
	}
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
	if !send("retry: 2000\n\n") {
		return nil
	}
	end, tick := time.NewTimer(streamLife), time.NewTicker(streamQuiet)
	defer end.Stop()
	defer tick.Stop()
	for {
		select {
		case e, open := <-events:
			if !open {
				send("event: end\ndata: end\n\n")
				return nil
			}
			if !send("id: %d\nevent: news\ndata: %s\n\n", e.Seq, e.Type) {
				return nil
			}
		case <-tick.C:
			if !send(": still here\n\n") {
				return nil
			}
		case <-end.C:
			return nil
		case <-s.stop:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}
