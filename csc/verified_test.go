package csc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/signing"
)

// signed is a request for signatures over these texts, and its signatures.
func signed(t *testing.T, key *ecdsa.PrivateKey, texts ...string) (*csc.SignHashRequest, [][]byte) {
	t.Helper()
	q := &csc.SignHashRequest{CredentialID: "c", SignAlgo: signing.OIDECPublicKey, HashAlgorithmOID: signing.OIDSHA256}
	var sigs [][]byte
	for _, text := range texts {
		sum := sha256.Sum256([]byte(text))
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		q.Hashes = append(q.Hashes, base64.StdEncoding.EncodeToString(sum[:]))
		sigs = append(sigs, sig)
	}
	return q, sigs
}

func TestOnlyVerificationMakesVerified(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{PublicKey: &key.PublicKey, Raw: []byte("x")}
	q, sigs := signed(t, key, "a", "b")
	order, err := q.Order()
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string][][]byte{
		"none": nil, "too few": sigs[:1], "too many": {sigs[0], sigs[1], sigs[0]}, "in other order": {sigs[1], sigs[0]}, "empty": {sigs[0], nil},
	} {
		if v, err := order.Verify(cert, wrong); err == nil || v != nil {
			t.Errorf("%s: verified", name)
		}
	}
	v, err := order.Verify(cert, sigs)
	if err != nil {
		t.Fatal(err)
	}
	sigs[0][0] ^= 1 // whoever gave them cannot change them any more
	got, err := v.Response().Decode()
	if err != nil || len(got) != 2 {
		t.Fatalf("%d signatures, %v", len(got), err)
	}
	if _, err := order.Verify(cert, got); err != nil {
		t.Errorf("what left is not what was verified: %v", err)
	}
	same, err := q.Order()
	if err != nil {
		t.Fatal(err)
	}
	var nobody *csc.Verified
	for name, err := range map[string]error{"another request": v.For(same), "none": nobody.For(order), "an empty one": (&csc.Verified{}).For(order), "no request": v.For(nil)} {
		if err == nil {
			t.Errorf("it passes for %s", name)
		}
	}
	if err := v.For(order); err != nil {
		t.Error(err)
	}
}

func TestOrderIsReadAsTheSpecificationSays(t *testing.T) {
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, row := range map[string]struct {
		q    csc.SignHashRequest
		want *csc.Error
	}{
		"no hashes":         {csc.SignHashRequest{SignAlgo: signing.ECDSAWithSHA256.OID()}, csc.ErrEmptyHashes},
		"hash of no base64": {csc.SignHashRequest{SignAlgo: signing.ECDSAWithSHA256.OID(), Hashes: []string{hash, "*"}}, csc.ErrHashBase64},
		"no algorithm":      {csc.SignHashRequest{SignAlgo: "1.2.3", Hashes: []string{hash}}, csc.InvalidParameter("signAlgo")},
		"odd parameters":    {csc.SignHashRequest{SignAlgo: signing.OIDRSAPSS, SignAlgoParams: "*", Hashes: []string{hash}}, csc.InvalidParameter("signAlgoParams")},
	} {
		_, err := row.q.Order()
		var e *csc.Error
		if !errors.As(err, &e) || e.Description != row.want.Description {
			t.Errorf("%s: %v, want %q", name, err, row.want.Description)
		}
	}
}
