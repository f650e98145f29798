//go:build !assemble

package cms

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CRL is a parsed certificate revocation list (RFC 5280 §5).
type CRL struct {
	*x509.RevocationList

	signed   SignedObject
	onlyUser bool
	onlyCA   bool
	unusable string // why this list cannot be used for "not revoked"
}

// ErrCRLScope says that a CRL does not speak about a certificate, or in a way
// that is not understood here (indirect, delta, by reason).
var ErrCRLScope = errors.New("the CRL does not cover the certificate")

// ParseCRL reads a CertificateList.
func ParseCRL(der []byte) (*CRL, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("CRL: %w: %w", ErrMalformed, err)
	}
	signed, err := ParseSignedObject(der)
	if err != nil {
		return nil, fmt.Errorf("CRL: %w", err)
	}
	c := &CRL{RevocationList: list, signed: signed}
	for _, e := range list.Extensions {
		switch oid := e.Id.String(); {
		case oid == oidIDP:
			if !c.readDistributionPoint(e.Value) {
				return nil, fmt.Errorf("CRL: issuing distribution point: %w", ErrMalformed)
			}
		case oid == oidDeltaCRL:
			c.unusable = "it is a delta CRL"
		case e.Critical:
			c.unusable = "it has the unknown critical extension " + oid
		}
	}
	return c, nil
}

// readDistributionPoint reads IssuingDistributionPoint. The point's name is not
// compared: who holds the list got it for this CA, and the CA signed it.
func (c *CRL) readDistributionPoint(der []byte) bool {
	in := cryptobyte.String(der)
	var body cryptobyte.String
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() {
		return false
	}
	for !body.Empty() {
		var part cryptobyte.String
		var tag cbasn1.Tag
		if !body.ReadAnyASN1(&part, &tag) {
			return false
		}
		set := len(part) == 1 && part[0] != 0
		switch uint8(tag) {
		case 0x81:
			c.onlyUser = set
		case 0x82:
			c.onlyCA = set
		case 0x83:
			c.unusable = "it is only for some reasons"
		case 0x84:
			if set {
				c.unusable = "it is an indirect CRL"
			}
		case 0x85:
			if set {
				c.unusable = "it is for attribute certificates"
			}
		}
	}
	return true
}

// Verify checks that issuer signed the list and may: its key usage, if it has
// one, must include cRLSign. The scheme is returned for a policy to judge.
func (c *CRL) Verify(issuer *x509.Certificate) (Scheme, error) {
	if !sameName(c.RawIssuer, issuer.RawSubject) {
		return c.signed.Scheme, fmt.Errorf("CRL of %q: %w", c.Issuer, ErrCRLScope)
	}
	if issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return c.signed.Scheme, errors.New("the CRL's issuer may not sign CRLs")
	}
	pub, err := PublicKey(issuer)
	if err != nil {
		return c.signed.Scheme, err
	}
	return c.signed.Scheme, c.signed.Verify(pub)
}

// CRLAnswer is what a CRL says about one certificate.
type CRLAnswer struct {
	Status    CertStatus // StatusGood or StatusRevoked
	RevokedAt time.Time
	Reason    int
}

// For says what the list says about cert. It returns ErrCRLScope if the list
// cannot speak about it.
func (c *CRL) For(cert *x509.Certificate) (CRLAnswer, error) {
	switch {
	case !sameName(c.RawIssuer, cert.RawIssuer):
		return CRLAnswer{}, fmt.Errorf("another issuer's: %w", ErrCRLScope)
	case c.unusable != "":
		return CRLAnswer{}, fmt.Errorf("%s: %w", c.unusable, ErrCRLScope)
	case c.onlyUser && cert.IsCA:
		return CRLAnswer{}, fmt.Errorf("it lists end-entity certificates only: %w", ErrCRLScope)
	case c.onlyCA && !cert.IsCA:
		return CRLAnswer{}, fmt.Errorf("it lists CA certificates only: %w", ErrCRLScope)
	}
	for _, e := range c.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(cert.SerialNumber) != 0 {
			continue
		}
		for _, x := range e.Extensions {
			if x.Critical {
				return CRLAnswer{}, fmt.Errorf("its entry has the critical extension %s: %w", x.Id, ErrCRLScope)
			}
		}
		const removeFromCRL = 8
		if e.ReasonCode == removeFromCRL {
			continue
		}
		return CRLAnswer{Status: StatusRevoked, RevokedAt: e.RevocationTime, Reason: e.ReasonCode}, nil
	}
	return CRLAnswer{Status: StatusGood}, nil
}

// Equal reports whether both are the same bytes.
func (c *CRL) Equal(o *CRL) bool { return bytes.Equal(c.Raw, o.Raw) }
