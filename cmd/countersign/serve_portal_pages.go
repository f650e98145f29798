package main

import (
	"context"

	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/relyingparty/portal/desk"
	"github.com/countersign/countersign/relyingparty/portal/mailbox"
	"github.com/countersign/countersign/relyingparty/portal/room"
)

// mount adds the pages of senders and signers, and in a demonstration the one that
// shows their mail. Open streams of events end with ctx.
func (f *workflow) mount(ctx context.Context, s *portalSettings, mux httpd.Mux) error {
	if f == nil {
		return nil
	}
	senders, err := desk.New(desk.Config{
		Accounts: f.accounts, Requests: f.requests, Origin: s.URL, OrgID: workflowOrg, Org: s.Org, Test: s.Test,
		SMS: f.sms, MaxDocument: s.maxDocument(), Longest: s.Workflow.Deadline, Stop: ctx.Done(),
	})
	if err != nil {
		return err
	}
	signers, err := room.New(room.Config{Requests: f.requests, Origin: s.URL, Org: s.Org, Test: s.Test, Stop: ctx.Done()})
	if err != nil {
		return err
	}
	if err := senders.Mount(mux); err != nil {
		return err
	}
	if err := signers.Mount(mux); err != nil {
		return err
	}
	if f.catcher == nil {
		return nil
	}
	box, err := mailbox.New(mailbox.Config{Catcher: f.catcher, Origin: s.URL, Org: s.Org, Test: s.Test})
	if err != nil {
		return err
	}
	box.Mount(mux)
	return nil
}

func (s *portalSettings) maxDocument() int64 { return int64(s.Workflow.MaxSize) << 20 }
