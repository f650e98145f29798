package sam

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// maxChain is the most certificates of a chain.
const maxChain = 6

// checkChain decides whether a chain may be bound to a credential.
func (m *Module) checkChain(chain [][]byte, c *credential, who *signer, now time.Time) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, format, args...).WithCode(samapi.CodeCertificate)
	}
	if len(chain) == 0 || len(chain) > maxChain {
		return bad("the chain must have 1 to %d certificates", maxChain)
	}
	certs := make([]*x509.Certificate, len(chain))
	between := x509.NewCertPool()
	for i, der := range chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return bad("certificate %d of the chain is not a certificate", i+1)
		}
		certs[i] = cert
		if i > 0 {
			between.AddCert(cert)
		}
	}
	leaf := certs[0]
	switch {
	case !bytes.Equal(leaf.RawSubjectPublicKeyInfo, c.SPKI):
		return bad("the certificate is for another key")
	case leaf.IsCA:
		return bad("the certificate is a CA's")
	case leaf.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0:
		return bad("the certificate's key usage does not allow signatures")
	}
	if err := sameSubject(leaf.Subject, who.Subject); err != nil {
		return bad("the certificate names another person: %v", err)
	}
	paths, err := leaf.Verify(x509.VerifyOptions{
		Roots: m.anchors, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return bad("the certificate does not chain to a trust anchor of the activation module: %v", err)
	}
	// The chain is stored as it was sent, so it must be the path.
	path := paths[0]
	for i := 1; i < len(certs); i++ {
		if i >= len(path) || !certs[i].Equal(path[i]) {
			return bad("the chain must go from the signer's certificate upwards, without others in between")
		}
	}
	return nil
}

var (
	oidGivenName = asn1.ObjectIdentifier{2, 5, 4, 42}
	oidSurname   = asn1.ObjectIdentifier{2, 5, 4, 4}
)

// sameSubject compares a certificate's subject with the person as proved
// (LNK-6.2.2-05): every name that the signer's record has must stand in the
// certificate, once, and none of these attributes may say more.
func sameSubject(name pkix.Name, s signing.Subject) error {
	given := map[string][]string{}
	for _, a := range name.Names {
		v, _ := a.Value.(string)
		key := a.Type.String()
		given[key] = append(given[key], v)
	}
	serial, identifier := s.SerialNumber, ""
	if s.Organization != "" && s.GivenName == "" && s.Surname == "" {
		serial, identifier = "", s.SerialNumber // of a legal person (EN 319 412-3 §4.2.1)
	}
	for _, f := range []struct {
		word, oid, want string
	}{
		{"common name", "2.5.4.3", s.CommonName},
		{"given name", oidGivenName.String(), s.GivenName},
		{"surname", oidSurname.String(), s.Surname},
		{"organization", "2.5.4.10", s.Organization},
		{"serial number", "2.5.4.5", serial},
		{"organization identifier", "2.5.4.97", identifier},
		{"country", "2.5.4.6", s.Country},
	} {
		have := given[f.oid]
		if f.want == "" && len(have) == 0 {
			continue
		}
		if len(have) != 1 || have[0] != f.want {
			return fmt.Errorf("%s is %q, registered is %q", f.word, have, f.want)
		}
	}
	return nil
}

// holder is a credential's certificate, parsed.
type holder struct {
	leaf, issuer *x509.Certificate
	rest         []*x509.Certificate // of the stored chain, the issuer included
}

// public is the key that signatures are verified with.
func (h *holder) public() crypto.PublicKey { return h.leaf.PublicKey }

// validAt refuses a certificate outside of its validity (SIG-6.3.1-08).
func (h *holder) validAt(now time.Time) error {
	for _, c := range append([]*x509.Certificate{h.leaf}, h.rest...) {
		if now.Before(c.NotBefore) {
			return fault.New(fault.Forbidden, "the signer's certificate is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339)).WithCode(samapi.CodeCertificateExpired)
		}
		if now.After(c.NotAfter) {
			return fault.New(fault.Expired, "the signer's certificate ended on %s", c.NotAfter.UTC().Format(time.RFC3339)).WithCode(samapi.CodeCertificateExpired)
		}
	}
	return nil
}

// certificates keeps parsed certificates by the hash of the whole chain.
type certificates struct {
	mu   sync.Mutex
	held map[[sha256.Size]byte]*holder
}

// holder parses a credential's chain and finds the issuer of its certificate.
func (m *Module) holder(c *credential) (*holder, error) {
	key := [sha256.Size]byte(c.ChainHash)
	m.certs.mu.Lock()
	h := m.certs.held[key]
	m.certs.mu.Unlock()
	if h != nil {
		return h, nil
	}
	h = &holder{}
	for i, der := range c.chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", c.record(), i+1, err)
		}
		if i == 0 {
			h.leaf = cert
		} else {
			h.rest = append(h.rest, cert)
		}
	}
	if h.leaf == nil {
		return nil, fault.New(fault.Forbidden, "the credential has no certificate yet").WithCode(samapi.CodeCredentialDisabled)
	}
	for _, cert := range append(slices.Clip(h.rest), m.roots...) {
		if bytes.Equal(cert.RawSubject, h.leaf.RawIssuer) && h.leaf.CheckSignatureFrom(cert) == nil {
			h.issuer = cert
			break
		}
	}
	if h.issuer == nil {
		return nil, fault.New(fault.Unavailable, "the issuer of the signer's certificate is no longer a trust anchor").WithCode(samapi.CodeStatusUnknown)
	}
	m.certs.mu.Lock()
	defer m.certs.mu.Unlock()
	if m.certs.held == nil || len(m.certs.held) >= maxHeld {
		m.certs.held = make(map[[sha256.Size]byte]*holder)
	}
	m.certs.held[key] = h
	return h, nil
}
