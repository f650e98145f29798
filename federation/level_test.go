package federation_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/countersign/countersign/federation"
)

// statement is one of ETSI EN 319 412-5.
type statement struct {
	ID   asn1.ObjectIdentifier
	Info asn1.RawValue `asn1:"optional"`
}

func TestTheLevelIsWhatTheCertificateBearsOut(t *testing.T) {
	compliance, sscd := statement{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}}, statement{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 4}}
	kind := func(n int) statement {
		der, err := asn1.Marshal([]asn1.ObjectIdentifier{{0, 4, 0, 1862, 1, 6, n}})
		if err != nil {
			t.Fatal(err)
		}
		return statement{asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}, asn1.RawValue{FullBytes: der}}
	}
	extension := func(list ...statement) []byte {
		der, err := asn1.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	for name, c := range map[string]struct {
		value []byte
		level federation.Level
		seal  bool
	}{
		"no statement":      {nil, federation.AES, false},
		"qualified":         {extension(compliance, sscd, kind(1)), federation.QES, false},
		"qualified, no key": {extension(compliance, kind(1)), federation.AESQC, false},
		"a device alone":    {extension(sscd, kind(1)), federation.AES, false},
		"qualified seal":    {extension(compliance, sscd, kind(2)), federation.QES, true},
		"a seal":            {extension(kind(2)), federation.AES, true},
		"rubbish":           {[]byte{0x30, 0x05, 0x01}, federation.AES, false},
		"more behind it":    {append(extension(compliance, sscd), 0), federation.AES, false},
	} {
		cert := withStatements(t, c.value)
		if l, seal := federation.LevelOf(cert); l != c.level || seal != c.seal {
			t.Errorf("%s: %s, seal %v; want %s, %v", name, l, seal, c.level, c.seal)
		}
	}
}

func withStatements(t *testing.T, value []byte) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	if value != nil {
		tmpl.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: value}}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
