package signer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/internal/fault"
)

// maxIssuers is how many certificates are looked at in one job: chains are
// short, and somebody else's certificates say where to look next.
const maxIssuers = 32

// collector gathers certificates and revocation data for one job. What it got
// once it uses for every file.
type collector struct {
	fetch    Fetcher
	anchors  []*x509.Certificate
	now      func() time.Time
	certs    []*x509.Certificate
	statuses map[[32]byte]*status
}

// status is the proof that a certificate is not revoked: an OCSP answer or a CRL.
type status struct {
	ocsp, crl []byte
	responder *x509.Certificate // who signed the OCSP answer, if not the issuer
}

func newCollector(f Fetcher, anchors []*x509.Certificate, now func() time.Time) *collector {
	return &collector{fetch: f, anchors: anchors, now: now, statuses: map[[32]byte]*status{}}
}

// add remembers certificates that may be needed.
func (c *collector) add(certs ...*x509.Certificate) {
	for _, cert := range certs {
		if !slices.ContainsFunc(c.certs, cert.Equal) && len(c.certs) < 4*maxIssuers {
			c.certs = append(c.certs, cert)
		}
	}
}

// collect implements pades.Collect: for every certificate from the leaves up to
// an anchor or a self-signed one, its issuer and proof that it is not revoked.
func (c *collector) collect(ctx context.Context, leaves, known []*x509.Certificate) (pades.Evidence, error) {
	c.add(known...)
	c.add(leaves...)
	var e pades.Evidence
	queue := slices.Clone(leaves)
	seen := map[[32]byte]bool{}
	for len(queue) > 0 {
		cert := queue[0]
		queue = queue[1:]
		key := sha256.Sum256(cert.Raw)
		if seen[key] {
			continue
		}
		if seen[key] = true; len(seen) > maxIssuers {
			return e, missing("the certificate chains are longer than %d certificates", maxIssuers)
		}
		if c.anchor(cert) {
			continue
		}
		e.Certs = append(e.Certs, cert.Raw)
		issuer, err := c.issuer(ctx, cert)
		if err != nil {
			if len(c.anchors) == 0 && cert.IsCA {
				continue // nobody said where trust begins: perhaps here
			}
			return e, err
		}
		queue = append(queue, issuer)
		if cms.NoRevocation(cert) || cms.NoCheck(cert) {
			continue
		}
		st, err := c.status(ctx, cert, issuer)
		if err != nil {
			return e, err
		}
		if st.ocsp == nil {
			e.CRLs = append(e.CRLs, st.crl)
			continue
		}
		e.OCSPs = append(e.OCSPs, st.ocsp)
		if st.responder != nil {
			queue = append(queue, st.responder)
		}
	}
	return e, nil
}

// anchor says whether trust ends here: at an anchor, or at a self-signed
// certificate, above which nothing can be proved.
func (c *collector) anchor(cert *x509.Certificate) bool {
	return slices.ContainsFunc(c.anchors, cert.Equal) || cms.SelfSigned(cert)
}

func missing(format string, args ...any) *fault.Error {
	return fault.New(fault.Unavailable, format+", so the signature would not stay verifiable; nothing was written", args...).WithCode(CodeEvidence)
}

// issuer finds the certificate that signed cert, among those at hand or where
// cert says (caIssuers).
func (c *collector) issuer(ctx context.Context, cert *x509.Certificate) (*x509.Certificate, error) {
	for _, candidate := range slices.Concat(c.anchors, c.certs) {
		if _, err := cms.IssuedBy(cert, candidate); err == nil {
			return candidate, nil
		}
	}
	var causes error
	for _, url := range cert.IssuingCertificateURL {
		body, err := c.fetch.Certificate(ctx, url)
		if err != nil {
			causes = errors.Join(causes, err)
			continue
		}
		if b, _ := pem.Decode(body); b != nil {
			body = b.Bytes
		}
		candidate, err := x509.ParseCertificate(body)
		if err != nil {
			causes = errors.Join(causes, err)
			continue
		}
		if _, err := cms.IssuedBy(cert, candidate); err == nil {
			c.add(candidate)
			return candidate, nil
		}
	}
	return nil, missing("the issuer's certificate of %q cannot be found", name(cert)).Because(causes)
}

