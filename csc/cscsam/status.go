package cscsam

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/csc"
)

// status is a verified OCSP answer.
type status struct {
	der           []byte
	good, revoked bool
	until         time.Time // it may be used until then
}

// maxStatuses bounds the cache; what cannot be used any more goes first.
const maxStatuses = 10_000

// statusCache keeps OCSP answers for minutes, so that a busy key does not ask the
// responder for every signature. Concurrent questions about one certificate
// become one.
type statusCache struct {
	ocsp   OCSP
	url    string
	age    time.Duration
	now    func() time.Time
	flight singleflight.Group

	mu      sync.Mutex
	answers map[[32]byte]*status
}

// known returns the answer of the cache, or nil.
func (c *statusCache) known(cert *x509.Certificate) *status {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.answers[sha256.Sum256(cert.Raw)]
	if a == nil || !c.now().Before(a.until) {
		return nil
	}
	return a
}

// get returns the status, asking the responder if the cache has none or if fresh
// is wanted. An error is csc.ErrUnavailable with its cause.
func (c *statusCache) get(ctx context.Context, cert, issuer *x509.Certificate, fresh bool) (*status, error) {
	if a := c.known(cert); a != nil && !fresh {
		return a, nil
	}
	key := sha256.Sum256(cert.Raw)
	result := c.flight.DoChan(string(key[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		return c.ask(ctx, cert, issuer)
	})
	select {
	case <-ctx.Done():
		return nil, csc.ErrUnavailable.Because(ctx.Err())
	case r := <-result:
		if r.Err != nil {
			return nil, csc.ErrUnavailable.Because(fmt.Errorf("certificate status: %w", r.Err))
		}
		a, ok := r.Val.(*status)
		if !ok {
			return nil, errors.New("certificate status: no answer")
		}
		return a, nil
	}
}

func (c *statusCache) ask(ctx context.Context, cert, issuer *x509.Certificate) (*status, error) {
	url := c.url
	if url == "" {
		if len(cert.OCSPServer) == 0 {
			return nil, errors.New("the certificate names no OCSP responder")
		}
		url = cert.OCSPServer[0]
	}
	request, err := cms.EncodeOCSPRequest(cert, issuer, nil)
	if err != nil {
		return nil, fmt.Errorf("encode OCSP request: %w", err)
	}
	der, err := c.ocsp.OCSP(ctx, url, request)
	if err != nil {
		return nil, err
	}
	a, err := readStatus(der, cert, issuer)
	if err != nil {
		return nil, err
	}
	a.until = a.until.Add(c.age)
	if most := c.now().Add(c.age); a.until.After(most) { // a responder whose clock is ahead
		a.until = most
	}
	c.keep(cert, a)
	return a, nil
}

// readStatus verifies an answer; until is its thisUpdate.
func readStatus(der []byte, cert, issuer *x509.Certificate) (*status, error) {
	response, err := cms.ParseOCSP(der)
	if err != nil {
		return nil, err
	}
	if _, _, err := response.Verify(issuer, nil); err != nil {
		return nil, fmt.Errorf("OCSP answer: %w", err)
	}
	answer := response.For(cert, issuer)
	if answer == nil {
		return nil, errors.New("the OCSP answer is about other certificates")
	}
	return &status{
		der: der, good: answer.Status == cms.StatusGood, revoked: answer.Status == cms.StatusRevoked,
		until: answer.ThisUpdate,
	}, nil
}

func (c *statusCache) keep(cert *x509.Certificate, a *status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil {
		c.answers = make(map[[32]byte]*status)
	}
	if len(c.answers) >= maxStatuses {
		now := c.now()
		maps.DeleteFunc(c.answers, func(_ [32]byte, old *status) bool { return !now.Before(old.until) })
	}
	for key := range c.answers {
		if len(c.answers) < maxStatuses {
			break
		}
		delete(c.answers, key)
	}
	c.answers[sha256.Sum256(cert.Raw)] = a
}
