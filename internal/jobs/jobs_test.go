package jobs_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

// clock is a time that tests move.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time      { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) add(d time.Duration) { c.offset.Add(int64(d)) }

func open(t *testing.T, db *store.DB, c *clock) *jobs.Queue {
	t.Helper()
	return openWith(t, jobs.Config{DB: db, Now: c.now})
}

func openWith(t *testing.T, c jobs.Config) *jobs.Queue {
	t.Helper()
	c.Lease, c.Poll = time.Minute, 10*time.Millisecond
	q, err := jobs.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func add(t *testing.T, db *store.DB, q *jobs.Queue, n jobs.New) (made bool) {
	t.Helper()
	err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		made, err = q.Add(ctx, tx, n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func due(t *testing.T, q *jobs.Queue) int {
	t.Helper()
	n, err := q.RunDue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestJobIsMadeWithTheTransactionAndRunOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		q, ran := open(t, db, &clock{}), 0
		q.Handle(jobs.Kind{Name: "k", Handle: func(_ context.Context, j *jobs.Job) error {
			var data string
			if err := j.Decode(&data); err != nil || data != "x" || j.Org != "o" || j.Attempt != 1 {
				t.Errorf("%+v, %q, %v", j, data, err)
			}
			ran++
			return nil
		}})
		failed := errors.New("no")
		err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			if _, err := q.Add(ctx, tx, jobs.New{Org: "o", Kind: "k", Data: "lost"}); err != nil {
				return err
			}
			return failed
		})
		if !errors.Is(err, failed) {
			t.Fatal(err)
		}
		if !add(t, db, q, jobs.New{Org: "o", Kind: "k", Key: "1", Data: "x"}) || add(t, db, q, jobs.New{Org: "o", Kind: "k", Key: "1", Data: "x"}) {
			t.Error("a job of the same key was made twice")
		}
		if n := due(t, q); n != 1 || ran != 1 {
			t.Errorf("%d jobs, ran %d times", n, ran)
		}
		if n := due(t, q); n != 0 {
			t.Errorf("%d jobs are left", n)
		}
		if !add(t, db, q, jobs.New{Org: "o", Kind: "k", Key: "1", Data: "x"}) {
			t.Error("the key of a finished job cannot be used again")
		}
	})
}

func TestFailedJobRunsAgainAndIsGivenUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c := &clock{}
		q, ran, gaveUp := open(t, db, c), 0, ""
		q.Handle(jobs.Kind{
			Name: "k", Tries: 3, Backoff: jobs.Doubling(time.Second, 2*time.Second),
			Handle: func(context.Context, *jobs.Job) error { ran++; return errors.New("server down") },
			GaveUp: func(_ context.Context, _ *store.Tx, j *jobs.Job, cause error) error {
				gaveUp = j.Key + " " + cause.Error()
				return nil
			},
		})
		add(t, db, q, jobs.New{Org: "o", Kind: "k", Key: "1"})
		for i, pause := range []time.Duration{0, 1100 * time.Millisecond, 2100 * time.Millisecond} {
			if i > 0 && due(t, q) != 0 {
				t.Error("the pause is not kept")
			}
			c.add(pause)
			if n := due(t, q); n != 1 {
				t.Errorf("attempt %d: %d jobs", i+1, n)
			}
			list, err := q.Waiting(t.Context(), "o")
			if err != nil || len(list) != 1 || list[0].Attempt != i+1 || list[0].Error != "server down" || list[0].GivenUp != (i == 2) {
				t.Errorf("attempt %d: %+v, %v", i+1, list, err)
			}
		}
		if ran != 3 || gaveUp != "1 server down" {
			t.Errorf("ran %d times, gave up %q", ran, gaveUp)
		}
		if list, err := q.Waiting(t.Context(), "other"); err != nil || len(list) != 0 {
			t.Errorf("another organisation sees %v, %v", list, err)
		}
		c.add(31 * 24 * time.Hour)
		if err := q.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if list, err := q.Waiting(t.Context(), "o"); err != nil || len(list) != 0 {
			t.Errorf("after a month: %v, %v", list, err)
		}
	})
}

