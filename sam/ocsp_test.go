package sam_test

import (
	"crypto"
	"crypto/rand"
	_ "crypto/sha1" // for the name of the responder
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

var nocheck = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: asn1.NullBytes}}

// TestOnlyTheIssuersFreshWordCounts gives OCSP responses with everything that can
// be wrong with them.
func TestOnlyTheIssuersFreshWordCounts(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p := r.Person(samtest.Wish{})
	now := r.Clock.Now()
	caKey, responder := r.CA.Keys()
	good := ocsp.Response{Status: ocsp.Good, SerialNumber: p.Leaf.SerialNumber, Certificate: r.CA.Responder, ThisUpdate: now, NextUpdate: now.Add(time.Hour)}
	with := func(edit func(*ocsp.Response)) []byte {
		a := good
		edit(&a)
		return r.CA.Answer(a, r.CA.Cert, r.CA.Responder, responder)
	}
	delegate := func(edit func(*x509.Certificate)) []byte {
		key := samtest.Key(t)
		c := &x509.Certificate{
			Subject: pkix.Name{CommonName: "Another responder"}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, ExtraExtensions: nocheck,
		}
		edit(c)
		by := r.CA.Sign(c, key.Public())
		a := good
		a.Certificate = by
		return r.CA.Answer(a, r.CA.Cert, by, key)
	}
	stranger := samtest.NewCA(t, r.Clock)
	_, strangerKey := stranger.Keys()
	for _, row := range []struct {
		name string
		der  []byte
		code string // empty: good
	}{
		{"fresh", with(func(*ocsp.Response) {}), ""},
		{"signed by the CA itself", r.CA.Answer(ocsp.Response{Status: ocsp.Good, SerialNumber: p.Leaf.SerialNumber, ThisUpdate: now}, r.CA.Cert, r.CA.Cert, caKey), ""},
		{"certificate named by SHA-256", with(func(a *ocsp.Response) { a.IssuerHash = crypto.SHA256 }), ""},
		{"ten minutes old", with(func(a *ocsp.Response) { a.ThisUpdate = now.Add(-10 * time.Minute) }), ""},
		{"older", with(func(a *ocsp.Response) { a.ThisUpdate = now.Add(-10*time.Minute - time.Second) }), samapi.CodeStatusUnknown},
		{"from the future", with(func(a *ocsp.Response) { a.ThisUpdate = now.Add(2 * time.Minute) }), samapi.CodeStatusUnknown},
		{"past its next update", with(func(a *ocsp.Response) { a.ThisUpdate, a.NextUpdate = now.Add(-5*time.Minute), now.Add(-time.Second) }), samapi.CodeStatusUnknown},
		{"another serial number", with(func(a *ocsp.Response) { a.SerialNumber = r.CA.Cert.SerialNumber }), samapi.CodeStatusUnknown},
		{"another issuer's", r.CA.Answer(good, stranger.Cert, r.CA.Responder, responder), samapi.CodeStatusUnknown},
		{"unknown critical extension", with(func(a *ocsp.Response) {
			a.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: asn1.NullBytes}}
		}), samapi.CodeStatusUnknown},
		{"signed by another responder of the CA", delegate(func(*x509.Certificate) {}), ""},
		{"delegate without OCSP signing", delegate(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), samapi.CodeStatusUnknown},
		{"delegate for other purposes", delegate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), samapi.CodeStatusUnknown},
		{"delegate that needs a status", delegate(func(c *x509.Certificate) { c.ExtraExtensions = nil }), samapi.CodeStatusUnknown},
		{"delegate that expired", delegate(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }), samapi.CodeStatusUnknown},
		{"delegate not for signatures", delegate(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), samapi.CodeStatusUnknown},
		{"a stranger's delegate", func() []byte {
			a := good
			a.Certificate = stranger.Responder
			return r.CA.Answer(a, r.CA.Cert, stranger.Responder, strangerKey)
		}(), samapi.CodeStatusUnknown},
		{"the responder's name, another key", r.CA.Answer(good, r.CA.Cert, r.CA.Responder, samtest.Key(t)), samapi.CodeStatusUnknown},
		{"the signer's own word", func() []byte {
			a := good
			a.Certificate = p.Leaf
			return r.CA.Answer(a, r.CA.Cert, p.Leaf, samtest.Key(t))
		}(), samapi.CodeStatusUnknown},
		{"responder named by its key", byKey(t, with(func(*ocsp.Response) {}), r.CA.Responder, responder), ""},
		{"another responder named by its key", byKey(t, with(func(*ocsp.Response) {}), stranger.Responder, responder), samapi.CodeStatusUnknown},
		{"an error", ocsp.TryLaterErrorResponse, samapi.CodeStatusUnknown},
		{"garbage", []byte("good"), samapi.CodeStatusUnknown},
		{"a byte too many", append(with(func(*ocsp.Response) {}), 0), samapi.CodeStatusUnknown},
		{"revoked", with(func(a *ocsp.Response) { a.Status, a.RevokedAt = ocsp.Revoked, now }), samapi.CodeCertificateRevoked},
		{"revoked and too old", with(func(a *ocsp.Response) {
			a.Status, a.RevokedAt, a.ThisUpdate = ocsp.Revoked, now.Add(-time.Hour), now.Add(-time.Hour)
		}), samapi.CodeCertificateRevoked},
	} {
		t.Run(row.name, func(t *testing.T) {
			q := r.Approved(p, samtest.Hash("x"))
			req := r.SignRequest(p, q, samtest.Hash("x"))
			req.OCSP = row.der
			_, err := r.Sign(t.Context(), req)
			if row.code == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			refused(t, err, row.code)
			req.OCSP = with(func(*ocsp.Response) {})
			if _, err := r.Sign(t.Context(), req); err != nil {
				t.Errorf("nothing was spent, yet: %v", err)
			}
		})
	}
}

// byKey rewrites a response so that it names its responder by the SHA-1 of its key
// (RFC 6960 §4.2.2.3), and signs it again.
func byKey(t *testing.T, der []byte, by *x509.Certificate, key crypto.Signer) []byte {
	t.Helper()
	var outer struct {
		Status asn1.Enumerated
		Bytes  struct {
			Type     asn1.ObjectIdentifier
			Response []byte
		} `asn1:"explicit,tag:0"`
	}
	type basic struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
		Certs     []asn1.RawValue `asn1:"explicit,tag:0,optional"`
	}
	var inner basic
	var data struct {
		Responder asn1.RawValue
		Produced  time.Time `asn1:"generalized"`
		Responses asn1.RawValue
	}
	var key1 struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	read := func(b []byte, v any) {
		if rest, err := asn1.Unmarshal(b, v); err != nil || len(rest) > 0 {
			t.Fatalf("unmarshal: %v", err)
		}
	}
	write := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	read(der, &outer)
	read(outer.Bytes.Response, &inner)
	read(inner.TBS.FullBytes, &data)
	read(by.RawSubjectPublicKeyInfo, &key1)
	h := crypto.SHA1.New()
	h.Write(key1.Key.Bytes)
	data.Responder = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, IsCompound: true, Bytes: write(h.Sum(nil))}
	inner.TBS = asn1.RawValue{FullBytes: write(data)}
	h = crypto.SHA256.New()
	h.Write(inner.TBS.FullBytes)
	sig, err := key.Sign(rand.Reader, h.Sum(nil), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	inner.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
	outer.Bytes.Response = write(inner)
	return write(outer)
}
