package pades_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// forms are the same document in every form.
func forms() map[string]*pdftest.Doc {
	out := map[string]*pdftest.Doc{}
	add := func(name string, change func(*pdftest.Doc)) {
		d := pdftest.One()
		change(d)
		out[name] = d
	}
	add("table", func(*pdftest.Doc) {})
	add("table with CRLF", func(d *pdftest.Doc) { d.EOL = "\r\n" })
	add("stream", func(d *pdftest.Doc) { d.Form = pdftest.Stream })
	add("object stream", func(d *pdftest.Doc) { d.Form, d.Packed = pdftest.Stream, []int{1, 2, 3, 5} })
	add("hybrid", func(d *pdftest.Doc) { d.Form, d.Packed = pdftest.Hybrid, []int{1, 2, 3, 5} })
	add("junk before the header", func(d *pdftest.Doc) { d.Junk = "mail header\n" })
	add("junk at the end", func(d *pdftest.Doc) { d.Tail = "\x00\x00\x00" })
	add("no identifier", func(d *pdftest.Doc) { d.NoID = true })
	return out
}

func TestEveryFormIsSignedAtEveryLevel(t *testing.T) {
	t.Attr("feature", "H5")
	s := newSigner(t)
	for name, d := range forms() {
		for level, signatures := range map[pades.Level]int{pades.B: 1, pades.T: 1, pades.LT: 1, pades.LTA: 2} {
			t.Run(fmt.Sprintf("%s/%s", name, level), func(t *testing.T) {
				data := d.Bytes()
				signed, _ := s.sign(t, data, level, s.options())
				assertAppended(t, data, signed, "")
				found := assertVerifies(t, signed, "", signatures)
				if found[0].Field.Name != "Signature1" || found[0].M != pdf.FormatDate(s.pki.Now) {
					t.Errorf("field %q at %q", found[0].Field.Name, found[0].M)
				}
				f := open(t, signed, "")
				dss, err := f.DSS()
				if err != nil || (dss != nil) != (level == pades.LT || level == pades.LTA) {
					t.Errorf("DSS = %v, %v", dss, err)
				}
				if dss != nil {
					v, ok := dss.VRI[string(pades.VRIKey(found[0].Contents))]
					if !ok || len(v.Certs) == 0 || len(v.CRLs) == 0 || len(v.OCSPs) == 0 {
						t.Errorf("VRI = %v", dss.VRI)
					}
				}
			})
		}
	}
}

func TestEncryptedFilesAreSignedAndStayEncrypted(t *testing.T) {
	t.Attr("feature", "H5")
	s := newSigner(t)
	for name, e := range map[string]*pdftest.Encryption{
		"RC4 40":           {Version: 1, Revision: 2},
		"RC4 128":          {Version: 2, Revision: 3, Bits: 128},
		"AES 128":          {Version: 4, Revision: 4, Streams: "AESV2", Strings: "AESV2"},
		"AES 256":          {Version: 5, Revision: 6, Streams: "AESV3", Strings: "AESV3"},
		"AES 256 R5":       {Version: 5, Revision: 5, Streams: "AESV3", Strings: "AESV3"},
		"clear strings":    {Version: 4, Revision: 4, Streams: "AESV2", Strings: "Identity"},
		"clear metadata":   {Version: 4, Revision: 4, Streams: "AESV2", Strings: "AESV2", ClearMetadata: true},
		"identity streams": {Version: 4, Revision: 4, Streams: "Identity", Strings: "AESV2"},
	} {
		for _, password := range []string{"", "user", "owner"} {
			t.Run(name+"/"+password, func(t *testing.T) {
				e := *e
				e.Owner, e.Permissions = "owner", -4
				if password != "" {
					e.User = "user"
				}
				d := pdftest.One()
				d.Form, d.Packed, d.Encrypt = pdftest.Stream, []int{1, 2, 3, 5}, &e
				data := d.Bytes()
				o := s.options()
				o.Reason = "a secret reason"
				o.Password = func() ([]byte, error) { return []byte(password), nil }
				signed, _ := s.sign(t, data, pades.LTA, o)
				assertAppended(t, data, signed, password)
				found := assertVerifies(t, signed, password, 2)
				if found[0].Reason != o.Reason {
					t.Errorf("reason = %q", found[0].Reason)
				}
				if clear := bytes.Contains(signed, []byte(o.Reason)); clear != (e.Strings == "Identity") {
					t.Errorf("the reason is clear: %v", clear)
				}
			})
		}
	}
}

