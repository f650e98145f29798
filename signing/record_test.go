package signing_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/signing"
)

func TestOnlyTheCanonicalTextIsRead(t *testing.T) {
	rec := signing.ProofingRecord{Version: 1, ID: "p1", Signer: "s <1>", Proved: time.Unix(1, 0).UTC(), Expires: time.Unix(2, 0).UTC()}
	good, err := signing.EncodeCanonical(rec)
	if err != nil {
		t.Fatal(err)
	}
	var got signing.ProofingRecord
	if err := signing.DecodeCanonical(good, &got); err != nil {
		t.Fatalf("own encoding refused: %v", err)
	}
	if got.Signer != rec.Signer {
		t.Fatalf("got signer %q, want %q", got.Signer, rec.Signer)
	}
	s := string(good)
	for name, text := range map[string]string{
		"unknown member":     s[:len(s)-1] + `,"more":1}`,
		"duplicate member":   `{"v":1,` + s[1:],
		"other letter case":  `{"V":1,` + s[len(`{"v":1,`):],
		"white space":        " " + s,
		"trailing text":      s + "{}",
		"escaped otherwise":  `{"v":1,"id":"\u00701",` + s[len(`{"v":1,"id":"p1",`):],
		"number spelt anew":  `{"v":1.0,` + s[len(`{"v":1,`):],
		"missing member":     `{"v":1}`,
		"not an object":      `[]`,
		"nothing":            ``,
		"trailing line feed": s + "\n",
	} {
		var r signing.ProofingRecord
		if err := signing.DecodeCanonical([]byte(text), &r); !errors.Is(err, signing.ErrNotCanonical) {
			t.Errorf("%s: got %v, want ErrNotCanonical", name, err)
		}
	}
}

func TestASealedRecordOpensOnlyForItsDomainAndKey(t *testing.T) {
	key, other := ecKey(t), ecKey(t)
	s, err := signing.Seal(signing.DomainProofing, []byte("statement"), key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Open(signing.DomainProofing, key.Public()); err != nil || string(got) != "statement" {
		t.Fatalf("got %q, %v", got, err)
	}
	changed := s
	changed.Payload = []byte("another statement")
	for name, open := range map[string]func() ([]byte, error){
		"another domain":  func() ([]byte, error) { return s.Open(signing.DomainKeyRecord, key.Public()) },
		"another key":     func() ([]byte, error) { return s.Open(signing.DomainProofing, other.Public()) },
		"another payload": func() ([]byte, error) { return changed.Open(signing.DomainProofing, key.Public()) },
	} {
		if got, err := open(); !errors.Is(err, signing.ErrSignature) {
			t.Errorf("%s: got %q, %v, want ErrSignature", name, got, err)
		}
	}
}

func TestBindingDependsOnTheMultisetAndNotOnTheOrder(t *testing.T) {
	d := func(s string) signing.Digest {
		sum := sha256.Sum256([]byte(s))
		return signing.Digest{Hash: crypto.SHA256, Sum: sum[:]}
	}
	a, b := d("a"), d("b")
	same := signing.DigestSet{a, b}.Binding()
	if got := (signing.DigestSet{b, a}).Binding(); got != same {
		t.Error("order changes the binding")
	}
	for name, s := range map[string]signing.DigestSet{
		"one less":             {a},
		"one twice":            {a, b, b},
		"another algorithm":    {a, {Hash: crypto.SHA512, Sum: b.Sum}},
		"digests run together": {{Hash: crypto.SHA256, Sum: append(append([]byte{}, a.Sum...), b.Sum...)}},
	} {
		if s.Binding() == same {
			t.Errorf("%s gives the same binding", name)
		}
	}
}

func TestADigestHasTheLengthOfItsAlgorithm(t *testing.T) {
	if _, err := signing.NewDigest(crypto.SHA256, make([]byte, 20)); err == nil {
		t.Error("20 bytes taken for SHA-256")
	}
	if _, err := signing.NewDigest(crypto.SHA1, make([]byte, 20)); !errors.Is(err, signing.ErrAlgorithm) {
		t.Errorf("SHA-1: got %v, want ErrAlgorithm", err)
	}
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func FuzzDecodeCanonical(f *testing.F) {
	f.Add([]byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r signing.KeyRecord
		if signing.DecodeCanonical(data, &r) != nil {
			return
		}
		again, err := signing.EncodeCanonical(r)
		if err != nil || string(again) != string(data) {
			t.Fatalf("%q was read and is written %q, %v", data, again, err)
		}
	})
}
