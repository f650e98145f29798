package pades_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
)

func TestNewFieldIsInvisibleAndHasAnAppearance(t *testing.T) {
	s := newSigner(t)
	signed, _ := s.sign(t, pdftest.One().Bytes(), pades.B, s.options())
	f := open(t, signed, "")
	x := assertVerifies(t, signed, "", 1)[0].Field
	want := map[pdf.Name]pdf.Object{
		"Type": pdf.Name("Annot"), "Subtype": pdf.Name("Widget"), "FT": pdf.Name("Sig"), "F": pdf.Integer(132),
		"Rect": pdf.Array{pdf.Integer(0), pdf.Integer(0), pdf.Integer(0), pdf.Integer(0)}, "P": pdf.Ref{Num: 3},
	}
	for key, v := range want {
		if got := x.Dict.Get(key); !pdf.Equal(got, v) {
			t.Errorf("/%s is %v, want %v", key, got, v)
		}
	}
	ap, _ := x.Dict.Get("AP").(*pdf.Dict)
	obj, err := f.Resolve(ap.Get("N"))
	if err != nil {
		t.Fatal(err)
	}
	form, ok := obj.(*pdf.Stream)
	if !ok || form.Dict.Get("Subtype") != pdf.Name("Form") || !form.Dict.Has("BBox") {
		t.Errorf("appearance is %v", obj)
	}
	_, page, err := f.FirstPage()
	if err != nil {
		t.Fatal(err)
	}
	if annots, _ := page.Get("Annots").(pdf.Array); len(annots) != 1 || annots[0] != x.Ref {
		t.Errorf("annotations are %v", page.Get("Annots"))
	}
	acro, err := f.AcroForm()
	if err != nil {
		t.Fatal(err)
	}
	if acro.Get("SigFlags") != pdf.Integer(3) {
		t.Errorf("SigFlags = %v", acro.Get("SigFlags"))
	}
	if trailer := f.Trailer(); trailer.Get("Info") != (pdf.Ref{Num: 5}) {
		t.Errorf("Info = %v", trailer.Get("Info"))
	}
}

func TestFormIsKeptWhole(t *testing.T) {
	s := newSigner(t)
	const text = "<< /FT /Tx /T @(Text) /V @(value) >>"
	const rest = "/DA @(/Helv 0 Tf) /DR << /Font << >> >> /CO [10 0 R] /Q 1 /NeedAppearances true /XFA [@(a) 12 0 R]"
	for name, c := range map[string]struct {
		objects  map[int]string
		packed   []int
		written  []int // of the objects that were there
		previous int   // fields before
	}{
		"no form":              {map[int]string{}, nil, []int{1, 3}, 0},
		"null form":            {map[int]string{1: "<< /Type /Catalog /Pages 2 0 R /AcroForm null >>"}, nil, []int{1, 3}, 0},
		"missing form":         {map[int]string{1: "<< /Type /Catalog /Pages 2 0 R /AcroForm 77 0 R >>"}, nil, []int{1, 3}, 0},
		"direct":               {map[int]string{1: "<< /Pages 2 0 R /AcroForm << /Fields [10 0 R] " + rest + " >> >>", 10: text}, nil, []int{1, 3}, 1},
		"indirect":             {map[int]string{1: "<< /Pages 2 0 R /AcroForm 9 0 R >>", 9: "<< /Fields [10 0 R] " + rest + " >>", 10: text}, nil, []int{3, 9}, 1},
		"indirect fields":      {map[int]string{1: "<< /Pages 2 0 R /AcroForm 9 0 R >>", 9: "<< /Fields 11 0 R /SigFlags 3 " + rest + " >>", 10: text, 11: "[10 0 R]"}, nil, []int{3, 11}, 1},
		"all indirect, flags":  {map[int]string{1: "<< /Pages 2 0 R /AcroForm 9 0 R >>", 9: "<< /Fields 11 0 R /SigFlags 1 " + rest + " >>", 10: text, 11: "[10 0 R]"}, nil, []int{3, 9, 11}, 1},
		"no fields":            {map[int]string{1: "<< /Pages 2 0 R /AcroForm 9 0 R >>", 9: "<< " + rest + " >>"}, nil, []int{3, 9}, 0},
		"direct, fields apart": {map[int]string{1: "<< /Pages 2 0 R /AcroForm << /Fields 11 0 R " + rest + " >> >>", 10: text, 11: "[10 0 R]"}, nil, []int{1, 3, 11}, 1},
		"in object stream":     {map[int]string{1: "<< /Pages 2 0 R /AcroForm 9 0 R >>", 9: "<< /Fields 11 0 R " + rest + " >>", 10: text, 11: "[10 0 R]"}, []int{1, 2, 3, 9, 10, 11}, []int{3, 9, 11}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := pdftest.One()
			maps.Copy(d.Objects, c.objects)
			d.Objects[12], d.Streams[12] = "<< >>", "<xfa/>"
			if c.packed != nil {
				d.Form, d.Packed = pdftest.Stream, c.packed
			}
			doc := d.Bytes()
			before, err := open(t, doc, "").AcroForm()
			if err != nil {
				t.Fatal(err)
			}
			signed, _ := s.sign(t, doc, pades.B, s.options())
			assertAppended(t, doc, signed, "")
			assertVerifies(t, signed, "", 1)
			f := open(t, signed, "")
			after, err := f.AcroForm()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range before.Entries() {
				if e.Key != "Fields" && e.Key != "SigFlags" && !pdf.Equal(e.Value, after.Get(e.Key)) {
					t.Errorf("/%s was %v and is %v", e.Key, e.Value, after.Get(e.Key))
				}
			}
			fields, err := f.Fields()
			if err != nil || len(fields) != c.previous+1 {
				t.Errorf("%d fields, %v", len(fields), err)
			}
			assertWritten(t, f, c.written)
		})
	}
}

