package validate_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/fonts"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/signing"
)

// signWith signs a document with the product's own signer.
func signWith(t *testing.T, k *adestest.PKI, doc []byte, o pades.Options) ([]byte, error) {
	t.Helper()
	o.Algorithm, o.Time = k.Algorithm(k.Signer), k.Now
	o.Signer, o.Chain = k.Signer.Cert.Raw, [][]byte{k.CA.Cert.Raw}
	prepared, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o)
	if err != nil {
		return nil, err
	}
	attrs, err := cms.RestoreSignedAttributes(prepared.SignedAttributes, o.Algorithm)
	if err != nil {
		t.Fatal(err)
	}
	sources := pades.Sources{
		TimeStamp: func(_ context.Context, d signing.Digest) ([]byte, error) {
			return k.TokenFor(cms.TimestampRequest{Hash: d.Hash, Imprint: d.Sum}, k.Now), nil
		},
		Collect: func(context.Context, []*x509.Certificate, []*x509.Certificate) (pades.Evidence, error) {
			certs, crls, ocsps := k.Evidence()
			return pades.Evidence{Certs: certs, CRLs: crls, OCSPs: ocsps}, nil
		},
	}
	patch, err := prepared.Finish(t.Context(), bytes.NewReader(doc), k.Sign(k.Signer, attrs), o.Level, sources, pades.AugmentOptions{Password: o.Password})
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(doc), patch.Bytes...), nil
}

func TestWhatOurSignerMakesPassesAtItsLevel(t *testing.T) {
	for _, kind := range []signing.KeyType{signing.P256, signing.P384, signing.RSA3072, signing.KeyEd25519} {
		k := adestest.New(t, adestest.Config{SignerKey: adestest.NewKey(t, kind)})
		for _, level := range []pades.Level{pades.B, pades.T, pades.LT, pades.LTA} {
			out, err := signWith(t, k, adestest.NewPDF(t).Data, pades.Options{Level: level, Name: "Alice", Location: "Brussels"})
			if err != nil {
				t.Fatal(err)
			}
			s := one(t, judge(t, k, out, true), validate.Passed, "")
			if s.Level != "PAdES-"+level.String() {
				t.Errorf("%s: level %s, want %s", kind, s.Level, level)
			}
		}
	}
}

func TestEarlierSignaturesOfOurSignerStayValid(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	doc := adestest.NewPDF(t).Data
	for n := range 3 {
		o := pades.Options{}
		if n == 0 {
			o.Certify = 2
		}
		var err error
		if doc, err = signWith(t, k, doc, o); err != nil {
			t.Fatal(err)
		}
	}
	r := judge(t, k, doc, false)
	if len(r.Signatures) != 3 || !r.Passed() {
		t.Fatal(text(r))
	}
	for _, s := range r.Signatures {
		if s.Level != "PAdES-B-LTA" {
			t.Errorf("%s: %s", s.Field, s.Level)
		}
		for _, c := range s.Changes {
			if !c.Permitted {
				t.Errorf("%s: %s", s.Field, c)
			}
		}
	}
}

func TestVisibleSignaturesLeaveEarlierOnesValid(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Fields, p.Annots = []int{50}, []int{50}
	p.Update(map[int]string{
		adestest.Page: p.PageObject(), adestest.Catalog: p.CatalogObject(),
		50: "<< /Type /Annot /Subtype /Widget /FT /Sig /T (there) /Rect [300 100 500 160] /P 3 0 R >>",
	})
	doc := p.Data
	look := &pades.Appearance{Lines: []string{"Signed by Alice"}, Fonts: [][]byte{fonts.Regular()}}
	anew := *look
	anew.Page, anew.X, anew.Y, anew.Width, anew.Height = 1, 50, 50, 200, 60
	lower := anew
	lower.Y = 150
	for _, o := range []pades.Options{{Appearance: &anew}, {Field: "there", Appearance: look}, {Appearance: &lower}, {}} {
		var err error
		if doc, err = signWith(t, k, doc, o); err != nil {
			t.Fatal(err)
		}
	}
	r := judge(t, k, doc, false)
	if len(r.Signatures) != 4 || !r.Passed() {
		t.Fatal(text(r))
	}
	for _, s := range r.Signatures {
		for _, c := range s.Changes {
			if !c.Permitted {
				t.Errorf("%s: %s", s.Field, c)
			}
		}
	}
}

// verdicts are the verdicts by field.
func verdicts(r *validate.Report) map[string]*validate.Signature {
	out := map[string]*validate.Signature{}
	for _, s := range r.Signatures {
		out[s.Field] = s
	}
	return out
}

func TestSigningTheCorpusLeavesEarlierSignaturesAsTheyWere(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpusDir(t), "*.pdf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no PDF in CORPUS: %v", err)
	}
	k := adestest.New(t, adestest.Config{})
	password := func() ([]byte, error) { return []byte("ownersecret"), nil }
	options := validate.Options{Anchors: k.Anchors(), Now: func() time.Time { return k.Now.Add(time.Minute) }, Password: password}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			doc, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			before, _ := validate.File(bytes.NewReader(doc), int64(len(doc)), options)
			out, err := signWith(t, k, doc, pades.Options{Password: password})
			if err != nil {
				t.Logf("not signed: %v", err)
				return
			}
			after, err := validate.File(bytes.NewReader(out), int64(len(out)), options)
			if err != nil {
				t.Fatal(err)
			}
			was := verdicts(before)
			fresh := 0
			for _, s := range after.Signatures {
				old, ok := was[s.Field]
				if !ok {
					fresh++
					if s.Verdict != validate.Passed || s.Level != "PAdES-B-LTA" {
						t.Errorf("ours is %s %s %s: %q %v", s.Level, s.Verdict, s.Subindication, s.Errors, s.Changes)
					}
					continue
				}
				if s.Verdict != old.Verdict || s.Subindication != old.Subindication {
					t.Errorf("%s was %s %s, is %s %s: %q", s.Field, old.Verdict, old.Subindication, s.Verdict, s.Subindication, s.Errors)
				}
			}
			if fresh != 1 {
				t.Errorf("%d new signatures, want one", fresh)
			}
		})
	}
}
