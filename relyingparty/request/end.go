package request

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/notify"
)

// ending is how a request ends before everybody signed.
type ending struct {
	state  State
	event  EventType
	kind   notify.Kind
	reason string
	by     string // name, for messages
	signer string // who rejected
	actor  actor
	// everybody is told, not only who was invited.
	everybody bool
}

// close ends a request that runs, once, and tells the parties. It reports whether
// this call did it.
func (s *Service) close(ctx context.Context, tx *store.Tx, r Request, e ending, data ...string) (bool, error) {
	first, err := once(tx.Exec(ctx, `UPDATE request SET state = $1, reason = $2, reason_by = $3, ended = $4 WHERE id = $5 AND (state = $6 OR state = $7)`,
		string(e.state), e.reason, e.by, store.Micros(s.config.Now()), r.ID, string(Running), string(Sealing)))
	if err != nil || !first {
		return false, err
	}
	r.State, r.Reason, r.By = e.state, e.reason, e.by
	if err := s.record(ctx, tx, r.Org, r.ID, e.event, e.signer, e.actor, append(data, "reason", e.reason)...); err != nil {
		return false, err
	}
	for _, g := range r.Signers {
		if g.ID == e.signer || (!e.everybody && g.Invited.IsZero()) {
			continue
		}
		if err := s.tell(ctx, tx, r, g, e.kind); err != nil {
			return false, err
		}
	}
	return true, s.tellOwner(ctx, tx, r, e.kind)
}

// cleanReason makes a reason one paragraph of bounded length.
func cleanReason(reason string, required bool) (string, error) {
	reason = cleanLine(reason)
	if required && reason == "" {
		return "", fault.New(fault.Invalid, "please give a reason; everybody will see it").WithCode(CodeReason)
	}
	if utf8.RuneCountInString(reason) > maxReason {
		return "", fault.New(fault.Invalid, "the reason may have %d letters", maxReason).WithCode(CodeReason)
	}
	return reason, nil
}

// Withdraw aborts a request that runs. Every link says so, and signers who were
// invited are told. The reason may be empty. Signatures that are being made at this
// moment are not added any more.
func (s *Service) Withdraw(ctx context.Context, by Sender, id, reason string) error {
	reason, err := cleanReason(reason, false)
	if err != nil {
		return err
	}
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, err := s.loadFor(ctx, tx, by, id)
		if err != nil {
			return err
		}
		if r.State == Withdrawn {
			return nil
		}
		if r.State != Running {
			return fault.New(fault.Conflict, "only a request that is under way can be withdrawn; this one is %s", r.State).WithCode(CodeState)
		}
		_, err = s.close(ctx, tx, r, ending{state: Withdrawn, event: EventWithdrawn, kind: notify.Withdrawn, reason: reason, by: by.Name, actor: by.actor()})
		return err
	})
	if err == nil {
		s.changed(id)
	}
	return err
}

// Reject is a signer's no. It closes the request for all and everybody is told the
// reason, which is required. Said twice, it is done once; after a yes it is refused.
func (s *Service) Reject(ctx context.Context, visit, reason string, v Visitor) error {
	reason, err := cleanReason(reason, true)
	if err != nil {
		return err
	}
	r, g, err := s.visitor(ctx, s.config.DB, visit)
	if err != nil {
		return err
	}
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, err := s.load(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		me := r.signer(g.ID)
		if me.State == Refused {
			return nil
		}
		if err := mayAct(r, me); err != nil {
			return err
		}
		first, err := once(tx.Exec(ctx, `UPDATE request_signer SET state = $1, reason = $2, acted = $3 WHERE id = $4 AND state IN ($5, $6, $7)`,
			string(Refused), reason, store.Micros(s.config.Now()), me.ID, string(Invited), string(Opened), string(Approval)))
		if err != nil {
			return err
		}
		if !first {
			return errWorking()
		}
		closed, err := s.close(ctx, tx, r, ending{
			state: Rejected, event: EventRejected, kind: notify.Rejected, reason: reason, by: me.Name, signer: me.ID, actor: me.actor(v), everybody: true,
		})
		if err == nil && !closed {
			return errClosed(r)
		}
		return err
	})
	if err == nil {
		s.changed(r.ID)
	}
	return err
}

// stop ends a request because a signature is not what it should be.
func (s *Service) stop(ctx context.Context, j *jobs.Job, r Request, signer string, cause error) error {
	detail := fault.Of(cause).Detail
	s.config.Log.ErrorContext(ctx, "request stopped", "request", r.ID, "error", cause)
	err := s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, err := s.load(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE request_signer SET state = $1, problem = $2, code = $3 WHERE id = $4 AND state = $5`,
			string(Opened), detail, fault.Of(cause).Code, signer, string(Signing)); err != nil {
			return fmt.Errorf("stop request: %w", err)
		}
		if _, err := s.close(ctx, tx, r, ending{state: Stopped, event: EventStopped, kind: notify.Stopped, reason: detail, actor: machine}, "signer", signer); err != nil {
			return err
		}
		return j.Done(ctx, tx)
	})
	s.changed(r.ID)
	return err
}

// runDeadline is the job that ends a request whose deadline has passed. A yes that
// was given in time is worked off first.
func (s *Service) runDeadline(ctx context.Context, j *jobs.Job) error {
	var id string
	if err := j.Decode(&id); err != nil {
		return err
	}
	var again time.Time
	err := s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		again = time.Time{}
		r, err := s.load(ctx, tx, id)
		if errors.Is(err, fault.NotFound) || (err == nil && r.State != Running) {
			return j.Done(ctx, tx)
		}
		if err != nil {
			return err
		}
		now := s.now()
		if now.Before(r.Deadline) {
			again = r.Deadline
			return nil
		}
		if g := r.current(); g != nil && g.State == Signing {
			again = now.Add(10 * time.Second)
			return nil
		}
		if _, err := s.close(ctx, tx, r, ending{state: Expired, event: EventExpired, kind: notify.Expired, actor: machine}); err != nil {
			return err
		}
		return j.Done(ctx, tx)
	})
	if err != nil {
		return err
	}
	if !again.IsZero() {
		return jobs.Again(again, errors.New("the deadline has not passed, or a signature is being made"))
	}
	s.changed(id)
	return nil
}
