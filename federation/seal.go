package federation

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// sealer keeps tokens and undelivered signatures in the database so that a copy of
// it is worth nothing. The first secret seals, every one opens.
type sealer struct{ aeads []cipher.AEAD }

// minSecret is the least length of a secret in bytes.
const minSecret = 32

func newSealer(secrets [][]byte) (*sealer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("federation: a secret is needed")
	}
	s := &sealer{}
	for i, secret := range secrets {
		if len(secret) < minSecret {
			return nil, fmt.Errorf("federation: secret %d has %d bytes, at least %d are needed", i+1, len(secret), minSecret)
		}
		key, err := hkdf.Key(sha256.New, secret, nil, "countersign federation seal v1", 32)
		if err != nil {
			return nil, fmt.Errorf("federation: derive key: %w", err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("federation: derive key: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("federation: derive key: %w", err)
		}
		s.aeads = append(s.aeads, aead)
	}
	return s, nil
}

// seal encodes v for one place: what is sealed for another does not open here.
func (s *sealer) seal(place string, v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return base64.RawStdEncoding.EncodeToString(s.aeads[0].Seal(nil, nil, text, []byte(place))), nil //nolint:gosec // the AEAD makes its nonce itself
}

func (s *sealer) open(place, sealed string, v any) error {
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return fmt.Errorf("open sealed: %w", err)
	}
	for _, a := range s.aeads {
		if text, err := a.Open(nil, nil, b, []byte(place)); err == nil {
			return json.Unmarshal(text, v)
		}
	}
	return errors.New("open sealed: no secret of this gateway opens it, or it is another's")
}

// digestHex is how the database knows a value that it must not hold.
func digestHex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