func TestEveryAlgorithmSigns(t *testing.T) {
	for _, kind := range []signing.KeyType{signing.P256, signing.P384, signing.P521, signing.RSA3072, signing.KeyEd25519} {
		for _, alg := range kind.Algorithms() {
			t.Run(alg.String()+"/"+string(kind), func(t *testing.T) {
				s := newSigner(t)
				s.pki.Signer = s.pki.NewSigner("Alice", adestest.NewKey(t, kind))
				s.alg = alg
				data := pdftest.One().Bytes()
				signed, prepared := s.sign(t, data, pades.LTA, s.options())
				assertAppended(t, data, signed, "")
				assertVerifies(t, signed, "", 2)
				if prepared.Hash != alg.Hash().String() {
					t.Errorf("digest algorithm %s", prepared.Hash)
				}
			})
		}
	}
}

func TestSignaturesOfSeveralPeopleAllStayValid(t *testing.T) {
	t.Attr("feature", "H5")
	for name, d := range forms() {
		t.Run(name, func(t *testing.T) {
			data := d.Bytes()
			signed := data
			for range 3 {
				s := newSigner(t)
				before := signed
				signed, _ = s.sign(t, before, pades.LTA, s.options())
				assertAppended(t, before, signed, "")
			}
			found := assertVerifies(t, signed, "", 6)
			var names []string
			for _, s := range found {
				names = append(names, s.Field.Name)
			}
			if want := "Signature1 Timestamp1 Signature2 Timestamp2 Signature3 Timestamp3"; strings.Join(names, " ") != want {
				t.Errorf("fields are %v", names)
			}
		})
	}
}

func TestPreparedSurvivesACrashBetweenAnySteps(t *testing.T) {
	s := newSigner(t)
	doc := pdftest.One().Bytes()
	r := bytes.NewReader(doc)
	prepared, err := pades.Prepare(r, int64(len(doc)), s.options())
	if err != nil {
		t.Fatal(err)
	}
	prepared = again(t, prepared)
	patch, err := prepared.Finish(t.Context(), r, s.value(t, prepared), pades.T, s.sources(), pades.AugmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	patch = again(t, patch)
	certs, crls, ocsps := s.pki.Evidence()
	patch, err = patch.AddDSS(r, pades.AugmentOptions{}, pades.Evidence{Certs: certs, CRLs: crls, OCSPs: ocsps, Field: prepared.Field})
	if err != nil {
		t.Fatal(err)
	}
	stamp, err := again(t, patch).DocTimeStamp(r, pades.AugmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stamp = again(t, stamp)
	patch, err = stamp.Embed(s.pki.TokenFor(cms.TimestampRequest{Hash: s.alg.Hash(), Imprint: stamp.Digest}, s.pki.Now))
	if err != nil {
		t.Fatal(err)
	}
	signed := whole(t, doc, again(t, patch))
	assertAppended(t, doc, signed, "")
	assertVerifies(t, signed, "", 2)
}

// again is v after it was written as JSON and read back.
func again[T any](t *testing.T, v *T) *T {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out := new(T)
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheSameInputGivesTheSameBytesAndDigest(t *testing.T) {
	s := newSigner(t)
	for _, e := range []*pdftest.Encryption{nil, {Version: 5, Revision: 6, Streams: "AESV3", Strings: "AESV3"}} {
		d := pdftest.One()
		d.Encrypt = e
		doc := d.Bytes()
		a, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), s.options())
		if err != nil {
			t.Fatal(err)
		}
		o := s.options()
		o.Sum = hostSum(doc)
		b, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Bytes, b.Bytes) || !bytes.Equal(a.DTBSR, b.DTBSR) {
			t.Error("the same input gave other bytes")
		}
		if len(a.State) == 0 || len(b.State) != 0 {
			t.Errorf("state of %d bytes here, %d bytes with the host's digest", len(a.State), len(b.State))
		}
		if d, err := a.Original(); err != nil || !bytes.Equal(d.Sum, digestOf(s.alg.Hash(), doc)) {
			t.Errorf("digest of the original = %x, %v", d.Sum, err)
		}
		if _, err := b.Original(); !errors.Is(err, fault.Invalid) {
			t.Errorf("digest of an original that was not hashed here: %v", err)
		}
		patch, err := b.Finish(t.Context(), bytes.NewReader(doc), s.value(t, b), pades.LTA, s.sources(), pades.AugmentOptions{Sum: hostSum(doc)})
		if err != nil {
			t.Fatal(err)
		}
		assertVerifies(t, whole(t, doc, patch), "", 2)
	}
}

