package signing_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/signing"
)

func machineKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func delegation() signing.Delegation {
	return signing.Delegation{
		Version: 1, Audience: "https://sign.example", Client: "rp", Credential: "c1", HashOID: signing.OIDSHA256,
		Hashes: [][]byte{make([]byte, 32)}, By: "user u1", ID: "0123456789abcdefghijklmnop", Issued: 1000, Expires: 1060,
	}
}

func TestDelegationArrivesAsItWasMade(t *testing.T) {
	key, want := machineKey(t), delegation()
	jws, err := signing.SealDelegation(want, key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signing.ParseDelegation(jws)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Open(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := s.Open(&machineKey(t).PublicKey); !errors.Is(err, signing.ErrSignature) {
		t.Errorf("another key opens it: %v", err)
	}
}

func TestDelegationOfAnotherFormIsRefused(t *testing.T) {
	key := machineKey(t)
	jws, err := signing.SealDelegation(delegation(), key)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(jws, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	header := func(text string) string { return b64([]byte(text)) + "." + parts[1] + "." + parts[2] }
	id, err := signing.KeyID(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	typ := `"typ":"countersign-delegation+jwt"`
	for name, text := range map[string]string{
		"none":             header(`{"alg":"none",` + typ + `,"kid":"` + id + `"}`),
		"HS256":            header(`{"alg":"HS256",` + typ + `,"kid":"` + id + `"}`),
		"another type":     header(`{"alg":"ES256","typ":"JWT","kid":"` + id + `"}`),
		"a key of its own": header(`{"alg":"ES256",` + typ + `,"kid":"` + id + `","jwk":{}}`),
		"critical":         header(`{"alg":"ES256",` + typ + `,"kid":"` + id + `","crit":["x"]}`),
		"twice":            header(`{"alg":"ES256","alg":"ES256",` + typ + `,"kid":"` + id + `"}`),
		"no signature":     parts[0] + "." + parts[1] + ".",
		"two parts":        parts[0] + "." + parts[1],
		"padding":          jws + "=",
		"flattened":        `{"payload":"` + parts[1] + `"}`,
		"empty":            "",
		"long":             strings.Repeat("A", signing.MaxDelegation+1),
	} {
		if _, err := signing.ParseDelegation(text); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	changed := []byte(jws)
	changed[len(parts[0])+5] ^= 1
	if s, err := signing.ParseDelegation(string(changed)); err == nil {
		if _, err := s.Open(&key.PublicKey); err == nil {
			t.Error("a changed payload is taken")
		}
	}
}

func TestDelegationWithoutLimitsIsRefused(t *testing.T) {
	key := machineKey(t)
	for name, change := range map[string]func(*signing.Delegation){
		"long life":  func(d *signing.Delegation) { d.Expires = d.Issued + 301 },
		"no life":    func(d *signing.Delegation) { d.Expires = d.Issued },
		"short id":   func(d *signing.Delegation) { d.ID = "1" },
		"no hashes":  func(d *signing.Delegation) { d.Hashes = nil },
		"by nobody":  func(d *signing.Delegation) { d.By = "" },
		"by so many": func(d *signing.Delegation) { d.By = strings.Repeat("x", 201) },
	} {
		d := delegation()
		change(&d)
		jws, err := signing.SealDelegation(d, key)
		if err != nil {
			t.Fatal(err)
		}
		s, err := signing.ParseDelegation(jws)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(&key.PublicKey); !errors.Is(err, signing.ErrNotCanonical) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseDelegation(f *testing.F) {
	key := machineKey(f)
	jws, err := signing.SealDelegation(delegation(), key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(jws)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := signing.ParseDelegation(text)
		if err != nil {
			return
		}
		if d, err := s.Open(&key.PublicKey); err == nil {
			again, err := signing.SealDelegation(d, key)
			if err != nil || strings.Count(again, ".") != 2 {
				t.Errorf("%v", err)
			}
		}
	})
}

// broken is a module whose key answers with numbers that are no signature of P-256.
type broken struct {
	*ecdsa.PrivateKey

	r, s *big.Int
}

func (b broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return asn1.Marshal(struct{ R, S *big.Int }{b.r, b.s})
}

func TestAKeyThatAnswersWithNoSignatureSealsNothing(t *testing.T) {
	one, large := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)
	for name, b := range map[string]broken{
		"too large":   {machineKey(t), large, one},
		"s too large": {machineKey(t), one, large},
		"zero":        {machineKey(t), new(big.Int), one},
		"negative":    {machineKey(t), one, big.NewInt(-1)},
	} {
		if jws, err := signing.SealDelegation(delegation(), b); err == nil {
			t.Errorf("%s: %s", name, jws)
		}
	}
}
