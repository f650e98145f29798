package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// maxJWT is the most bytes of a token that a client makes.
const maxJWT = 8 << 10

// signatureAlgorithms are those of client assertions and DPoP proofs. A symmetric
// algorithm must never come into this list: its key would be a public one.
func signatureAlgorithms() []string {
	return []string{"ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "Ed25519", "EdDSA"}
}

// jwt is a compact JWS (RFC 7515 §7.1) with JSON claims, taken apart and not yet
// verified.
type jwt struct {
	raw       string
	signed    string // what the signature is over
	signature []byte
	header    object
	claims    object
	alg       string
	typ       string
	kid       string
}

// parseJWT takes a compact JWS apart. Header and claims must have one reading
// only. What the header says of keys elsewhere (jku, x5u, x5c) is never followed.
func parseJWT(raw string) (*jwt, error) {
	if len(raw) > maxJWT {
		return nil, fmt.Errorf("it is longer than %d bytes", maxJWT)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, errors.New("it is not a compact JWS")
	}
	t := &jwt{raw: raw, signed: parts[0] + "." + parts[1]}
	var err error
	if t.signature, err = base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil {
		return nil, errors.New("it is not base64url")
	}
	for i, to := range []*object{&t.header, &t.claims} {
		b, err := base64.RawURLEncoding.Strict().DecodeString(parts[i])
		if err != nil {
			return nil, errors.New("it is not base64url")
		}
		if *to, err = parseObject(b); err != nil {
			return nil, err
		}
	}
	if _, ok := t.header["crit"]; ok { // RFC 7515 §4.1.11: we know no extension
		return nil, errors.New("its header demands extensions")
	}
	if _, ok := t.header["b64"]; ok {
		return nil, errors.New("its header demands extensions")
	}
	for name, to := range map[string]*string{"alg": &t.alg, "typ": &t.typ, "kid": &t.kid} {
		text, err := t.header.text(name)
		if err != nil {
			return nil, err
		}
		*to = text
	}
	if !slices.Contains(signatureAlgorithms(), t.alg) {
		return nil, fmt.Errorf("algorithm %.20q is not accepted", t.alg)
	}
	return t, nil
}

// verify reports whether key made the signature with the algorithm of the header,
// which must be one that the kind of key is for.
func (t *jwt) verify(key crypto.PublicKey) error {
	if err := fits(t.alg, key); err != nil {
		return err
	}
	if pub, ok := key.(ed25519.PublicKey); ok { // jwx v2 does not know the name Ed25519
		if !ed25519.Verify(pub, []byte(t.signed), t.signature) {
			return errors.New("its signature is wrong")
		}
		return nil
	}
	if _, err := jws.Verify([]byte(t.raw), jws.WithKey(jwa.SignatureAlgorithm(t.alg), key), jws.WithCompact()); err != nil {
		return errors.New("its signature is wrong")
	}
	return nil
}

// fits keeps algorithm and key together: the defence against algorithm confusion.
func fits(alg string, key crypto.PublicKey) error {
	ok := false
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		ok = map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[alg] == k.Curve.Params().BitSize
	case *rsa.PublicKey:
		ok = (strings.HasPrefix(alg, "PS") || alg == "RS256") && k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192
	case ed25519.PublicKey:
		ok = alg == "Ed25519" || alg == "EdDSA" // RFC 9864, RFC 8037
	}
	if !ok {
		return fmt.Errorf("algorithm %s does not fit the key", alg)
	}
	return nil
}

// publicKey is a key of a client with what its JWK says of it.
type publicKey struct {
	key        crypto.PublicKey
	kid        string
	alg        string
	thumbprint string // RFC 7638 with SHA-256, base64url
}

// parsePublicKey reads a JWK that holds a public key for signatures and no more.
func parsePublicKey(raw json.RawMessage) (*publicKey, error) {
	o, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := o[private]; ok {
			return nil, errors.New("it holds a private or symmetric key")
		}
	}
	if use, err := o.text("use"); err != nil || (use != "" && use != "sig") {
		return nil, errors.New("it is not for signatures")
	}
	k, err := jwk.ParseKey(raw)
	if err != nil {
		return nil, errors.New("it is not a JWK that can be read")
	}
	p := &publicKey{kid: k.KeyID(), alg: k.Algorithm().String()}
	if p.key, err = rawPublicKey(k); err != nil {
		return nil, err
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, errors.New("it has no thumbprint")
	}
	p.thumbprint = base64.RawURLEncoding.EncodeToString(sum)
	return p, nil
}

func rawPublicKey(k jwk.Key) (crypto.PublicKey, error) {
	var raw any
	if err := k.Raw(&raw); err != nil {
		return nil, errors.New("its values do not make a key")
	}
	switch key := raw.(type) {
	case *ecdsa.PublicKey:
		if _, err := key.Bytes(); err != nil { // refuses points off the curve
			return nil, errors.New("its values do not make a key")
		}
		return key, nil
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < 2048 || n > 8192 || key.E < 3 || key.E%2 == 0 {
			return nil, errors.New("an RSA key must have 2048 to 8192 bits")
		}
		return key, nil
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return nil, errors.New("its values do not make a key")
		}
		return key, nil
	}
	return nil, errors.New("its kind is not accepted")
}

// maxKeys is how many keys a client may have at once, for rotation.
const maxKeys = 10

// parseKeySet reads a client's JWKS (RFC 7517 §5).
func parseKeySet(raw []byte) ([]*publicKey, error) {
	o, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if json.Unmarshal(o["keys"], &list) != nil || len(list) == 0 || len(list) > maxKeys {
		return nil, fmt.Errorf("keys is not an array of 1 to %d keys", maxKeys)
	}
	keys := make([]*publicKey, len(list))
	for i, r := range list {
		if keys[i], err = parsePublicKey(r); err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
	}
	return keys, nil
}