func hostSum(doc []byte) pades.Sum {
	return func(h cryptoHash, tail ...[]byte) ([]byte, error) {
		return digestOf(h, slices.Concat(append([][]byte{doc}, tail...)...)), nil
	}
}

func TestCertificateMayBeKnownOnlyLater(t *testing.T) {
	s := newSigner(t)
	doc := pdftest.One().Bytes()
	o := s.options()
	signer, chain := o.Signer, o.Chain
	o.Signer, o.Chain = nil, nil
	p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DTBS(); !errors.Is(err, fault.Invalid) {
		t.Errorf("DTBS without a certificate: %v", err)
	}
	bytesBefore := bytes.Clone(p.Bytes)
	p = again(t, p)
	if err := p.SetSigner(signer, chain); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytesBefore, p.Bytes) {
		t.Error("the certificate changed the document")
	}
	if d, err := p.DTBS(); err != nil || !bytes.Equal(d.Sum, digestOf(s.alg.Hash(), p.SignedAttributes)) {
		t.Errorf("DTBS = %v, %v", d, err)
	}
	patch, err := p.Finish(t.Context(), bytes.NewReader(doc), s.value(t, p), pades.LTA, s.sources(), pades.AugmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	assertVerifies(t, whole(t, doc, patch), "", 2)
}

func TestWhatTheSignatureSaysIsReadBack(t *testing.T) {
	s := newSigner(t)
	o := s.options()
	o.Name, o.Reason, o.Location, o.ContactInfo = "Ålice 王", "because (\\)", "Zürich", "a@b.example"
	o.Field = "Approval of Ünal"
	o.Time = time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	signed, prepared := s.sign(t, pdftest.One().Bytes(), pades.B, o)
	got := assertVerifies(t, signed, "", 1)[0]
	if got.Name != o.Name || got.Reason != o.Reason || got.Location != o.Location || got.ContactInfo != o.ContactInfo ||
		got.Field.Name != o.Field || prepared.Field != o.Field || !got.Time.Equal(o.Time) || got.M != "D:20260304040607Z" {
		t.Errorf("read back: %+v", got)
	}
}

