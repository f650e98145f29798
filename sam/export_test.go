package sam

import (
	"crypto/x509"
	"time"
)

// ReadStatus parses and verifies an OCSP response, for the fuzzer.
func ReadStatus(der []byte, leaf, issuer *x509.Certificate, now time.Time) error {
	_, err := readStatus(der, &holder{leaf: leaf, issuer: issuer}, now)
	return err
}

// CleanText makes text safe to show, for the fuzzer.
func CleanText(s string, most int) (string, error) { return cleanText(s, most) }
