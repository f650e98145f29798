package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Wake has Run look for jobs at once. It never blocks.
func (q *Queue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Run runs jobs until ctx ends, and returns when those under way have ended.
func (q *Queue) Run(ctx context.Context) error {
	slots := make(chan struct{}, q.config.Workers)
	var running sync.WaitGroup
	defer running.Wait()
	for {
		if err := q.start(ctx, slots, &running); err != nil && ctx.Err() == nil {
			q.config.Log.ErrorContext(ctx, "jobs cannot be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
		case <-time.After(q.config.Poll):
		}
	}
}

// start begins jobs that are due while there are workers free.
func (q *Queue) start(ctx context.Context, slots chan struct{}, running *sync.WaitGroup) error {
	for {
		select {
		case slots <- struct{}{}:
		default:
			return nil // a worker that becomes free wakes us
		}
		j, err := q.claim(ctx)
		if err != nil || j == nil {
			<-slots
			return err
		}
		running.Go(func() {
			defer q.Wake()
			defer func() { <-slots }()
			q.do(ctx, j)
		})
	}
}

// RunDue runs what is due, one after the other, until nothing is, and returns how
// many jobs that were. Tests and short programs use it instead of Run.
func (q *Queue) RunDue(ctx context.Context) (int, error) {
	for n := 0; ; n++ {
		j, err := q.claim(ctx)
		if err != nil || j == nil {
			return n, err
		}
		q.do(ctx, j)
	}
}

// do runs one job and writes down what became of it.
func (q *Queue) do(ctx context.Context, j *Job) {
	k := q.kinds[j.Kind]
	logger := q.config.Log.With("job", j.Kind, "job_id", j.ID, "attempt", j.Attempt)
	err := q.call(ctx, k, j)
	// The outcome is written even when the process is about to end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err == nil {
		if !j.ended {
			err = j.finish(ctx)
		}
		if err != nil {
			logger.ErrorContext(ctx, "job could not be finished", "error", err)
		}
		return
	}
	if errors.Is(err, errLost) {
		logger.WarnContext(ctx, "job was lost to another worker")
		return
	}
	var end *ending
	at := q.config.Now().Add(k.Backoff(j.Attempt))
	if errors.As(err, &end) && !end.at.IsZero() {
		at = end.at
	}
	if stop := (end != nil && end.stop) || (k.Tries > 0 && j.Attempt >= k.Tries && (end == nil || end.at.IsZero())); stop {
		logger.ErrorContext(ctx, "job is given up", "error", err)
		err = j.giveUp(ctx, err)
	} else {
		logger.WarnContext(ctx, "job failed and runs again", "again_at", at, "error", err)
		err = j.retry(ctx, at, err)
	}
	if err != nil {
		logger.ErrorContext(ctx, "job's outcome could not be written", "error", err)
	}
}

// call runs the handler and keeps the lease while it runs.
func (q *Queue) call(ctx context.Context, k Kind, j *Job) (err error) {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer cancel()
	keeper.Go(func() { q.keep(ctx, cancel, j) })
	defer func() {
		if p := recover(); p != nil {
			err = Stop(fmt.Errorf("the handler panicked: %v", p))
		}
	}()
	return k.Handle(ctx, j)
}

// keep renews the lease; when that fails, the handler must not go on.
func (q *Queue) keep(ctx context.Context, cancel context.CancelFunc, j *Job) {
	tick := time.NewTicker(q.config.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := j.renew(ctx); errors.Is(err, errLost) {
				cancel()
				return
			}
		}
	}
}
