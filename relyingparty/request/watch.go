package request

import (
	"context"
	"sync"
	"time"
)

// feed wakes who watches a request in this process.
type feed struct {
	mu       *sync.Mutex
	watchers map[string]map[chan struct{}]bool
}

func newFeed() feed { return feed{mu: &sync.Mutex{}, watchers: map[string]map[chan struct{}]bool{}} }

func (f feed) join(request string) (woken chan struct{}, leave func()) {
	woken = make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers[request] == nil {
		f.watchers[request] = map[chan struct{}]bool{}
	}
	f.watchers[request][woken] = true
	return woken, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers[request], woken)
		if len(f.watchers[request]) == 0 {
			delete(f.watchers, request)
		}
	}
}

func (f feed) wake(request string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.watchers[request] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// changed is called after a transaction that changed a request.
func (s *Service) changed(request string) {
	s.config.Jobs.Wake()
	s.feed.wake(request)
}

// look is how often a watcher looks for what another process did.
const look = 2 * time.Second

// Watch gives the events of a request after that number as they happen, until ctx
// ends or the request is final and all is told; then the channel is closed.
func (s *Service) Watch(ctx context.Context, by Sender, id string, after int64) (<-chan Event, error) {
	r, err := s.loadFor(ctx, s.config.DB, by, id)
	if err != nil {
		return nil, err
	}
	return s.watch(ctx, r.ID, after, func(e Event) Event { return e }), nil
}

func (s *Service) watch(ctx context.Context, request string, after int64, show func(Event) Event) <-chan Event {
	out := make(chan Event)
	woken, leave := s.feed.join(request)
	go func() {
		defer close(out)
		defer leave()
		for {
			ended := s.ended(ctx, request) // asked first: what ends it is an event too
			list, err := s.events(ctx, s.config.DB, request, after)
			if err != nil {
				if ctx.Err() == nil {
					s.config.Log.WarnContext(ctx, "events cannot be read", "request", request, "error", err)
				}
				return
			}
			for _, e := range list {
				select {
				case out <- show(e):
					after = e.Seq
				case <-ctx.Done():
					return
				}
			}
			if ended {
				return
			}
			select {
			case <-woken:
			case <-time.After(look):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// ended says whether nothing but notes of deliveries will follow.
func (s *Service) ended(ctx context.Context, request string) bool {
	var state State
	err := s.config.DB.QueryRow(ctx, `SELECT state FROM request WHERE id = $1`, request).Scan(&state)
	return err == nil && state.Final()
}
