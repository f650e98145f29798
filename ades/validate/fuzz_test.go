package validate_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/validate"
)

func FuzzFile(f *testing.F) {
	k := adestest.New(f, adestest.Config{})
	small := adestest.Sig{Time: k.Now, Hole: 2000, CMS: func(signed []byte) []byte { return k.Forge(adestest.Forgery{Content: signed}) }}
	p := adestest.NewPDF(f)
	p.Sign(small)
	f.Add(p.Data)
	p.DSS(nil, k.CRLs(), nil)
	p.Update(map[int]string{adestest.Content: adestest.Stream("", "(999) Tj")})
	f.Add(bytes.Clone(p.Data))
	o := validate.Options{
		Anchors: k.Anchors(), ExtraCRLs: k.CRLs(), Now: func() time.Time { return k.Now.Add(time.Minute) },
		Limits: pdf.Limits{Work: 16 << 20, StreamBytes: 1 << 20},
	}
	// Whoever changes the page's content must not keep the verdict.
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := validate.File(bytes.NewReader(b), int64(len(b)), o)
		if (err != nil || len(r.Signatures) == 0) && r.Passed() {
			t.Fatal("passed without a signature")
		}
		if _, err := r.JSON(); err != nil {
			t.Fatal(err)
		}
		if err := r.Text(&bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
	})
}
