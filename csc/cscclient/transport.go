package cscclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/countersign/countersign/internal/loopback"
)

// Counter counts what goes over the wire, headers and TLS included. It may be
// shared by clients and read at any time.
type Counter struct{ sent, received atomic.Int64 }

// Sent is the number of bytes sent so far.
func (c *Counter) Sent() int64 { return c.sent.Load() }

// Received is the number of bytes received so far.
func (c *Counter) Received() int64 { return c.received.Load() }

type countedConn struct {
	net.Conn
	counter *Counter
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.counter.received.Add(int64(n))
	return n, err
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.counter.sent.Add(int64(n))
	return n, err
}

// transportConfig is what the two kinds of client have in common.
type transportConfig struct {
	roots   *x509.CertPool // nil: the system's
	counter *Counter       // nil: nobody counts
	proxy   func(*http.Request) (*url.URL, error)
	// allow decides about an address before it is connected to; nil allows all.
	allow func(host string, ip netip.Addr) error
}

// maxIdle is how many connections are kept between requests: as many as a busy
// relying party has open at once, or each further one would be made anew.
const maxIdle = 64

// errAddress says that an address may not be connected to.
var errAddress = errors.New("address not allowed")

func newTransport(c transportConfig) *http.Transport {
	return &http.Transport{
		Proxy:                  c.proxy,
		DialContext:            c.dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.roots},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // sizes are limited before anything is unpacked
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        60 * time.Second,
	}
}

// dial connects names below localhost to this machine, and asks allow.
func (c transportConfig) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if c.allow != nil {
		d.Control = func(_, resolved string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return err
			}
			return c.allow(host, ap.Addr().Unmap())
		}
	}
	conn, err := loopback.Dial(ctx, d, network, address)
	if err != nil {
		return nil, err
	}
	if c.counter != nil {
		return countedConn{conn, c.counter}, nil
	}
	return conn, nil
}

// secure refuses a URL that would carry secrets in the clear: http is for this
// machine only.
func secure(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("URL %q: must be absolute, without user and fragment", text)
	}
	switch u.Scheme {
	case "https":
		return u, nil
	case "http":
		if loopback.Is(u.Hostname()) {
			return u, nil
		}
		return nil, fmt.Errorf("URL %q: http is allowed to this machine only; use https", text)
	}
	return nil, fmt.Errorf("URL %q: must be https", text)
}
