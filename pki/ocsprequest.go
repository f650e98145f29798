package pki

import (
	"bytes"
	"crypto"
	"crypto/sha1" //nolint:gosec // certID names the issuer by SHA-1 in nearly every client (RFC 5019 §2.1.1); it protects nothing
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const (
	maxOCSPRequest = 4 << 10
	maxOCSPCerts   = 16 // certificates in one request
	maxNonce       = 128
)

var (
	oidSHA1      = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidOCSPNonce = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}

	errOCSPRequest = errors.New("malformed OCSP request")
)

// ocspRequest is a request as read.
type ocspRequest struct {
	certs []certID
	nonce []byte // value of the nonce extension as it came; nil when there was none
}

// certID names a certificate (RFC 6960 §4.1.1).
type certID struct {
	raw      []byte // as it came, to be repeated
	hash     crypto.Hash
	nameHash []byte
	keyHash  []byte
	serial   *big.Int
}

// parseOCSPRequest reads a request of RFC 6960 in DER. A signature on it is
// allowed and not looked at: the answer is public.
func parseOCSPRequest(der []byte) (ocspRequest, error) {
	var (
		r        ocspRequest
		outer    = cryptobyte.String(der)
		seq, tbs cryptobyte.String
		list     cryptobyte.String
	)
	if len(der) > maxOCSPRequest {
		return r, fmt.Errorf("%w: more than %d bytes", errOCSPRequest, maxOCSPRequest)
	}
	if !outer.ReadASN1(&seq, cbasn1.SEQUENCE) || !outer.Empty() ||
		!seq.ReadASN1(&tbs, cbasn1.SEQUENCE) || !seq.SkipOptionalASN1(explicit(0)) || !seq.Empty() {
		return r, errOCSPRequest
	}
	var version int
	if !tbs.ReadOptionalASN1Integer(&version, explicit(0), 0) || version != 0 ||
		!tbs.SkipOptionalASN1(explicit(1)) || !tbs.ReadASN1(&list, cbasn1.SEQUENCE) || list.Empty() {
		return r, errOCSPRequest
	}
	for !list.Empty() {
		id, ok := readOCSPSingle(&list)
		if !ok || len(r.certs) == maxOCSPCerts {
			return r, errOCSPRequest
		}
		r.certs = append(r.certs, id)
	}
	var (
		extensions cryptobyte.String
		has        bool
	)
	if !tbs.ReadOptionalASN1(&extensions, &has, explicit(2)) || !tbs.Empty() {
		return r, errOCSPRequest
	}
	if !has {
		return r, nil
	}
	return r, r.readExtensions(&extensions)
}

func (r *ocspRequest) readExtensions(s *cryptobyte.String) error {
	list, ok := readExtensions(s)
	if !ok || !s.Empty() {
		return errOCSPRequest
	}
	for _, e := range list {
		switch {
		case e.id.Equal(oidOCSPNonce):
			if len(e.value) == 0 || len(e.value) > maxNonce+3 {
				return fmt.Errorf("%w: nonce of %d bytes", errOCSPRequest, len(e.value))
			}
			r.nonce = e.value
		case e.critical:
			return fmt.Errorf("%w: unknown critical extension %v", errOCSPRequest, e.id)
		}
	}
	return nil
}

func readOCSPSingle(s *cryptobyte.String) (certID, bool) {
	var (
		one, raw, id, name, key, extensions cryptobyte.String
		has                                 bool
		c                                   = certID{serial: new(big.Int)}
	)
	if !s.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1Element(&raw, cbasn1.SEQUENCE) ||
		!one.ReadOptionalASN1(&extensions, &has, explicit(0)) || !one.Empty() {
		return c, false
	}
	c.raw = bytes.Clone(raw)
	if !raw.ReadASN1(&id, cbasn1.SEQUENCE) {
		return c, false
	}
	oid, ok := readAlgorithm(&id)
	if !ok || !id.ReadASN1(&name, cbasn1.OCTET_STRING) || !id.ReadASN1(&key, cbasn1.OCTET_STRING) ||
		!id.ReadASN1Integer(c.serial) || !id.Empty() || c.serial.BitLen() > 20*8 {
		return c, false
	}
	if has {
		list, ok := readExtensions(&extensions)
		if !ok || !extensions.Empty() {
			return c, false
		}
		for _, e := range list {
			if e.critical {
				return c, false
			}
		}
	}
	switch {
	case oid.Equal(oidSHA1):
		c.hash = crypto.SHA1
	case oid.Equal(oidSHA256):
		c.hash = crypto.SHA256
	}
	c.nameHash, c.keyHash = name, key
	return c, true
}

// names reports whether the issuer that c names is h. A hash algorithm that is
// not known names nobody.
func (c certID) names(h *holder) bool {
	name, key := h.cert.RawSubject, publicKeyBits(h.cert.RawSubjectPublicKeyInfo)
	if c.hash == crypto.SHA256 {
		n, k := sha256.Sum256(name), sha256.Sum256(key)
		return bytes.Equal(c.nameHash, n[:]) && bytes.Equal(c.keyHash, k[:])
	}
	n, k := sha1.Sum(name), sha1.Sum(key) //nolint:gosec // see the import
	return c.hash == crypto.SHA1 && bytes.Equal(c.nameHash, n[:]) && bytes.Equal(c.keyHash, k[:])
}

// publicKeyBits returns the subjectPublicKey inside a SubjectPublicKeyInfo,
// which is what responders and certIDs hash.
func publicKeyBits(spki []byte) []byte {
	var (
		s         = cryptobyte.String(spki)
		seq, algo cryptobyte.String
		bits      asn1.BitString
	)
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1(&algo, cbasn1.SEQUENCE) || !seq.ReadASN1BitString(&bits) {
		return nil
	}
	return bits.RightAlign()
}
