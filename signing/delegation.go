//go:build !assemble

package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Delegation is a machine's order to sign: the machine's key, which the activation
// module knows, stands under it, and no person is asked. It names everything that it
// allows, for one use. It travels as a compact JWS (RFC 7515) with ES256, whose
// header and payload have one spelling each.
type Delegation struct {
	Version    int      `json:"v"`   // 1
	Audience   string   `json:"aud"` // issuer of the gateway that is asked
	Client     string   `json:"client"`
	Credential string   `json:"credential"`
	HashOID    string   `json:"hashOID"`
	Hashes     [][]byte `json:"hashes"` // in the order of the request
	// By names the person or machine that caused it, for the log.
	By string `json:"by"`
	// ID is never used again: 128 random bits or more.
	ID      string `json:"jti"`
	Issued  int64  `json:"iat"` // seconds since 1970
	Expires int64  `json:"exp"` // at most MaxDelegationLife after Issued
}

// MaxDelegationLife is how long a delegation may be used.
const MaxDelegationLife = 5 * time.Minute

// Limits of delegations.
const (
	MaxDelegation   = 64 << 10 // bytes of the JWS
	maxDelegationBy = 200
)

// delegationHeader is the JWS's protected header.
type delegationHeader struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	Key       string `json:"kid"` // KeyID of the machine's key
}

const delegationType = "countersign-delegation+jwt"

// SealDelegation signs a delegation with the machine's P-256 key. Version is set.
func SealDelegation(d Delegation, key crypto.Signer) (string, error) {
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return "", fmt.Errorf("seal delegation: %w: the machine's key must be P-256", ErrAlgorithm)
	}
	id, err := KeyID(pub)
	if err != nil {
		return "", fmt.Errorf("seal delegation: %w", err)
	}
	d.Version = 1
	header, err := EncodeCanonical(delegationHeader{Algorithm: "ES256", Type: delegationType, Key: id})
	if err != nil {
		return "", fmt.Errorf("seal delegation: %w", err)
	}
	payload, err := EncodeCanonical(d)
	if err != nil {
		return "", fmt.Errorf("seal delegation: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	der, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("seal delegation: %w", err)
	}
	var rs struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &rs); err != nil || len(rest) > 0 {
		return "", errors.Join(errors.New("seal delegation: the key's signature is not ECDSA"), err)
	}
	if rs.R.Sign() <= 0 || rs.S.Sign() <= 0 || rs.R.BitLen() > 256 || rs.S.BitLen() > 256 {
		return "", errors.New("seal delegation: the key's signature is not one of P-256")
	}
	raw := make([]byte, 64)
	rs.R.FillBytes(raw[:32])
	rs.S.FillBytes(raw[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(raw), nil
}

// SealedDelegation is a delegation whose signature was not verified. Nothing of it
// may be believed before Open.
type SealedDelegation struct {
	Key string // KeyID of the key that it says it is signed with

	text      string // what is signed
	payload   []byte
	signature []byte
}

// ParseDelegation reads a compact JWS. It accepts one spelling of every value and
// nothing that RFC 7515 allows beside: no other algorithm, no critical or unknown
// header, no padding.
func ParseDelegation(jws string) (*SealedDelegation, error) {
	if len(jws) > MaxDelegation {
		return nil, fmt.Errorf("delegation of %d bytes: %w", len(jws), ErrNotCanonical)
	}
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("delegation is no compact JWS: %w", ErrNotCanonical)
	}
	var raw [3][]byte
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(p); err != nil || base64.RawURLEncoding.EncodeToString(raw[i]) != p {
			return nil, fmt.Errorf("delegation: part %d: %w", i+1, ErrNotCanonical)
		}
	}
	var h delegationHeader
	if err := DecodeCanonical(raw[0], &h); err != nil {
		return nil, fmt.Errorf("delegation's header: %w", err)
	}
	if h.Algorithm != "ES256" || h.Type != delegationType || len(h.Key) != 2*sha256.Size {
		return nil, fmt.Errorf("delegation's header: %w: want ES256 and %s", ErrAlgorithm, delegationType)
	}
	if len(raw[2]) != 64 {
		return nil, fmt.Errorf("delegation's signature has %d bytes: %w", len(raw[2]), ErrSignature)
	}
	return &SealedDelegation{Key: h.Key, text: parts[0] + "." + parts[1], payload: raw[1], signature: raw[2]}, nil
}

// Open verifies the signature with the machine's key and returns the delegation,
// whose times and members were checked for their form: that they are what the caller
// expects remains to be compared.
func (s *SealedDelegation) Open(pub *ecdsa.PublicKey) (Delegation, error) {
	id, err := KeyID(pub)
	if err != nil {
		return Delegation{}, fmt.Errorf("open delegation: %w", err)
	}
	sum := sha256.Sum256([]byte(s.text))
	r, t := new(big.Int).SetBytes(s.signature[:32]), new(big.Int).SetBytes(s.signature[32:])
	if pub.Curve != elliptic.P256() || id != s.Key || !ecdsa.Verify(pub, sum[:], r, t) {
		return Delegation{}, fmt.Errorf("open delegation: %w", ErrSignature)
	}
	var d Delegation
	if err := DecodeCanonical(s.payload, &d); err != nil {
		return Delegation{}, fmt.Errorf("open delegation: %w", err)
	}
	switch life := d.Expires - d.Issued; {
	case d.Version != 1:
		err = fmt.Errorf("version %d", d.Version)
	case len(d.ID) < 22 || len(d.ID) > 64:
		err = errors.New("jti must have 22 to 64 characters")
	case len(d.Hashes) == 0:
		err = errors.New("no hashes")
	case d.By == "" || len(d.By) > maxDelegationBy:
		err = errors.New("who caused it is missing or too long")
	case life <= 0 || life > int64(MaxDelegationLife/time.Second):
		err = fmt.Errorf("life of %d s", life)
	}
	if err != nil {
		return Delegation{}, fmt.Errorf("open delegation: %w: %w", ErrNotCanonical, err)
	}
	return d, nil
}
