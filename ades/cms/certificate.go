//go:build !assemble

package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/signing"
)

// SignedObject is the outer shape that certificates, CRLs and OCSP answers
// share: bytes that were signed, an algorithm, a signature.
type SignedObject struct {
	TBS       []byte
	Scheme    Scheme
	Signature []byte
}

// ParseSignedObject reads SEQUENCE{ tbs, AlgorithmIdentifier, BIT STRING }.
func ParseSignedObject(der []byte) (SignedObject, error) {
	var o SignedObject
	in := cryptobyte.String(der)
	var body, tbs cryptobyte.String
	var bits asn1.BitString
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1Element(&tbs, cbasn1.SEQUENCE) {
		return o, fmt.Errorf("signed object: %w", ErrMalformed)
	}
	oid, params, ok := readAlgorithm(&body)
	if !ok || !body.ReadASN1BitString(&bits) {
		return o, fmt.Errorf("signed object: %w", ErrMalformed)
	}
	scheme, err := schemeOf(oid, params, 0)
	if err != nil {
		return o, err
	}
	return SignedObject{TBS: tbs, Scheme: scheme, Signature: bits.RightAlign()}, nil
}

// Verify checks the object's signature with a public key.
func (o SignedObject) Verify(pub crypto.PublicKey) error {
	return o.Scheme.Verify(pub, o.TBS, o.Signature)
}

// IssuedBy checks that issuer's key signed cert and that the names fit. Unlike
// crypto/x509 it knows RSASSA-PSS keys and old digests; the scheme is returned so
// that a policy can refuse it. Extensions are not its concern.
func IssuedBy(cert, issuer *x509.Certificate) (Scheme, error) {
	if !sameName(cert.RawIssuer, issuer.RawSubject) {
		return Scheme{}, fmt.Errorf("%q did not issue %q: %w", issuer.Subject, cert.Subject, signing.ErrSignature)
	}
	o, err := ParseSignedObject(cert.Raw)
	if err != nil {
		return Scheme{}, err
	}
	pub, err := PublicKey(issuer)
	if err != nil {
		return o.Scheme, err
	}
	return o.Scheme, o.Verify(pub)
}

// SelfSigned reports whether a certificate names itself as issuer and its own key
// verifies it.
func SelfSigned(c *x509.Certificate) bool {
	if !bytes.Equal(c.RawIssuer, c.RawSubject) {
		return false
	}
	_, err := IssuedBy(c, c)
	return err == nil
}

// hasExtension reports whether a certificate carries an extension.
func hasExtension(c *x509.Certificate, oid string) bool {
	for _, e := range c.Extensions {
		if e.Id.String() == oid {
			return true
		}
	}
	return false
}

// NoCheck reports whether an OCSP responder's certificate says that its own
// status need not be asked (id-pkix-ocsp-nocheck, RFC 6960 §4.2.2.2.1).
func NoCheck(c *x509.Certificate) bool { return hasExtension(c, oidOCSPNoCheck) }

// NoRevocation reports whether a certificate says that no status will ever be
// published for it: noRevAvail (RFC 9608) or validity-assured-short-term
// (ETSI EN 319 412-1 §5.2).
func NoRevocation(c *x509.Certificate) bool {
	return hasExtension(c, oidNoRevAvail) || hasExtension(c, oidValidityAssured)
}

// SPKIKeyHash is the hash of the bit string of a public key, as responder ids,
// certIDs and key identifiers use it.
func SPKIKeyHash(c *x509.Certificate, h crypto.Hash) []byte {
	_, key, ok := rawPublicKey(c.RawSubjectPublicKeyInfo)
	if !ok {
		return nil
	}
	return sum(h, key)
}
