package cscsam

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
)

// Bounds of what waits to be acknowledged.
const (
	arrivalDelay = 250 * time.Millisecond // before the module is told
	manyArrivals = 256                    // signatures: it is told at once
	mostArrivals = 8192                   // signatures: no more are remembered
	arrivalBytes = 64 << 10               // of signatures in one call
	callArrivals = 256                    // approvals in one call
	arrivalTime  = 10 * time.Second       // for one call
)

// arrivals are signatures that have reached their client. The module is told of
// many at a time, and nobody waits for that: what it is not told of, because this
// process was killed, it forgets after its time.
type arrivals struct {
	sam SAM
	log *slog.Logger

	telling sync.Mutex // held while the module is told; taken before mu

	mu      sync.Mutex
	waiting []samapi.Arrival
	place   map[approvalOf]int // in waiting
	count   int                // signatures in waiting
	timer   *time.Timer        // nil: nothing waits
}

type approvalOf struct{ sid, client string }

// add notes an arrival, to be told of soon.
func (a *arrivals) add(sid, client string, signatures [][]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count+len(signatures) > mostArrivals {
		a.log.Warn("signatures not acknowledged: too many wait", "sid", sid, "count", len(signatures))
		return
	}
	key := approvalOf{sid, client}
	i, ok := a.place[key]
	if !ok {
		if a.place == nil {
			a.place = make(map[approvalOf]int)
		}
		i = len(a.waiting)
		a.place[key] = i
		a.waiting = append(a.waiting, samapi.Arrival{SID: sid, Client: client})
	}
	a.waiting[i].Signatures = append(a.waiting[i].Signatures, signatures...)
	a.count += len(signatures)
	switch {
	case a.timer == nil:
		a.timer = time.AfterFunc(arrivalDelay, func() { a.flush(context.Background()) })
	case a.count >= manyArrivals && a.count-len(signatures) < manyArrivals:
		a.timer.Reset(0)
	}
}

// take returns what waits; then nothing does.
func (a *arrivals) take() []samapi.Arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
	list := a.waiting
	a.waiting, a.place, a.count, a.timer = nil, nil, 0, nil
	return list
}

// flush tells the module of everything that has arrived by now. When it returns,
// the module has been told, or could not be.
func (a *arrivals) flush(ctx context.Context) {
	a.telling.Lock()
	defer a.telling.Unlock()
	list := a.take()
	for len(list) > 0 {
		n := portion(list)
		a.tell(ctx, list[:n])
		list = list[n:]
	}
}

// portion is how many arrivals go into one call.
func portion(list []samapi.Arrival) int {
	size := 0
	for i, one := range list {
		for _, s := range one.Signatures {
			size += len(s)
		}
		if i > 0 && (size > arrivalBytes || i == callArrivals) {
			return i
		}
	}
	return len(list)
}

// tell acknowledges; one by one if the module does not take them together, so that
// one it cannot read does not keep the others.
func (a *arrivals) tell(ctx context.Context, list []samapi.Arrival) {
	ctx, cancel := context.WithTimeout(ctx, arrivalTime)
	defer cancel()
	err := a.sam.AcknowledgeAll(ctx, list)
	if err == nil {
		return
	}
	if len(list) > 1 && fault.Of(err).Kind != fault.Unavailable {
		for i := range list {
			a.tell(ctx, list[i:i+1])
		}
		return
	}
	if errors.Is(err, fault.NotFound) { // acknowledged before
		return
	}
	for _, one := range list {
		a.log.WarnContext(ctx, "signatures not acknowledged", "sid", one.SID, "count", len(one.Signatures), "error", err)
	}
}
