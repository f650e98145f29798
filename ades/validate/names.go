package validate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
)

// shortNames are the attributes that people know by name: those of RFC 4514 §3 and
// those of persons' certificates (EN 319 412-2 §4.2.4, EN 319 412-3 §4.2.1).
var shortNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.17": "postalCode", "2.5.4.42": "GN", "2.5.4.65": "pseudonym",
	"2.5.4.97": "organizationIdentifier", "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
	"1.2.840.113549.1.9.1": "emailAddress",
}

func subjectOf(c *x509.Certificate) string { return distinguished(c.RawSubject, c.Subject) }
func issuerOf(c *x509.Certificate) string  { return distinguished(c.RawIssuer, c.Issuer) }

// rawSET is a relative distinguished name whose values are as they were encoded.
type rawSET []rawAttribute

type rawAttribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// distinguished writes a name as RFC 4514 does, in the order of the certificate,
// so that a person can read it: pkix.Name knows fewer attributes and writes the
// others, a given name among them, as hex.
func distinguished(der []byte, parsed pkix.Name) string {
	var seq []rawSET
	if rest, err := asn1.Unmarshal(der, &seq); err != nil || len(rest) > 0 {
		return parsed.String()
	}
	parts := make([]string, 0, len(seq))
	for _, rdn := range slices.Backward(seq) {
		values := make([]string, 0, len(rdn))
		for _, a := range rdn {
			values = append(values, a.String())
		}
		parts = append(parts, strings.Join(values, "+"))
	}
	return strings.Join(parts, ",")
}

// String is one type and value. What has no short name keeps its number, and then
// its value is hex (RFC 4514 §2.4).
func (a rawAttribute) String() string {
	oid := a.Type.String()
	if short, ok := shortNames[oid]; ok {
		var value any
		if rest, err := asn1.Unmarshal(a.Value.FullBytes, &value); err == nil && len(rest) == 0 {
			if text, ok := value.(string); ok {
				return short + "=" + escape(text)
			}
		}
	}
	return oid + "=#" + hex.EncodeToString(a.Value.FullBytes)
}

// escape marks what would end or change a value (RFC 4514 §2.4).
func escape(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == 0:
			b.WriteString(`\00`)
			continue
		case strings.ContainsRune(`,+"\<>;`, r), i == 0 && (r == ' ' || r == '#'), i == len(s)-1 && r == ' ':
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