// assertWritten checks which of the objects that were there the last revision wrote.
func assertWritten(t *testing.T, f *pdf.File, want []int) {
	t.Helper()
	revisions, err := f.Revisions()
	if err != nil {
		t.Fatal(err)
	}
	n := len(revisions)
	changes, err := f.Changes(revisions[n-2], revisions[n-1])
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, c := range changes {
		if c.Old != nil {
			got = append(got, c.Num)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("objects %v were written again, want %v", got, want)
	}
}

func TestAnnotationsGrowInTheirPlace(t *testing.T) {
	s := newSigner(t)
	const link = "<< /Type /Annot /Subtype /Link /Rect [0 0 1 1] >>"
	two := map[int]string{2: "<< /Type /Pages /Kids [3 0 R 6 0 R] /Count 2 >>"}
	for name, c := range map[string]struct {
		page, second string
		written      []int
		annots       int
	}{
		"none":                     {"", "", []int{1, 3}, 1},
		"direct":                   {"/Annots [7 0 R]", "", []int{1, 3}, 2},
		"indirect":                 {"/Annots 8 0 R", "", []int{1, 8}, 2},
		"indirect, others too":     {"/Annots 8 0 R", "/Annots [7 0 R]", []int{1, 8}, 2},
		"shared with another page": {"/Annots 8 0 R", "/Annots 8 0 R", []int{1, 3}, 2},
		"null":                     {"/Annots null", "", []int{1, 3}, 1},
		"missing":                  {"/Annots 88 0 R", "", []int{1, 3}, 1},
		"not an array":             {"/Annots 7 0 R", "", []int{1, 3}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := pdftest.One()
			d.Objects[2] = two[2]
			d.Objects[3] = "<< /Type /Page /Parent 2 0 R " + c.page + " >>"
			d.Objects[6] = "<< /Type /Page /Parent 2 0 R " + c.second + " >>"
			d.Objects[7], d.Objects[8] = link, "[7 0 R]"
			doc := d.Bytes()
			signed, _ := s.sign(t, doc, pades.B, s.options())
			assertVerifies(t, signed, "", 1)
			f := open(t, signed, "")
			assertWritten(t, f, c.written)
			_, page, err := f.FirstPage()
			if err != nil {
				t.Fatal(err)
			}
			if annots, err := f.Array(page.Get("Annots")); err != nil || len(annots) != c.annots {
				t.Errorf("annotations %v, %v", annots, err)
			}
			second, err := f.Dict(pdf.Ref{Num: 6})
			if err != nil {
				t.Fatal(err)
			}
			if annots, err := f.Array(second.Get("Annots")); err != nil || len(annots) > 1 {
				t.Errorf("the second page's annotations are %v, %v", annots, err)
			}
		})
	}
}

