package sam

import (
	"crypto/sha256"
	"crypto/x509"
	"time"

	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
)

// ReadStatus parses and verifies an OCSP response, for the fuzzer.
func ReadStatus(der []byte, leaf, issuer *x509.Certificate, now time.Time) error {
	_, err := readStatus(der, &holder{leaf: leaf, issuer: issuer}, now)
	return err
}

// CleanText makes text safe to show, for the fuzzer.
func CleanText(s string, most int) (string, error) { return cleanText(s, most) }

// Recent is a bounded memory of numbers.
type Recent struct{ r recent[int] }

// NewRecent has room for most.
func NewRecent(most int) *Recent { return &Recent{recent[int]{most: most}} }

// Get is what was kept.
func (r *Recent) Get(key string) (int, bool) { return r.r.get(key) }

// Keep keeps one more.
func (r *Recent) Keep(key string, v int) { r.r.keep(key, v) }

// Size is how many are kept.
func (r *Recent) Size() int { return len(r.r.now) + len(r.r.before) }

// CheckStatement verifies a device's statement about a request, for the fuzzer.
func CheckStatement(spki, raw, statement, signature []byte) error {
	parsed, err := sad.Parse(raw)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	r := &request{fixed: fixed{SADHash: sum[:]}, raw: raw, sad: parsed}
	a := &authenticator{Mechanism: samapi.DeviceKey, SPKI: spki}
	return checkStatement(a, r, samapi.Approval{Statement: &samapi.SignedStatement{Statement: statement, Signature: signature}})
}