func TestStopAndAgainAreObeyed(t *testing.T) {
	db, c := storetest.SQLite(t), &clock{}
	q, next := open(t, db, c), c.now().Add(time.Hour)
	q.Handle(jobs.Kind{Name: "stop", Handle: func(context.Context, *jobs.Job) error { return jobs.Stop(errors.New("never")) }})
	q.Handle(jobs.Kind{Name: "panic", Handle: func(context.Context, *jobs.Job) error { panic("oh") }})
	q.Handle(jobs.Kind{Name: "again", Tries: 1, Handle: func(_ context.Context, j *jobs.Job) error {
		if j.Attempt == 1 {
			return jobs.Again(next, errors.New("too early"))
		}
		return nil
	}})
	for _, kind := range []string{"stop", "panic", "again"} {
		add(t, db, q, jobs.New{Org: "o", Kind: kind, Key: kind})
	}
	if n := due(t, q); n != 3 {
		t.Errorf("%d jobs", n)
	}
	c.add(59 * time.Minute)
	if n := due(t, q); n != 0 {
		t.Errorf("%d jobs before the hour", n)
	}
	c.add(2 * time.Minute)
	if n := due(t, q); n != 1 {
		t.Errorf("%d jobs after the hour", n)
	}
}

// TestDeadWorkersJobIsTakenOver is a process that ends in the middle of a job.
func TestDeadWorkersJobIsTakenOver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c := &clock{}
		begun := make(chan struct{})
		ctx, kill := context.WithCancel(t.Context())
		first := openWith(t, jobs.Config{DB: db, Now: c.now, Workers: 1}) // the one that hangs
		release := make(chan struct{})
		var late error
		first.Handle(jobs.Kind{Name: "k", Handle: func(_ context.Context, j *jobs.Job) error {
			close(begun)
			<-release // it hangs: nobody hears of it
			late = db.Tx(context.Background(), func(ctx context.Context, tx *store.Tx) error { return j.Done(ctx, tx) })
			return late
		}})
		add(t, db, first, jobs.New{Org: "o", Kind: "k", Key: "1"})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := first.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		<-begun
		second, ran := open(t, db, c), 0
		second.Handle(jobs.Kind{Name: "k", Handle: func(_ context.Context, j *jobs.Job) error {
			ran = j.Attempt
			return nil
		}})
		if n := due(t, second); n != 0 {
			t.Errorf("%d jobs were taken from a live worker", n)
		}
		c.add(2 * time.Minute)
		if n := due(t, second); n != 1 || ran != 2 {
			t.Errorf("%d jobs were taken over, attempt %d", n, ran)
		}
		close(release)
		kill()
		wg.Wait()
		if late == nil {
			t.Error("the first worker finished a job that was not its own any more")
		}
	})
}

func TestEffectsAndEndOfAJobAreOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if err := db.Migrate(t.Context(), "effects", fstest.MapFS{"0001_effect.sql": {Data: []byte("-- +goose Up\nCREATE TABLE effect (id TEXT PRIMARY KEY);\n")}}); err != nil {
			t.Fatal(err)
		}
		c := &clock{}
		q, fail := open(t, db, c), true
		q.Handle(jobs.Kind{Name: "k", Handle: func(ctx context.Context, j *jobs.Job) error {
			return db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.Exec(ctx, `INSERT INTO effect (id) VALUES ($1)`, j.Key); err != nil {
					return err
				}
				if err := j.Done(ctx, tx); err != nil {
					return err
				}
				if fail {
					fail = false
					return errors.New("the commit fails")
				}
				return nil
			})
		}})
		add(t, db, q, jobs.New{Org: "o", Kind: "k", Key: "1"})
		if n := due(t, q); n != 1 {
			t.Errorf("%d jobs", n)
		}
		c.add(time.Minute)
		if n := due(t, q); n != 1 {
			t.Errorf("%d jobs after the failure", n)
		}
		var n int
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM effect`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d effects, %v", n, err)
		}
		if n := due(t, q); n != 0 {
			t.Errorf("%d jobs are left", n)
		}
	})
}

func TestManyWorkersRunEveryJobOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const count = 60
		c := &clock{}
		var (
			ran [count]atomic.Int64
			all atomic.Int64
		)
		done := make(chan struct{})
		var queues []*jobs.Queue
		for range 2 {
			q := open(t, db, c)
			q.Handle(jobs.Kind{Name: "k", Handle: func(_ context.Context, j *jobs.Job) error {
				var i int
				if err := j.Decode(&i); err != nil {
					return err
				}
				ran[i].Add(1)
				if all.Add(1) == count {
					close(done)
				}
				return nil
			}})
			queues = append(queues, q)
		}
		for i := range count {
			add(t, db, queues[0], jobs.New{Org: "o", Kind: "k", Data: i})
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, q := range queues {
			wg.Go(func() {
				if err := q.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Error("the jobs did not end")
		}
		stop()
		wg.Wait()
		for i := range ran {
			if n := ran[i].Load(); n != 1 {
				t.Errorf("job %d ran %d times", i, n)
			}
		}
	})
}
