package sam_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

func TestBeginRefusesWhatCannotBeSigned(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{Multisign: 2})
	for _, row := range []struct {
		name string
		edit func(*samapi.Intent)
		kind fault.Kind
		code string
	}{
		{"unknown credential", func(i *samapi.Intent) { i.Credential = "none" }, fault.NotFound, samapi.CodeUnknownCredential},
		{"no client", func(i *samapi.Intent) { i.Client = "" }, fault.Invalid, ""},
		{"no request hash", func(i *samapi.Intent) { i.Request = nil }, fault.Invalid, ""},
		{"unknown gateway", func(i *samapi.Intent) { i.Gateway = "https://mallory.example" }, fault.Forbidden, samapi.CodeUnknownGateway},
		{"SHA-1", func(i *samapi.Intent) { i.HashOID = "1.3.14.3.2.26" }, fault.Invalid, samapi.CodeAlgorithm},
		{"RSA on an EC key", func(i *samapi.Intent) { i.Algorithms = []signing.Algorithm{signing.RSAPSSWithSHA256} }, fault.Invalid, samapi.CodeAlgorithm},
		{"another digest", func(i *samapi.Intent) { i.Algorithms = []signing.Algorithm{signing.ECDSAWithSHA384} }, fault.Invalid, samapi.CodeAlgorithm},
		{"nothing to sign", func(i *samapi.Intent) { i.Documents = nil }, fault.Invalid, ""},
		{"more than the key allows", func(i *samapi.Intent) { i.Documents = slices.Repeat(i.Documents, 3) }, fault.Invalid, samapi.CodeTooMany},
		{"20 bytes as SHA-256", func(i *samapi.Intent) { i.Documents[0].DTBSR = make([]byte, 20) }, fault.Invalid, samapi.CodeHashLength},
		{"64 bytes as SHA-256", func(i *samapi.Intent) { i.Documents[0].DTBSR = make([]byte, 64) }, fault.Invalid, samapi.CodeHashLength},
		{"negative size", func(i *samapi.Intent) { i.Documents[0].Size = -1 }, fault.Invalid, ""},
		{"very long name", func(i *samapi.Intent) { i.Documents[0].Label = strings.Repeat("x", 257) }, fault.Invalid, ""},
		{"client with a line break", func(i *samapi.Intent) { i.Client = "north\ngate" }, fault.Invalid, ""},
		{"client turned round", func(i *samapi.Intent) { i.Client = "north\u202egate" }, fault.Invalid, ""},
		{"very long client name", func(i *samapi.Intent) { i.ClientName = strings.Repeat("x", 129) }, fault.Invalid, ""},
		{"negative redemption", func(i *samapi.Intent) { i.Redeem = -1 }, fault.Invalid, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := r.Intent(p, samtest.Hash("x"))
			row.edit(&in)
			_, err := r.Begin(t.Context(), in)
			if f := fault.Of(err); f.Kind != row.kind || f.Code != row.code {
				t.Errorf("got %s %q: %v; want %s %q", f.Kind, f.Code, err, row.kind, row.code)
			}
		})
	}
}

func TestSADSaysWhatWasAsked(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		in := r.Intent(p, samtest.Hash("x"), samtest.Hash("y"))
		in.ClientName = "North\u202egate\tLtd "
		in.Documents[0].Label = "  invoice\u202efdp.exe\x00\n"
		in.Documents[1].Label = ""
		q := r.Started(in)
		s := q.SAD
		if s.Party.Name != "North\ufffdgate Ltd" || s.Party.Client != in.Client {
			t.Errorf("party %+v", s.Party)
		}
		if s.Documents[0].Name != "invoice\ufffdfdp.exe\ufffd" || s.Documents[1].Name != "Document 2" {
			t.Errorf("names %q, %q", s.Documents[0].Name, s.Documents[1].Name)
		}
		if s.Credential != p.Credential || s.Signer != p.ID || s.SignerName != p.Subject.CommonName || s.Wysiwys != 0 ||
			!bytes.Equal(s.Cert, samtest.Hash(string(p.Leaf.Raw))) || !bytes.Equal(s.Key, samtest.Hash(string(p.Leaf.RawSubjectPublicKeyInfo))) {
			t.Errorf("SAD %+v", s)
		}
		if diff := cmp.Diff([]string{"ECDSA with SHA-256"}, s.SignAlgos); diff != "" {
			t.Error(diff)
		}
		if got := s.Expires.Sub(r.Clock.Now()); got != 300*time.Second {
			t.Errorf("it expires in %s", got)
		}
		if len(q.Number) != 2 || strings.Trim(q.Number, "0123456789") != "" || bytes.Contains(q.Raw, []byte(`"`+q.Number+`"`)) {
			t.Errorf("number %q", q.Number)
		}
		if strings.Contains(string(q.Raw), q.View) {
			t.Error("the SAD has the view token")
		}
		if _, err := r.View(t.Context(), q.SID, q.View[1:]); !errors.Is(err, fault.NotFound) {
			t.Errorf("with another view token: %v", err)
		}
	})
}

