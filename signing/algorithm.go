package signing

import (
	"crypto"
	_ "crypto/sha256" // the digest algorithms of the table below
	_ "crypto/sha512" // likewise
	"errors"
	"fmt"
	"slices"
)

// ErrAlgorithm is what every refusal of an unknown or forbidden algorithm wraps.
var ErrAlgorithm = errors.New("algorithm not supported")

// Object identifiers of the digest algorithms (NIST).
const (
	OIDSHA256 = "2.16.840.1.101.3.4.2.1"
	OIDSHA384 = "2.16.840.1.101.3.4.2.2"
	OIDSHA512 = "2.16.840.1.101.3.4.2.3"
)

// Object identifiers of keys and signature algorithms that need a second word
// to say which signature is meant.
const (
	OIDRSAEncryption = "1.2.840.113549.1.1.1"
	OIDRSAPSS        = "1.2.840.113549.1.1.10"
	OIDECPublicKey   = "1.2.840.10045.2.1"
	OIDEd25519       = "1.3.101.112"
)

var hashes = []struct {
	hash crypto.Hash
	oid  string
	name string
}{
	{crypto.SHA256, OIDSHA256, "SHA-256"},
	{crypto.SHA384, OIDSHA384, "SHA-384"},
	{crypto.SHA512, OIDSHA512, "SHA-512"},
}

// HashByOID returns the digest algorithm with that object identifier. SHA-1 and
// everything else outside ETSI TS 119 312 is refused with ErrAlgorithm.
func HashByOID(oid string) (crypto.Hash, error) {
	for _, h := range hashes {
		if h.oid == oid {
			return h.hash, nil
		}
	}
	return 0, fmt.Errorf("digest algorithm %q: %w", oid, ErrAlgorithm)
}

// HashOID returns the object identifier of h, or "" if h is none of ours.
func HashOID(h crypto.Hash) string {
	for _, e := range hashes {
		if e.hash == h {
			return e.oid
		}
	}
	return ""
}

// Algorithm is a complete signature algorithm: key family, padding and digest.
type Algorithm int

// The signature algorithms of ETSI TS 119 312 that Countersign makes and verifies.
const (
	ECDSAWithSHA256 Algorithm = iota + 1
	ECDSAWithSHA384
	ECDSAWithSHA512
	RSAPKCS1WithSHA256
	RSAPKCS1WithSHA384
	RSAPKCS1WithSHA512
	RSAPSSWithSHA256
	RSAPSSWithSHA384
	RSAPSSWithSHA512
	Ed25519
)

// Family is a kind of key.
type Family int

// The key families.
const (
	RSA Family = iota + 1
	ECDSA
	EdDSA
)

var algorithms = []struct {
	alg    Algorithm
	family Family
	hash   crypto.Hash
	oid    string
	name   string
}{
	{ECDSAWithSHA256, ECDSA, crypto.SHA256, "1.2.840.10045.4.3.2", "ECDSA with SHA-256"},
	{ECDSAWithSHA384, ECDSA, crypto.SHA384, "1.2.840.10045.4.3.3", "ECDSA with SHA-384"},
	{ECDSAWithSHA512, ECDSA, crypto.SHA512, "1.2.840.10045.4.3.4", "ECDSA with SHA-512"},
	{RSAPKCS1WithSHA256, RSA, crypto.SHA256, "1.2.840.113549.1.1.11", "RSA PKCS#1 v1.5 with SHA-256"},
	{RSAPKCS1WithSHA384, RSA, crypto.SHA384, "1.2.840.113549.1.1.12", "RSA PKCS#1 v1.5 with SHA-384"},
	{RSAPKCS1WithSHA512, RSA, crypto.SHA512, "1.2.840.113549.1.1.13", "RSA PKCS#1 v1.5 with SHA-512"},
	{RSAPSSWithSHA256, RSA, crypto.SHA256, OIDRSAPSS, "RSA-PSS with SHA-256"},
	{RSAPSSWithSHA384, RSA, crypto.SHA384, OIDRSAPSS, "RSA-PSS with SHA-384"},
	{RSAPSSWithSHA512, RSA, crypto.SHA512, OIDRSAPSS, "RSA-PSS with SHA-512"},
	{Ed25519, EdDSA, crypto.SHA512, OIDEd25519, "Ed25519"},
}

// OID returns the signature algorithm's object identifier. The three RSA-PSS
// algorithms share one; their digest is named in the parameters.
func (a Algorithm) OID() string { e := algorithms[a-1]; return e.oid }

