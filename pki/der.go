package pki

import (
	"crypto"
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/signing"
)

// explicit is the tag [n] EXPLICIT.
func explicit(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }

// implicit is the tag [n] IMPLICIT of a primitive type.
func implicit(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific() }

// readAlgorithm reads an AlgorithmIdentifier whose parameters are absent or
// NULL and returns the object identifier.
func readAlgorithm(s *cryptobyte.String) (asn1.ObjectIdentifier, bool) {
	var (
		seq, null cryptobyte.String
		oid       asn1.ObjectIdentifier
		has       bool
	)
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&oid) ||
		!seq.ReadOptionalASN1(&null, &has, cbasn1.NULL) || len(null) != 0 || !seq.Empty() {
		return nil, false
	}
	return oid, true
}

// extension is one of RFC 5280 §4.1.
type extension struct {
	id       asn1.ObjectIdentifier
	critical bool
	value    []byte
}

// readExtensions reads SEQUENCE SIZE (1..MAX) OF Extension and refuses an
// extension that comes twice.
func readExtensions(s *cryptobyte.String) ([]extension, bool) {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || seq.Empty() {
		return nil, false
	}
	var list []extension
	for !seq.Empty() {
		var (
			one, value cryptobyte.String
			e          extension
		)
		if !seq.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&e.id) {
			return nil, false
		}
		if one.PeekASN1Tag(cbasn1.BOOLEAN) && !one.ReadASN1Boolean(&e.critical) {
			return nil, false
		}
		if !one.ReadASN1(&value, cbasn1.OCTET_STRING) || !one.Empty() {
			return nil, false
		}
		e.value = value
		for _, other := range list {
			if other.id.Equal(e.id) {
				return nil, false
			}
		}
		list = append(list, e)
	}
	return list, true
}

// addTime adds a GeneralizedTime in whole seconds (RFC 5280 §4.1.2.5.2).
func addTime(b *cryptobyte.Builder, t time.Time) {
	b.AddASN1GeneralizedTime(t.UTC().Truncate(time.Second))
}

// addSignatureAlgorithm adds the AlgorithmIdentifier of alg: ECDSA without
// parameters (RFC 5758), RSA with NULL (RFC 4055).
func addSignatureAlgorithm(b *cryptobyte.Builder, alg signing.Algorithm) {
	oid, err := parseOID(alg.OID())
	if err != nil {
		b.SetError(err)
		return
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if alg.Family() == signing.RSA {
			b.AddASN1NULL()
		}
	})
}

// addDigestAlgorithm adds the AlgorithmIdentifier of h, without parameters (RFC 5754 §2).
func addDigestAlgorithm(b *cryptobyte.Builder, h crypto.Hash) {
	oid, err := parseOID(signing.HashOID(h))
	if err != nil {
		b.SetError(err)
		return
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid) })
}

// signBytes hashes data and signs it with the key of h.
func (h *holder) signBytes(data []byte) ([]byte, error) {
	d := h.alg.Hash().New()
	d.Write(data)
	sig, err := h.key.Sign(nil, d.Sum(nil), h.alg.SignerOpts())
	if err != nil {
		return nil, fmt.Errorf("sign with key %s: %w", h.row.KeyName, err)
	}
	return sig, nil
}
