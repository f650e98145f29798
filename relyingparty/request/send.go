package request

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/notify"
)

// Send ends the draft and invites the first signer. What is missing is said with
// CodeIncomplete. A second Send does nothing.
func (s *Service) Send(ctx context.Context, by Sender, id string) error {
	err := s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, err := s.loadFor(ctx, tx, by, id)
		if err != nil {
			return err
		}
		if r.State != Draft {
			return nil
		}
		if err := s.complete(ctx, tx, r); err != nil {
			return err
		}
		now := s.now()
		first, err := once(tx.Exec(ctx, `UPDATE request SET state = $1, sent = $2 WHERE id = $3 AND state = $4`, string(Running), store.Micros(now), r.ID, string(Draft)))
		if err != nil || !first {
			return err
		}
		if err := s.record(ctx, tx, r.Org, r.ID, EventSent, "", by.actor(), "documents", strconv.Itoa(len(r.Documents)),
			"signers", strconv.Itoa(len(r.Signers)), "deadline", r.Deadline.Format(time.RFC3339)); err != nil {
			return err
		}
		if _, err := s.config.Jobs.Add(ctx, tx, jobs.New{Org: r.Org, Kind: jobDeadline, Key: r.ID, Data: r.ID, At: r.Deadline}); err != nil {
			return err
		}
		return s.invite(ctx, tx, r, r.Signers[0])
	})
	if err == nil {
		s.changed(id)
	}
	return err
}

// complete says what a draft lacks.
func (s *Service) complete(ctx context.Context, tx *store.Tx, r Request) error {
	lacks := func(format string, args ...any) error {
		return fault.New(fault.Invalid, format, args...).WithCode(CodeIncomplete)
	}
	now := s.now()
	switch {
	case len(r.Documents) == 0:
		return lacks("add at least one document")
	case len(r.Signers) == 0:
		return lacks("name at least one signer")
	case r.Title == "":
		return lacks("give the request a title")
	case !r.Deadline.After(now):
		return lacks("the deadline must lie ahead (this server's clock says %s)", now.Format("2006-01-02 15:04 UTC"))
	case r.Deadline.After(now.Add(s.config.Policy.Deadline)):
		return lacks("the deadline may lie at most %d days ahead", int(s.config.Policy.Deadline.Hours()/24))
	}
	for _, g := range r.Signers {
		if g.Level != Personal {
			continue
		}
		c, err := s.credential(ctx, tx, r.Org, g)
		if err != nil {
			return err
		}
		if c == "" {
			return fault.New(fault.Invalid, "signer %d (%s): no key of their own is known here; choose the level click, or have the operator link one", g.Position, g.Name).WithCode(CodeNoKey)
		}
	}
	return nil
}

// invite makes it a signer's turn.
func (s *Service) invite(ctx context.Context, tx *store.Tx, r Request, g Signer) error {
	first, err := once(tx.Exec(ctx, `UPDATE request_signer SET state = $1, invited = $2 WHERE id = $3 AND state = $4`,
		string(Invited), store.Micros(s.config.Now()), g.ID, string(Waiting)))
	if err != nil || !first {
		return err
	}
	if err := s.record(ctx, tx, r.Org, r.ID, EventInvited, g.ID, machine, "step", strconv.Itoa(g.Position), "signer", g.Name); err != nil {
		return err
	}
	return s.tell(ctx, tx, r, g, notify.Invitation)
}

// tell queues a message to a signer, with their link.
func (s *Service) tell(ctx context.Context, tx *store.Tx, r Request, g Signer, k notify.Kind) error {
	m := s.message(r, k)
	m.To, m.ToName, m.Lang = g.Email, g.Name, g.Lang
	m.Link = s.config.BaseURL + LinkPath + s.secrets.link(g.ID)
	if k == notify.Invitation || k == notify.Reminder {
		m.Text = r.Message
	}
	_, err := s.config.Outbox.Queue(ctx, tx, m)
	return err
}

// tellOwner queues a message to the sender.
func (s *Service) tellOwner(ctx context.Context, tx *store.Tx, r Request, k notify.Kind) error {
	m := s.message(r, k)
	m.To, m.ToName, m.Lang, m.ReplyTo = r.Email, r.Sender, r.Lang, ""
	m.Link = s.config.BaseURL + SenderPath + r.ID
	_, err := s.config.Outbox.Queue(ctx, tx, m)
	return err
}

func (s *Service) message(r Request, k notify.Kind) notify.Message {
	m := notify.Message{
		Org: r.Org, Request: r.ID, Kind: k, Sender: r.Sender, SenderOrg: s.config.OrgName, ReplyTo: r.Email,
		Title: r.Title, Reason: r.Reason, Who: r.By,
	}
	switch k { //nolint:exhaustive // the others have no end
	case notify.Invitation, notify.Reminder:
		m.Deadline = r.Deadline
	case notify.Completed:
		m.Deadline = r.Ended.Add(s.config.Policy.Keep)
	}
	return m
}

// RemindAt says from when on Remind is possible; zero if it is now.
func (s *Service) RemindAt(r Request) time.Time {
	if r.Reminded.IsZero() {
		return time.Time{}
	}
	if at := r.Reminded.Add(s.config.Policy.Remind); at.After(s.now()) {
		return at
	}
	return time.Time{}
}

// Remind sends a reminder to the signer who is to act, at most once per
// Policy.Remind (CodeReminder).
func (s *Service) Remind(ctx context.Context, by Sender, id string) error {
	err := s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, err := s.loadFor(ctx, tx, by, id)
		if err != nil {
			return err
		}
		g := r.current()
		if r.State != Running || g == nil || g.State == Signing {
			return fault.New(fault.Conflict, "nobody is to be reminded now").WithCode(CodeState)
		}
		now := s.now()
		first, err := once(tx.Exec(ctx, `UPDATE request SET reminded = $1 WHERE id = $2 AND state = $3 AND (reminded = 0 OR reminded <= $4)`,
			store.Micros(now), r.ID, string(Running), store.Micros(now.Add(-s.config.Policy.Remind))))
		if err != nil {
			return err
		}
		if !first {
			return fault.New(fault.TooMany, "a reminder was sent at %s; the next is possible from %s on", r.Reminded.Format("2006-01-02 15:04 UTC"),
				r.Reminded.Add(s.config.Policy.Remind).Format("2006-01-02 15:04 UTC")).WithCode(CodeReminder)
		}
		if _, err := tx.Exec(ctx, `UPDATE request_signer SET reminded = $1 WHERE id = $2`, store.Micros(now), g.ID); err != nil {
			return fmt.Errorf("remind: %w", err)
		}
		if err := s.record(ctx, tx, r.Org, r.ID, EventReminded, g.ID, by.actor(), "to", g.Name); err != nil {
			return err
		}
		return s.tell(ctx, tx, r, *g, notify.Reminder)
	})
	if err == nil {
		s.changed(id)
	}
	return err
}
