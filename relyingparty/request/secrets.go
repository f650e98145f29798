package request

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// secrets makes links and codes. Both are derived from the installation's secret
// and never stored: the database holds a link's hash and a code's salt, which are
// of no use to who reads it.
type secrets struct {
	links, codes []byte
	seal         cipher.AEAD
}

func newSecrets(secret []byte) (s secrets, err error) {
	derive := func(info string) []byte {
		key, e := hkdf.Key(sha256.New, secret, nil, "countersign request "+info, 32)
		if e != nil {
			err = fmt.Errorf("derive key: %w", e)
		}
		return key
	}
	s.links, s.codes = derive("links"), derive("codes")
	sealing := derive("approvals")
	if err != nil {
		return s, err
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return s, err
	}
	s.seal, err = cipher.NewGCMWithRandomNonce(block)
	return s, err
}

// link is the secret of a signer's link: 256 bits.
func (s secrets) link(signer string) string {
	h := hmac.New(sha256.New, s.links)
	h.Write([]byte(signer))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// code is a one-time code: every letter of the alphabet is equally likely.
func (s secrets) code(signer, salt, alphabet string, length int) string {
	var (
		out   strings.Builder
		limit = 256 - 256%len(alphabet)
	)
	for block := byte(0); ; block++ {
		h := hmac.New(sha256.New, s.codes)
		h.Write([]byte(signer + "\x00" + salt + "\x00"))
		h.Write([]byte{block})
		for _, b := range h.Sum(nil) {
			if int(b) >= limit { // would make the first letters likelier
				continue
			}
			out.WriteByte(alphabet[int(b)%len(alphabet)])
			if out.Len() == length {
				return out.String()
			}
		}
	}
}

// sealText and openText keep the state of an approval unreadable in the database.
func (s secrets) sealText(id string, b []byte) string {
	return base64.RawStdEncoding.EncodeToString(s.seal.Seal(nil, nil, b, []byte(id))) //nolint:gosec // NewGCMWithRandomNonce makes the nonce
}

func (s secrets) openText(id, sealed string) ([]byte, error) {
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("sealed state of %s: %w", id, err)
	}
	if b, err = s.seal.Open(nil, nil, b, []byte(id)); err != nil {
		return nil, fmt.Errorf("sealed state of %s: %w", id, err)
	}
	return b, nil
}

// newToken makes a secret of 256 random bits.
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// derivedID is an id that a repeated job finds again.
func derivedID(parts ...string) string { return hashOf(strings.Join(parts, "\x00"))[:40] }
