//go:build !assemble

package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"

	"github.com/countersign/countersign/signing"
)

// PublicKey returns the certificate's public key. Unlike crypto/x509 it also
// reads RSA keys that are marked for RSASSA-PSS only.
func PublicKey(cert *x509.Certificate) (crypto.PublicKey, error) {
	if cert.PublicKey != nil {
		return cert.PublicKey, nil
	}
	oid, key, ok := rawPublicKey(cert.RawSubjectPublicKeyInfo)
	if ok && oid == oidPublicKeyPSS {
		if k, err := x509.ParsePKCS1PublicKey(key); err == nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("public key of type %q: %w", oid, signing.ErrAlgorithm)
}

// Matches reports whether the identifier is this certificate's: digest, and
// issuer and serial if they are stated.
func (id CertID) Matches(c *x509.Certificate) bool {
	if id.Hash == 0 || !bytes.Equal(sum(id.Hash, c.Raw), id.Digest) {
		return false
	}
	return id.Serial == nil || (id.Serial.Cmp(c.SerialNumber) == 0 && sameName(id.Issuer, c.RawIssuer))
}
