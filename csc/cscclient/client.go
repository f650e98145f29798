// Package cscclient is a client of remote signing services that speak the Cloud
// Signature Consortium's API version 2, and of their OAuth authorisation servers:
// discovery, service token, pushed authorisation with PKCE and
// authorization_details, list, info, signHash, timestamp and revocation. It also
// fetches what signatures need beside: OCSP answers, CRLs, certificates and
// time-stamps.
//
// It sends hashes, names and sizes; no method takes a document. What comes back
// is limited in size and time. Reads are repeated when the network fails;
// signHash never is: a repeated one could sign twice.
package cscclient

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
)

// Most bytes of an answer.
const maxAnswer = 4 << 20

// Config says which service to use and as whom. BaseURL and ClientID are required.
type Config struct {
	// BaseURL is the base of the API; it ends in /csc/v2.
	BaseURL string
	// Issuer is the authorisation server; its metadata (RFC 8414) are fetched and
	// must name it. Empty: what info says.
	Issuer string

	ClientID     string
	ClientSecret string // empty for a public client
	RedirectURI  string // where authorisations come back to; needed for Authorize

	RootCAs *x509.CertPool                        // nil: the system's
	Proxy   func(*http.Request) (*url.URL, error) // nil: none
	Counter *Counter                              // counts traffic; may be nil
	// Timeout is for a whole call; the default is 30 s. SignTimeout is for
	// signHash; the default is 90 s.
	Timeout     time.Duration
	SignTimeout time.Duration
	UserAgent   string
	Now         func() time.Time
}

// Client is a relying party's access to one service. All methods may be called
// at once. Errors are faults; their codes are listed with CodeUnreachable.
type Client struct {
	config Config
	base   *url.URL
	url    string // of the base, with a slash at its end
	http   *caller
	sign   *caller
	now    func() time.Time

	discovery discovery

	// The service token, fetched when it is first needed.
	mu      sync.Mutex
	service *Token
}

// New checks the configuration. It does not connect.
func New(c Config) (*Client, error) {
	base, err := secure(c.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("signing service: %w", err)
	}
	if !strings.HasSuffix(base.Path, "/csc/v2") || base.RawQuery != "" {
		return nil, fmt.Errorf("signing service: URL %q: must end in /csc/v2", c.BaseURL)
	}
	if c.Issuer != "" {
		if _, err := secure(c.Issuer); err != nil {
			return nil, fmt.Errorf("authorisation server: %w", err)
		}
	}
	if c.ClientID == "" {
		return nil, fmt.Errorf("signing service %s: the client id is missing", c.BaseURL)
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.SignTimeout == 0 {
		c.SignTimeout = 90 * time.Second
	}
	if c.UserAgent == "" {
		c.UserAgent = "countersign"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	t := newTransport(transportConfig{roots: c.RootCAs, counter: c.Counter, proxy: c.Proxy})
	name := "the signing service at " + base.Host
	return &Client{
		config: c,
		base:   base,
		url:    base.String() + "/",
		http:   newCaller(name, t, c.Timeout, c.UserAgent),
		sign:   newCaller(name, t, c.SignTimeout, c.UserAgent),
		now:    c.Now,
	}, nil
}

// Host is the service's host and port.
func (c *Client) Host() string { return c.base.Host }

// Counter returns the counter of the configuration, which may be nil.
func (c *Client) Counter() *Counter { return c.config.Counter }

// Info asks what the service offers. It needs no authorisation.
func (c *Client) Info(ctx context.Context) (*csc.Info, error) {
	var info csc.Info
	if err := c.method(ctx, c.http, csc.MethodInfo, nil, struct{}{}, true, &info); err != nil {
		return nil, err
	}
	if len(info.Methods) == 0 || len(info.AuthType) == 0 {
		return nil, c.http.garbage("answered info without methods or authType")
	}
	return &info, nil
}

// CredentialsList lists credentials, with the client's own token.
func (c *Client) CredentialsList(ctx context.Context, q *csc.CredentialsListRequest) (*csc.CredentialsListResponse, error) {
	var out csc.CredentialsListResponse
	err := c.withService(ctx, func(t *Token) error {
		out = csc.CredentialsListResponse{}
		return c.method(ctx, c.http, csc.MethodCredentialsList, t, q, true, &out)
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// CredentialsInfo describes one credential, with the client's own token.
func (c *Client) CredentialsInfo(ctx context.Context, q *csc.CredentialsInfoRequest) (*csc.CredentialInfo, error) {
	var out csc.CredentialInfo
	err := c.withService(ctx, func(t *Token) error {
		out = csc.CredentialInfo{}
		return c.method(ctx, c.http, csc.MethodCredentialsInfo, t, q, true, &out)
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// SignHash asks for signatures with the token of an approved authorisation. It is
// sent once. The answer has as many signatures as the request has hashes; that
// they are right remains to be verified.
func (c *Client) SignHash(ctx context.Context, t *Token, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	var out csc.SignHashResponse
	if err := c.method(ctx, c.sign, csc.MethodSignHash, t, q, false, &out); err != nil {
		return nil, err
	}
	if len(out.Signatures) != len(q.Hashes) {
		return nil, c.http.garbage("answered with %d signatures for %d hashes", len(out.Signatures), len(q.Hashes))
	}
	return &out, nil
}

// Timestamp asks for an RFC 3161 token over a digest, with the client's own token.
func (c *Client) Timestamp(ctx context.Context, q *csc.TimestampRequest) (*csc.TimestampResponse, error) {
	var out csc.TimestampResponse
	err := c.withService(ctx, func(t *Token) error {
		out = csc.TimestampResponse{}
		return c.method(ctx, c.http, csc.MethodTimestamp, t, q, false, &out)
	})
	if err != nil {
		return nil, err
	}
	if out.Timestamp == "" {
		return nil, c.http.garbage("answered without a time-stamp")
	}
	return &out, nil
}

// method calls one method of the API.
func (c *Client) method(ctx context.Context, by *caller, name string, t *Token, in any, read bool, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	if t != nil {
		header.Set("Authorization", "Bearer "+t.Value)
	}
	a, err := by.do(ctx, call{http.MethodPost, c.url + name, header, body, read, maxAnswer})
	if err != nil {
		return err
	}
	return by.decode(a, out, http.StatusOK)
}

// withService calls do with the service token; once more with a new one if it
// was refused, for a service that was restarted or lost its tokens.
func (c *Client) withService(ctx context.Context, do func(*Token) error) error {
	t, err := c.ServiceToken(ctx)
	if err != nil {
		return err
	}
	err = do(t)
	if err == nil || fault.Of(err).Kind != fault.Unauthenticated {
		return err
	}
	c.mu.Lock()
	if c.service == t {
		c.service = nil
	}
	c.mu.Unlock()
	if t, err = c.ServiceToken(ctx); err != nil {
		return err
	}
	return do(t)
}
