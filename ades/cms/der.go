package cms

import (
	"bytes"
	"encoding/asn1"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Context-specific tags; C is constructed.
const (
	tagCtx0  cbasn1.Tag = 0x80
	tagCtx1  cbasn1.Tag = 0x81
	tagCtx2  cbasn1.Tag = 0x82
	tagCtx0C cbasn1.Tag = 0xa0
	tagCtx1C cbasn1.Tag = 0xa1
	tagCtx2C cbasn1.Tag = 0xa2
	tagCtx4C cbasn1.Tag = 0xa4
)

// oidValue turns dotted text into an object identifier; nil if it is none.
func oidValue(s string) asn1.ObjectIdentifier {
	parts := strings.Split(s, ".")
	if len(parts) < 2 {
		return nil
	}
	id := make(asn1.ObjectIdentifier, len(parts))
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return nil
		}
		id[i] = n
	}
	return id
}

// addOID writes a dotted object identifier; a malformed one makes the builder fail.
func addOID(b *cryptobyte.Builder, s string) { b.AddASN1ObjectIdentifier(oidValue(s)) }

// addSet writes the elements as a DER SET OF under tag: sorted, without repeats.
func addSet(b *cryptobyte.Builder, tag cbasn1.Tag, elements [][]byte) {
	sorted := slices.Clone(elements)
	slices.SortFunc(sorted, bytes.Compare)
	sorted = slices.CompactFunc(sorted, bytes.Equal)
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		for _, e := range sorted {
			b.AddBytes(e)
		}
	})
}

// build runs f on a fresh builder.
func build(f func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	f(&b)
	return b.Bytes()
}

// sequence writes a SEQUENCE and returns it.
func sequence(f func(*cryptobyte.Builder)) ([]byte, error) {
	return build(func(b *cryptobyte.Builder) { b.AddASN1(cbasn1.SEQUENCE, f) })
}

// attribute encodes one CMS attribute with one value.
func attribute(oid string, value []byte) ([]byte, error) {
	return sequence(func(b *cryptobyte.Builder) {
		addOID(b, oid)
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(value) })
	})
}

// readOID reads an object identifier as dotted text.
func readOID(s *cryptobyte.String, out *string) bool {
	var der cryptobyte.String
	if !s.ReadASN1(&der, cbasn1.OBJECT_IDENTIFIER) {
		return false
	}
	text, ok := oidText(der)
	*out = text
	return ok
}

// oidText decodes the contents of an object identifier. Arcs above 63 bits are
// refused.
func oidText(b []byte) (string, bool) {
	if len(b) == 0 || len(b) > 64 || b[len(b)-1]&0x80 != 0 {
		return "", false
	}
	var out []byte
	var n uint64
	first := true
	for _, c := range b {
		if n > 1<<56 {
			return "", false
		}
		n = n<<7 | uint64(c&0x7f)
		if c&0x80 != 0 {
			continue
		}
		if first {
			top := min(n/40, 2)
			out = strconv.AppendUint(out, top, 10)
			n -= 40 * top
			first = false
		}
		out = append(out, '.')
		out = strconv.AppendUint(out, n, 10)
		n = 0
	}
	return string(out), true
}

// TrimPadding returns the first ASN.1 element of b and what stands behind it.
// /Contents of a PDF signature is padded with zeros, which are no part of the
// CMS. An element of indefinite length ends at its end-of-contents octets.
func TrimPadding(b []byte) (element, rest []byte, err error) {
	n, err := elementLength(b, 0)
	if err != nil {
		return nil, nil, err
	}
	return b[:n], b[n:], nil
}

// isZero reports whether b holds nothing but zero bytes.
func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
