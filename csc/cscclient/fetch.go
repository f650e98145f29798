package cscclient

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// FetcherConfig limits where evidence may be fetched from. The zero value
// fetches from public addresses only.
type FetcherConfig struct {
	// Hosts are names or addresses, without port, that may be private ones. URLs
	// in certificates are somebody else's words: without this list,
	// they could make this process call into its own network.
	Hosts []string
	// Loopback allows addresses of this machine.
	Loopback bool

	RootCAs  *x509.CertPool
	Proxy    func(*http.Request) (*url.URL, error)
	Counter  *Counter
	Timeout  time.Duration // of a whole call; the default is 20 s
	MaxBytes int64         // of an answer; the default is 16 MB, for CRLs
	Agent    string
}

// Fetcher fetches the evidence that signatures need: OCSP answers, CRLs,
// issuers' certificates and time-stamps. It verifies nothing: all of it is
// signed, and whoever uses it checks. All methods may be called at once.
type Fetcher struct {
	config    FetcherConfig
	transport *http.Transport
	proxies   sync.Map // host names of proxies that were chosen
}

// NewFetcher returns a fetcher.
func NewFetcher(c FetcherConfig) *Fetcher {
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 16 << 20
	}
	if c.Agent == "" {
		c.Agent = "countersign"
	}
	f := &Fetcher{config: c}
	t := transportConfig{roots: c.RootCAs, counter: c.Counter, allow: f.allow}
	if c.Proxy != nil {
		t.proxy = f.proxy
	}
	f.transport = newTransport(t)
	return f
}

// proxy notes which proxies the operator's choice leads to: they may be at
// private addresses, and what may be reached through them is theirs to say.
func (f *Fetcher) proxy(r *http.Request) (*url.URL, error) {
	u, err := f.config.Proxy(r)
	if u != nil && err == nil {
		f.proxies.Store(u.Hostname(), true)
	}
	return u, err
}

// allow decides about an address that a host's name resolved to, at the moment
// of connecting, so that a name cannot change its mind in between.
func (f *Fetcher) allow(host string, ip netip.Addr) error {
	if _, chosen := f.proxies.Load(host); chosen || (f.config.Loopback && ip.IsLoopback()) {
		return nil
	}
	if slices.ContainsFunc(f.config.Hosts, func(h string) bool {
		return strings.EqualFold(h, host)
	}) {
		return nil
	}
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return fmt.Errorf("%s at %s: %w", host, ip, errAddress)
	}
	return nil
}

// notPublic are the addresses beside private ones that lead to no public host
// (IANA's special-purpose registries), and those of IPv6 that a gateway turns into
// an IPv4 address, which may be a private one.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carriers' own (RFC 6598)
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"),   // NAT64 (RFC 6052)
	netip.MustParsePrefix("64:ff9b:1::/48"), // RFC 8215
	netip.MustParsePrefix("2001::/32"),      // Teredo (RFC 4380)
	netip.MustParsePrefix("2002::/16"),      // 6to4 (RFC 3056)
	netip.MustParsePrefix("fec0::/10"),
}

// OCSP posts a DER OCSP request and returns the DER answer.
func (f *Fetcher) OCSP(ctx context.Context, to string, request []byte) ([]byte, error) {
	return f.fetch(ctx, "the OCSP responder", call{method: http.MethodPost, url: to, body: request, read: true, header: http.Header{
		"Content-Type": {"application/ocsp-request"}, "Accept": {"application/ocsp-response"},
	}})
}

// Timestamp posts a DER RFC 3161 query and returns the DER answer. It is sent once.
func (f *Fetcher) Timestamp(ctx context.Context, to string, query []byte) ([]byte, error) {
	return f.fetch(ctx, "the time-stamping authority", call{method: http.MethodPost, url: to, body: query, header: http.Header{
		"Content-Type": {"application/timestamp-query"}, "Accept": {"application/timestamp-reply"},
	}})
}

// CRL gets a certificate revocation list.
func (f *Fetcher) CRL(ctx context.Context, from string) ([]byte, error) {
	return f.fetch(ctx, "the CRL distribution point", call{method: http.MethodGet, url: from, read: true})
}

// Certificate gets an issuer's certificate (caIssuers), DER or PKCS #7 as it comes.
func (f *Fetcher) Certificate(ctx context.Context, from string) ([]byte, error) {
	return f.fetch(ctx, "the certificate repository", call{method: http.MethodGet, url: from, read: true})
}

func (f *Fetcher) fetch(ctx context.Context, what string, r call) ([]byte, error) {
	u, err := url.Parse(r.url)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
		return nil, fault.New(fault.Unavailable, "%s has an address that cannot be used: only http and https can", what).WithCode(CodeUnreachable)
	}
	r.limit = f.config.MaxBytes
	c := newCaller(what+" at "+u.Host, f.transport, f.config.Timeout, f.config.Agent)
	a, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, c.garbage("answered %d", a.status)
	}
	if len(a.body) == 0 {
		return nil, c.garbage("answered nothing")
	}
	return a.body, nil
}
