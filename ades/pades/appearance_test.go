package pades_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/font/gofont/gomono"

	"github.com/countersign/countersign/ades/fonts"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/ades/truetype"
	"github.com/countersign/countersign/internal/fault"
)

// visible is a look with text in three scripts.
func visible(page int, x, y, w, h float64) *pades.Appearance {
	return &pades.Appearance{
		Page: page, X: x, Y: y, Width: w, Height: h, Fonts: [][]byte{fonts.Regular()},
		Lines: []string{"Signed by Ada Lovelace", "2026-11-22 03:15:00 +01:00", "Reason: Ελλάς, Київ"},
	}
}

func TestLinesSayWhoWhenWhyAndWhere(t *testing.T) {
	at := time.Date(2026, 11, 22, 3, 15, 0, 0, time.FixedZone("", -3*3600-1800))
	got := pades.Lines("Ada Lovelace", at, "Approval", "London")
	want := []string{"Signed by Ada Lovelace", "2026-11-22 03:15:00 -03:30", "Reason: Approval", "Place: London"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"2026-11-22 03:15:00 -03:30"}, pades.Lines("", at, "", "")); d != "" {
		t.Error(d)
	}
}

func TestAppearancesThatCannotBeDrawnAreRefused(t *testing.T) {
	s := newSigner(t)
	with := func(change func(*pades.Appearance)) *pades.Appearance {
		a := visible(1, 10, 10, 150, 50)
		change(a)
		return a
	}
	field := func(widget string) []byte { return withField(widget).Bytes() }
	rows := map[string]struct {
		doc   []byte
		field string
		look  *pades.Appearance
		code  string
		says  string
	}{
		"nothing to show":       {look: with(func(a *pades.Appearance) { a.Lines = nil }), says: "needs text or an image"},
		"no page":               {look: with(func(a *pades.Appearance) { a.Page = 0 }), says: "without its page"},
		"no place":              {look: &pades.Appearance{Lines: []string{"x"}, Fonts: [][]byte{fonts.Regular()}}, says: "say on which page"},
		"page too high":         {look: with(func(a *pades.Appearance) { a.Page = 2 }), says: "has 1 pages, and so no page 2"},
		"page too low":          {look: with(func(a *pades.Appearance) { a.Page = -2 }), says: "no page -2"},
		"beyond the right edge": {look: with(func(a *pades.Appearance) { a.X = 151 }), says: "reaches outside its page, which is 300 points wide and 200 high"},
		"beyond the lower edge": {look: with(func(a *pades.Appearance) { a.Y = 151 }), says: "reaches outside"},
		"beyond the left edge":  {look: with(func(a *pades.Appearance) { a.X = -1 }), says: "reaches outside"},
		"empty rectangle":       {look: with(func(a *pades.Appearance) { a.Width = 0 }), says: "is empty"},
		"no number":             {look: with(func(a *pades.Appearance) { a.X = math.NaN() }), says: "out of range"},
		"infinite":              {look: with(func(a *pades.Appearance) { a.Height = math.Inf(1) }), says: "out of range"},
		"too small":             {look: with(func(a *pades.Appearance) { a.Width, a.Height = 20, 10 }), says: "does not fit"},
		"no font":               {look: with(func(a *pades.Appearance) { a.Fonts = nil }), says: "no font that was given"},
		"no glyph":              {look: with(func(a *pades.Appearance) { a.Lines = []string{"漢字"} }), says: "'漢' (U+6F22)"},
		"right to left":         {look: with(func(a *pades.Appearance) { a.Lines = []string{"שלום"} }), says: "cannot be set"},
		"combining mark":        {look: with(func(a *pades.Appearance) { a.Lines = []string{"e\u0301"} }), says: "cannot be set"},
		"line break":            {look: with(func(a *pades.Appearance) { a.Lines = []string{"a\nb"} }), says: "cannot be set"},
		"override":              {look: with(func(a *pades.Appearance) { a.Lines = []string{"a\u202eb"} }), says: "cannot be set"},
		"invalid UTF-8":         {look: with(func(a *pades.Appearance) { a.Lines = []string{"\xff"} }), says: "UTF-8"},
		"too much text":         {look: with(func(a *pades.Appearance) { a.Lines = []string{strings.Repeat("x", 2001)} }), says: "longer than 2000"},
		"too many lines":        {look: with(func(a *pades.Appearance) { a.Lines = make([]string, 21) }), says: "at most 20 lines"},
		"no font file":          {look: with(func(a *pades.Appearance) { a.Fonts = [][]byte{[]byte("%PDF-1.7")} }), code: truetype.CodeFont, says: "no TrueType font"},
		"damaged image":         {look: with(func(a *pades.Appearance) { a.Image = &pades.Picture{Width: 2, Height: 2, Pixels: make([]byte, 11)} }), says: "image is damaged"},
		"place beside a field":  {doc: field("/Rect [25 10 71 116]"), field: "Here", look: visible(1, 10, 10, 150, 50), says: "has its place already"},
		"invisible field":       {doc: field("/Rect [0 0 0 0]"), field: "Here", look: with(func(a *pades.Appearance) { *a = pades.Appearance{Lines: a.Lines, Fonts: a.Fonts} }), says: "rectangle is empty"},
		"hidden field":          {doc: field("/Rect [25 10 71 116] /F 2"), field: "Here", look: with(func(a *pades.Appearance) { *a = pades.Appearance{Lines: a.Lines, Fonts: a.Fonts} }), code: pades.CodeField, says: "is hidden"},
		"crop box beside":       {doc: cropped("[500 500 600 600]"), look: visible(1, 10, 10, 150, 50), says: "viewers differ"},
		"over another field":    {doc: field("/Rect [25 10 71 116]"), look: visible(1, 10, 10, 150, 50), says: `would cover the signature field "Here"`},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			doc, o := row.doc, s.options()
			if doc == nil {
				doc = pages(1)
			}
			o.Field, o.Appearance = row.field, row.look
			_, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o)
			e, ok := errors.AsType[*fault.Error](err)
			if !ok || e.Kind != fault.Invalid {
				t.Fatalf("no refusal: %v", err)
			}
			if row.code == "" {
				row.code = pades.CodeAppearance
			}
			if e.Code != row.code || !strings.Contains(e.Detail, row.says) {
				t.Errorf("%s: %s; want %s and %q", e.Code, e.Detail, row.code, row.says)
			}
		})
	}
}

