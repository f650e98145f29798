package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"
)

// Role is what a certificate of the authority is for.
type Role string

// The roles.
const (
	RoleRoot   Role = "root"
	RoleCA     Role = "ca"
	RoleOCSP   Role = "ocsp"
	RoleTSA    Role = "tsa"
	RoleSigner Role = "signer"
)

// backdate lies between notBefore and now: clocks of others may be behind. No
// status is ever dated back, so a fresh one is never older than its certificate.
const backdate = time.Minute

// Lives of the authority's own certificates, and how long before the end the
// next one is made. Root and issuing CA are never replaced by themselves.
var lives = map[Role]struct{ life, renew time.Duration }{
	RoleRoot: {life: 10 * 366 * day},
	RoleCA:   {life: 8 * 366 * day},
	RoleOCSP: {life: 366 * day, renew: 60 * day},
	RoleTSA:  {life: 5 * 366 * day, renew: 366 * day},
}

var (
	oidExtKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidEKUTimeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	oidOCSPNoCheck     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
)

// ownTemplate is the profile of one of the authority's own certificates.
func (a *Authority) ownTemplate(role Role, generation int, now time.Time) (*x509.Certificate, error) {
	label := map[Role]string{RoleRoot: "Root CA", RoleCA: "Issuing CA", RoleOCSP: "OCSP", RoleTSA: "TSA"}[role]
	if generation > 1 {
		label = fmt.Sprintf("%s %d", label, generation)
	}
	name, err := asn1.Marshal(names(a.cfg.Country, attribute{oidOrganization, a.cfg.Name},
		attribute{oidOrganizationID, a.cfg.OrganizationID}, attribute{oidCommonName, a.cfg.Name + " " + label}))
	if err != nil {
		return nil, fmt.Errorf("encode the name of %s: %w", label, err)
	}
	t := &x509.Certificate{
		RawSubject:   name,
		SerialNumber: newSerial(),
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(lives[role].life),
	}
	switch role {
	case RoleRoot, RoleCA:
		t.IsCA, t.BasicConstraintsValid = true, true
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		if role == RoleCA {
			t.MaxPathLenZero = true
			t.CRLDistributionPoints = []string{a.url("/root.crl")}
		}
	case RoleOCSP:
		t.KeyUsage = x509.KeyUsageDigitalSignature
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
		t.ExtraExtensions = []pkix.Extension{{Id: oidOCSPNoCheck, Value: asn1.NullBytes}}
	case RoleTSA:
		eku, err := asn1.Marshal([]asn1.ObjectIdentifier{oidEKUTimeStamping})
		if err != nil {
			return nil, err
		}
		t.KeyUsage = x509.KeyUsageDigitalSignature
		// Critical, and alone in it: RFC 3161 §2.3, and OpenSSL insists.
		t.ExtraExtensions = []pkix.Extension{{Id: oidExtKeyUsage, Critical: true, Value: eku}}
		t.CRLDistributionPoints = []string{a.url("/ca.crl")}
	case RoleSigner:
		return nil, fmt.Errorf("%s is not one of the authority's own", role)
	}
	return t, nil
}

// signerTemplate is the profile of a signer's certificate.
func (a *Authority) signerTemplate(s subject, now time.Time) (*x509.Certificate, error) {
	name, err := asn1.Marshal(s.name)
	if err != nil {
		return nil, fmt.Errorf("encode subject: %w", err)
	}
	t := &x509.Certificate{
		RawSubject:            name,
		SerialNumber:          newSerial(),
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(a.cfg.Validity),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
		OCSPServer:            []string{a.url("/ocsp")},
		IssuingCertificateURL: []string{a.url("/ca.crt")},
		CRLDistributionPoints: []string{a.url("/ca.crl")},
		Policies:              a.cfg.policies,
	}
	if s.email != "" {
		t.EmailAddresses = []string{s.email}
	}
	if a.cfg.QC != nil {
		e, err := a.cfg.QC.extension(s.legal)
		if err != nil {
			return nil, fmt.Errorf("encode qcStatements: %w", err)
		}
		t.ExtraExtensions = append(t.ExtraExtensions, e)
	}
	return t, nil
}

// certify signs a certificate for pub. A certificate never outlives its issuer.
func certify(t *x509.Certificate, pub crypto.PublicKey, issuer *holder, key crypto.Signer) (*x509.Certificate, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(spki)
	t.SubjectKeyId = sum[:20] // RFC 7093 §2, in the size that everybody expects
	parent := t
	if issuer != nil {
		parent = issuer.cert
		if t.NotAfter.After(parent.NotAfter) {
			t.NotAfter = parent.NotAfter
		}
		if t.NotBefore.Before(parent.NotBefore) {
			t.NotBefore = parent.NotBefore
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial returns 127 random bits, positive and never zero (RFC 5280 §4.1.2.2).
func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[0] = b[0]&0x7F | 0x40
	return new(big.Int).SetBytes(b[:])
}

// serialText is how serial numbers are stored and shown.
func serialText(n *big.Int) string { return fmt.Sprintf("%x", n) }

// hexSHA256 is how keys and statements are named.
func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (a *Authority) url(path string) string { return a.cfg.BaseURL + path }
