package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/portal"
	"github.com/countersign/countersign/relyingparty/portal/desk"
	"github.com/countersign/countersign/relyingparty/portal/direct"
	"github.com/countersign/countersign/relyingparty/portal/mailbox"
)

type servePortalCmd struct{ daemon.Options }

// portalSettings is the configuration of the portal.
type portalSettings struct {
	Door     daemon.Door      `config:"door" doc:"Where it is reached."`
	URL      string           `config:"url,required" doc:"Public address."`
	Database string           `config:"database,required" doc:"sqlite:PATH or postgres://…"`
	Org      string           `config:"organisation,required" doc:"Who runs it, shown on every page."`
	Test     bool             `config:"test" doc:"Marks every page of a test installation."`
	Gateway  string           `config:"gateway" doc:"Address of the gateway, for the start page."`
	Approval string           `config:"approval" doc:"Address of the approval origin, for the start page."`
	PKI      string           `config:"pki" doc:"Address of the certification authority, for the start page."`
	Signing  signingSettings  `config:"signing" doc:"The service with which people sign on the portal's own pages."`
	Workflow workflowSettings `config:"workflow" doc:"Requests for signatures: documents that rest here, and people who are asked by mail."`
	Rate     float64          `config:"rate" doc:"Requests a second of one client address, on average; 0 is no limit."`
	Burst    int              `config:"burst" doc:"Requests of one client address at once."`
}

func portalDefaults() portalSettings {
	return portalSettings{Rate: 10, Burst: 100, Workflow: workflowDefaults()}
}

func (s *portalSettings) links() []portal.Link {
	var links []portal.Link
	if s.Signing.CSC != "" {
		links = append(links, portal.Link{Name: "Sign a PDF", Address: direct.Path, What: "on this computer: the document stays in your browser"})
	}
	if s.Workflow.Documents != "" {
		links = append(links, portal.Link{Name: "Ask for signatures", Address: desk.Path, What: "send documents to people who sign one after the other"})
	}
	if s.Workflow.Documents != "" && s.Workflow.Mail.Catch {
		links = append(links, portal.Link{Name: "Caught messages", Address: mailbox.Path, What: "the mail of this demonstration"})
	}
	for _, l := range []portal.Link{
		{Name: "Gateway", Address: s.Gateway, What: "OAuth 2 and the API of the Cloud Signature Consortium"},
		{Name: "Approval", Address: s.Approval, What: "the activation module’s own pages, where signers approve"},
		{Name: "Certification authority", Address: s.PKI, What: "certificates, their status, and time-stamps"},
	} {
		switch {
		case l.Address == "":
			continue
		case l.Name == "Gateway":
			l.Address += "/.well-known/oauth-authorization-server"
		case l.Name == "Certification authority":
			l.Address += "/anchors.pem"
		}
		links = append(links, l)
	}
	return links
}

// Run serves the portal.
func (c *servePortalCmd) Run(ctx context.Context, t terminal) error {
	s := portalDefaults()
	return serve(ctx, t, c.Options, "portal", &s, func(ctx context.Context, p *daemon.Process) (func() error, error) { return openPortal(ctx, p, &s) })
}

// joinPortal opens the database and brings it up to date.
func joinPortal(ctx context.Context, s *portalSettings) (*portal.Portal, *direct.Direct, *store.DB, error) {
	db, err := store.Open(ctx, s.Database)
	if err != nil {
		return nil, nil, nil, err
	}
	site, err := portal.New(ctx, portal.Config{DB: db, Org: s.Org, Test: s.Test, Links: s.links()})
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	signing, err := openDirect(ctx, s, db)
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	return site, signing, db, nil
}

func openPortal(ctx context.Context, p *daemon.Process, s *portalSettings) (closing func() error, err error) {
	site, signing, db, err := joinPortal(ctx, s)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := s.Door.TLS()
	if err != nil {
		return db.Close, err
	}
	flow, err := openWorkflow(ctx, p, s, db)
	if err != nil {
		return db.Close, err
	}
	closing = func() error { return errors.Join(flow.close(), db.Close()) }
	checks := web.Checks{"database": db.Ping}
	limit := daemon.Limit(s.Rate, s.Burst, web.Problem)
	around := p.Web(s.Door, strings.HasPrefix(s.URL, "https:"))
	around.MaxBody = -1 // documents are uploaded; every route has a bound of its own
	router := httpd.New(httpd.Config{Web: around, Elsewhere: limit})
	small := web.LimitBody(web.DefaultMaxBody, web.Problem)
	own := p.Watch(s.Door, checks, func(method, pattern string, h http.Handler) { router.Handle(method, pattern, small(h)) })
	site.Mount(router.With(limit, small))
	if err := flow.mount(ctx, s, router.With(limit)); err != nil {
		return closing, err
	}
	if signing != nil {
		if err := signing.Mount(router.With(limit)); err != nil {
			return closing, err
		}
		p.Every(time.Hour, "purge signings", signing.Purge)
	}
	if err := p.Listen(ctx, s.Door.Listen, router, tlsConfig); err != nil {
		return closing, err
	}
	if err := p.Monitor(ctx, s.Door, own); err != nil {
		return closing, err
	}
	p.Every(24*time.Hour, "purge", site.Purge)
	admin := http.NewServeMux()
	flow.administer(admin)
	p.Status(admin, s.Door, checks, func(ctx context.Context) map[string]string {
		facts := map[string]string{"address": s.URL}
		if n, err := site.Returned(ctx, time.Now().Add(-24*time.Hour)); err == nil {
			facts["returned in 24 h"] = fmt.Sprintf("%d approved, %d declined", n["code"], n["access_denied"])
		}
		return facts
	})
	return closing, p.Socket(ctx, web.SocketConfig{Path: string(s.Door.Admin)}, web.Wrap(admin, p.Web(s.Door, false)))
}
