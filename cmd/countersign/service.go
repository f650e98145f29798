package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/countersign/countersign/cmd/internal/buildinfo"
	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/loopback"
)

// service is which remote signing service to use and as whom.
type service struct {
	CSC              string `name:"csc" env:"COUNTERSIGN_CSC" placeholder:"URL" help:"Base of the service's API; ends in /csc/v2."`
	Issuer           string `env:"COUNTERSIGN_ISSUER" placeholder:"URL" help:"Its authorisation server; default: what the service says."`
	ClientID         string `env:"COUNTERSIGN_CLIENT_ID" placeholder:"ID" help:"Our client_id there."`
	ClientSecret     string `env:"COUNTERSIGN_CLIENT_SECRET" hidden:""`
	ClientSecretFile string `type:"path" placeholder:"FILE" help:"File with our secret there; or set COUNTERSIGN_CLIENT_SECRET."`
	Redirect         string `env:"COUNTERSIGN_REDIRECT" placeholder:"URL" help:"Our registered redirect URI, for approvals by COUNTERSIGN_DEVICE."`
	Credential       string `env:"COUNTERSIGN_CREDENTIAL" placeholder:"ID" help:"Key to sign with; default: the only one there is."`
	TLSCA            string `name:"tls-ca" env:"COUNTERSIGN_TLS_CA" type:"path" placeholder:"PEM" help:"Authority of the service's https certificate; default: the system's."`
}

// roots is the pool for https, nil for the system's.
func (s *service) roots() (*x509.CertPool, error) {
	if s.TLSCA == "" {
		return nil, nil //nolint:nilnil // nil is the system's pool
	}
	b, err := os.ReadFile(s.TLSCA)
	if err != nil {
		return nil, withCode(exitLocal, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, withCode(exitLocal, fmt.Errorf("%s holds no PEM certificate", s.TLSCA))
	}
	return pool, nil
}

// client connects to nothing yet; it says what is missing.
func (s *service) client(redirect string) (*cscclient.Client, error) {
	switch {
	case s.CSC == "":
		return nil, withCode(exitUsage, errors.New("which service? Set --csc or COUNTERSIGN_CSC; with a demo running: . .demo/env"))
	case s.ClientID == "":
		return nil, withCode(exitUsage, errors.New("as which client? Set --client-id or COUNTERSIGN_CLIENT_ID"))
	}
	roots, err := s.roots()
	if err != nil {
		return nil, err
	}
	if s.ClientSecretFile != "" {
		b, err := daemon.Secret(s.ClientSecretFile)
		if err != nil {
			return nil, withCode(exitLocal, fmt.Errorf("client secret: %w", err))
		}
		s.ClientSecret = string(b)
	}
	c, err := cscclient.New(cscclient.Config{
		BaseURL: s.CSC, Issuer: s.Issuer, ClientID: s.ClientID, ClientSecret: s.ClientSecret, RedirectURI: redirect,
		RootCAs: roots, Proxy: proxy, Counter: &cscclient.Counter{}, UserAgent: "countersign/" + buildinfo.Read("countersign").Version,
	})
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	return c, nil
}

// fetcher gets evidence. Addresses of this machine are asked only when the
// service itself is on this machine.
func (s *service) fetcher() (*cscclient.Fetcher, error) {
	roots, err := s.roots()
	if err != nil {
		return nil, err
	}
	return cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: onThisMachine(s.CSC), RootCAs: roots, Proxy: proxy}), nil
}

// onThisMachine reports whether a URL is one of this machine.
func onThisMachine(address string) bool {
	u, err := url.Parse(address)
	return err == nil && loopback.Is(u.Hostname())
}

// proxy is the environment's, except for this machine.
func proxy(r *http.Request) (*url.URL, error) {
	if loopback.Is(r.URL.Hostname()) {
		return nil, nil //nolint:nilnil // no proxy
	}
	return http.ProxyFromEnvironment(r)
}
