// Package adestest makes public-key infrastructures, time-stamps, revocation
// data, signatures and PDF files in memory for tests, good ones and bad ones. It
// is deliberately not built on the code it helps to test wherever it makes
// something wrong. Keys live in memory only, and every call makes new ones.
package adestest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/countersign/countersign/signing"
)

// Identity is a certificate with its key.
type Identity struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// Config says how a PKI differs from the one every validator accepts.
type Config struct {
	// Now is when it is made; zero is the present. Certificates begin a day before.
	Now time.Time
	// KeyType is the kind of all keys; "" is P-256.
	KeyType signing.KeyType
	// SignerKey is the signer's key, if it is to be another than KeyType's.
	SignerKey crypto.Signer
	// BaseURL is where certificates say that OCSP, CRLs and the CA certificate are
	// found; "" is an address where nobody listens.
	BaseURL string
	// Adjust has the last word on a certificate before it is signed. role is
	// root, ca, signer, tsa or ocsp.
	Adjust func(role string, template *x509.Certificate)
}

// PKI is root → issuing CA → signer, TSA and OCSP responder, with the extensions
// that independent validators want.
type PKI struct {
	Now                         time.Time
	Root, CA, Signer, TSA, OCSP Identity
	// StatusAge and StatusLife are how long before Now revocation data was made
	// and how long it holds.
	StatusAge, StatusLife time.Duration

	tb  testing.TB
	cfg Config
}

// New makes a PKI.
func New(tb testing.TB, cfg Config) *PKI {
	tb.Helper()
	if cfg.Now.IsZero() {
		cfg.Now = time.Now()
	}
	if cfg.KeyType == "" {
		cfg.KeyType = signing.P256
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = "http://127.0.0.1:9"
	}
	p := &PKI{tb: tb, cfg: cfg, Now: cfg.Now.UTC().Truncate(time.Second), StatusAge: time.Minute, StatusLife: 7 * 24 * time.Hour}
	p.Root = p.issue("root", "Sample Root CA", NewKey(tb, cfg.KeyType), nil, func(t *x509.Certificate) {
		t.IsCA, t.BasicConstraintsValid, t.MaxPathLen = true, true, 1
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		t.NotAfter = p.Now.AddDate(10, 0, 0)
	})
	p.CA = p.issue("ca", "Sample Issuing CA", NewKey(tb, cfg.KeyType), &p.Root, func(t *x509.Certificate) {
		t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		t.CRLDistributionPoints = []string{cfg.BaseURL + "/root.crl"}
		t.NotAfter = p.Now.AddDate(8, 0, 0)
	})
	key := cfg.SignerKey
	if key == nil {
		key = NewKey(tb, cfg.KeyType)
	}
	p.Signer = p.NewSigner("Alice Sample", key)
	p.TSA = p.NewTSA("Sample TSA")
	p.OCSP = p.issue("ocsp", "Sample OCSP", NewKey(tb, cfg.KeyType), &p.CA, func(t *x509.Certificate) {
		t.KeyUsage = x509.KeyUsageDigitalSignature
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}})
	})
	return p
}

// NewSigner issues another signer's certificate.
func (p *PKI) NewSigner(name string, key crypto.Signer) Identity {
	return p.issue("signer", name, key, &p.CA, func(t *x509.Certificate) {
		t.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
		t.CRLDistributionPoints = []string{p.cfg.BaseURL + "/ca.crl"}
		t.OCSPServer = []string{p.cfg.BaseURL + "/ocsp"}
		t.IssuingCertificateURL = []string{p.cfg.BaseURL + "/ca.cer"}
	})
}

// NewTSA issues another time-stamping certificate.
func (p *PKI) NewTSA(name string) Identity {
	return p.issue("tsa", name, NewKey(p.tb, p.cfg.KeyType), &p.CA, func(t *x509.Certificate) {
		t.KeyUsage = x509.KeyUsageDigitalSignature
		t.CRLDistributionPoints = []string{p.cfg.BaseURL + "/ca.crl"}
		t.NotAfter = p.Now.AddDate(5, 0, 0)
		t.ExtraExtensions = append(t.ExtraExtensions, TimeStampingUsage(true))
	})
}

// TimeStampingUsage is the extended key usage of a TSA's certificate.
func TimeStampingUsage(critical bool) pkix.Extension {
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		panic(err) // constant input
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: value}
}

func (p *PKI) issue(role, name string, key crypto.Signer, issuer *Identity, shape func(*x509.Certificate)) Identity {
	p.tb.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		p.tb.Fatal(err)
	}
	t := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{Country: []string{"BE"}, Organization: []string{"Sample"}, CommonName: name},
		NotBefore:    p.Now.Add(-24 * time.Hour),
		NotAfter:     p.Now.AddDate(2, 0, 0),
		SubjectKeyId: keyID(p.tb, key.Public()),
	}
	shape(t)
	if p.cfg.Adjust != nil {
		p.cfg.Adjust(role, t)
	}
	parent, signer := t, key
	if issuer != nil {
		parent, signer = issuer.Cert, issuer.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		p.tb.Fatalf("issue %s: %v", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		p.tb.Fatalf("issue %s: %v", name, err)
	}
	return Identity{Cert: cert, Key: key}
}

func keyID(tb testing.TB, pub crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		tb.Fatal(err)
	}
	h := crypto.SHA1.New()
	h.Write(der)
	return h.Sum(nil)
}

// NewKey makes a key.
func NewKey(tb testing.TB, kind signing.KeyType) crypto.Signer {
	tb.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case signing.P384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case signing.P521:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case signing.RSA3072:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case signing.RSA4096:
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	case signing.KeyEd25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case signing.P256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		tb.Fatalf("no key type %q", kind)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// Anchors is the root: all that a validator needs to trust.
func (p *PKI) Anchors() []*x509.Certificate { return []*x509.Certificate{p.Root.Cert} }

// RootPEM is the root for other programs.
func (p *PKI) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Root.Cert.Raw})
}

// CRL makes a list of one of the PKI's CAs with the certificates revoked at a time.
func (p *PKI) CRL(issuer Identity, revokedAt time.Time, revoked ...*x509.Certificate) []byte {
	p.tb.Helper()
	made := p.Now.Add(-p.StatusAge)
	t := &x509.RevocationList{Number: big.NewInt(made.Unix()), ThisUpdate: made, NextUpdate: made.Add(p.StatusLife)}
	for _, c := range revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: revokedAt, ReasonCode: 1})
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, issuer.Cert, issuer.Key)
	if err != nil {
		p.tb.Fatal(err)
	}
	return der
}

// CRLs are the root's and the CA's lists, both empty.
func (p *PKI) CRLs() [][]byte {
	return [][]byte{p.CRL(p.Root, time.Time{}), p.CRL(p.CA, time.Time{})}
}

// same reports whether two identities are one.
func (id Identity) same(o Identity) bool { return bytes.Equal(id.Cert.Raw, o.Cert.Raw) }