func TestVisibleSignatureOverALinkIsWarnedOf(t *testing.T) {
	s := newSigner(t)
	d := pdftest.One()
	d.Objects[3] = "<< /Type /Page /Parent 2 0 R /Resources << >> /Contents 4 0 R /Annots [6 0 R] >>"
	d.Objects[6] = "<< /Type /Annot /Subtype /Link /Rect [20 20 60 60] >>"
	o := s.options()
	o.Appearance = visible(1, 10, 80, 150, 50)
	if _, p := s.sign(t, d.Bytes(), pades.B, o); len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "covers a link") {
		t.Errorf("warnings %q", p.Warnings)
	}
	o.Appearance = visible(1, 140, 10, 150, 50)
	if _, p := s.sign(t, d.Bytes(), pades.B, o); len(p.Warnings) != 0 {
		t.Errorf("warnings %q", p.Warnings)
	}
}

func TestCertifiedDocumentsTakeVisibleSignaturesInTheirFieldsOnly(t *testing.T) {
	s := newSigner(t)
	o := s.options()
	o.Certify = 3
	certified, _ := s.sign(t, withField("/Rect [25 10 71 116]").Bytes(), pades.B, o)
	o.Certify, o.Appearance = 0, visible(1, 10, 90, 150, 50)
	_, err := pades.Prepare(bytes.NewReader(certified), int64(len(certified)), o)
	if fault.Of(err).Code != pades.CodeCertified {
		t.Errorf("a new visible field: %v", err)
	}
	o.Field, o.Appearance = "Here", visible(0, 0, 0, 0, 0)
	signed, _ := s.sign(t, certified, pades.B, o)
	assertVerifies(t, signed, "", 2)
}

func TestSameInputGivesTheSameBytes(t *testing.T) {
	s := newSigner(t)
	img := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		img.SetNRGBA(i%64, i/64, color.NRGBA{uint8(i), uint8(i >> 4), 40, uint8(i >> 3)})
	}
	doc := accessible().Bytes()
	var first *pades.Prepared
	for range 5 {
		o := s.options()
		o.Appearance = visible(1, 10, 10, 250, 80)
		o.Appearance.Image = read(t, encoded(img))
		p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = p
		}
		if !bytes.Equal(first.Bytes, p.Bytes) || !bytes.Equal(first.DTBSR, p.DTBSR) {
			t.Fatal("the bytes differ")
		}
	}
}

func TestFontsAreTakenInTheirOrder(t *testing.T) {
	s := newSigner(t)
	o := s.options()
	o.Appearance = visible(1, 10, 10, 150, 50)
	o.Appearance.Fonts = [][]byte{mono(), fonts.Regular()}
	signed, _ := s.sign(t, pages(1), pades.B, o)
	if n := bytes.Count(signed, []byte("/BaseFont")); n != 2 { // of the composite font and its descendant
		t.Errorf("%d fonts are named, want one, twice", n)
	}
	if !bytes.Contains(signed, []byte("+GoMono\n")) {
		t.Error("the first font was not taken")
	}
}

func cropped(box string) []byte {
	d := pdftest.One()
	d.Objects[3] = "<< /Type /Page /Parent 2 0 R /CropBox " + box + " /Resources << >> /Contents 4 0 R >>"
	return d.Bytes()
}

func mono() []byte { return gomono.TTF }
