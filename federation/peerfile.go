package federation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// listType is the typ of the JWS around a list of peers.
const listType = "countersign-peers+jws"

// maxList bounds a file of peers.
const maxList = 4 << 20

// SignList makes the file: a compact JWS over the list, by the operator's key
// (Ed25519 or P-256).
func SignList(l *List, key crypto.Signer) ([]byte, error) {
	if err := l.Check(); err != nil {
		return nil, fmt.Errorf("list of peers: %w", err)
	}
	alg, err := listAlgorithm(key.Public())
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode list of peers: %w", err)
	}
	h := jws.NewHeaders()
	if err := h.Set(jws.TypeKey, listType); err != nil {
		return nil, fmt.Errorf("sign list of peers: %w", err)
	}
	out, err := jws.Sign(payload, jws.WithKey(alg, key, jws.WithProtectedHeaders(h)))
	if err != nil {
		return nil, fmt.Errorf("sign list of peers: %w", err)
	}
	return out, nil
}

// OpenList reads a file of peers: signed by that key, made for that gateway, and
// in force now. Errors say in a sentence what the operator has to do.
func OpenList(file []byte, key crypto.PublicKey, gateway string, now time.Time) (*List, error) {
	alg, err := listAlgorithm(key)
	if err != nil {
		return nil, err
	}
	file = bytes.TrimSpace(file)
	if len(file) > maxList || bytes.IndexByte(file, '{') >= 0 { // one form only: compact
		return nil, errors.New("the file of peers is no compact JWS: make it with countersign admin peers sign")
	}
	// The algorithm is the key's, whatever the header says.
	var m jws.Message
	payload, err := jws.Verify(file, jws.WithKey(alg, key), jws.WithMessage(&m))
	if err != nil {
		return nil, fmt.Errorf("the file of peers is not signed by the operator's key, or was changed after it was signed: sign it again with countersign admin peers sign (%w)", err)
	}
	if len(m.Signatures()) != 1 || m.Signatures()[0].ProtectedHeaders().Type() != listType {
		return nil, fmt.Errorf("the file of peers is signed for another purpose: its typ is not %s", listType)
	}
	l, err := decodeList(payload)
	if err != nil {
		return nil, err
	}
	switch {
	case l.Gateway != gateway:
		return nil, fmt.Errorf("the file of peers is for the gateway %s, this is %s", l.Gateway, gateway)
	case now.Before(l.Issued.Add(-clockSkew)):
		return nil, fmt.Errorf("the file of peers begins at %s, and the clock here says %s: set the clock, or wait", l.Issued.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case !now.Before(l.Expires):
		return nil, fmt.Errorf("the file of peers expired at %s: sign a new one with countersign admin peers sign", l.Expires.UTC().Format(time.RFC3339))
	}
	return l, nil
}

func decodeList(payload []byte) (*List, error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	var l List
	if err := d.Decode(&l); err != nil {
		return nil, fmt.Errorf("the list of peers cannot be read: %w", err)
	}
	if d.More() {
		return nil, errors.New("the list of peers cannot be read: something follows it")
	}
	if err := l.Check(); err != nil {
		return nil, fmt.Errorf("list of peers: %w", err)
	}
	return &l, nil
}

// ParseList reads the list before it is signed, as the operator writes it.
func ParseList(text []byte) (*List, error) { return decodeList(text) }

func listAlgorithm(key crypto.PublicKey) (jwa.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return jwa.EdDSA, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jwa.ES256, nil
		}
	}
	return "", fmt.Errorf("the operator's key is a %T: use Ed25519 or P-256", key)
}
