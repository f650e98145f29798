package web

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// Limiter bounds how often something may happen per key, in this process: a bucket
// of Burst tokens that refills at Rate tokens per second. The zero value allows
// nothing. Its fields are set before the first use.
type Limiter struct {
	Rate  float64 // per second
	Burst int
	// MaxKeys bounds the memory; zero is 100,000. Beyond it, keys that have been
	// idle are forgotten, and if there are none new keys share one bucket.
	MaxKeys int
	Now     func() time.Time // nil is time.Now

	mu    sync.Mutex
	full  map[string]time.Time // when the bucket of the key will be full again
	swept time.Time            // when idle keys were last looked for
}

// sweepEvery is how often idle keys are looked for when there is no room: looking
// takes long, and whoever brings many keys must not make every request wait for it.
const sweepEvery = time.Second

// overflow is the key of those for whom there is no room.
const overflow = "\x00overflow"

// Allow takes a token of key. When there is none, it says how long until there is.
func (l *Limiter) Allow(key string) (ok bool, wait time.Duration) {
	if l.Rate <= 0 || l.Burst < 1 {
		return false, time.Hour
	}
	now := time.Now
	if l.Now != nil {
		now = l.Now
	}
	at := now()
	l.mu.Lock()
	defer l.mu.Unlock()
	key = l.room(key, at)
	token := time.Duration(float64(time.Second) / l.Rate)
	full := l.full[key]
	if full.Before(at) {
		full = at
	}
	full = full.Add(token)
	if wait := full.Sub(at) - time.Duration(l.Burst)*token; wait > 0 {
		return false, wait
	}
	l.full[key] = full
	return true, 0
}

// room returns the key to count under.
func (l *Limiter) room(key string, at time.Time) string {
	if l.full == nil {
		l.full = map[string]time.Time{}
	}
	most := l.MaxKeys
	if most == 0 {
		most = 100_000
	}
	if _, known := l.full[key]; known || len(l.full) < most {
		return key
	}
	if since := at.Sub(l.swept); since >= 0 && since < sweepEvery {
		return overflow
	}
	l.swept = at
	for k, full := range l.full {
		if full.Before(at) { // as if it had never been used
			delete(l.full, k)
		}
	}
	if len(l.full) < most {
		return key
	}
	return overflow
}

// Limit is a middleware that answers 429 with Retry-After when the key of the
// request, [ClientKey] for example, comes too often.
func Limit(l *Limiter, key func(*http.Request) string, refuse ErrorWriter) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ok, wait := l.Allow(key(r)); !ok {
				seconds := int(math.Ceil(wait.Seconds()))
				w.Header().Set("Retry-After", strconv.Itoa(max(1, seconds)))
				refuse(w, r, fault.New(fault.TooMany, "too many requests; try again in %d seconds", max(1, seconds)).WithCode("rate_limit"))
				return
			}
			h.ServeHTTP(w, r)
		})
	}
}