func TestEmbedRefusesWhatDoesNotFit(t *testing.T) {
	s := newSigner(t)
	doc := pdftest.One().Bytes()
	prepare := func(change func(*pades.Options)) *pades.Prepared {
		o := s.options()
		change(&o)
		p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := prepare(func(*pades.Options) {})
	other := prepare(func(o *pades.Options) { o.Reason = "another document" })
	good, err := p.Assemble(s.value(t, p))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Embed(good); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	foreign, err := other.Assemble(s.value(t, other))
	if err != nil {
		t.Fatal(err)
	}
	forge := func(f adestest.Forgery) []byte {
		f.Content = signedContent(doc, p)
		return s.pki.Forge(f)
	}
	if _, err := p.Embed(forge(adestest.Forgery{})); err != nil {
		t.Fatalf("a good CMS made elsewhere: %v", err)
	}
	small := prepare(func(o *pades.Options) { o.Reserve = 100 })
	tooBig, err := small.Assemble(s.value(t, small))
	if err != nil {
		t.Fatal(err)
	}
	stamp, err := pades.Begin(int64(len(doc)), s.alg.Hash()).DocTimeStamp(bytes.NewReader(doc), pades.AugmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// Another person signed the same document, and signed it well.
	colleague := newSigner(t)
	p2 := prepare(func(o *pades.Options) { o.Signer = colleague.pki.Signer.Cert.Raw })
	colleagues, err := p2.Assemble(colleague.value(t, p2))
	if err != nil {
		t.Fatal(err)
	}
	p3 := *p
	p3.Digest, p3.Patch, p3.Hole, p3.ByteRange, p3.Reserve = p2.Digest, p2.Patch, p2.Hole, p2.ByteRange, p2.Reserve
	for name, c := range map[string]struct {
		p    *pades.Prepared
		der  []byte
		kind fault.Kind
		code string
	}{
		"larger than reserved":   {small, tooBig, fault.TooLarge, pades.CodeReserve},
		"other signer":           {&p3, colleagues, fault.Invalid, pades.CodeCMS},
		"other document":         {p, foreign, fault.Invalid, pades.CodeCMS},
		"no CMS":                 {p, []byte("hello"), fault.Invalid, pades.CodeCMS},
		"bad signature":          {p, forge(adestest.Forgery{BadSignature: true}), fault.Invalid, pades.CodeCMS},
		"signing-time":           {p, forge(adestest.Forgery{SigningTime: s.pki.Now}), fault.Invalid, pades.CodeCMS},
		"no signing certificate": {p, forge(adestest.Forgery{NoESS: true}), fault.Invalid, pades.CodeCMS},
		"other ESS certificate":  {p, forge(adestest.Forgery{ESS: s.pki.CA.Cert}), fault.Invalid, pades.CodeCMS},
		"no content type":        {p, forge(adestest.Forgery{NoContentType: true}), fault.Invalid, pades.CodeCMS},
		"no message digest":      {p, forge(adestest.Forgery{NoMessageDigest: true}), fault.Invalid, pades.CodeCMS},
		"two signers":            {p, forge(adestest.Forgery{TwoSigners: true}), fault.Invalid, pades.CodeCMS},
		"no signer":              {p, forge(adestest.Forgery{NoSigner: true}), fault.Invalid, pades.CodeCMS},
		"encapsulated":           {p, forge(adestest.Forgery{Encapsulate: true}), fault.Invalid, pades.CodeCMS},
		"unsorted attributes":    {p, forge(adestest.Forgery{Unsorted: true}), fault.Invalid, pades.CodeCMS},
		"no attributes":          {p, forge(adestest.Forgery{NoAttributes: true}), fault.Invalid, pades.CodeCMS},
		"no certificate":         {p, forge(adestest.Forgery{NoCertificate: true}), fault.Invalid, pades.CodeCMS},
		"BER":                    {p, forge(adestest.Forgery{BER: true}), fault.Invalid, pades.CodeCMS},
		"signature as token":     {stamp, good, fault.Invalid, pades.CodeCMS},
		"token of other bytes":   {stamp, s.pki.Token([]byte("other"), s.pki.Now), fault.Invalid, pades.CodeCMS},
	} {
		t.Run(name, func(t *testing.T) {
			patch, err := c.p.Embed(c.der)
			e, ok := errors.AsType[*fault.Error](err)
			if patch != nil || !ok || e.Kind != c.kind || e.Code != c.code {
				t.Errorf("got %v, want %s with code %s", err, c.kind, c.code)
			}
		})
	}
}

func signedContent(doc []byte, p *pades.Prepared) []byte {
	all := slices.Concat(doc, p.Bytes)
	r := p.ByteRange
	return slices.Concat(all[:r[1]], all[r[2]:r[2]+r[3]])
}

func TestCorruptedSignatureGivesNoDocument(t *testing.T) {
	t.Attr("feature", "B6")
	s := newSigner(t)
	doc := pdftest.One().Bytes()
	p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), s.options())
	if err != nil {
		t.Fatal(err)
	}
	value := s.value(t, p)
	value[len(value)-1] ^= 1
	patch, err := p.Finish(t.Context(), bytes.NewReader(doc), value, pades.B, s.sources(), pades.AugmentOptions{})
	if patch != nil || !errors.Is(err, fault.Invalid) {
		t.Errorf("got %v, %v", patch, err)
	}
}

