package validate_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/validate"
)

const evil = "BT /F1 24 Tf 72 700 Td (I owe Bob 999 euros) Tj ET"

// drawn is a form XObject.
func drawn(text string) string {
	return adestest.Stream("/Type /XObject /Subtype /Form /BBox [0 0 300 100]", "("+text+") Tj")
}

// onPage adds entries to the page's resources.
func onPage(p *adestest.PDF, resources string) string {
	return strings.Replace(p.PageObject(), "/Font <<", resources+" /Font <<", 1)
}

// shadow is a document that its author made so that something can be changed
// behind a signature.
type shadow struct {
	name    string
	prepare func(p *adestest.PDF)
	after   func(k *adestest.PKI, p *adestest.PDF)
	change  string
}

func shadows() []shadow {
	// named is a document whose page draws object 30 under a name that has a
	// meaning elsewhere, where a change is permitted.
	named := func(name, catalog string) func(*adestest.PDF) {
		return func(p *adestest.PDF) {
			p.CatalogExtra = catalog
			p.Update(map[int]string{
				30: drawn("100"), adestest.Catalog: p.CatalogObject(),
				adestest.Page: onPage(p, "/XObject << /"+name+" 30 0 R >>"),
			})
		}
	}
	redraw := func(_ *adestest.PKI, p *adestest.PDF) { p.Update(map[int]string{30: drawn("999")}) }
	return []shadow{
		{"image named like metadata", named("Metadata", "/Metadata 30 0 R"), redraw, "object 30"},
		{"image named like validation data", named("Certs", "/DSS << /Certs 30 0 R >>"), redraw, "object 30"},
		{"image named like structure", named("K", "/StructTreeRoot << /Type /StructTreeRoot /K 30 0 R >>"), redraw, "object 30"},
		{"image named like annotations", func(p *adestest.PDF) {
			p.Update(map[int]string{30: drawn("100"), adestest.Page: strings.Replace(onPage(p, "/XObject << /Annots 30 0 R >>"), "/Contents", "/Annots 30 0 R /Contents", 1)})
		}, redraw, "object 30"},
		{"image named like a value", func(p *adestest.PDF) {
			p.Update(map[int]string{
				30: drawn("100"), 10: strings.Replace(field("x"), "/V (x)", "/V 30 0 R", 1),
				adestest.Page: onPage(p, "/XObject << /V 30 0 R >>"),
			})
		}, redraw, "object 30"},
		{"stamp with the look of a field", func(p *adestest.PDF) {
			p.Annots = append(p.Annots, 31)
			p.Update(map[int]string{31: "<< /Type /Annot /Subtype /Stamp /Rect [0 0 300 100] /AP << /N 11 0 R >> >>", adestest.Page: p.PageObject()})
		}, func(_ *adestest.PKI, p *adestest.PDF) {
			p.Update(map[int]string{10: field("two"), 11: drawn("999")})
		}, "two roles"},
		{"page tree that is a number tree", func(p *adestest.PDF) {
			p.CatalogExtra = "/StructTreeRoot << /Type /StructTreeRoot /ParentTree 33 0 R >>"
			p.Update(map[int]string{
				2: "<< /Type /Pages /Kids [33 0 R] /Count 1 >>", 33: "<< /Type /Pages /Parent 2 0 R /Kids [3 0 R] /Count 1 >>",
				adestest.Catalog: p.CatalogObject(),
			})
		}, func(_ *adestest.PKI, p *adestest.PDF) {
			p.Update(map[int]string{33: "<< /Type /Pages /Parent 2 0 R /Kids [40 0 R 3 0 R] /Count 1 >>", 40: p.PageObject()})
		}, "object 33"},
		{"undefined content supplied under a new field", func(p *adestest.PDF) {
			p.Update(map[int]string{adestest.Page: strings.Replace(p.PageObject(), "/Contents 4 0 R", "/Contents [4 0 R 40 0 R]", 1)})
		}, func(_ *adestest.PKI, p *adestest.PDF) {
			p.Fields, p.Annots = append(p.Fields, 41), append(p.Annots, 41)
			p.Update(map[int]string{
				40: adestest.Stream("", evil), 41: "<< /Type /Annot /Subtype /Widget /FT /Sig /T (next) /Rect [0 0 0 0] /P 3 0 R >>",
				adestest.Catalog: p.CatalogObject(), adestest.Page: strings.Replace(p.PageObject(), "/Contents 4 0 R", "/Contents [4 0 R 40 0 R]", 1),
			})
		}, "left undefined"},
		{"hidden field with a look is shown", func(p *adestest.PDF) {
			p.Fields = append(p.Fields, 42)
			p.Update(map[int]string{
				42: "<< /Type /Annot /Subtype /Widget /FT /Sig /T (planted) /Rect [70 690 400 730] /P 3 0 R /AP << /N 43 0 R >> >>", 43: drawn("999"),
				adestest.Catalog: p.CatalogObject(),
			})
		}, func(_ *adestest.PKI, p *adestest.PDF) {
			p.Annots = append(p.Annots, 42)
			p.Update(map[int]string{adestest.Page: p.PageObject()})
		}, "made visible"},
		{"button with another face", func(p *adestest.PDF) {
			p.Fields, p.Annots = append(p.Fields, 44), append(p.Annots, 44)
			p.Update(map[int]string{44: button("11"), adestest.Catalog: p.CatalogObject(), adestest.Page: p.PageObject()})
		}, func(_ *adestest.PKI, p *adestest.PDF) {
			p.Update(map[int]string{44: button("145"), 145: drawn("999")})
		}, "given another look"},
		{"time-stamp laid over the text", nil, func(k *adestest.PKI, p *adestest.PDF) {
			p.Sign(adestest.Sig{
				SubFilter: "ETSI.RFC3161", M: "-", Rect: "70 690 400 730", FieldEntries: "/AP << /N 46 0 R >>",
				Objects: map[int]string{46: drawn("999")}, CMS: func(signed []byte) []byte { return k.Token(signed, k.Now) },
			})
		}, "laid over a page"},
		{"signature field with an action", nil, func(_ *adestest.PKI, p *adestest.PDF) {
			p.Fields, p.Annots = append(p.Fields, 47), append(p.Annots, 47)
			p.Update(map[int]string{
				47:               "<< /Type /Annot /Subtype /Widget /FT /Sig /T (next) /Rect [0 0 0 0] /P 3 0 R /AA << /PO << /S /JavaScript /JS (x) >> >> >>",
				adestest.Catalog: p.CatalogObject(), adestest.Page: p.PageObject(),
			})
		}, "with an action"},
		{"XFA form", nil, func(_ *adestest.PKI, p *adestest.PDF) {
			p.Update(map[int]string{48: adestest.Stream("", "<xdp/>"), adestest.Catalog: strings.Replace(p.CatalogObject(), "/SigFlags", "/XFA 48 0 R /SigFlags", 1)})
		}, "/XFA was changed"},
		{"an entry twice", nil, func(_ *adestest.PKI, p *adestest.PDF) {
			p.Update(map[int]string{49: adestest.Stream("", evil), adestest.Page: strings.Replace(p.PageObject(), "/Contents", "/Contents 49 0 R /Contents", 1)})
		}, "has an entry twice"},
	}
}

