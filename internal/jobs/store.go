package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/store"
)

// States of a job in the database. Jobs that are done are deleted.
const (
	stateReady = "ready"
	stateGiven = "given_up"
)

// Add makes a job in the caller's transaction. It reports false if one of the same
// kind and key waits already. Call Wake after the transaction.
func (q *Queue) Add(ctx context.Context, tx *store.Tx, n New) (bool, error) {
	data, err := json.Marshal(n.Data)
	if err != nil {
		return false, fmt.Errorf("make %s job: %w", n.Kind, err)
	}
	now := q.config.Now()
	id := store.NewID()
	if n.Key == "" {
		n.Key = id
	}
	at := n.At
	if at.IsZero() {
		at = now
	}
	rows, err := tx.Exec(ctx, `INSERT INTO job (id, org_id, kind, job_key, data, state, due, made, attempt, owner, leased, last_error)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, '', 0, '') ON CONFLICT DO NOTHING`,
		id, n.Org, n.Kind, n.Key, string(data), stateReady, store.Micros(at), store.Micros(now))
	if err != nil {
		return false, fmt.Errorf("make %s job: %w", n.Kind, err)
	}
	return rows == 1, nil
}

// claim takes a job that is due, nil if there is none.
func (q *Queue) claim(ctx context.Context) (*Job, error) {
	for range 8 { // another worker may be faster
		now := store.Micros(q.config.Now())
		ids, err := q.due(ctx, now)
		if err != nil || len(ids) == 0 {
			return nil, err
		}
		for _, id := range ids {
			j, err := q.take(ctx, id, now)
			if err != nil || j != nil {
				return j, err
			}
		}
	}
	return nil, nil
}

// due lists jobs that may be taken, the longest due first.
func (q *Queue) due(ctx context.Context, now int64) (ids []string, err error) {
	rows, err := q.config.DB.Query(ctx, `SELECT id, kind FROM job WHERE state = $1 AND due <= $2 AND leased <= $2 ORDER BY due, id LIMIT 32`, stateReady, now)
	if err != nil {
		return nil, fmt.Errorf("look for jobs: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id, kind string
		if err := rows.Scan(&id, &kind); err != nil {
			return nil, fmt.Errorf("look for jobs: %w", err)
		}
		if _, known := q.kinds[kind]; known {
			ids = append(ids, id)
		}
	}
	return ids, rows.Err()
}

// take leases a job; nil if somebody else has it.
func (q *Queue) take(ctx context.Context, id string, now int64) (*Job, error) {
	var j *Job
	err := q.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		j = &Job{ID: id, queue: q, owner: store.NewID()}
		n, err := tx.Exec(ctx, `UPDATE job SET owner = $1, leased = $2, attempt = attempt + 1 WHERE id = $3 AND state = $4 AND due <= $5 AND leased <= $5`,
			j.owner, now+q.config.Lease.Microseconds(), id, stateReady, now)
		if err != nil {
			return err
		}
		if n != 1 {
			j = nil
			return nil
		}
		var (
			data string
			made int64
		)
		if err := tx.QueryRow(ctx, `SELECT org_id, kind, job_key, data, attempt, made FROM job WHERE id = $1`, id).
			Scan(&j.Org, &j.Kind, &j.Key, &data, &j.Attempt, &made); err != nil {
			return err
		}
		j.Data, j.Made = json.RawMessage(data), store.Time(made)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take job: %w", err)
	}
	return j, nil
}

// errLost says that the lease ran out and the job is somebody else's.
var errLost = errors.New("the job's lease was lost; another worker has it")

// Done finishes the job in the transaction of its effects. If the lease was lost
// meanwhile it fails, and with it the transaction: another worker has the job.
func (j *Job) Done(ctx context.Context, tx *store.Tx) error {
	n, err := tx.Exec(ctx, `DELETE FROM job WHERE id = $1 AND owner = $2`, j.ID, j.owner)
	if err != nil {
		return fmt.Errorf("finish job: %w", err)
	}
	if n != 1 {
		return errLost
	}
	j.ended = true
	return nil
}

// renew lengthens the lease.
func (j *Job) renew(ctx context.Context) error {
	n, err := j.queue.config.DB.Exec(ctx, `UPDATE job SET leased = $1 WHERE id = $2 AND owner = $3`,
		store.Micros(j.queue.config.Now())+j.queue.config.Lease.Microseconds(), j.ID, j.owner)
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	if n != 1 {
		return errLost
	}
	return nil
}

// finish ends a job whose handler returned nil.
func (j *Job) finish(ctx context.Context) error {
	return j.queue.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		err := j.Done(ctx, tx)
		if errors.Is(err, errLost) {
			return nil // Done was called in the handler, or somebody else has it
		}
		return err
	})
}

// retry has the job run again at that time.
func (j *Job) retry(ctx context.Context, at time.Time, cause error) error {
	_, err := j.queue.config.DB.Exec(ctx, `UPDATE job SET due = $1, leased = 0, owner = '', last_error = $2 WHERE id = $3 AND owner = $4`,
		store.Micros(at), cut(cause.Error()), j.ID, j.owner)
	return err
}

// giveUp keeps the job as one that was given up, under a key of its own so that a
// new one can be made.
func (j *Job) giveUp(ctx context.Context, cause error) error {
	return j.queue.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE job SET state = $1, leased = 0, owner = '', last_error = $2, job_key = job_key || '#' || id WHERE id = $3 AND owner = $4`,
			stateGiven, cut(cause.Error()), j.ID, j.owner)
		if err != nil || n != 1 {
			return err
		}
		if told := j.queue.kinds[j.Kind].GaveUp; told != nil {
			return told(ctx, tx, j, cause)
		}
		return nil
	})
}

// cut keeps errors at a length that a table can hold.
func cut(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	return s[:most]
}

// Waiting is a job as people see it.
type Waiting struct {
	ID, Kind, Key string
	Attempt       int
	Due, Made     time.Time
	Error         string // of the last attempt
	GivenUp       bool
}

// Waiting lists the jobs of an organisation that are not done, those that were
// given up too.
func (q *Queue) Waiting(ctx context.Context, org string) (list []Waiting, err error) {
	rows, err := q.config.DB.Query(ctx, `SELECT id, kind, job_key, attempt, due, made, last_error, state FROM job WHERE org_id = $1 ORDER BY due, id`, org)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			w         Waiting
			due, made int64
			state     string
		)
		if err := rows.Scan(&w.ID, &w.Kind, &w.Key, &w.Attempt, &due, &made, &w.Error, &state); err != nil {
			return nil, fmt.Errorf("list jobs: %w", err)
		}
		w.Due, w.Made, w.GivenUp = store.Time(due), store.Time(made), state == stateGiven
		list = append(list, w)
	}
	return list, rows.Err()
}

// keepGivenUp is how long jobs that were given up are kept for people to see.
const keepGivenUp = 30 * 24 * time.Hour

// Purge forgets jobs that were given up long ago.
func (q *Queue) Purge(ctx context.Context) error {
	_, err := q.config.DB.Exec(ctx, `DELETE FROM job WHERE state = $1 AND due < $2`, stateGiven, store.Micros(q.config.Now().Add(-keepGivenUp)))
	return err
}
