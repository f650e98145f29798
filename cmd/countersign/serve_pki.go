package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/keystore/soft"
	"github.com/countersign/countersign/pki"
)

type servePKICmd struct{ daemon.Options }

// pkiSettings is the configuration of the certification authority.
type pkiSettings struct {
	Door       daemon.Door   `config:"door" doc:"Where it is reached. Certificates name it, so it must stay."`
	BaseURL    string        `config:"base_url,required" doc:"Public address, written into certificates; http, because revocation data is signed itself."`
	Database   string        `config:"database,required" doc:"sqlite:PATH or postgres://…"`
	Keys       config.Path   `config:"keys,required" doc:"Folder of the software keystore."`
	Passphrase config.Secret `config:"passphrase_file,required" doc:"File with the keystore's passphrase; 64 random hex digits are best."`
	Name       string        `config:"name,required" doc:"Organisation in the names of the authority's certificates."`
	Country    string        `config:"country" doc:"Where it is established (ISO 3166-1 alpha-2)."`
	Validity   time.Duration `config:"validity" doc:"Life of a signer's certificate."`
	StatusLife time.Duration `config:"status_life" doc:"From thisUpdate to nextUpdate of CRLs and OCSP answers."`
	Policies   []string      `config:"policies" doc:"Object identifiers of the certificate policies of signers."`
	TSAPolicy  string        `config:"tsa_policy" doc:"Object identifier of the time-stamp policy."`
	Rate       float64       `config:"rate" doc:"Requests a second of one client address, on average; 0 is no limit. A gateway is one client, however many signers it has."`
	Burst      int           `config:"burst" doc:"Requests of one client address at once."`
}

func pkiDefaults() pkiSettings {
	return pkiSettings{Country: "EU", Validity: 365 * 24 * time.Hour, StatusLife: 7 * 24 * time.Hour, TSAPolicy: pki.DefaultTSAPolicy, Rate: 200, Burst: 1000}
}

// Run serves the certification authority.
func (c *servePKICmd) Run(ctx context.Context, t terminal) error {
	s := pkiDefaults()
	return serve(ctx, t, c.Options, "pki", &s, func(ctx context.Context, p *daemon.Process) (func() error, error) { return openPKI(ctx, p, &s) })
}

func openPKI(ctx context.Context, p *daemon.Process, s *pkiSettings) (closing func() error, err error) {
	a, db, closing, err := openAuthority(ctx, p, s)
	if err != nil {
		return closing, err
	}
	return closing, pkiDoors(ctx, p, s, db, a)
}

// openAuthority opens database and keystore, brings the tables up to date, and
// makes the authority's keys and certificates at the first start.
func openAuthority(ctx context.Context, p *daemon.Process, s *pkiSettings) (a *pki.Authority, db *store.DB, closing func() error, err error) {
	db, err = store.Open(ctx, s.Database)
	if err != nil {
		return nil, nil, nil, err
	}
	closing = db.Close
	keys, err := soft.Open(ctx, soft.Config{Dir: string(s.Keys), Passphrase: s.Passphrase.Bytes()})
	if err != nil {
		return nil, nil, closing, err
	}
	closing = func() error { return errors.Join(keys.Close(), db.Close()) }
	log, err := p.OpenAudit(ctx, db, keys, s.BaseURL)
	if err != nil {
		return nil, nil, closing, err
	}
	a, err = pki.New(ctx, pki.Config{
		Keys: keys, DB: db, Log: log, BaseURL: s.BaseURL, Name: s.Name, Country: s.Country, Validity: s.Validity,
		StatusLife: s.StatusLife, Policies: s.Policies, TSAPolicy: s.TSAPolicy, Logger: p.Log,
	})
	return a, db, closing, err
}

func pkiDoors(ctx context.Context, p *daemon.Process, s *pkiSettings, db *store.DB, a *pki.Authority) error {
	checks := web.Checks{"database": db.Ping, "authority": a.Ready}
	tlsConfig, err := s.Door.TLS()
	if err != nil {
		return err
	}
	// The authority looks at the path itself: a mux would clean "//" away.
	doors := http.NewServeMux()
	paths := map[string]bool{}
	own := p.Watch(s.Door, checks, func(method, pattern string, h http.Handler) {
		doors.Handle(method+" "+pattern, h)
		paths[pattern] = true
	})
	public := daemon.Limit(s.Rate, s.Burst, web.Problem)(a.Handler())
	main := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if paths[r.URL.Path] {
			doors.ServeHTTP(w, r)
			return
		}
		public.ServeHTTP(w, r)
	})
	if err := p.Listen(ctx, s.Door.Listen, web.Wrap(main, p.Web(s.Door, false)), tlsConfig); err != nil {
		return err
	}
	if err := p.Monitor(ctx, s.Door, own); err != nil {
		return err
	}
	admin := http.NewServeMux()
	p.Status(admin, s.Door, checks, func(ctx context.Context) map[string]string {
		h := a.Health(ctx)
		return map[string]string{"issued": fmt.Sprint(h.Issued), "revoked": fmt.Sprint(h.Revoked), "address": s.BaseURL}
	})
	admin.Handle("/", a.AdminHandler())
	return p.Socket(ctx, web.SocketConfig{Path: string(s.Door.Admin)}, web.Wrap(admin, p.Web(s.Door, false)))
}
