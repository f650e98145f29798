package pki

import (
	"fmt"
	"sync"
	"time"
)

// answerCache keeps signed answers to requests without nonce for a short time.
type answerCache struct {
	life time.Duration

	mu   sync.Mutex
	kept map[string]answer
}

// maxAnswers bounds the memory that requests for many serial numbers can take.
const maxAnswers = 10_000

// cacheKey has everything that goes into an answer but the time; "" is not cached.
// A status that changed therefore never meets an old answer.
func cacheKey(h *holder, r ocspRequest, statuses []status) string {
	if r.nonce != nil {
		return ""
	}
	key := []byte(h.row.Serial)
	for i, id := range r.certs {
		key = fmt.Appendf(key, "|%x %v %d %d", id.raw, statuses[i].known, statuses[i].revoked.UnixMicro(), statuses[i].reason)
	}
	return string(key)
}

func (c *answerCache) get(key string, now time.Time) (answer, bool) {
	if key == "" {
		return answer{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	got, ok := c.kept[key]
	age := now.Sub(got.made)
	return got, ok && age >= 0 && age < c.life && now.Before(got.nextUpdate)
}

func (c *answerCache) put(key string, a answer) {
	if key == "" || c.life <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) >= maxAnswers {
		c.kept = map[string]answer{}
	}
	c.kept[key] = a
}
