package oauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"testing"
)

// key is a client's key. Its tokens are put together here by hand, so that a
// wrong one can be made, and so that nothing is checked with its own library.
type key struct {
	t    testing.TB
	priv *ecdsa.PrivateKey
}

func newKey(t testing.TB) *key {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key{t: t, priv: priv}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (k *key) jwk() map[string]any {
	point, err := k.priv.PublicKey.Bytes() // 4 ‖ X ‖ Y
	if err != nil {
		k.t.Fatal(err)
	}
	return map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
}

func (k *key) jwks() json.RawMessage {
	jwk := k.jwk()
	jwk["kid"] = "k1"
	b, _ := json.Marshal(map[string]any{"keys": []any{jwk}})
	return b
}

// thumbprint is RFC 7638.
func (k *key) thumbprint() string {
	j := k.jwk()
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + j["x"].(string) + `","y":"` + j["y"].(string) + `"}`))
	return b64(sum[:])
}

// parts encodes header and claims; a nil value in change removes a member.
func parts(header, claims, change map[string]any) string {
	claims = maps.Clone(claims)
	for name, v := range change {
		claims[name] = v
		if v == nil {
			delete(claims, name)
		}
	}
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	return b64(h) + "." + b64(c)
}

// sign makes a JWS with ES256; header adds to alg.
func (k *key) sign(header, claims, change map[string]any) string {
	full := map[string]any{"alg": "ES256"}
	maps.Copy(full, header)
	return k.signText(parts(full, claims, change))
}

func (k *key) signText(text string) string {
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, k.priv, sum[:])
	if err != nil {
		k.t.Fatal(err)
	}
	return text + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// es384 makes a JWS that is right for ES384, but with a key of P-256.
func (k *key) es384(header, claims map[string]any) string {
	full := map[string]any{"alg": "ES384"}
	maps.Copy(full, header)
	text := parts(full, claims, nil)
	sum := sha512.Sum384([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, k.priv, sum[:])
	if err != nil {
		k.t.Fatal(err)
	}
	return text + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// hs256 makes a JWS with a symmetric key: the algorithm confusion.
func hs256(secret []byte, header, claims, change map[string]any) string {
	full := map[string]any{"alg": "HS256"}
	maps.Copy(full, header)
	text := parts(full, claims, change)
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text))
	return text + "." + b64(h.Sum(nil))
}

// publicPEM is the public key as an attacker would try it for HS256.
func (k *key) publicPEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(&k.priv.PublicKey)
	if err != nil {
		k.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func (k *key) privatePEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(k.priv)
	if err != nil {
		k.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