// TestSignedAttributesMustBeTheDocuments gets each part of the signed attributes
// wrong: show one document, sign another.
func TestSignedAttributesMustBeTheDocuments(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p, other := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
	doc := samtest.Hash("document")
	right := samtest.Attributes{Digest: doc, CertDigest: samtest.Hash(string(p.Leaf.Raw))}
	begin := func(a samtest.Attributes, edit func(*samapi.Document)) (*samtest.Pending, error) {
		in := r.Intent(p, samtest.Hash("x"))
		d := &in.Documents[0]
		d.SignedAttrs, d.DTBSR = a.DER()
		d.DocHash = doc
		if edit != nil {
			edit(d)
		}
		begun, err := r.Begin(t.Context(), in)
		if err != nil {
			return nil, err
		}
		_ = begun
		return r.Started(in), nil
	}
	wide := sha512.Sum512(p.Leaf.Raw)
	for name, a := range map[string]samtest.Attributes{
		"as usual":                    right,
		"ESS with SHA-512":            {Digest: doc, CertDigest: wide[:], HashOID: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}},
		"ESS with issuer and serial":  {Digest: doc, CertDigest: right.CertDigest, Issuer: p.Leaf.RawIssuer, Serial: p.Leaf.SerialNumber},
		"with an attribute of others": {Digest: doc, CertDigest: right.CertDigest, Extra: [][]byte{samtest.Attribute(asn1.ObjectIdentifier{1, 2, 3}, asn1.NullBytes)}},
	} {
		q, err := begin(a, nil)
		if err != nil || q.SAD.Wysiwys != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	with := func(edit func(*samtest.Attributes)) samtest.Attributes { a := right; edit(&a); return a }
	for name, a := range map[string]samtest.Attributes{
		"another document":     with(func(a *samtest.Attributes) { a.Digest = samtest.Hash("other") }),
		"another certificate":  with(func(a *samtest.Attributes) { a.CertDigest = samtest.Hash(string(other.Leaf.Raw)) }),
		"another content type": with(func(a *samtest.Attributes) { a.ContentType = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4} }),
		"no content type":      with(func(a *samtest.Attributes) { a.Leave = "type" }),
		"no digest":            with(func(a *samtest.Attributes) { a.Leave = "digest" }),
		"no certificate":       with(func(a *samtest.Attributes) { a.Leave = "cert" }),
		"not sorted":           with(func(a *samtest.Attributes) { a.Unsorted = true }),
		"a digest too many": with(func(a *samtest.Attributes) {
			a.Extra = [][]byte{samtest.Attribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, append([]byte{4, 32}, samtest.Hash("other")...))}
		}),
		"another serial number":           with(func(a *samtest.Attributes) { a.Issuer, a.Serial = p.Leaf.RawIssuer, big.NewInt(7) }),
		"another issuer":                  with(func(a *samtest.Attributes) { a.Issuer, a.Serial = p.Leaf.RawSubject, p.Leaf.SerialNumber }),
		"ESS with a digest not allowed":   with(func(a *samtest.Attributes) { a.HashOID = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26} }),
		"ESS with a digest of other size": with(func(a *samtest.Attributes) { a.HashOID = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3} }),
	} {
		_, err := begin(a, nil)
		if fault.Of(err).Code != samapi.CodeMismatch {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, edit := range map[string]func(*samapi.Document){
		"hash of something else":  func(d *samapi.Document) { d.DTBSR = samtest.Hash("other") },
		"no document digest":      func(d *samapi.Document) { d.DocHash = nil },
		"another document digest": func(d *samapi.Document) { d.DocHash = samtest.Hash("other") },
		"attributes and a byte": func(d *samapi.Document) {
			d.SignedAttrs = append(d.SignedAttrs, 0)
			d.DTBSR = samtest.Hash(string(d.SignedAttrs))
		},
		"a hash of a certificate": func(d *samapi.Document) {
			d.SignedAttrs = p.Leaf.RawTBSCertificate
			d.DTBSR = samtest.Hash(string(d.SignedAttrs))
		},
		"very long attributes": func(d *samapi.Document) {
			d.SignedAttrs = make([]byte, 17<<10)
			d.DTBSR = samtest.Hash(string(d.SignedAttrs))
		},
		"attributes as a SEQUENCE": func(d *samapi.Document) { d.SignedAttrs[0] = 0x30; d.DTBSR = samtest.Hash(string(d.SignedAttrs)) },
	} {
		_, err := begin(right, edit)
		if fault.Of(err).Code != samapi.CodeMismatch {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPolicyMayDemandSignedAttributes(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: sam.Limits{PartyWysiwys: map[string]int{"careful": 1}}})
	free, strict := r.Person(samtest.Wish{}), r.Person(samtest.Wish{MinWysiwys: 1})
	if _, err := r.Begin(t.Context(), r.Intent(free, samtest.Hash("x"))); err != nil {
		t.Errorf("no policy: %v", err)
	}
	_, err := r.Begin(t.Context(), r.Intent(strict, samtest.Hash("x")))
	refused(t, err, samapi.CodeMismatch)
	in := r.Intent(free, samtest.Hash("x"))
	in.Client = "careful"
	_, err = r.Begin(t.Context(), in)
	refused(t, err, samapi.CodeMismatch)
	in = r.Intent(strict, samtest.Hash("x"), samtest.Hash("y"))
	a := samtest.Attributes{Digest: samtest.Hash("d"), CertDigest: samtest.Hash(string(strict.Leaf.Raw))}
	in.Documents[0].SignedAttrs, in.Documents[0].DTBSR = a.DER()
	in.Documents[0].DocHash = samtest.Hash("d")
	_, err = r.Begin(t.Context(), in) // one of two has none
	refused(t, err, samapi.CodeMismatch)
	in.Documents = in.Documents[:1]
	if _, err := r.Begin(t.Context(), in); err != nil {
		t.Error(err)
	}
}

func TestWayBackIsGoodOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		q := r.Request(p, samtest.Hash("x"), samtest.Hash("y"))
		_, err := r.Return(t.Context(), q.SID, q.View)
		refused(t, err, samapi.CodeUnfinished)
		if _, err := r.Approve(t.Context(), q.SID, p.Yes(q)); err != nil {
			t.Fatal(err)
		}
		_, err = r.Return(t.Context(), q.SID, "wrong")
		refused(t, err, samapi.CodeSADInvalid)
		handle := func() string {
			back, err := r.Return(t.Context(), q.SID, q.View)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(back)
			if err != nil || !strings.HasPrefix(back, samtest.Return+"?") || u.Query().Get("sid") != q.SID {
				t.Fatalf("return URL %q", back)
			}
			return u.Query().Get("handle")
		}
		first := handle()
		second := handle() // the page was loaded again
		_, err = r.Outcome(t.Context(), q.SID, first)
		refused(t, err, samapi.CodeHandle)
		other := r.Approved(p, samtest.Hash("z"))
		_, err = r.Outcome(t.Context(), other.SID, second)
		refused(t, err, samapi.CodeHandle)
		_, err = r.Outcome(t.Context(), other.SID, "")
		refused(t, err, samapi.CodeHandle)
		got, err := r.Outcome(t.Context(), q.SID, second)
		want := samapi.Outcome{
			SID: q.SID, State: samapi.Approved, Signer: p.ID, Credential: p.Credential, Client: samtest.Client,
			Count: 2, Expires: r.Clock.Now().Add(5 * time.Minute),
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("outcome: %v\n%s", err, diff)
		}
		_, err = r.Outcome(t.Context(), q.SID, second)
		refused(t, err, samapi.CodeHandle)
		_, err = r.Return(t.Context(), q.SID, q.View)
		refused(t, err, samapi.CodeHandle)
	})
}

