//go:build !assemble

package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // the digests of the table below
	_ "crypto/sha3"
	_ "crypto/sha512"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/signing"
)

// Scheme is a signature algorithm as found in a file: wider than
// signing.Algorithm, which lists only what may still be used.
type Scheme struct {
	OID    string
	Family signing.Family
	Hash   crypto.Hash // 0 for Ed25519
	PSS    bool
	Salt   int // RSA-PSS salt length
}

var schemes = map[string]Scheme{
	"1.2.840.113549.1.1.5":    {Family: signing.RSA, Hash: crypto.SHA1},
	"1.2.840.113549.1.1.14":   {Family: signing.RSA, Hash: crypto.SHA224},
	"1.2.840.113549.1.1.11":   {Family: signing.RSA, Hash: crypto.SHA256},
	"1.2.840.113549.1.1.12":   {Family: signing.RSA, Hash: crypto.SHA384},
	"1.2.840.113549.1.1.13":   {Family: signing.RSA, Hash: crypto.SHA512},
	"1.2.840.10045.4.1":       {Family: signing.ECDSA, Hash: crypto.SHA1},
	"1.2.840.10045.4.3.1":     {Family: signing.ECDSA, Hash: crypto.SHA224},
	"1.2.840.10045.4.3.2":     {Family: signing.ECDSA, Hash: crypto.SHA256},
	"1.2.840.10045.4.3.3":     {Family: signing.ECDSA, Hash: crypto.SHA384},
	"1.2.840.10045.4.3.4":     {Family: signing.ECDSA, Hash: crypto.SHA512},
	"2.16.840.1.101.3.4.3.10": {Family: signing.ECDSA, Hash: crypto.SHA3_256},
	"2.16.840.1.101.3.4.3.11": {Family: signing.ECDSA, Hash: crypto.SHA3_384},
	"2.16.840.1.101.3.4.3.12": {Family: signing.ECDSA, Hash: crypto.SHA3_512},
	"2.16.840.1.101.3.4.3.14": {Family: signing.RSA, Hash: crypto.SHA3_256},
	"2.16.840.1.101.3.4.3.15": {Family: signing.RSA, Hash: crypto.SHA3_384},
	"2.16.840.1.101.3.4.3.16": {Family: signing.RSA, Hash: crypto.SHA3_512},
	oidPublicKeyEd25519:       {Family: signing.EdDSA},
}

// schemeOf reads a signature AlgorithmIdentifier's fields. digest is the digest
// algorithm named beside it, for identifiers that name only the key's kind.
func schemeOf(oid string, params []byte, digest crypto.Hash) (Scheme, error) {
	switch oid {
	case oidPublicKeyRSA:
		return Scheme{OID: oid, Family: signing.RSA, Hash: digest}, nil
	case oidPublicKeyEC:
		return Scheme{OID: oid, Family: signing.ECDSA, Hash: digest}, nil
	case oidPublicKeyPSS:
		return pssScheme(params)
	}
	s, ok := schemes[oid]
	if !ok {
		return Scheme{OID: oid}, fmt.Errorf("signature algorithm %q: %w", oid, ErrUnknownAlgorithm)
	}
	s.OID = oid
	return s, nil
}

// pssScheme reads RSASSA-PSS-params with the defaults of RFC 4055, which are
// SHA-1; unlike signing.ParsePSSParameters it also reads what may no longer be used.
func pssScheme(params []byte) (Scheme, error) {
	s := Scheme{OID: oidPublicKeyPSS, Family: signing.RSA, PSS: true, Hash: crypto.SHA1, Salt: 20}
	bad := fmt.Errorf("RSASSA-PSS parameters: %w", ErrMalformed)
	in := cryptobyte.String(params)
	var body cryptobyte.String
	if len(params) == 0 {
		return s, nil
	}
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() {
		return s, bad
	}
	var part cryptobyte.String
	var present bool
	mgfHash := crypto.SHA1
	if !body.ReadOptionalASN1(&part, &present, tagCtx0C) {
		return s, bad
	}
	if present {
		oid, _, ok := readAlgorithm(&part)
		if !ok {
			return s, bad
		}
		s.Hash = HashByOID(oid)
	}
	if !body.ReadOptionalASN1(&part, &present, tagCtx1C) {
		return s, bad
	}
	if present {
		oid, p, ok := readAlgorithm(&part)
		inner := cryptobyte.String(p)
		hash, _, ok2 := readAlgorithm(&inner)
		if !ok || !ok2 || oid != oidMGF1 {
			return s, bad
		}
		mgfHash = HashByOID(hash)
	}
	if !body.ReadOptionalASN1Integer(&s.Salt, tagCtx2C, 20) || s.Salt < 0 || s.Salt > 512 {
		return s, bad
	}
	if mgfHash != s.Hash || s.Hash == 0 {
		return s, fmt.Errorf("RSASSA-PSS with %s and MGF1 over %s: %w", HashName(s.Hash), HashName(mgfHash), ErrUnknownAlgorithm)
	}
	return s, nil
}

// String names the scheme for people.
func (s Scheme) String() string {
	switch {
	case s.Family == signing.EdDSA:
		return "Ed25519"
	case s.PSS:
		return "RSA-PSS with " + HashName(s.Hash)
	case s.Family == signing.RSA:
		return "RSA PKCS#1 v1.5 with " + HashName(s.Hash)
	case s.Family == signing.ECDSA:
		return "ECDSA with " + HashName(s.Hash)
	}
	return "algorithm " + s.OID
}

// Verify checks sig over message with pub. The error is signing.ErrSignature if
// the signature does not verify, and wraps ErrUnknownAlgorithm if this package
// cannot say.
func (s Scheme) Verify(pub crypto.PublicKey, message, sig []byte) error {
	if s.Family == signing.EdDSA {
		k, ok := pub.(ed25519.PublicKey)
		if !ok {
			return fmt.Errorf("%s with a key of type %T: %w", s, pub, signing.ErrSignature)
		}
		if !ed25519.Verify(k, message, sig) {
			return signing.ErrSignature
		}
		return nil
	}
	if s.Hash == 0 || !s.Hash.Available() {
		return fmt.Errorf("%s: %w", s, ErrUnknownAlgorithm)
	}
	return s.VerifyDigest(pub, sum(s.Hash, message), sig)
}

// VerifyDigest is Verify for a message of which only the digest is known. It is
// not possible with Ed25519.
func (s Scheme) VerifyDigest(pub crypto.PublicKey, digest, sig []byte) error {
	ok := false
	if s.Family != signing.EdDSA && (s.Hash == 0 || len(digest) != s.Hash.Size()) {
		return fmt.Errorf("%s over a digest of %d bytes: %w", s, len(digest), ErrUnknownAlgorithm)
	}
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if s.Family != signing.RSA {
			break
		}
		if s.PSS {
			ok = rsa.VerifyPSS(k, s.Hash, digest, sig, &rsa.PSSOptions{SaltLength: s.saltLength()}) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(k, s.Hash, digest, sig) == nil
		}
	case *ecdsa.PublicKey:
		ok = s.Family == signing.ECDSA && ecdsa.VerifyASN1(k, digest, sig)
	case ed25519.PublicKey:
		return fmt.Errorf("Ed25519 over a digest: %w", ErrUnknownAlgorithm)
	default:
		return fmt.Errorf("key of type %T: %w", pub, ErrUnknownAlgorithm)
	}
	if !ok {
		return signing.ErrSignature
	}
	return nil
}

func (s Scheme) saltLength() int {
	if s.Salt == 0 {
		return rsa.PSSSaltLengthAuto
	}
	return s.Salt
}
