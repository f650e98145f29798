package main

import (
	"context"
	"crypto/x509"
	"sync"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/portal/direct"
	"github.com/countersign/countersign/relyingparty/signer"
)

// signingSettings say with which service people sign on the portal's own pages.
type signingSettings struct {
	CSC     string        `config:"csc" doc:"Base of the signing service's API; ends in /csc/v2. Without it the portal has no page to sign on."`
	Issuer  string        `config:"issuer" doc:"Its authorisation server; default: what the service says."`
	Client  string        `config:"client_id" doc:"Our client_id there. Its redirect URI is URL/direct/return."`
	Secret  config.Path   `config:"client_secret_file" doc:"File with our secret there. It is read when it is first needed."`
	TSA     string        `config:"tsa" doc:"Time-stamping authority; default: the service's own."`
	Level   string        `config:"level" doc:"PAdES level of signed documents: B-B, B-T, B-LT or B-LTA."`
	Anchors []config.Path `config:"anchors" doc:"PEM files with the trust anchors by which signed documents are judged."`
	TLSCA   config.Path   `config:"tls_ca" doc:"Authority of the service's https certificate; default: the system's."`
}

func (s *signingSettings) anchors() ([]*x509.Certificate, error) {
	var files []string
	for _, f := range s.Anchors {
		files = append(files, string(f))
	}
	return loadAnchors(files)
}

// openDirect makes the page on which people sign documents that stay in their
// browser; nil if no service is configured.
func openDirect(ctx context.Context, s *portalSettings, db *store.DB) (*direct.Direct, error) {
	if s.Signing.CSC == "" {
		return nil, nil //nolint:nilnil // no page is a choice
	}
	level, err := pades.ParseLevel(s.Signing.Level)
	if err != nil {
		return nil, err
	}
	anchors, err := s.Signing.anchors()
	if err != nil {
		return nil, err
	}
	party := &party{settings: s}
	return direct.New(ctx, direct.Config{
		DB: db, Origin: s.URL, Org: s.Org, Test: s.Test, Level: level, Anchors: anchors,
		Service: func(context.Context) (direct.Service, error) { return party.signer() },
	})
}

// party is the portal as a client of the signing service, made when it is first
// needed: its secret comes from the gateway, which may start later.
type party struct {
	settings *portalSettings

	mu   sync.Mutex
	made *signer.Signer
}

func (p *party) signer() (*signer.Signer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made != nil {
		return p.made, nil
	}
	s := p.settings.Signing
	secret, err := daemon.Secret(string(s.Secret))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "this portal is not registered with the signing service yet").WithCode("not_registered").Because(err)
	}
	remote := service{CSC: s.CSC, Issuer: s.Issuer, ClientID: s.Client, ClientSecret: string(secret), TLSCA: string(s.TLSCA)}
	client, err := remote.client(p.settings.URL + direct.ReturnPath)
	if err != nil {
		return nil, err
	}
	fetcher, err := remote.fetcher()
	if err != nil {
		return nil, err
	}
	anchors, err := s.anchors()
	if err != nil {
		return nil, err
	}
	p.made, err = signer.New(signer.Config{Service: client, Fetcher: fetcher, TSA: s.TSA, Anchors: anchors})
	return p.made, err
}
