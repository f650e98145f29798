package keystoretest

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

var allTypes = []signing.KeyType{
	signing.P256, signing.P384, signing.P521, signing.RSA3072, signing.RSA4096, signing.KeyEd25519,
}

func probe(t *testing.T, s *suite) {
	c, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Driver == "" || c.Module == "" {
		t.Errorf("probe names driver %q and module %q", c.Driver, c.Module)
	}
	if !slices.Contains(c.KeyTypes, signing.P256) {
		t.Errorf("key types %v do not contain P-256", c.KeyTypes)
	}
	if !c.WrapsKeys || !c.RefusesTamper {
		t.Errorf("wraps keys: %v, refuses tamper: %v; findings %q", c.WrapsKeys, c.RefusesTamper, c.Findings)
	}
	if !c.Hardware && len(c.Findings) == 0 {
		t.Error("a module without hardware has no findings")
	}
}

func everyAlgorithm(t *testing.T, s *suite) {
	c, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, kt := range allTypes {
		t.Run(string(kt), func(t *testing.T) {
			k, err := s.Generate(t.Context(), kt)
			if !slices.Contains(c.KeyTypes, kt) {
				if !errors.Is(err, keystore.ErrMechanism) {
					t.Fatalf("a type that the probe does not list: %v, want ErrMechanism", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if k.Type != kt || k.KEK < 1 || len(k.Blob) == 0 {
				t.Fatalf("wrapped key has type %s, KEK %d, %d bytes", k.Type, k.KEK, len(k.Blob))
			}
			pub, err := x509.ParsePKIXPublicKey(k.SPKI)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := signing.KeyTypeOf(pub); got != kt || err != nil {
				t.Fatalf("public key is %s, %v", got, err)
			}
			for _, alg := range kt.Algorithms() {
				s.signs(t, k, alg)
			}
			s.reopen(t)
			s.signs(t, k, kt.Algorithms()[0])
		})
	}
}

func foreignAlgorithms(t *testing.T, s *suite) {
	k := s.generate(t)
	h, err := s.Open(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, alg := range []signing.Algorithm{0, 99, signing.Ed25519, signing.RSAPSSWithSHA256, signing.RSAPKCS1WithSHA256} {
		if _, err := h.Sign(t.Context(), alg, make([]byte, 32)); !errors.Is(err, keystore.ErrMechanism) {
			t.Errorf("%s with an EC key: %v, want ErrMechanism", alg, err)
		}
	}
	for _, n := range []int{0, 20, 31, 33, 64} {
		if sig, err := h.Sign(t.Context(), signing.ECDSAWithSHA256, make([]byte, n)); err == nil {
			t.Errorf("%d bytes signed as SHA-256: %x", n, sig)
		}
	}
	if want, _ := k.PublicKey(); !equal(h.Public(), want) {
		t.Errorf("handle has another public key than the wrapped key")
	}
}

func unknownTypes(t *testing.T, s *suite) {
	for _, kt := range []signing.KeyType{"", "RSA-2048", "P-224", "secp256k1"} {
		if _, err := s.Generate(t.Context(), kt); !errors.Is(err, keystore.ErrMechanism) {
			t.Errorf("Generate(%q): %v, want ErrMechanism", kt, err)
		}
		if _, err := s.NewService(t.Context(), "service", kt); !errors.Is(err, keystore.ErrMechanism) {
			t.Errorf("NewService(%q): %v, want ErrMechanism", kt, err)
		}
	}
}

// refused fails the test unless the wrapped key is refused as tampered with by
// everything that takes one.
func (s *suite) refused(t *testing.T, what string, k keystore.WrappedKey) {
	t.Helper()
	if h, err := s.Open(t.Context(), k); !errors.Is(err, keystore.ErrTampered) {
		if err == nil {
			_ = h.Close()
		}
		t.Errorf("%s: Open gives %v, want ErrTampered", what, err)
	}
	if _, err := s.Rewrap(t.Context(), k); !errors.Is(err, keystore.ErrTampered) {
		t.Errorf("%s: Rewrap gives %v, want ErrTampered", what, err)
	}
}

func changedBlob(t *testing.T, s *suite) {
	k := s.generate(t)
	good := k.Blob
	for _, i := range []int{0, 4, 8, len(good) / 2, len(good) - 1} {
		k.Blob = bytes.Clone(good)
		k.Blob[i] ^= 0x10
		s.refused(t, "byte changed", k)
	}
	for what, blob := range map[string][]byte{
		"empty": nil, "cut by a block": good[:len(good)-8], "cut by a byte": good[:len(good)-1],
		"a block more": append(bytes.Clone(good), make([]byte, 8)...), "zeros": make([]byte, len(good)), "short": good[:16],
	} {
		k.Blob = blob
		s.refused(t, what, k)
	}
	k.Blob = good
	s.signs(t, k, signing.ECDSAWithSHA256)
}

func swappedSPKI(t *testing.T, s *suite) {
	a, b := s.generate(t), s.generate(t)
	s.refused(t, "another key's SPKI", keystore.WrappedKey{Blob: a.Blob, KEK: a.KEK, Type: a.Type, SPKI: b.SPKI})
	s.refused(t, "no SPKI", keystore.WrappedKey{Blob: a.Blob, KEK: a.KEK, Type: a.Type})
}

func swappedType(t *testing.T, s *suite) {
	k := s.generate(t)
	k.Type = signing.P384
	s.refused(t, "another type", k)
}

func otherModule(t *testing.T, s *suite) {
	other := &suite{fresh: s.fresh, open: s.fresh(t)}
	other.Store = other.open()
	k := other.generate(t)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	s.refused(t, "another module's key", k)
}

func closedHandle(t *testing.T, s *suite) {
	k := s.generate(t)
	h, err := s.Open(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if sig, err := h.Sign(t.Context(), signing.ECDSAWithSHA256, make([]byte, 32)); !errors.Is(err, keystore.ErrClosed) {
		t.Errorf("closed handle signs %x, %v, want ErrClosed", sig, err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	s.signs(t, k, signing.ECDSAWithSHA256) // the key itself lives on
}

func equal(a, b crypto.PublicKey) bool {
	x, err := x509.MarshalPKIXPublicKey(a)
	if err != nil {
		return false
	}
	y, err := x509.MarshalPKIXPublicKey(b)
	return err == nil && bytes.Equal(x, y)
}
