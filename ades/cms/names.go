//go:build !assemble

package cms

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
)

// sameName compares two DER Names: byte for byte, or else by meaning (RFC 5280
// §7.1 in its simple form), because some producers re-encode the strings.
func sameName(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y pkix.RDNSequence
	if rest, err := asn1.Unmarshal(a, &x); err != nil || len(rest) > 0 {
		return false
	}
	if rest, err := asn1.Unmarshal(b, &y); err != nil || len(rest) > 0 {
		return false
	}
	return len(x) > 0 && x.String() == y.String()
}