// Hash returns the digest algorithm. For Ed25519 it is SHA-512, the digest that
// RFC 8419 demands of a CMS signature with that key.
func (a Algorithm) Hash() crypto.Hash { return algorithms[a-1].hash }

// Family returns the kind of key the algorithm needs.
func (a Algorithm) Family() Family { return algorithms[a-1].family }

// PSS reports whether a is RSASSA-PSS.
func (a Algorithm) PSS() bool { return a >= RSAPSSWithSHA256 && a <= RSAPSSWithSHA512 }

// PSSParameters returns the DER RSASSA-PSS-params (RFC 4055) of a: its digest, MGF1
// with the same digest, and a salt as long as the digest. It returns nil for
// algorithms other than RSA-PSS.
func (a Algorithm) PSSParameters() []byte {
	if !a.PSS() {
		return nil
	}
	// The object identifiers of the digests differ in the last arc only (HashOID).
	arc := byte(1 + a - RSAPSSWithSHA256) //nolint:gosec // 1 to 3
	hash := []byte{0x30, 13, 0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, arc, 0x05, 0}
	mgf1 := []byte{0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08}
	return slices.Concat(
		[]byte{0x30, 52, 0xa0, 15}, hash,
		[]byte{0xa1, 28, 0x30, 26}, mgf1, hash,
		[]byte{0xa2, 3, 0x02, 1, byte(a.Hash().Size())}, //nolint:gosec // at most 64
	)
}

// Valid reports whether a is an algorithm of the table.
func (a Algorithm) Valid() bool { return a >= 1 && int(a) <= len(algorithms) }

// String names the algorithm for people.
func (a Algorithm) String() string {
	if !a.Valid() {
		return fmt.Sprintf("algorithm %d", int(a))
	}
	return algorithms[a-1].name
}

// KeyType is a kind of key with its size or curve, written as in configuration.
type KeyType string

// The key types for new keys. RSA below 3072 bits is refused: ETSI TS 119 312
// V2.1.1 §8.4 ends it for new certificates after 2026-12-31.
const (
	P256       KeyType = "P-256"
	P384       KeyType = "P-384"
	P521       KeyType = "P-521"
	RSA3072    KeyType = "RSA-3072"
	RSA4096    KeyType = "RSA-4096"
	KeyEd25519 KeyType = "Ed25519"
)

// ParseKeyType checks the name of a key type.
func ParseKeyType(s string) (KeyType, error) {
	k := KeyType(s)
	if !slices.Contains([]KeyType{P256, P384, P521, RSA3072, RSA4096, KeyEd25519}, k) {
		return "", fmt.Errorf("key type %q (use P-256, P-384, P-521, RSA-3072, RSA-4096 or Ed25519): %w", s, ErrAlgorithm)
	}
	return k, nil
}

// Algorithms lists what a key of this type may sign with, the preferred first.
func (k KeyType) Algorithms() []Algorithm {
	switch k {
	case P256:
		return []Algorithm{ECDSAWithSHA256, ECDSAWithSHA384, ECDSAWithSHA512}
	case P384:
		return []Algorithm{ECDSAWithSHA384, ECDSAWithSHA256, ECDSAWithSHA512}
	case P521:
		return []Algorithm{ECDSAWithSHA512, ECDSAWithSHA256, ECDSAWithSHA384}
	case RSA3072, RSA4096:
		return []Algorithm{RSAPSSWithSHA256, RSAPSSWithSHA384, RSAPSSWithSHA512, RSAPKCS1WithSHA256, RSAPKCS1WithSHA384, RSAPKCS1WithSHA512}
	case KeyEd25519:
		return []Algorithm{Ed25519}
	}
	return nil
}

// Bits returns the key length as CSC's key.len counts it.
func (k KeyType) Bits() int {
	switch k {
	case P256, KeyEd25519:
		return 256
	case P384:
		return 384
	case P521:
		return 521
	case RSA3072:
		return 3072
	case RSA4096:
		return 4096
	}
	return 0
}

// CurveOID returns the named curve's object identifier, or "" for RSA.
func (k KeyType) CurveOID() string {
	switch k {
	case P256:
		return "1.2.840.10045.3.1.7"
	case P384:
		return "1.3.132.0.34"
	case P521:
		return "1.3.132.0.35"
	case KeyEd25519:
		return OIDEd25519
	case RSA3072, RSA4096:
	}
	return ""
}
