package federation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"
)

// OCSP posts a DER OCSP request to a responder and returns the DER answer.
type OCSP interface {
	OCSP(ctx context.Context, url string, request []byte) ([]byte, error)
}

const (
	// statusAge is how long an answer is used before the responder is asked again.
	statusAge = 5 * time.Minute
	// statusOldest is how old an answer may be when it comes, whatever nextUpdate says.
	statusOldest = 24 * time.Hour
	// revocationGrace is how long a service may take to learn that a certificate was
	// revoked before its word "valid" is a lie.
	revocationGrace = 10 * time.Minute
	// maxStatuses bounds the cache.
	maxStatuses = 4096
)

// status is a verified answer about one certificate.
type status struct {
	good    bool
	revoked time.Time // zero unless revoked
	asked   time.Time
	until   time.Time // nextUpdate
}

// statuses asks responders and remembers for minutes.
type statuses struct {
	now func() time.Time

	mu   sync.Mutex
	held map[[32]byte]status
}

// get returns what the certificate's responder says. An error means that the status
// is not known.
func (s *statuses) get(ctx context.Context, by OCSP, cert, issuer *x509.Certificate) (status, error) {
	key, now := sha256.Sum256(cert.Raw), s.now()
	s.mu.Lock()
	have, ok := s.held[key]
	s.mu.Unlock()
	if ok && now.Before(have.asked.Add(statusAge)) && now.Before(have.until) {
		return have, nil
	}
	if len(cert.OCSPServer) == 0 {
		return status{}, errors.New("the certificate names no OCSP responder")
	}
	request, err := ocsp.CreateRequest(cert, issuer, nil)
	if err != nil {
		return status{}, fmt.Errorf("encode OCSP request: %w", err)
	}
	der, err := by.OCSP(ctx, cert.OCSPServer[0], request)
	if err != nil {
		return status{}, err
	}
	got, err := readStatus(der, cert, issuer, now)
	if err != nil {
		return status{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil || len(s.held) >= maxStatuses {
		s.held = map[[32]byte]status{}
	}
	s.held[key] = got
	return got, nil
}

// readStatus verifies an answer: by the issuer itself or by a responder that the
// issuer appointed (RFC 6960 §4.2.2.2), about this certificate, and fresh.
func readStatus(der []byte, cert, issuer *x509.Certificate, now time.Time) (status, error) {
	r, err := ocsp.ParseResponseForCert(der, cert, issuer)
	if err != nil {
		return status{}, fmt.Errorf("OCSP answer: %w", err)
	}
	if by := r.Certificate; by != nil && !bytes.Equal(by.Raw, issuer.Raw) {
		// The library looks at the signature only: any certificate of this authority
		// could answer otherwise, the signer's own too.
		if !slices.Contains(by.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
			return status{}, errors.New("OCSP answer: signed by a certificate that is not for OCSP")
		}
		if now.Add(clockSkew).Before(by.NotBefore) || now.After(by.NotAfter) {
			return status{}, errors.New("OCSP answer: the responder's certificate is not valid now")
		}
	}
	if r.SerialNumber == nil || r.SerialNumber.Cmp(cert.SerialNumber) != 0 {
		return status{}, errors.New("OCSP answer: about another certificate")
	}
	switch {
	case now.Add(clockSkew).Before(r.ThisUpdate):
		return status{}, fmt.Errorf("OCSP answer: of %s, which is ahead of the clock here", r.ThisUpdate.UTC().Format(time.RFC3339))
	case now.Sub(r.ThisUpdate) > statusOldest || (!r.NextUpdate.IsZero() && !now.Before(r.NextUpdate)):
		return status{}, fmt.Errorf("OCSP answer: of %s, which is too old", r.ThisUpdate.UTC().Format(time.RFC3339))
	}
	s := status{good: r.Status == ocsp.Good, asked: now, until: r.NextUpdate}
	if r.NextUpdate.IsZero() {
		s.until = now.Add(statusAge)
	}
	if r.Status == ocsp.Revoked {
		s.revoked = r.RevokedAt
		if s.revoked.IsZero() {
			s.revoked = r.ThisUpdate
		}
	}
	if r.Status == ocsp.Unknown {
		return status{}, errors.New("OCSP answer: the responder does not know the certificate")
	}
	return s, nil
}
