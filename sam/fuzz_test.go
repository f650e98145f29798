package sam_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// ocspWorld reads testdata/ocsp. Its keys are stored because every process of the
// fuzzer must know the same ones, else no seed verifies but in the first, and all
// that is tried looks new to it.
type ocspWorld struct {
	*testing.F

	leaf, ca *x509.Certificate
	now      time.Time
}

func newOCSPWorld(f *testing.F) *ocspWorld {
	f.Helper()
	w := &ocspWorld{F: f}
	for name, to := range map[string]**x509.Certificate{"leaf.crt": &w.leaf, "ca.crt": &w.ca} {
		var err error
		if *to, err = x509.ParseCertificate(w.read(name)); err != nil {
			f.Fatal(err)
		}
	}
	w.now = w.leaf.NotBefore.Add(time.Hour)
	for _, name := range []string{"good.ocsp", "revoked.ocsp", "unknown.ocsp", "issuer.ocsp"} {
		if err := sam.ReadStatus(w.read(name), w.leaf, w.ca, w.now); err != nil {
			f.Fatalf("%s: %v", name, err)
		}
	}
	return w
}

func (w *ocspWorld) read(name string) []byte {
	w.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "ocsp", name))
	if err != nil {
		w.Fatal(err)
	}
	return b
}

// check holds what is accepted against x/crypto: only what the responder signed may
// be.
func (w *ocspWorld) check(t *testing.T, der []byte) (accepted bool) {
	t.Helper()
	if sam.ReadStatus(der, w.leaf, w.ca, w.now) != nil {
		return false
	}
	if _, err := ocsp.ParseResponseForCert(der, w.leaf, w.ca); err != nil {
		t.Errorf("accepted %x, x/crypto says %v", der, err)
	}
	return true
}

// FuzzOCSP reads whole responses. Its seeds are short, signed by the issuer itself:
// the fuzzer first makes each find smaller, which takes the square of its length.
func FuzzOCSP(f *testing.F) {
	w := newOCSPWorld(f)
	f.Add(w.read("issuer.ocsp"))
	f.Add(ocsp.TryLaterErrorResponse)
	f.Fuzz(func(t *testing.T, der []byte) { w.check(t, der) })
}

// FuzzOCSPResponder puts any bytes where a response has its responder's certificate.
func FuzzOCSPResponder(f *testing.F) {
	w := newOCSPWorld(f)
	var (
		outer struct {
			Status asn1.Enumerated
			Bytes  struct {
				Type     asn1.ObjectIdentifier
				Response []byte
			} `asn1:"explicit,tag:0"`
		}
		basic struct {
			TBS, Algorithm asn1.RawValue
			Signature      asn1.BitString
			Certs          []asn1.RawValue `asn1:"explicit,tag:0,optional"`
		}
	)
	if _, err := asn1.Unmarshal(w.read("good.ocsp"), &outer); err != nil {
		f.Fatal(err)
	}
	if _, err := asn1.Unmarshal(outer.Bytes.Response, &basic); err != nil {
		f.Fatal(err)
	}
	with := func(cert []byte) ([]byte, error) {
		inner, whole := basic, outer
		inner.Certs = []asn1.RawValue{{FullBytes: cert}}
		var err error
		if whole.Bytes.Response, err = asn1.Marshal(inner); err != nil {
			return nil, err
		}
		return asn1.Marshal(whole)
	}
	right := basic.Certs[0].FullBytes
	f.Add(right)
	f.Add(w.leaf.Raw)
	f.Fuzz(func(t *testing.T, cert []byte) {
		der, err := with(cert)
		if err != nil {
			t.Fatal(err)
		}
		accepted := w.check(t, der)
		if accepted && !bytes.Contains(cert, right) || !accepted && bytes.Equal(cert, right) {
			t.Errorf("accepted is %t with certificate %x", accepted, cert)
		}
	})
}

// FuzzOrder has the RA seal any bytes, and brings any JSON as a sealed order.
func FuzzOrder(f *testing.F) {
	r := samtest.New(f, storetest.SQLite(f), samtest.Config{})
	p := r.Person(samtest.Wish{})
	kinds := orderKinds(r)
	for i, payload := range []any{
		samapi.EnrolSigner{Order: r.Order(), Signer: "new", Subject: p.Subject, Assurance: "high", Mechanism: samapi.DeviceKey, CodeHash: samtest.Hash("c"), CodeExpires: r.Clock.Now().Add(time.Hour)},
		samapi.AssignKey{Order: r.Order(), Signer: p.ID, Mechanism: samapi.DeviceKey, KeyType: "P-256", Multisign: 1},
		samapi.BindCertificate{Order: r.Order(), Credential: p.Credential, Chain: [][]byte{p.Leaf.Raw}},
		samapi.CredentialState{Order: r.Order(), Credential: p.Credential, State: samapi.CredentialSuspended},
		samapi.RevokeDevice{Order: r.Order(), Authenticator: "none"},
		samapi.DestroyKey{Order: r.Order(), Credential: "none"},
	} {
		b, err := signing.EncodeCanonical(payload)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	f.Add(uint8(0), []byte(`{"payload":"e30=","signature":"","key":""}`))
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		k := kinds[int(kind)%len(kinds)]
		s, err := signing.Seal(k.domain, data, r.RA)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.do(s); err != nil && fault.Of(err).Kind == fault.Internal {
			t.Errorf("%s of %q: %v", k.domain, data, err)
		}
		var raw signing.Signed
		if json.Unmarshal(data, &raw) == nil {
			if err := k.do(raw); err == nil || fault.Of(err).Kind == fault.Internal {
				t.Errorf("%s of %q: %v", k.domain, data, err)
			}
		}
	})
}

func FuzzCleanText(f *testing.F) {
	f.Add("invoice\u202efdp.exe")
	f.Add(" a\t\nb ")
	f.Add("\xff\x00")
	f.Fuzz(func(t *testing.T, s string) {
		out, err := sam.CleanText(s, 50)
		if err != nil {
			return
		}
		for _, r := range out {
			if !unicode.IsPrint(r) && r != utf8.RuneError {
				t.Errorf("%q becomes %q", s, out)
			}
		}
		if again, err := sam.CleanText(out, 50); err != nil || again != out || utf8.RuneCountInString(out) > 50 {
			t.Errorf("%q becomes %q, then %q, %v", s, out, again, err)
		}
	})
}