func TestOutcomeOfRejectedAndExpiredRequests(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		rejected, expired := r.Request(p, samtest.Hash("x")), r.Request(p, samtest.Hash("x"))
		if err := r.Reject(t.Context(), rejected.SID, rejected.View, "not\u202e mine"); err != nil {
			t.Fatal(err)
		}
		refused(t, r.Reject(t.Context(), rejected.SID, rejected.View, ""), samapi.CodeRejected)
		r.Clock.Add(300 * time.Second)
		refused(t, r.Reject(t.Context(), expired.SID, expired.View, ""), samapi.CodeSADExpired)
		_, err := r.Approve(t.Context(), expired.SID, p.Yes(expired))
		refused(t, err, samapi.CodeSADExpired)
		for q, want := range map[*samtest.Pending]samapi.Outcome{
			rejected: {State: samapi.Rejected, Reason: "not\ufffd mine"},
			expired:  {State: samapi.Expired},
		} {
			back, err := r.Return(t.Context(), q.SID, q.View)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(back)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Outcome(t.Context(), q.SID, u.Query().Get("handle"))
			if err != nil || got.State != want.State || got.Reason != want.Reason || got.Signer != "" || got.Count != 0 {
				t.Errorf("outcome %+v, %v", got, err)
			}
		}
		if err := r.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.Events(expired.SID); !slices.Equal(got, []string{"sad.created", "sad.expired"}) {
			t.Errorf("events %v", got)
		}
	})
}

func TestMaintainClosesForgottenRequests(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		q := r.Request(p, samtest.Hash("x"))
		r.Clock.Add(301 * time.Second)
		for range 2 {
			if err := r.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.Events(q.SID); !slices.Equal(got, []string{"sad.created", "sad.expired"}) {
			t.Errorf("events %v", got)
		}
		s, err := r.Status(t.Context())
		if err != nil || s.Requests["expired"] != 1 || s.Requests["pending"] != 0 || s.Signers != 1 || s.Devices["active"] != 1 || s.Credentials["active"] != 1 {
			t.Errorf("status %+v, %v", s, err)
		}
	})
}
