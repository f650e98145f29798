package notify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
)

// permanent is a refusal that another attempt will not change.
type permanent struct{ error }

// Unwrap gives the cause.
func (p permanent) Unwrap() error { return p.error }

// Permanent marks a refusal that another attempt will not change, such as an
// address that does not exist.
func Permanent(err error) error { return permanent{err} }

func isPermanent(err error) bool {
	_, ok := errors.AsType[permanent](err)
	return ok
}

// backoff is the pause after a failed attempt: short at first, because somebody may
// be waiting for a code.
var backoff = jobs.Doubling(5*time.Second, 15*time.Minute)

// deliver makes one attempt. If the process ends between the mail server's yes and
// our note of it, the message is sent once more, with the same Message-ID.
func (o *Outbox) deliver(ctx context.Context, j *jobs.Job) error {
	var id string
	if err := j.Decode(&id); err != nil {
		return err
	}
	d, sealed, err := scanDelivery(o.config.DB.QueryRow(ctx, selectDelivery+`WHERE id = $1 AND org_id = $2`, id, j.Org))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if d.State != Queued {
		return nil
	}
	m, err := o.openMessage(id, sealed)
	if err != nil {
		return o.failed(ctx, j, d, fault.New(fault.Internal, "the message cannot be read any more: the installation's secret was changed").Because(err))
	}
	now := o.config.Now()
	if m.Kind == Code && !now.Before(m.Deadline) {
		return o.failed(ctx, j, d, fault.New(fault.Expired, "the code ended before it could be sent"))
	}
	err = o.send(ctx, id, m)
	switch {
	case err == nil:
		return o.sent(ctx, j, d)
	case isPermanent(err) || now.Sub(d.Queued) > o.config.GiveUp:
		return o.failed(ctx, j, d, err)
	}
	next := now.Add(backoff(j.Attempt))
	_, noted := o.config.DB.Exec(context.WithoutCancel(ctx), `UPDATE notify_message SET attempts = attempts + 1, next_try = $1, last_error = $2 WHERE id = $3 AND state = $4`,
		store.Micros(next), sentence(err), id, string(Queued))
	return jobs.Again(next, errors.Join(err, noted))
}

func (o *Outbox) send(ctx context.Context, id string, m Message) error {
	if m.Channel == SMS {
		if o.config.Texter == nil {
			return Permanent(fault.New(fault.Unavailable, "this installation sends no SMS any more"))
		}
		text, err := o.text(m)
		if err != nil {
			return Permanent(err)
		}
		return o.config.Texter.Text(ctx, m.To, text)
	}
	e, err := o.envelope(id, m)
	if err != nil {
		return Permanent(err)
	}
	return o.config.Transport.Send(ctx, e)
}

func (o *Outbox) sent(ctx context.Context, j *jobs.Job, d Delivery) error {
	d.State, d.Sent, d.Next, d.Error = Sent, o.config.Now(), time.Time{}, ""
	return o.end(ctx, j, d)
}

func (o *Outbox) failed(ctx context.Context, j *jobs.Job, d Delivery, cause error) error {
	d.State, d.Next, d.Error = Failed, time.Time{}, sentence(cause)
	return o.end(ctx, j, d)
}

// end writes down what became of a message and forgets what it said.
func (o *Outbox) end(ctx context.Context, j *jobs.Job, d Delivery) error {
	d.Attempts++
	return o.config.DB.Tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE notify_message SET state = $1, sent = $2, next_try = 0, last_error = $3, attempts = $4, sealed = '' WHERE id = $5 AND state = $6`,
			string(d.State), store.Micros(d.Sent), d.Error, d.Attempts, d.ID, string(Queued))
		if err != nil {
			return fmt.Errorf("note delivery: %w", err)
		}
		if n == 1 && o.config.Outcomes != nil {
			if err := o.config.Outcomes.Delivered(ctx, tx, d); err != nil {
				return err
			}
		}
		return j.Done(ctx, tx)
	})
}

// sentence is an error as the sender of a request sees it.
func sentence(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
		return f.Detail
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "the mail server did not answer in time"
	}
	return "the message could not be handed over; the operator's log says why"
}
