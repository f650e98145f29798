package jobs

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/countersign/countersign/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config is what New needs. DB is required.
type Config struct {
	DB *store.DB
	// Workers is how many jobs run at once; the default is 4.
	Workers int
	// Lease is how long a job stays with a worker that shows no sign of life; the
	// default is 1 minute.
	Lease time.Duration
	// Poll is how often the database is asked for what is due, besides when Wake
	// is called; the default is 2 s.
	Poll time.Duration
	Now  func() time.Time
	Log  *slog.Logger
}

// New is a job to be made.
type New struct {
	Org  string
	Kind string // there must be a handler of that name
	// Key makes the job one of its kind: while a job of the same kind and key is
	// not finished, another is not made. Empty stands for no such limit.
	Key  string
	Data any       // kept as JSON
	At   time.Time // not before; zero means now
}

// Handler does a job. When it returns nil, the job is finished if Job.Done was
// not called in a transaction already. An error has it run again later; the error
// of Again names the time, that of Stop gives up.
type Handler func(ctx context.Context, j *Job) error

// Kind says how jobs of a name are run.
type Kind struct {
	Name   string
	Handle Handler
	// Tries is how often a job is begun until it is given up; 0 means for ever.
	Tries int
	// Backoff is the pause after the nth attempt that failed; nil doubles from 1 s
	// up to 5 minutes.
	Backoff func(attempt int) time.Duration
	// Timeout ends the handler's context; the default is 5 minutes.
	Timeout time.Duration
	// GaveUp is told in the transaction that gives a job up; it may be nil.
	GaveUp func(ctx context.Context, tx *store.Tx, j *Job, cause error) error
}

// Job is a job under way.
type Job struct {
	ID      string
	Org     string
	Kind    string
	Key     string
	Data    json.RawMessage
	Attempt int // from 1
	Made    time.Time

	queue *Queue
	owner string
	ended bool
}

// Decode reads the job's data.
func (j *Job) Decode(v any) error {
	if err := json.Unmarshal(j.Data, v); err != nil {
		return Stop(fmt.Errorf("data of %s job: %w", j.Kind, err))
	}
	return nil
}

// Queue holds and runs jobs. All methods may be called at once.
type Queue struct {
	config Config
	kinds  map[string]Kind
	wake   chan struct{}
}

// Open brings the tables up to date and returns the queue. Nothing runs before Run.
func Open(ctx context.Context, c Config) (*Queue, error) {
	if c.DB == nil {
		return nil, errors.New("open jobs: a database is needed")
	}
	if c.Workers == 0 {
		c.Workers = 4
	}
	if c.Lease == 0 {
		c.Lease = time.Minute
	}
	if c.Poll == 0 {
		c.Poll = 2 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	sql, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "jobs", sql); err != nil {
		return nil, err
	}
	return &Queue{config: c, kinds: map[string]Kind{}, wake: make(chan struct{}, 1)}, nil
}

// Handle says how jobs of a kind are run. It is called before Run; a kind has one
// handler.
func (q *Queue) Handle(k Kind) {
	if k.Name == "" || k.Handle == nil || q.kinds[k.Name].Handle != nil {
		panic("jobs: a kind needs a name and one handler: " + k.Name)
	}
	if k.Backoff == nil {
		k.Backoff = Doubling(time.Second, 5*time.Minute)
	}
	if k.Timeout == 0 {
		k.Timeout = 5 * time.Minute
	}
	q.kinds[k.Name] = k
}

// Doubling is a pause that doubles from least up to most.
func Doubling(least, most time.Duration) func(int) time.Duration {
	return func(attempt int) time.Duration {
		d := least
		for range attempt - 1 {
			if d *= 2; d >= most {
				return most
			}
		}
		return min(d, most)
	}
}

// ending is an error that says when a job runs again, or that it does not.
type ending struct {
	at    time.Time
	stop  bool
	cause error
}

// Error implements error.
func (e *ending) Error() string { return e.cause.Error() }

// Unwrap gives the cause.
func (e *ending) Unwrap() error { return e.cause }

// Again has the job run again at that time, with the cause as its last error.
func Again(at time.Time, cause error) error { return &ending{at: at, cause: cause} }

// Stop gives the job up at once.
func Stop(cause error) error { return &ending{stop: true, cause: cause} }