func button(look string) string {
	return "<< /Type /Annot /Subtype /Widget /FT /Btn /Ff 65536 /T (push) /Rect [70 690 400 730] /P 3 0 R /AP << /N " + look + " 0 R >> >>"
}

// passesThen signs a document that passes, and judges it after a change.
func passesThen(t *testing.T, k *adestest.PKI, p *adestest.PDF, s adestest.Sig, after func()) *validate.Report {
	t.Helper()
	p.Sign(s)
	if r := judge(t, k, p.Data, true); !r.Passed() {
		t.Fatal(text(r))
	}
	after()
	return judge(t, k, p.Data, true)
}

func TestShadowDocumentsDoNotPass(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	for _, row := range shadows() {
		t.Run(row.name, func(t *testing.T) {
			p := withTextField(t)
			if row.prepare != nil {
				row.prepare(p)
			}
			s := forged(k, adestest.Forgery{})
			s.Into, s.Field = 12, "here" // leaves the page as it is
			r := passesThen(t, k, p, s, func() { row.after(k, p) })
			if r.Signatures[0].Verdict == validate.Passed || !strings.Contains(text(r), row.change) {
				t.Errorf("want %q\n%s", row.change, text(r))
			}
		})
	}
}

// TestNothingSignedLiesBehindTheSignature lets the signed cross-reference point
// behind the signed bytes, where the text is put later.
func TestNothingSignedLiesBehindTheSignature(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	const behind = 60_000
	p := withTextField(t)
	p.Update(map[int]string{adestest.Page: strings.Replace(p.PageObject(), "/Contents 4 0 R", "/Contents [4 0 R 40 0 R]", 1)})
	at := len(p.Data)
	p.Update(map[int]string{40: "null"})
	p.Data = bytes.Replace(p.Data, fmt.Appendf(nil, "40 1\n%010d", at), fmt.Appendf(nil, "40 1\n%010d", behind), 1)
	s := forged(k, adestest.Forgery{})
	s.Into, s.Field = 12, "here"
	r := passesThen(t, k, p, s, func() {
		p.Data = append(p.Data, bytes.Repeat([]byte(" "), behind-len(p.Data)-1)...)
		p.Data = append(p.Data, "\n40 0 obj\n"+adestest.Stream("", evil)+"\nendobj\n"...)
		p.Update(map[int]string{50: "null"})
	})
	if r.Passed() || !strings.Contains(text(r), "behind what was signed") {
		t.Error(text(r))
	}
}

