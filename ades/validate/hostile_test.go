package validate_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/ades/validate"
)

// TestHostileRevisionsAreJudgedSoon appends to a signature what is slow to
// compare.
func TestHostileRevisionsAreJudgedSoon(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	list := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, 1000+i)
		}
		return b.String()
	}
	for name, after := range map[string]func(p *adestest.PDF){
		"thousands of revisions": func(p *adestest.PDF) {
			for i := range 1000 {
				p.Update(map[int]string{60 + i: "null"})
			}
		},
		"thousands of revisions of a large form": func(p *adestest.PDF) {
			fields := map[int]string{adestest.Catalog: "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [" + refsOf(p.Fields) + list("%d 0 R ", 1000) + "] >> >>"}
			for i := range 1000 {
				fields[1000+i] = fmt.Sprintf("<< /FT /Tx /T (f%d) /V (x) >>", i)
			}
			p.Update(fields)
			for range 300 {
				p.Update(map[int]string{1000: "<< /FT /Tx /T (f0) /V (y) >>"})
			}
		},
		"very many annotations": func(p *adestest.PDF) {
			page := strings.Replace(p.PageObject(), "/Annots [", "/Annots ["+list("%d 0 R ", 100_000), 1)
			p.Update(map[int]string{adestest.Page: page})
			p.Update(map[int]string{adestest.Page: strings.Replace(page, "1000 0 R", "", 1)})
		},
		"very many direct annotations": func(p *adestest.PDF) {
			page := strings.Replace(p.PageObject(), "/Annots [", "/Annots ["+strings.Repeat("<< >> ", 80_000), 1)
			p.Update(map[int]string{adestest.Page: page})
			p.Update(map[int]string{adestest.Page: strings.Replace(page, "/Annots", "/Tabs /S /Annots", 1)})
		},
		"very many keys": func(p *adestest.PDF) {
			page := strings.Replace(p.PageObject(), "/Annots", list("/K%d 1 ", 100_000)+"/Annots", 1)
			p.Update(map[int]string{adestest.Page: page})
			p.Update(map[int]string{adestest.Page: strings.Replace(page, "/K1000 1", "/K1000 2", 1)})
		},
		"very many fields": func(p *adestest.PDF) {
			for range 2 {
				fields := map[int]string{adestest.Catalog: "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [" + refsOf(p.Fields) + list("%d 0 R ", 20_000) + "] >> >>"}
				for i := range 20_000 {
					fields[1000+i] = "<< /FT /Tx /T (f) >>"
				}
				p.Update(fields)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := adestest.NewPDF(t)
			p.Sign(forged(k, adestest.Forgery{}))
			after(p)
			unit := timeOf(t)
			start := time.Now()
			r, err := validate.File(bytes.NewReader(p.Data), int64(len(p.Data)), validate.Options{Anchors: k.Anchors(), ExtraCRLs: k.CRLs()})
			took := time.Since(start)
			t.Logf("%d bytes took %v, the unit %v: %v, %d", len(p.Data), took, unit, err, len(r.Signatures))
			// Two seconds on a machine that does nothing else.
			if limit := 100*unit + time.Second; took > limit {
				t.Errorf("it took %v, more than %v", took, limit)
			}
		})
	}
}

// timeOf is how long this machine takes now to read an object of 390,000 values.
func timeOf(t *testing.T) time.Duration {
	t.Helper()
	d := pdftest.One()
	d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R /X [" + strings.Repeat("1 ", 390_000) + "] >>"
	data := d.Bytes()
	start := time.Now()
	if _, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Options{}); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

func refsOf(list []int) string {
	var b strings.Builder
	for _, n := range list {
		fmt.Fprintf(&b, "%d 0 R ", n)
	}
	return b.String()
}
