package sad_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

func sample() *sad.SAD {
	h := bytes.Repeat([]byte{1}, 32)
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return &sad.SAD{
		Version: 1, Type: sad.TypeSign, Issuer: "https://approve.example", SID: strings.Repeat("s", 26), Nonce: strings.Repeat("n", 43),
		IssuedAt: at, Expires: at.Add(5 * time.Minute), Signer: "ada", SignerName: "Ada <Lovelace>", Authenticators: []string{"d1"},
		SCAL: 2, Assurance: "high", Credential: "c1", Key: h, Cert: h, HashOID: signing.OIDSHA256, SignAlgos: []string{"ECDSA with SHA-256"},
		Documents: []sad.Doc{{Name: "a & b.pdf", Size: 7, DTBSR: h}}, Party: sad.Party{Client: "rp", Name: "Northgate"}, Request: h,
	}
}

func TestWhatIsEncodedIsParsed(t *testing.T) {
	b, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := sad.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Error(diff)
	}
	want := sha256.Sum256(append([]byte("countersign-sad-v1\x00"), b...))
	if sad.Challenge(b) != want {
		t.Error("the challenge is not SHA-256(domain, 0, SAD)")
	}
}

func TestParserHasOneReading(t *testing.T) {
	b, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	replace := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("the sample has no %s", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	for name, text := range map[string]string{
		"empty":               "",
		"null":                "null",
		"a space":             good + " ",
		"a space inside":      replace(`"v":1,`, `"v":1, `),
		"unknown member":      replace(`"v":1,`, `"v":1,"new":1,`),
		"duplicate member":    replace(`"signer":"ada",`, `"signer":"mallory","signer":"ada",`),
		"other letter case":   replace(`"signer":`, `"Signer":`),
		"escaped":             replace(`"ada"`, `"\u0061da"`),
		"escaped for HTML":    replace(`<`, `\u003c`),
		"another order":       replace(`"v":1,"typ":"sign"`, `"typ":"sign","v":1`),
		"number as float":     replace(`"v":1,`, `"v":1.0,`),
		"null for empty":      replace(`"docs":`, `"path":null,"docs":`),
		"padding of base64":   replace(`"key":"AQ`, `"key":"\nAQ`),
		"another version":     replace(`"v":1,`, `"v":2,`),
		"another type":        replace(`"typ":"sign"`, `"typ":"pay"`),
		"time in other zone":  replace(`2026-11-21T12:00:00Z`, `2026-11-21T13:00:00+01:00`),
		"ends before it was":  replace(`2026-11-21T12:05:00Z`, `2026-11-21T11:05:00Z`),
		"no device":           replace(`["d1"]`, `[]`),
		"another digest name": replace(signing.OIDSHA256, "1.3.14.3.2.26"),
		"digest too short":    replace(signing.OIDSHA256, signing.OIDSHA384),
		"wysiwys too high":    replace(`"wysiwys":0`, `"wysiwys":2`),
		"wysiwys unproved":    replace(`"wysiwys":0`, `"wysiwys":1`),
		"document no name":    replace(`"a & b.pdf"`, `""`),
		"two values":          good + good,
	} {
		if _, err := sad.Parse([]byte(text)); !errors.Is(err, sad.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sad.Parse(make([]byte, sad.MaxSize+1)); !errors.Is(err, sad.ErrMalformed) {
		t.Errorf("too long: %v", err)
	}
	s := sample()
	s.Documents[0].Name = strings.Repeat("x", sad.MaxSize)
	if _, err := s.Encode(); err == nil {
		t.Error("too long: encoded")
	}
}

func FuzzSAD(f *testing.F) {
	b, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(bytes.Replace(b, []byte(`"signer"`), []byte(`"SIGNER"`), 1))
	f.Add([]byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := sad.Parse(data)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q is read as %q", data, again)
		}
	})
}

func FuzzAttributes(f *testing.F) {
	h := bytes.Repeat([]byte{5}, 32)
	for _, a := range []samtest.Attributes{
		{Digest: h, CertDigest: h},
		{Digest: h, CertDigest: h, Issuer: []byte{0x30, 0}, Serial: big.NewInt(7)},
		{Digest: h, CertDigest: h, HashOID: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}},
	} {
		der, _ := a.DER()
		if _, err := sad.ParseAttributes(der); err != nil {
			f.Fatalf("seed: %v", err)
		}
		f.Add(der)
	}
	f.Add([]byte{0x31, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		a, err := sad.ParseAttributes(der)
		if err != nil {
			return
		}
		if len(a.CertDigest) != a.CertHash.Size() || a.ContentType == "" {
			t.Errorf("%x gives %+v", der, a)
		}
		if _, err := sad.ParseAttributes(append(bytes.Clone(der), 0)); err == nil {
			t.Errorf("%x and a byte too many", der)
		}
	})
}
