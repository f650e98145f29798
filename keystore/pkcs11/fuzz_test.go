//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"

	"github.com/countersign/countersign/signing"
)

// Some modules give the bare point. It begins with the tag of an OCTET STRING, and one
// in 256 goes on with the very length that follows.
func TestABarePointIsReadWhateverItsSecondByte(t *testing.T) {
	fam, err := familyOf(signing.P256)
	if err != nil {
		t.Fatal(err)
	}
	for range 20_000 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if point[1] != 63 {
			continue
		}
		if pub, err := parsePoint(point, fam); err != nil || !k.PublicKey.Equal(pub) {
			t.Errorf("%x: %v", point, err)
		}
		return
	}
	t.Fatal("no such point was made")
}

// FuzzKEKLabel reads labels that somebody wrote onto the token.
func FuzzKEKLabel(f *testing.F) {
	for _, s := range []string{"countersign-kek-1-pad", "countersign-kek-12-kwp", "countersign-kek-0-pad", "countersign-kek-01-pad", "countersign-kek--1-pad", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, label string) {
		generation, mechanism, ok := parseKEK(label)
		if ok && (generation < 1 || fmt.Sprintf("%s%d-%s", kekLabel, generation, wrapNames[mechanism]) != label) {
			t.Errorf("%q is read as generation %d, mechanism %#x", label, generation, mechanism)
		}
	})
}

// FuzzModuleSignature reads what a module gives for an ECDSA signature.
func FuzzModuleSignature(f *testing.F) {
	f.Add(bytes.Repeat([]byte{1}, 64))
	f.Add(make([]byte, 64))
	f.Add([]byte{1})
	f.Add(bytes.Repeat([]byte{255}, 66))
	f.Fuzz(func(t *testing.T, raw []byte) {
		sig, err := newRequest(signing.P256, signing.ECDSAWithSHA256, make([]byte, 32)).finish(raw)
		if err != nil {
			return
		}
		var rs struct{ R, S *big.Int }
		if rest, err := asn1.Unmarshal(sig, &rs); err != nil || len(rest) > 0 || rs.R.Sign() <= 0 || rs.S.Sign() <= 0 {
			t.Errorf("%x becomes %x", raw, sig)
		}
	})
}

// FuzzPoint reads a public point of a module, in an OCTET STRING or bare.
func FuzzPoint(f *testing.F) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	wrapped, err := asn1.Marshal(point)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(point)
	f.Add(wrapped)
	f.Add([]byte{4})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kt := range []signing.KeyType{signing.P256, signing.P521, signing.KeyEd25519} {
			fam, err := familyOf(kt)
			if err != nil {
				t.Fatal(err)
			}
			pub, err := parsePoint(b, fam)
			if err != nil {
				continue
			}
			if got, err := signing.KeyTypeOf(pub); err != nil || got != kt {
				t.Errorf("%x becomes a key of type %s, %v", b, got, err)
			}
		}
	})
}
