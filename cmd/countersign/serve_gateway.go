package main

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/cmd/internal/local"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/csc/cscsam"
	"github.com/countersign/countersign/csc/cscserver"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/loopback"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/oauth"
	"github.com/countersign/countersign/sam/samrpc"
)

type serveGatewayCmd struct{ daemon.Options }

// gatewaySettings is the configuration of the gateway.
type gatewaySettings struct {
	Door     daemon.Door   `config:"door" doc:"Where it is reached."`
	Issuer   string        `config:"issuer,required" doc:"The one public address, https://HOST[:PORT]; http only on loopback names."`
	Name     string        `config:"name,required" doc:"Name of the service, for the info method."`
	Region   string        `config:"region" doc:"Country of the service (ISO 3166-1 alpha-2)."`
	Database string        `config:"database,required" doc:"sqlite:PATH or postgres://…"`
	Secret   config.Secret `config:"secret_file,required" doc:"File with at least 32 random bytes, from which tokens are made."`
	Older    []config.Path `config:"older_secret_files" doc:"Secrets that still open what they made."`
	SAM      config.Path   `config:"sam_socket,required" doc:"Socket of the activation module."`
	TSA      string        `config:"tsa" doc:"Time-stamping authority for signatures/timestamp; without it the method is not offered."`
	Evidence []string      `config:"evidence_hosts" doc:"Private hosts whose OCSP responders may be asked."`
	Loopback bool          `config:"evidence_loopback" doc:"Whether OCSP responders on this machine may be asked."`
	Peers    peerSettings  `config:"peers" doc:"Other trust services whose credentials are offered here, and the receipts that both keep."`
	Rate     float64       `config:"rate" doc:"Requests a second of one client address, on average; 0 is no limit."`
	Burst    int           `config:"burst" doc:"Requests of one client address at once."`
}

func gatewayDefaults() gatewaySettings { return gatewaySettings{Region: "EU", Rate: 50, Burst: 200} }

// Run serves the gateway.
func (c *serveGatewayCmd) Run(ctx context.Context, t terminal) error {
	s := gatewayDefaults()
	return serve(ctx, t, c.Options, "gateway", &s, func(ctx context.Context, p *daemon.Process) (func() error, error) { return openGateway(ctx, p, &s) })
}

// gateway is the parts of the role, joined.
type gateway struct {
	settings *gatewaySettings
	db       *store.DB
	module   *samrpc.Client
	oauth    *oauth.Server
	peers    *federated
	router   *federation.Router
	csc      *cscserver.Server
}

func openGateway(ctx context.Context, p *daemon.Process, s *gatewaySettings) (closing func() error, err error) {
	daemon.SpareGC()
	g, closing, err := joinGateway(ctx, p, s)
	if err != nil {
		return closing, err
	}
	p.Every(time.Minute, "purge", func(ctx context.Context) error { _, err := g.oauth.Purge(ctx); return err })
	return closing, g.doors(ctx, p)
}

// joinGateway opens the database, brings it up to date, and joins the parts.
func joinGateway(ctx context.Context, p *daemon.Process, s *gatewaySettings) (g *gateway, closing func() error, err error) {
	db, err := store.Open(ctx, s.Database)
	if err != nil {
		return nil, nil, err
	}
	g = &gateway{settings: s, db: db, module: samrpc.NewClient(local.Short(string(s.SAM)))}
	secrets, err := s.secrets()
	if err != nil {
		return nil, db.Close, err
	}
	g.oauth, err = oauth.New(ctx, oauth.Config{Issuer: s.Issuer, DB: db, Approver: approvals{g}, Secrets: secrets, Log: p.Log, Site: ui.Site{Org: s.Name}})
	if err != nil {
		return nil, db.Close, err
	}
	if g.peers, err = openPeers(ctx, p, s, db, g.oauth, secrets); err != nil {
		return nil, db.Close, err
	}
	g.csc, err = g.openCSC(p)
	return g, db.Close, err
}

func (s *gatewaySettings) secrets() ([][]byte, error) {
	secrets := [][]byte{s.Secret.Bytes()}
	for _, name := range s.Older {
		b, err := daemon.Secret(string(name))
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, b)
	}
	return secrets, nil
}

