package cms

import (
	"crypto"
	_ "crypto/sha1" //nolint:gosec // to say more about old signatures than "unknown"; validation policy refuses it
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// digestIdentifier is the AlgorithmIdentifier of a SHA-2 digest, without
// parameters (RFC 5754 §2).
func digestIdentifier(h crypto.Hash) ([]byte, error) {
	oid := signing.HashOID(h)
	if oid == "" {
		return nil, fmt.Errorf("digest algorithm %d: %w", h, signing.ErrAlgorithm)
	}
	return sequence(func(b *cryptobyte.Builder) { addOID(b, oid) })
}

// AlgorithmIdentifier encodes a signature algorithm as it stands in a SignerInfo:
// RSA PKCS#1 v1.5 with NULL parameters (RFC 5754), RSA-PSS with its parameters
// (RFC 4056), ECDSA (RFC 5754) and Ed25519 (RFC 8419) without.
func AlgorithmIdentifier(alg signing.Algorithm) ([]byte, error) {
	if !alg.Valid() {
		return nil, signing.ErrAlgorithm
	}
	return sequence(func(b *cryptobyte.Builder) {
		addOID(b, alg.OID())
		switch {
		case alg.PSS():
			b.AddBytes(alg.PSSParameters())
		case alg.Family() == signing.RSA:
			b.AddASN1NULL()
		}
	})
}

// ECDSASignatureDER returns an ECDSA signature as the DER SEQUENCE{r,s} that CMS
// wants. sig is either that already, or r‖s of equal length as PKCS#11 and
// WebCrypto give it; bits is the size of the curve's order.
func ECDSASignatureDER(sig []byte, bits int) ([]byte, error) {
	var r, s big.Int
	in := cryptobyte.String(sig)
	var inner cryptobyte.String
	if in.ReadASN1(&inner, cbasn1.SEQUENCE) && in.Empty() && inner.ReadASN1Integer(&r) && inner.ReadASN1Integer(&s) && inner.Empty() {
		return sig, nil
	}
	size := (bits + 7) / 8
	if len(sig) != 2*size {
		return nil, fault.New(fault.Invalid, "the ECDSA signature of %d bytes is neither DER nor r‖s of a %d-bit curve", len(sig), bits)
	}
	r.SetBytes(sig[:size])
	s.SetBytes(sig[size:])
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(&r)
		b.AddASN1BigInt(&s)
	})
}

// rawPublicKey returns the SubjectPublicKeyInfo's algorithm and key bits.
func rawPublicKey(spki []byte) (oid string, key []byte, ok bool) {
	in := cryptobyte.String(spki)
	var outer, alg cryptobyte.String
	var bits asn1.BitString
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1(&alg, cbasn1.SEQUENCE) ||
		!readOID(&alg, &oid) || !outer.ReadASN1BitString(&bits) {
		return "", nil, false
	}
	return oid, bits.RightAlign(), true
}

// ErrUnknownAlgorithm says that a digest or signature algorithm is not one this
// package computes. It is no statement on the signature.
var ErrUnknownAlgorithm = errors.New("algorithm unknown here")

var digests = map[string]crypto.Hash{
	"1.3.14.3.2.26":           crypto.SHA1,
	"2.16.840.1.101.3.4.2.4":  crypto.SHA224,
	signing.OIDSHA256:         crypto.SHA256,
	signing.OIDSHA384:         crypto.SHA384,
	signing.OIDSHA512:         crypto.SHA512,
	"2.16.840.1.101.3.4.2.8":  crypto.SHA3_256,
	"2.16.840.1.101.3.4.2.9":  crypto.SHA3_384,
	"2.16.840.1.101.3.4.2.10": crypto.SHA3_512,
}

// HashByOID finds a digest algorithm, old ones included; 0 if it is unknown.
func HashByOID(oid string) crypto.Hash { return digests[oid] }

// HashName names a digest algorithm for people.
func HashName(h crypto.Hash) string {
	if h == 0 {
		return "unknown digest"
	}
	return h.String()
}

// readAlgorithm reads an AlgorithmIdentifier and returns its parameters' bytes.
func readAlgorithm(s *cryptobyte.String) (oid string, params []byte, ok bool) {
	var alg cryptobyte.String
	if !s.ReadASN1(&alg, cbasn1.SEQUENCE) || !readOID(&alg, &oid) {
		return "", nil, false
	}
	return oid, alg, true
}
