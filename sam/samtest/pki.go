package samtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/signing"
)

// CA issues signers' certificates and answers for them.
type CA struct {
	Root, Cert, Responder *x509.Certificate

	tb        testing.TB
	clock     *Clock
	key, root crypto.Signer
	responder crypto.Signer
	serial    int64
}

// NewCA makes a root, an issuing CA and an OCSP responder.
func NewCA(tb testing.TB, clock *Clock) *CA {
	tb.Helper()
	c := &CA{tb: tb, clock: clock, serial: 100}
	c.root, c.key, c.responder = Key(tb), Key(tb), Key(tb)
	ca := func(name string, path int) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: name, Country: []string{"NO"}}, IsCA: true, BasicConstraintsValid: true,
			MaxPathLen: path, MaxPathLenZero: path == 0, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	c.Root = c.Issue(ca("Test Root", 1), c.root.Public(), nil, c.root)
	c.Cert = c.Issue(ca("Test CA", 0), c.key.Public(), c.Root, c.root)
	c.Responder = c.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Test OCSP", Country: []string{"NO"}}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: asn1.NullBytes}},
	}, c.responder.Public(), c.Cert, c.key)
	return c
}

// Key makes a P-256 key.
func Key(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// Issue signs a certificate from the template; by nil is self-signed. It is valid
// from an hour ago, for a year, unless the template says otherwise.
func (c *CA) Issue(t *x509.Certificate, pub crypto.PublicKey, by *x509.Certificate, key crypto.Signer) *x509.Certificate {
	c.tb.Helper()
	c.serial++
	t.SerialNumber = big.NewInt(c.serial)
	if t.NotBefore.IsZero() {
		t.NotBefore = c.clock.Now().Add(-time.Hour)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = c.clock.Now().AddDate(1, 0, 0)
	}
	if by == nil {
		by = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, by, pub, key)
	if err != nil {
		c.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		c.tb.Fatal(err)
	}
	return cert
}

// Leaf issues a signer's certificate.
func (c *CA) Leaf(s signing.Subject, spki []byte) *x509.Certificate {
	c.tb.Helper()
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		c.tb.Fatal(err)
	}
	return c.Issue(&x509.Certificate{Subject: Name(s), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment}, pub, c.Cert, c.key)
}

// Sign issues a certificate from the issuing CA.
func (c *CA) Sign(t *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	c.tb.Helper()
	return c.Issue(t, pub, c.Cert, c.key)
}

// Name is a subject as a certificate has it.
func Name(s signing.Subject) pkix.Name {
	n := pkix.Name{CommonName: s.CommonName, Country: []string{s.Country}, SerialNumber: s.SerialNumber}
	if s.Organization != "" {
		n.Organization = []string{s.Organization}
	}
	for _, a := range []struct {
		arc   int
		value string
	}{{42, s.GivenName}, {4, s.Surname}} {
		if a.value != "" {
			n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, a.arc}, Value: a.value})
		}
	}
	return n
}

// OCSP answers for a certificate: ocsp.Good, Revoked or Unknown, fresh by the
// clock.
func (c *CA) OCSP(cert *x509.Certificate, status int) []byte {
	c.tb.Helper()
	return c.Answer(ocsp.Response{
		Status: status, SerialNumber: cert.SerialNumber, Certificate: c.Responder,
		ThisUpdate: c.clock.Now(), NextUpdate: c.clock.Now().Add(48 * time.Hour), RevokedAt: c.clock.Now(),
	}, c.Cert, c.Responder, c.responder)
}

// Answer makes any OCSP response.
func (c *CA) Answer(r ocsp.Response, issuer, by *x509.Certificate, key crypto.Signer) []byte {
	c.tb.Helper()
	der, err := ocsp.CreateResponse(issuer, by, r, key)
	if err != nil {
		c.tb.Fatal(err)
	}
	return der
}

// Keys are the private keys of issuing CA and responder, to make wrong answers
// with.
func (c *CA) Keys() (ca, responder crypto.Signer) { return c.key, c.responder }
