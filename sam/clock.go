package sam

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// maxStepBack is how far the clock may go back before the module stops: more than
// NTP slews, less than an approval lives.
const maxStepBack = 30 * time.Second

// clock is the module's time. A clock that is set back would revive expired SADs,
// orders and certificates, so it is refused.
type clock struct {
	now  func() time.Time
	last atomic.Int64 // newest time seen, in microseconds
}

// read returns the time, or a fault if the clock was set back.
func (c *clock) read() (time.Time, error) {
	t := store.Time(store.Micros(c.now())) // the database's precision
	us := store.Micros(t)
	for {
		last := c.last.Load()
		if us < last-maxStepBack.Microseconds() {
			return time.Time{}, fault.New(fault.Unavailable, "the clock of the activation module was set back; set it right")
		}
		if us <= last || c.last.CompareAndSwap(last, us) {
			return t, nil
		}
	}
}

// readClock takes the newest time of the database as seen.
func (m *Module) readClock(ctx context.Context) error {
	var issued, ended int64
	err := m.db.QueryRow(ctx, `SELECT COALESCE(MAX(issued), 0), COALESCE(MAX(ended), 0) FROM sam_request`).Scan(&issued, &ended)
	if err != nil {
		return fmt.Errorf("read newest time: %w", err)
	}
	m.clock.last.Store(max(issued, ended))
	return nil
}
