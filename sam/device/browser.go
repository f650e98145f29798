package device

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/loopback"
)

// Bounds of what is fetched.
const (
	maxPage      = 256 << 10
	maxRedirects = 10
	pageTimeout  = 30 * time.Second
)

// maxIdle is how many connections a shared transport keeps between requests, for
// as many approvals at once.
const maxIdle = 64

// Net says how the device reaches the network.
type Net struct {
	Roots *x509.CertPool // of https servers; nil is the system's
	// Transport carries the requests of all approvals, so that their connections are
	// used again; see [NewTransport]. Nil: each approval has its own.
	Transport http.RoundTripper
}

// NewTransport returns a transport that trusts these roots; nil is the system's.
func NewTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns:        maxIdle,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     time.Minute,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true,
	}
}

// browser follows redirects and keeps cookies, as the signer's browser would, and
// shows every hop to its caller.
type browser struct {
	http *http.Client
	// close ends the connections that are nobody else's.
	close func()
}

func newBrowser(n Net) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // only with options
	}
	carrier, end := n.Transport, func() {}
	if carrier == nil {
		own := NewTransport(n.Roots)
		carrier, end = own, own.CloseIdleConnections
	}
	return &browser{&http.Client{
		Jar:           jar,
		Timeout:       pageTimeout,
		Transport:     carrier,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, end}
}

// dial connects names below localhost to this machine, as browsers do.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	return loopback.Dial(ctx, &net.Dialer{Timeout: 10 * time.Second}, network, address)
}

// answer is one hop: a redirect, or a body.
type answer struct {
	status int
	to     *url.URL // where a redirect goes
	body   []byte
}

// get fetches one URL and does not follow.
func (b *browser) get(ctx context.Context, u *url.URL) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	return b.do(r)
}

func (b *browser) do(r *http.Request) (*answer, error) {
	away := func(cause error) error {
		return fault.New(fault.Unavailable, "%s does not answer", r.URL.Host).Because(cause)
	}
	resp, err := b.http.Do(r)
	if err != nil {
		return nil, away(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err != nil {
		return nil, away(err)
	}
	if len(body) > maxPage {
		return nil, away(errors.New("the answer is too long"))
	}
	a := &answer{status: resp.StatusCode, body: body}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		if a.to, err = resp.Location(); err != nil {
			return nil, away(err)
		}
	}
	return a, nil
}

// post sends JSON and reads JSON.
func (b *browser) post(ctx context.Context, to string, q, into any) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	a, err := b.do(r)
	if err != nil {
		return err
	}
	return a.read(r.URL.Host, into)
}

var kinds = []fault.Kind{
	fault.Invalid, fault.NotFound, fault.Conflict, fault.Unauthenticated, fault.Forbidden,
	fault.Expired, fault.TooMany, fault.TooLarge, fault.Unavailable, fault.Internal,
}

// read decodes a JSON answer, or returns the fault that it carries.
func (a *answer) read(host string, into any) error {
	if a.status >= 200 && a.status < 300 {
		if err := json.Unmarshal(a.body, into); err != nil {
			return fault.New(fault.Unavailable, "%s answered with something that is not understood", host).Because(err)
		}
		return nil
	}
	return a.refusal(host)
}

// refusal is the fault that an answer carries which is not the one hoped for.
func (a *answer) refusal(host string) error {
	var p struct {
		Kind        string `json:"kind"`
		Code        string `json:"code"`
		Detail      string `json:"detail"`
		Error       string `json:"error"` // of OAuth
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		return fault.New(fault.Unavailable, "%s answered with status %d", host, a.status)
	}
	if slices.Contains(kinds, fault.Kind(p.Kind)) {
		return (&fault.Error{Kind: fault.Kind(p.Kind), Detail: p.Detail}).WithCode(p.Code)
	}
	for _, text := range []string{p.Description, p.Detail, p.Error} {
		if text != "" {
			return fault.New(fault.Unavailable, "%s refused: %s", host, text)
		}
	}
	return fault.New(fault.Unavailable, "%s answered with status %d", host, a.status)
}

// origin is scheme://host[:port] of a URL.
func origin(u *url.URL) string {
	return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host)
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fault.New(fault.Invalid, "%q is not an http or https URL", s).Because(fmt.Errorf("parse: %w", err))
	}
	return u, nil
}
