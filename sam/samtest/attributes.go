package samtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"slices"
)

// Attributes are the parts of CMS signed attributes that a test may get wrong.
type Attributes struct {
	ContentType asn1.ObjectIdentifier // default: data
	Digest      []byte
	CertDigest  []byte
	HashOID     asn1.ObjectIdentifier // explicit digest algorithm of the ESSCertIDv2
	Issuer      []byte                // DER name, with Serial
	Serial      *big.Int
	Extra       [][]byte // further attributes
	Unsorted    bool
	Leave       string // "type", "digest" or "cert": leave that attribute out
}

// DER encodes the attributes as a SET OF Attribute and returns them with their
// SHA-256.
func (a Attributes) DER() (der, dtbsr []byte) {
	if a.ContentType == nil {
		a.ContentType = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	}
	var all [][]byte
	add := func(name string, oid asn1.ObjectIdentifier, value []byte) {
		if a.Leave != name {
			all = append(all, Attribute(oid, value))
		}
	}
	add("type", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}, encode(a.ContentType))
	add("digest", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, encode(a.Digest))
	add("cert", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}, a.ess())
	all = append(all, a.Extra...)
	slices.SortFunc(all, bytes.Compare)
	if a.Unsorted {
		slices.Reverse(all)
	}
	der = wrap(0x31, bytes.Join(all, nil))
	sum := sha256.Sum256(der)
	return der, sum[:]
}

func (a Attributes) ess() []byte {
	var id []byte
	if a.HashOID != nil {
		id = append(id, wrap(0x30, encode(a.HashOID))...)
	}
	id = append(id, encode(a.CertDigest)...)
	if a.Serial != nil {
		name := wrap(0x30, wrap(0xa4, a.Issuer))
		id = append(id, wrap(0x30, append(name, encode(a.Serial)...))...)
	}
	return wrap(0x30, wrap(0x30, wrap(0x30, id)))
}

// Attribute encodes one attribute with one value.
func Attribute(oid asn1.ObjectIdentifier, value []byte) []byte {
	return wrap(0x30, append(encode(oid), wrap(0x31, value)...))
}

func encode(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// wrap encodes one DER value with that tag.
func wrap(tag byte, body []byte) []byte {
	n := len(body)
	switch {
	case n < 128:
		return append([]byte{tag, byte(n)}, body...)
	case n < 256:
		return append([]byte{tag, 0x81, byte(n)}, body...)
	}
	return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...) //nolint:gosec // below 64 KB
}
