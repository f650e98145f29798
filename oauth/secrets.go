package oauth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
)

// minGlobal is the least length of a global secret in bytes.
const minGlobal = 32

// keys are what is derived from the global secrets, the current one first.
type keys struct {
	token [][]byte
	nonce [][]byte
	seal  []cipher.AEAD
	// pushed seals requests into their request_uri.
	pushed []cipher.AEAD
}

func deriveKeys(secrets [][]byte) (*keys, error) {
	if len(secrets) == 0 {
		return nil, errors.New("oauth: a global secret is needed")
	}
	k := &keys{}
	for i, s := range secrets {
		if len(s) < minGlobal {
			return nil, fmt.Errorf("oauth: global secret %d has %d bytes, at least %d are needed", i+1, len(s), minGlobal)
		}
		var derived [4][]byte
		for j, label := range []string{"tokens", "nonces", "client secrets", "pushed requests"} {
			d, err := hkdf.Key(sha256.New, s, nil, "countersign oauth "+label+" v1", 32)
			if err != nil {
				return nil, fmt.Errorf("oauth: derive keys: %w", err)
			}
			derived[j] = d
		}
		seal, err := newAEAD(derived[2])
		if err != nil {
			return nil, err
		}
		pushed, err := newAEAD(derived[3])
		if err != nil {
			return nil, err
		}
		k.token, k.nonce = append(k.token, derived[0]), append(k.nonce, derived[1])
		k.seal, k.pushed = append(k.seal, seal), append(k.pushed, pushed)
	}
	return k, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("oauth: derive keys: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("oauth: derive keys: %w", err)
	}
	return aead, nil
}

// sealSecret keeps SHA-256(secret) for a client. It is sealed, not hashed once
// more, because the key of CSC's account_token is exactly this digest (CSC API v2
// §8.4.1); a copy of the database alone is worth nothing.
func (k *keys) sealSecret(org, client, secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return k.seal[0].Seal(nil, nil, sum[:], []byte(org+"\x00"+client)) //nolint:gosec // the AEAD makes its nonce itself
}

// isSecret reports whether secret is the one that was sealed.
func (k *keys) isSecret(org, client string, sealed []byte, secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	for _, aead := range k.seal {
		if kept, err := aead.Open(nil, nil, sealed, []byte(org+"\x00"+client)); err == nil {
			return subtle.ConstantTimeCompare(kept, sum[:]) == 1
		}
	}
	return false
}

// NewSecret makes a client secret: 256 random bits, base64url.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// secretForm is what a secret may look like. One fast hash protects it, so it must
// be long; and only characters that mean the same in every encoding, because
// clients disagree on the one for HTTP Basic (RFC 6749 §2.3.1).
var secretForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,256}$`)

// strongSecret reports whether a secret can have been made at random.
func strongSecret(s string) bool {
	distinct := map[rune]bool{}
	for _, c := range s {
		distinct[c] = true
	}
	return secretForm.MatchString(s) && len(distinct) >= 10
}

// digestHex is how the database knows a value that it must not hold.
func digestHex(parts ...string) string {
	h := sha256.New()
	for i, p := range parts {
		if i > 0 {
			h.Write([]byte{0})
		}
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// mac is HMAC-SHA-256.
func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}
