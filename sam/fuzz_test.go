package sam_test

import (
	"encoding/json"
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

func FuzzOCSP(f *testing.F) {
	clock := &samtest.Clock{}
	clock.Add(time.Since(clock.Now()))
	ca := samtest.NewCA(f, clock)
	leaf := ca.Leaf(signing.Subject{CommonName: "Ada", Country: "NO"}, spki(f, samtest.Key(f)))
	for _, status := range []int{ocsp.Good, ocsp.Revoked, ocsp.Unknown} {
		der := ca.OCSP(leaf, status)
		if err := sam.ReadStatus(der, leaf, ca.Cert, clock.Now()); err != nil {
			f.Fatalf("seed: %v", err)
		}
		f.Add(der)
	}
	f.Add(ocsp.TryLaterErrorResponse)
	f.Fuzz(func(t *testing.T, der []byte) {
		if sam.ReadStatus(der, leaf, ca.Cert, clock.Now()) != nil {
			return
		}
		// Only what the responder signed is accepted. x/crypto must agree.
		if _, err := ocsp.ParseResponseForCert(der, leaf, ca.Cert); err != nil {
			t.Errorf("accepted %x, x/crypto says %v", der, err)
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
