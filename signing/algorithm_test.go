package signing_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"testing"

	"github.com/countersign/countersign/signing"
)

func TestResolveFollowsTheSpecification(t *testing.T) {
	pss := signing.RSAPSSWithSHA384.PSSParameters()
	for _, c := range []struct {
		name, algo, hash string
		params           []byte
		want             signing.Algorithm
		refused          bool
	}{
		{name: "ECDSA implies its digest", algo: "1.2.840.10045.4.3.2", want: signing.ECDSAWithSHA256},
		{name: "implied digest may be repeated", algo: "1.2.840.113549.1.1.12", hash: signing.OIDSHA384, want: signing.RSAPKCS1WithSHA384},
		{name: "rsaEncryption needs the digest", algo: signing.OIDRSAEncryption, refused: true},
		{name: "rsaEncryption with digest", algo: signing.OIDRSAEncryption, hash: signing.OIDSHA512, want: signing.RSAPKCS1WithSHA512},
		{name: "ecPublicKey with digest", algo: signing.OIDECPublicKey, hash: signing.OIDSHA256, want: signing.ECDSAWithSHA256},
		{name: "PSS needs its parameters", algo: signing.OIDRSAPSS, hash: signing.OIDSHA384, refused: true},
		{name: "PSS with parameters", algo: signing.OIDRSAPSS, params: pss, want: signing.RSAPSSWithSHA384},
		{name: "PSS with SHA-1 defaults", algo: signing.OIDRSAPSS, params: []byte{0x30, 0}, refused: true},
		{name: "SHA-1 with RSA", algo: "1.2.840.113549.1.1.5", refused: true},
		{name: "SHA-1 digest", algo: signing.OIDRSAEncryption, hash: "1.3.14.3.2.26", refused: true},
		{name: "unknown", algo: "1.2.3", refused: true},
		{name: "contradiction is refused", algo: "1.2.840.113549.1.1.12", hash: signing.OIDSHA256, refused: true},
		{name: "Ed25519", algo: signing.OIDEd25519, want: signing.Ed25519},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := signing.Resolve(c.algo, c.hash, c.params)
			if c.refused {
				if !errors.Is(err, signing.ErrAlgorithm) {
					t.Fatalf("got %v, %v, want ErrAlgorithm", got, err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestPSSParametersWithAnotherDigestInMGF1AreRefused(t *testing.T) {
	a, b := signing.RSAPSSWithSHA256.PSSParameters(), signing.RSAPSSWithSHA512.PSSParameters()
	var x, y []asn1.RawValue
	if _, err := asn1.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	mixed, err := asn1.Marshal([]asn1.RawValue{x[0], y[1], x[2]})
	if err != nil {
		t.Fatal(err)
	}
	if alg, err := signing.ParsePSSParameters(mixed); !errors.Is(err, signing.ErrAlgorithm) {
		t.Fatalf("got %v, %v, want ErrAlgorithm", alg, err)
	}
}

func signers(t *testing.T) map[signing.KeyType]crypto.Signer {
	t.Helper()
	keys := map[signing.KeyType]crypto.Signer{}
	for kt, c := range map[signing.KeyType]elliptic.Curve{signing.P256: elliptic.P256(), signing.P384: elliptic.P384(), signing.P521: elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[kt] = k
	}
	r, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	keys[signing.RSA3072] = r
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys[signing.KeyEd25519] = e
	return keys
}

func TestEveryAlgorithmOfEveryKeyVerifiesWhatItSigned(t *testing.T) {
	for kt, key := range signers(t) {
		got, err := signing.KeyTypeOf(key.Public())
		if err != nil || got != kt {
			t.Fatalf("KeyTypeOf: got %v, %v, want %v", got, err, kt)
		}
		for _, alg := range kt.Algorithms() {
			digest := make([]byte, alg.Hash().Size())
			if _, err := rand.Read(digest); err != nil {
				t.Fatal(err)
			}
			sig, err := key.Sign(rand.Reader, digest, alg.SignerOpts())
			if err != nil {
				t.Fatalf("%s %s: %v", kt, alg, err)
			}
			if err := signing.Verify(key.Public(), alg, digest, sig); err != nil {
				t.Errorf("%s %s: %v", kt, alg, err)
			}
			digest[0] ^= 1
			if err := signing.Verify(key.Public(), alg, digest, sig); !errors.Is(err, signing.ErrSignature) {
				t.Errorf("%s %s over another digest: got %v, want ErrSignature", kt, alg, err)
			}
		}
	}
}

func TestKeyAndAlgorithmMustFit(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []signing.Algorithm{signing.RSAPSSWithSHA256, signing.Ed25519, 0, 99} {
		if err := signing.Verify(key.Public(), alg, make([]byte, 32), nil); !errors.Is(err, signing.ErrAlgorithm) {
			t.Errorf("%v: got %v, want ErrAlgorithm", alg, err)
		}
	}
	if err := signing.Verify(key.Public(), signing.ECDSAWithSHA384, make([]byte, 32), nil); !errors.Is(err, signing.ErrAlgorithm) {
		t.Errorf("short digest: got %v, want ErrAlgorithm", err)
	}
}

func TestRSA2048IsRefusedForNewKeys(t *testing.T) {
	t.Attr("control", "B07")
	t.Attr("control", "B06")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := signing.KeyTypeOf(key.Public()); !errors.Is(err, signing.ErrAlgorithm) {
		t.Fatalf("got %v, %v, want ErrAlgorithm", got, err)
	}
	if got, err := signing.ParseKeyType("RSA-2048"); !errors.Is(err, signing.ErrAlgorithm) {
		t.Fatalf("got %v, %v, want ErrAlgorithm", got, err)
	}
}

func FuzzParsePSSParameters(f *testing.F) {
	f.Add(signing.RSAPSSWithSHA256.PSSParameters())
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		if alg, err := signing.ParsePSSParameters(der); err == nil && !alg.PSS() {
			t.Fatalf("accepted as %v", alg)
		}
	})
}
