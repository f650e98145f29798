package federation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
)

const (
	// breakAfter failures in a row, a peer is left alone for breakTime.
	breakAfter = 5
	breakTime  = 20 * time.Second
	// crowd is how many calls to one peer run at once: a slow one must not take
	// every connection of the gateway.
	crowd = 64
)

// gate stands before a peer: a breaker, and a bound on how many calls run at once.
type gate struct {
	breaker *gobreaker.CircuitBreaker[struct{}]
	seats   chan struct{}
}

func newGate(peer string) *gate {
	return &gate{seats: make(chan struct{}, crowd), breaker: gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name: peer, MaxRequests: 1, Timeout: breakTime,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
		IsSuccessful: func(err error) bool { return err == nil || answered(err) },
		IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) },
	})}
}

// pass runs do unless the peer failed too often lately. errClosed says that do was
// not run.
func (g *gate) pass(do func() error) error {
	select {
	case g.seats <- struct{}{}:
		defer func() { <-g.seats }()
	default:
		return errClosed
	}
	_, err := g.breaker.Execute(func() (struct{}, error) { return struct{}{}, do() })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return errClosed
	}
	return err
}

// errClosed says that a call was not made.
var errClosed = fault.New(fault.Unavailable, "the trust service that holds this credential does not answer at the moment; try again later").WithCode("peer_unavailable")

// answered reports whether an error is a peer's definite answer: it is alive, and
// it did not do what it was asked.
func answered(err error) bool {
	e, ok := errors.AsType[*csc.Error](err)
	return ok && e.Status >= 400 && e.Status < 500
}

// newReader is a client for reads beside the API: repeated when the network fails.
func newReader(roots *x509.CertPool, timeout time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	again := retryablehttp.NewClient()
	again.Logger = nil
	again.RetryMax, again.RetryWaitMin, again.RetryWaitMax = 2, 100*time.Millisecond, time.Second
	again.ErrorHandler = retryablehttp.PassthroughErrorHandler
	again.HTTPClient = &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, TLSHandshakeTimeout: 5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, DisableCompression: true, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
			// Names below localhost are this machine (RFC 6761 §6.3); resolvers do not know them.
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
					address = net.JoinHostPort("127.0.0.1", port)
				}
				return dialer.DialContext(ctx, network, address)
			},
		},
	}
	return again.StandardClient()
}