func TestNamedFieldIsFilledAndAnUnnamedOneLeftAlone(t *testing.T) {
	s := newSigner(t)
	kids := withFields(
		"<< /T @(Group) /FT /Sig /Kids [20 0 R 21 0 R] >>",
		"<< /FT /Sig /T @(Visible) /Subtype /Widget /Rect [10 10 110 60] /F 4 /P 3 0 R /MK << >> >>",
		"<< /FT /Sig /T @(Parts) /Kids [22 0 R 23 0 R] >>",
	)
	kids.Objects[20] = "<< /T @(a) /Parent 10 0 R /Subtype /Widget /Rect [0 0 0 0] >>"
	kids.Objects[21] = "<< /T @(b) /Parent 10 0 R /Subtype /Widget /Rect [0 0 0 0] >>"
	kids.Objects[22] = "<< /Parent 12 0 R /Subtype /Widget /Rect [0 0 5 5] >>"
	kids.Objects[23] = "<< /Parent 12 0 R /Subtype /Widget /Rect [0 0 7 7] /F 4 /AP << /N 4 0 R >> >>"
	for field, written := range map[string][]int{
		"Group.b": {21},
		"Visible": {11},
		"Parts":   {12, 22},
		"":        {3, 9},
		"New one": {3, 9},
	} {
		t.Run(field, func(t *testing.T) {
			doc := kids.Bytes()
			o := s.options()
			o.Field = field
			signed, prepared := s.sign(t, doc, pades.B, o)
			assertAppended(t, doc, signed, "")
			assertVerifies(t, signed, "", 1)
			f := open(t, signed, "")
			assertWritten(t, f, written)
			if field == "" && prepared.Field != "Signature1" {
				t.Errorf("an empty field was taken: %s", prepared.Field)
			}
			fields, err := f.Fields()
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range fields {
				if (x.Name == prepared.Field) == x.Empty() {
					t.Errorf("field %q is empty: %v", x.Name, x.Empty())
				}
				assertAppearances(t, f, x)
			}
			_, err = s.prepare(signed, func(o *pades.Options) { o.Field = prepared.Field })
			wantRefusal(t, err, pades.CodeField)
		})
	}
}

// assertAppearances checks that each widget of a signed field has an appearance.
func assertAppearances(t *testing.T, f *pdf.File, x pdf.Field) {
	t.Helper()
	if x.Empty() {
		return
	}
	for _, w := range x.Widgets {
		d, err := f.Dict(w)
		if err != nil {
			t.Fatal(err)
		}
		ap, err := f.Dict(d.Get("AP"))
		if err != nil || !ap.Has("N") || !d.Has("F") {
			t.Errorf("widget %v of %s has /AP %v and /F %v", w, x.Name, ap, d.Get("F"))
		}
	}
}

func TestFieldsThatCannotBeSignedAreRefused(t *testing.T) {
	s := newSigner(t)
	d := withFields(
		"<< /FT /Tx /T @(Text) >>",
		"<< /FT /Sig /T @(Twice) >>", "<< /FT /Sig /T @(Twice) >>",
		"<< /T @(Group) /Kids [20 0 R] >>",
	)
	d.Objects[20] = "<< /T @(a) /FT /Sig >>"
	for _, field := range []string{"Text", "Twice", "Group", "Group.b", "A.B"} {
		_, err := s.prepare(d.Bytes(), func(o *pades.Options) { o.Field = field })
		wantRefusal(t, err, pades.CodeField)
	}
}

func TestFreeNameAvoidsEveryFieldOfTheForm(t *testing.T) {
	s := newSigner(t)
	d := withFields("<< /FT /Tx /T @(Signature1) >>", "<< /T @(Signature2) /Kids [20 0 R] >>")
	d.Objects[20] = "<< /FT /Tx /T @(x) >>"
	p, err := s.prepare(d.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.Field != "Signature3" {
		t.Errorf("field %q", p.Field)
	}
}

func TestEarlierZeroPaddedSignatureIsNotTakenForOurPlace(t *testing.T) {
	s := newSigner(t)
	d := withFields("<< /FT /Sig /T @(Old) /V 11 0 R >>")
	d.Objects[11] = "<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /adbe.pkcs7.detached /ByteRange [0 100 9000 10] /Contents <30820000" + strings.Repeat("0", 20000) + "> >>"
	doc := d.Bytes()
	signed, _ := s.sign(t, doc, pades.LTA, s.options())
	if !bytes.HasPrefix(signed, doc) {
		t.Error("the original changed")
	}
	assertRanges(t, doc, signed)
}

func TestLongDocumentsCostLittle(t *testing.T) {
	// 3,000 pages in one flat tree: only the first is read.
	d := pdftest.One()
	var kids strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&kids, "%d 0 R ", 100+i)
		d.Objects[100+i] = "<< /Type /Page /Parent 2 0 R >>"
	}
	d.Objects[2] = "<< /Type /Pages /Count 3000 /Kids [" + kids.String() + "] >>"
	doc := d.Bytes()
	r := &counter{ReaderAt: bytes.NewReader(doc)}
	f, err := pdf.Open(r, int64(len(doc)), pdf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.FirstPage(); err != nil {
		t.Fatal(err)
	}
	if r.n > 300<<10 {
		t.Errorf("%d bytes were read of %d", r.n, len(doc))
	}
}
