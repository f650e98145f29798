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

// maxAnswers bounds the memory that requests for many certificates can take.
const maxAnswers = 10_000

// cacheKey has everything that goes into an answer but the time; "" is not cached.
// A status that changed therefore never meets an old answer. Cached are answers
// about one certificate that exists: with made-up numbers, and lists of them,
// anybody could push those out that others need.
func cacheKey(h *holder, r ocspRequest, statuses []status) string {
	if r.nonce != nil || len(statuses) != 1 || !statuses[0].known {
		return ""
	}
	return fmt.Sprintf("%s|%x %d %d", h.row.Serial, r.certs[0].raw, statuses[0].revoked.UnixMicro(), statuses[0].reason)
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