// TestNoSignedStreamEndsBehindTheSignature lets the last signed stream go on
// into what is added later.
func TestNoSignedStreamEndsBehindTheSignature(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := withTextField(t)
	const length = 40_000
	s := forged(k, adestest.Forgery{})
	s.Into, s.Field = 12, "here"
	begin := len("<< /Length 40000 >>\nstream\n")
	// The signed stream has no end of its own; it is the last object.
	s.Objects = map[int]string{90: "<< /Length 40000 >>\nstream\n" + evil}
	p.Update(map[int]string{adestest.Page: strings.Replace(p.PageObject(), "/Contents 4 0 R", "/Contents [4 0 R 90 0 R]", 1)})
	r := passesThen(t, k, p, s, func() {
		data := bytes.Index(p.Data, []byte("90 0 obj\n")) + len("90 0 obj\n") + begin
		p.Data = append(p.Data, bytes.Repeat([]byte(" "), data+length-len(p.Data))...)
		p.Data = append(p.Data, "\nendstream\nendobj\n"...)
		p.Update(map[int]string{50: "null"})
	})
	if r.Passed() || !strings.Contains(text(r), "ends behind what was signed") {
		t.Error(text(r))
	}
}

// TestASectionThatNobodyBeganAtIsNotWhatWasSigned plants a cross-reference
// section between the one that startxref names and startxref, and makes it the
// newest by a section behind it.
func TestASectionThatNobodyBeganAtIsNotWhatWasSigned(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := withTextField(t)
	planted := 0
	p.Update(map[int]string{41: "null\nendobj\n4 0 obj\n" + adestest.Stream("", evil)})
	content := bytes.LastIndex(p.Data, []byte("4 0 obj"))
	s := forged(k, adestest.Forgery{})
	s.Into, s.Field = 12, "here"
	s.Tail = func(xref, at int) string {
		planted = at
		return fmt.Sprintf("xref\n4 1\n%010d 00000 n \ntrailer\n<< /Size 100 /Root 1 0 R /Prev %d >>\n", content, xref)
	}
	r := passesThen(t, k, p, s, func() {
		at := len(p.Data)
		p.Data = fmt.Appendf(p.Data, "xref\n0 0\ntrailer\n<< /Size 100 /Root 1 0 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n", planted, at)
	})
	if r.Passed() || !strings.Contains(text(r), "begins with another") {
		t.Error(text(r))
	}
}

// TestUnlistedObjectsDoNotPass adds a text that only readers which repair files
// would show: the cross-reference does not list it, and startxref is off.
func TestUnlistedObjectsDoNotPass(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := withTextField(t)
	s := forged(k, adestest.Forgery{})
	s.Into, s.Field = 12, "here"
	r := passesThen(t, k, p, s, func() { p.Update(map[int]string{10: field("two") + "\nendobj\n4 0 obj\n" + adestest.Stream("", evil)}) })
	if r.Passed() || !strings.Contains(text(r), "no cross-reference lists") {
		t.Error(text(r))
	}
}
