package soft

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"encoding/hex"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 5649 §6.
func TestKeyWrapGivesTheExamplesOfRFC5649(t *testing.T) {
	kek, err := aes.NewCipher(unhex(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ plain, wrapped string }{
		{"c37b7e6492584340bed12207808941155068f738", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
		{"466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
	} {
		plain, want := unhex(t, v.plain), unhex(t, v.wrapped)
		if got := wrap(kek, plain); !bytes.Equal(got, want) {
			t.Errorf("wrap(%s) = %x, want %s", v.plain, got, v.wrapped)
		}
		got, err := unwrap(kek, want)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unwrap(%s) = %x, %v, want %s", v.wrapped, got, err, v.plain)
		}
	}
}

func TestEveryLengthComesBackAndEveryFlippedBitIsRefused(t *testing.T) {
	kek, err := aes.NewCipher(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 64; n++ {
		plain := make([]byte, n)
		_, _ = rand.Read(plain)
		w := wrap(kek, plain)
		got, err := unwrap(kek, w)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("length %d: %x, %v, want %x", n, got, err, plain)
		}
		for i := range w {
			w[i] ^= 1 << (i % 8)
			if _, err := unwrap(kek, w); err == nil {
				t.Fatalf("length %d: byte %d changed and accepted", n, i)
			}
			w[i] ^= 1 << (i % 8)
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	kek, err := aes.NewCipher(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wrap(kek, []byte("key")))
	f.Add(wrap(kek, bytes.Repeat([]byte{1}, 40)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, err := unwrap(kek, data)
		if err != nil {
			return
		}
		if !bytes.Equal(wrap(kek, plain), data) {
			t.Errorf("accepted %x, which wrap does not make", data)
		}
	})
}