// openCSC joins the API to the router and the router to the module.
func (g *gateway) openCSC(p *daemon.Process) (*cscserver.Server, error) {
	s := g.settings
	fetcher := cscclient.NewFetcher(cscclient.FetcherConfig{Hosts: s.Evidence, Loopback: s.Loopback})
	c := cscsam.Config{SAM: g.module, Links: g.oauth, OCSP: fetcher, Log: p.Log}
	if s.TSA != "" {
		tsa, err := url.Parse(s.TSA)
		if err != nil {
			return nil, err
		}
		// The operator named this host: it may be a private one.
		c.TSAURL = s.TSA
		c.TSA = cscclient.NewFetcher(cscclient.FetcherConfig{Hosts: append(s.Evidence, tsa.Hostname()), Loopback: s.Loopback || loopback.Is(tsa.Hostname())})
	}
	service, err := cscsam.New(c)
	if err != nil {
		return nil, err
	}
	p.Go(func(ctx context.Context) error { // after the last answer
		<-ctx.Done()
		service.Flush(context.WithoutCancel(ctx))
		return nil
	})
	g.router, err = federation.New(federation.Config{
		Local: service, Routes: g.peers.routes(), Recorder: g.peers.receipts, Hold: g.peers.held, Log: p.Log,
	})
	if err != nil {
		return nil, err
	}
	return cscserver.New(cscserver.Config{
		BaseURL: s.Issuer + "/csc/v2", OAuthBase: s.Issuer, Name: s.Name, Region: s.Region,
		Timestamps: s.TSA != "", Service: g.router, Auth: g.oauth,
		Explicit: cscsam.Explicit{Service: service, Module: g.module, Tokens: explicitTokens{g.oauth}, Issuer: s.Issuer, Now: time.Now},
	})
}

// doors opens the public door and the operator's socket.
func (g *gateway) doors(ctx context.Context, p *daemon.Process) error {
	s := g.settings
	tlsConfig, err := s.Door.TLS()
	if err != nil {
		return err
	}
	checks := web.Checks{"database": g.db.Ping, "module": g.module.Ready}
	w := p.Web(s.Door, strings.HasPrefix(s.Issuer, "https:"))
	w.Error = apiError
	limit := daemon.Limit(s.Rate, s.Burst, apiError)
	router := httpd.New(httpd.Config{
		Web: w, NotFound: g.elsewhere(http.StatusNotFound), MethodNotAllowed: g.elsewhere(http.StatusMethodNotAllowed), Elsewhere: limit,
	})
	own := p.Watch(s.Door, checks, router.Handle)
	limited := router.With(limit)
	g.oauth.Mount(limited)
	g.peers.mount(limited, g.router, g.oauth)
	for _, path := range g.csc.Paths() {
		limited.Handle(http.MethodGet, path, g.csc)
		limited.Handle(http.MethodPost, path, g.csc)
	}
	if err := p.Listen(ctx, s.Door.Listen, router, tlsConfig); err != nil {
		return err
	}
	if err := p.Monitor(ctx, s.Door, own); err != nil {
		return err
	}
	admin := http.NewServeMux()
	p.Status(admin, s.Door, checks, g.facts)
	g.administer(admin)
	return p.Socket(ctx, web.SocketConfig{Path: string(s.Door.Admin)}, web.Wrap(admin, p.Web(s.Door, false)))
}

// facts are what an operator may want to know.
func (g *gateway) facts(ctx context.Context) map[string]string {
	facts := map[string]string{"address": g.settings.Issuer}
	if g.peers.peers == nil {
		return facts
	}
	facts["peers"] = strconv.Itoa(len(g.peers.registry.List().Peers))
	if list, err := g.peers.peers.Quarantines(ctx); err != nil || len(list) > 0 {
		facts["peers_quarantined"] = strconv.Itoa(len(list))
	}
	return facts
}

// elsewhere answers what no route takes: below the API's base in its own form.
func (g *gateway) elsewhere(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case inAPI(r):
			g.csc.ServeHTTP(w, r)
		case status == http.StatusNotFound:
			web.ProblemStatus(w, r, status, "not_found", "there is nothing at this address")
		default:
			web.ProblemStatus(w, r, status, "method", "this address takes "+w.Header().Get("Allow"))
		}
	})
}

func inAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/csc/v2/") }

// apiError answers what the layers above the API refuse, in its form.
func apiError(w http.ResponseWriter, r *http.Request, err error) {
	if inAPI(r) {
		web.Fail(r.Context(), err)
		cscserver.WriteError(w, r, err)
		return
	}
	web.Problem(w, r, err)
}