// status gets proof that cert is not revoked: OCSP where it is offered, else a CRL.
func (c *collector) status(ctx context.Context, cert, issuer *x509.Certificate) (*status, error) {
	key := sha256.Sum256(cert.Raw)
	if st := c.statuses[key]; st != nil {
		return st, nil
	}
	var causes error
	for _, get := range []func(context.Context, *x509.Certificate, *x509.Certificate) (*status, error){c.fromOCSP, c.fromCRL} {
		st, err := get(ctx, cert, issuer)
		if errors.Is(err, errRevoked) {
			return nil, unusable("the certificate %q is revoked; nothing was written", name(cert)).Because(err)
		}
		if err == nil {
			c.statuses[key] = st
			return st, nil
		}
		causes = errors.Join(causes, err)
	}
	return nil, missing("the revocation status of %q cannot be had", name(cert)).Because(causes)
}

// fromOCSP asks the responders that the certificate names, one after the other.
func (c *collector) fromOCSP(ctx context.Context, cert, issuer *x509.Certificate) (*status, error) {
	causes := errors.New("no OCSP responder answered")
	for _, url := range cert.OCSPServer {
		request, err := cms.EncodeOCSPRequest(cert, issuer, nil)
		if err != nil {
			return nil, err
		}
		der, err := c.fetch.OCSP(ctx, url, request)
		if err != nil {
			causes = errors.Join(causes, err)
			continue
		}
		responder, err := c.readOCSP(der, cert, issuer)
		if err == nil || errors.Is(err, errRevoked) {
			return &status{ocsp: der, responder: responder}, err
		}
		causes = errors.Join(causes, err)
	}
	return nil, causes
}

// fromCRL gets the lists that the certificate names, one after the other.
func (c *collector) fromCRL(ctx context.Context, cert, issuer *x509.Certificate) (*status, error) {
	causes := errors.New("no CRL was found")
	for _, url := range cert.CRLDistributionPoints {
		if !strings.HasPrefix(url, "http") { // LDAP is of no use here
			continue
		}
		der, err := c.fetch.CRL(ctx, url)
		if err == nil {
			err = c.readCRL(der, cert, issuer)
		}
		if err == nil || errors.Is(err, errRevoked) {
			return &status{crl: der}, err
		}
		causes = errors.Join(causes, err)
	}
	return nil, causes
}

var errRevoked = errors.New("revoked")

// readOCSP verifies an answer and returns the responder's certificate if it is
// another than the issuer's.
func (c *collector) readOCSP(der []byte, cert, issuer *x509.Certificate) (*x509.Certificate, error) {
	response, err := cms.ParseOCSP(der)
	if err != nil {
		return nil, err
	}
	responder, _, err := response.Verify(issuer, c.certs)
	if err != nil {
		return nil, err
	}
	answer := response.For(cert, issuer)
	if answer == nil {
		return nil, errors.New("the OCSP answer is about other certificates")
	}
	switch answer.Status {
	case cms.StatusRevoked:
		return nil, fmt.Errorf("at %s: %w", answer.RevokedAt, errRevoked)
	case cms.StatusUnknown:
		return nil, errors.New("the OCSP responder does not know the certificate")
	case cms.StatusGood:
	}
	if !answer.NextUpdate.IsZero() && answer.NextUpdate.Before(c.now()) {
		return nil, fmt.Errorf("the OCSP answer ran out at %s", answer.NextUpdate)
	}
	c.add(response.Certificates...)
	if responder == nil || bytes.Equal(responder.Raw, issuer.Raw) {
		return nil, nil //nolint:nilnil // the issuer is known already
	}
	return responder, nil
}

func (c *collector) readCRL(der []byte, cert, issuer *x509.Certificate) error {
	crl, err := cms.ParseCRL(der)
	if err != nil {
		return err
	}
	if _, err := crl.Verify(issuer); err != nil {
		return err
	}
	answer, err := crl.For(cert)
	if err != nil {
		return err
	}
	if answer.Status == cms.StatusRevoked {
		return fmt.Errorf("at %s: %w", answer.RevokedAt, errRevoked)
	}
	if crl.NextUpdate.Before(c.now()) && !crl.NextUpdate.IsZero() {
		return fmt.Errorf("the CRL ran out at %s", crl.NextUpdate)
	}
	return nil
}

func name(cert *x509.Certificate) string {
	if cert.Subject.CommonName != "" {
		return cert.Subject.CommonName
	}
	return cert.Subject.String()
}
