package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the digest algorithms of the table below
	_ "crypto/sha512" // likewise
	"encoding/asn1"
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

// Valid reports whether a is an algorithm of the table.
func (a Algorithm) Valid() bool { return a >= 1 && int(a) <= len(algorithms) }

// String names the algorithm for people.
func (a Algorithm) String() string {
	if !a.Valid() {
		return fmt.Sprintf("algorithm %d", int(a))
	}
	return algorithms[a-1].name
}

// pssParameters is RSASSA-PSS-params of RFC 4055.
type pssParameters struct {
	Hash    algorithmIdentifier `asn1:"explicit,tag:0,optional"`
	MGF     algorithmIdentifier `asn1:"explicit,tag:1,optional"`
	Salt    int                 `asn1:"explicit,tag:2,optional,default:20"`
	Trailer int                 `asn1:"explicit,tag:3,optional,default:1"`
}

type algorithmIdentifier struct {
	Algorithm  asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

var oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}

// PSSParameters returns the DER RSASSA-PSS-params of a: its digest, MGF1 with
// the same digest, and a salt as long as the digest. It returns nil for
// algorithms other than RSA-PSS.
func (a Algorithm) PSSParameters() []byte {
	if !a.PSS() {
		return nil
	}
	// The three digests differ in the last arc only (HashOID).
	oid := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, map[crypto.Hash]int{crypto.SHA256: 1, crypto.SHA384: 2, crypto.SHA512: 3}[a.Hash()]}
	hash := algorithmIdentifier{Algorithm: oid, Parameters: asn1.NullRawValue}
	inner, err := asn1.Marshal(hash)
	if err != nil {
		panic(err) // constant input
	}
	der, err := asn1.Marshal(pssParameters{
		Hash:    hash,
		MGF:     algorithmIdentifier{Algorithm: oidMGF1, Parameters: asn1.RawValue{FullBytes: inner}},
		Salt:    a.Hash().Size(),
		Trailer: 1,
	})
	if err != nil {
		panic(err)
	}
	return der
}

// ParsePSSParameters reads RSASSA-PSS-params and returns the algorithm they
// name. Only parameters with MGF1 over the same digest and a salt of the
// digest's length are accepted; SHA-1 defaults are refused.
func ParsePSSParameters(der []byte) (Algorithm, error) {
	var p pssParameters
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return 0, fmt.Errorf("RSASSA-PSS parameters: malformed: %w", ErrAlgorithm)
	}
	h, err := HashByOID(p.Hash.Algorithm.String())
	if err != nil {
		return 0, fmt.Errorf("RSASSA-PSS parameters: %w", err)
	}
	var mgf algorithmIdentifier
	if !p.MGF.Algorithm.Equal(oidMGF1) {
		return 0, fmt.Errorf("RSASSA-PSS parameters: mask generation is not MGF1: %w", ErrAlgorithm)
	}
	if rest, err := asn1.Unmarshal(p.MGF.Parameters.FullBytes, &mgf); err != nil || len(rest) > 0 || !mgf.Algorithm.Equal(p.Hash.Algorithm) {
		return 0, fmt.Errorf("RSASSA-PSS parameters: MGF1 uses another digest: %w", ErrAlgorithm)
	}
	if p.Salt != h.Size() || p.Trailer != 1 {
		return 0, fmt.Errorf("RSASSA-PSS parameters: salt of %d bytes: %w", p.Salt, ErrAlgorithm)
	}
	for _, e := range algorithms {
		if e.oid == OIDRSAPSS && e.hash == h {
			return e.alg, nil
		}
	}
	return 0, ErrAlgorithm
}

// Resolve finds the algorithm that CSC's signAlgo, hashAlgorithmOID and
// signAlgoParams name together (CSC API v2, signatures/signHash). hashOID may be
// empty where signAlgo implies the digest, and must not contradict it; it is
// required for 1.2.840.113549.1.1.1. RSA-PSS requires params.
func Resolve(signAlgo, hashOID string, params []byte) (Algorithm, error) {
	if signAlgo == OIDRSAPSS {
		if len(params) == 0 {
			return 0, fmt.Errorf("RSA-PSS without signAlgoParams: %w", ErrAlgorithm)
		}
		return ParsePSSParameters(params)
	}
	want := func(f Family) (Algorithm, error) {
		h, err := HashByOID(hashOID)
		if err != nil {
			return 0, err
		}
		for _, e := range algorithms {
			if e.family == f && e.hash == h && e.oid != OIDRSAPSS {
				return e.alg, nil
			}
		}
		return 0, ErrAlgorithm
	}
	switch signAlgo {
	case OIDRSAEncryption:
		return want(RSA)
	case OIDECPublicKey:
		return want(ECDSA)
	}
	for _, e := range algorithms {
		if e.oid != signAlgo {
			continue
		}
		if hashOID != "" && hashOID != HashOID(e.hash) {
			return 0, fmt.Errorf("%s with digest %q: %w", e.name, hashOID, ErrAlgorithm)
		}
		return e.alg, nil
	}
	return 0, fmt.Errorf("signature algorithm %q: %w", signAlgo, ErrAlgorithm)
}

// Verify checks sig over digest. ECDSA signatures are DER SEQUENCE{r,s}. For
// Ed25519 digest is the message itself. The error says only that the signature
// does not verify, or that key and algorithm do not fit.
func Verify(pub crypto.PublicKey, alg Algorithm, digest, sig []byte) error {
	if !alg.Valid() {
		return ErrAlgorithm
	}
	var ok bool
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if alg.Family() != ECDSA || len(digest) != alg.Hash().Size() {
			return fmt.Errorf("%s with an EC key: %w", alg, ErrAlgorithm)
		}
		ok = ecdsa.VerifyASN1(k, digest, sig)
	case *rsa.PublicKey:
		if alg.Family() != RSA || len(digest) != alg.Hash().Size() {
			return fmt.Errorf("%s with an RSA key: %w", alg, ErrAlgorithm)
		}
		if alg.PSS() {
			ok = rsa.VerifyPSS(k, alg.Hash(), digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(k, alg.Hash(), digest, sig) == nil
		}
	case ed25519.PublicKey:
		if alg != Ed25519 {
			return fmt.Errorf("%s with an Ed25519 key: %w", alg, ErrAlgorithm)
		}
		ok = ed25519.Verify(k, digest, sig)
	default:
		return fmt.Errorf("key of type %T: %w", pub, ErrAlgorithm)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// ErrSignature says that a signature does not verify.
var ErrSignature = errors.New("signature does not verify")

// SignerOpts returns what crypto.Signer.Sign needs to make a signature of a.
func (a Algorithm) SignerOpts() crypto.SignerOpts {
	switch {
	case a.PSS():
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.Hash()}
	case a == Ed25519:
		return crypto.Hash(0)
	}
	return a.Hash()
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

// KeyTypeOf returns the type of a public key, or ErrAlgorithm if it is not one
// that may be used for a new certificate.
func KeyTypeOf(pub crypto.PublicKey) (KeyType, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return P256, nil
		case elliptic.P384():
			return P384, nil
		case elliptic.P521():
			return P521, nil
		}
	case *rsa.PublicKey:
		switch k.N.BitLen() {
		case 3072:
			return RSA3072, nil
		case 4096:
			return RSA4096, nil
		}
		return "", fmt.Errorf("RSA key of %d bits: %w", k.N.BitLen(), ErrAlgorithm)
	case ed25519.PublicKey:
		return KeyEd25519, nil
	}
	return "", fmt.Errorf("key of type %T: %w", pub, ErrAlgorithm)
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