func TestTimestampOverOtherBytesIsRefused(t *testing.T) {
	s := newSigner(t)
	doc := pdftest.One().Bytes()
	p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), s.options())
	if err != nil {
		t.Fatal(err)
	}
	sources := s.sources()
	sources.TimeStamp = func(contextContext, signing.Digest) ([]byte, error) {
		return s.pki.Token([]byte("something else"), s.pki.Now), nil
	}
	_, err = p.Finish(t.Context(), bytes.NewReader(doc), s.value(t, p), pades.T, sources, pades.AugmentOptions{})
	if e, ok := errors.AsType[*fault.Error](err); !ok || e.Code != pades.CodeCMS {
		t.Errorf("got %v", err)
	}
	for level, sources := range map[pades.Level]pades.Sources{pades.T: {}, pades.LT: {TimeStamp: s.sources().TimeStamp}} {
		if _, err := p.Finish(t.Context(), bytes.NewReader(doc), s.value(t, p), level, sources, pades.AugmentOptions{}); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s without a source: %v", level, err)
		}
	}
	sources = s.sources()
	sources.Collect = func(contextContext, []*certificate, []*certificate) (pades.Evidence, error) {
		return pades.Evidence{}, nil
	}
	if _, err := p.Finish(t.Context(), bytes.NewReader(doc), s.value(t, p), pades.LT, sources, pades.AugmentOptions{}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("B-LT without revocation data: %v", err)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	s := newSigner(t)
	doc := pdftest.One().Bytes()
	for name, change := range map[string]func(*pades.Options){
		"no algorithm":            func(o *pades.Options) { o.Algorithm = 0 },
		"no time":                 func(o *pades.Options) { o.Time = time.Time{} },
		"reason and commitment":   func(o *pades.Options) { o.Reason, o.Commitment = "x", cms.CommitmentProofOfApproval },
		"certification level 4":   func(o *pades.Options) { o.Certify = 4 },
		"negative reserve":        func(o *pades.Options) { o.Reserve = -1 },
		"certificate no DER":      func(o *pades.Options) { o.Signer = []byte("x") },
		"algorithm of other keys": func(o *pades.Options) { o.Algorithm = signing.Ed25519 },
	} {
		o := s.options()
		change(&o)
		if _, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// counter counts what is read.
type counter struct {
	io.ReaderAt

	n int64
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

func TestDocumentIsHashedOnceForAllLevels(t *testing.T) {
	s := newSigner(t)
	d := pdftest.One()
	d.Streams[4] = strings.Repeat("x", 20<<20)
	doc := d.Bytes()
	r := &counter{ReaderAt: bytes.NewReader(doc)}
	p, err := pades.Prepare(r, int64(len(doc)), s.options())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(t.Context(), r, s.value(t, p), pades.LTA, s.sources(), pades.AugmentOptions{}); err != nil {
		t.Fatal(err)
	}
	if limit := int64(len(doc)) + 1<<20; r.n > limit {
		t.Errorf("%d bytes were read of a document of %d", r.n, len(doc))
	}
}

func TestDocumentThatBecameShorterIsNoticed(t *testing.T) {
	s := newSigner(t)
	doc := pdftest.One().Bytes()
	p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), s.options())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteTo(io.Discard, bytes.NewReader(doc[:len(doc)-1])); !errors.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
	p.State = []byte("damaged")
	if _, err := p.DocTimeStamp(bytes.NewReader(doc), pades.AugmentOptions{}); !errors.Is(err, fault.Invalid) {
		t.Errorf("a damaged state: %v", err)
	}
}
