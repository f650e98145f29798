package validate_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/internal/fault"
)

// appendSection appends a cross-reference section of the attacker's own.
func appendSection(data []byte, entries, trailer string) []byte {
	at := bytes.LastIndex(data, []byte("startxref"))
	var prev int
	if _, err := fmt.Sscanf(string(data[at:]), "startxref\n%d", &prev); err != nil {
		panic(err)
	}
	start := len(data)
	return fmt.Appendf(data, "xref\n%strailer\n<< /Size 100 %s /Prev %d >>\nstartxref\n%d\n%%%%EOF\n", entries, trailer, prev, start)
}

// TestShadowAttackHideAndReplace plants a second content in the signed revision,
// where nothing refers to it, and only points the cross-reference at it later.
func TestShadowAttackHideAndReplace(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	planted := "4 0 obj\n" + adestest.Stream("", "BT /F1 24 Tf 72 700 Td (I owe Bob 999 euros) Tj ET")
	p.Update(map[int]string{60: "null\nendobj\n" + planted})
	p.Sign(forged(k, adestest.Forgery{}))
	if r := judge(t, k, p.Data, true); !r.Passed() {
		t.Fatal(text(r))
	}
	data := appendSection(p.Data, fmt.Sprintf("4 1\n%010d 00000 n \n", bytes.Index(p.Data, []byte(planted))), "/Root 1 0 R")
	s := one(t, judge(t, k, data, true), validate.Indeterminate, validate.SigConstraintsFailure)
	if !strings.Contains(strings.Join(s.Errors, " "), "content of page 1 was replaced") {
		t.Errorf("errors %q", s.Errors)
	}
}

// TestShadowAttackWithAnotherCatalogue plants a whole second document.
func TestShadowAttackWithAnotherCatalogue(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Update(map[int]string{
		61: "<< /Type /Pages /Kids [62 0 R] /Count 1 >>",
		62: "<< /Type /Page /Parent 61 0 R /MediaBox [0 0 595 842] /Contents 63 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		63: adestest.Stream("", "BT /F1 24 Tf 72 700 Td (I owe Bob 999 euros) Tj ET"),
	})
	p.Sign(forged(k, adestest.Forgery{}))
	field := p.Fields[0]
	data := bytes.Clone(p.Data)
	at := len(data)
	data = fmt.Appendf(data, "70 0 obj\n<< /Type /Catalog /Pages 61 0 R /AcroForm << /SigFlags 3 /Fields [%d 0 R] >> >>\nendobj\n", field)
	data = appendSection(data, fmt.Sprintf("70 1\n%010d 00000 n \n", at), "/Root 70 0 R")
	r := judge(t, k, data, true)
	if r.Passed() || !strings.Contains(text(r), "catalogue was replaced") {
		t.Errorf("%s", text(r))
	}
}

// TestACopiedSignatureProvesNothing moves a valid signature into another document
// with the byte range it had (universal signature forgery in its plainest form).
func TestACopiedSignatureProvesNothing(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	var der []byte
	s := forged(k, adestest.Forgery{})
	inner := s.CMS
	s.CMS = func(signed []byte) []byte { der = inner(signed); return der }
	p.Sign(s)
	other := adestest.NewPDF(t)
	other.Update(map[int]string{adestest.Content: adestest.Stream("", "BT (I owe Bob 999 euros) Tj ET")})
	other.Sign(adestest.Sig{Time: k.Now, CMS: func([]byte) []byte { return der }})
	one(t, judge(t, k, other.Data, true), validate.Failed, validate.HashFailure)
}

func TestArchiveTimeStampsCarryASignatureOverExpiredCertificates(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	k := adestest.New(t, adestest.Config{Now: start})
	later := adestest.New(t, adestest.Config{Now: start.AddDate(4, 0, 0)})
	p := adestest.NewPDF(t)
	p.Level(k, "LTA", adestest.Sig{})
	judgeAt := func(data []byte, at time.Time) *validate.Report {
		r, err := validate.File(bytes.NewReader(data), int64(len(data)), validate.Options{
			Anchors: append(k.Anchors(), later.Anchors()...), Now: func() time.Time { return at },
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one(t, judgeAt(p.Data, start.AddDate(4, 0, 0)), validate.Passed, "") // the signer's certificate ended after two years
	one(t, judgeAt(p.Data, start.AddDate(6, 0, 0)), validate.Indeterminate, validate.OutOfBoundsNoPOE)
	renewed := adestest.NewPDF(t)
	*renewed = *p
	renewed.CatalogExtra = ""
	certs, crls, ocsps := later.Evidence()
	oldCerts, oldCRLs, oldOCSPs := k.Evidence()
	renewed.DSS(append(certs, oldCerts...), append(crls, oldCRLs...), append(ocsps, oldOCSPs...))
	renewed.Sign(adestest.Sig{SubFilter: "ETSI.RFC3161", M: "-", CMS: func(signed []byte) []byte { return later.Token(signed, later.Now) }})
	s := one(t, judgeAt(renewed.Data, start.AddDate(6, 0, 0)), validate.Passed, "")
	if !s.BestTime.Equal(start) || len(s.Timestamps) != 3 {
		t.Errorf("best time %s, %d time-stamps\n%s", s.BestTime, len(s.Timestamps), text(judgeAt(renewed.Data, start.AddDate(6, 0, 0))))
	}
}

// brokenReader fails where the signature's bytes are hashed.
type brokenReader struct {
	*bytes.Reader

	fail bool
}

var errDisk = errors.New("disk on fire")

func (b *brokenReader) ReadAt(p []byte, off int64) (int, error) {
	if b.fail {
		return 0, errDisk
	}
	b.fail = off == 0 && len(p) > 20_000
	if b.fail {
		return 0, errDisk
	}
	return b.Reader.ReadAt(p, off)
}

func TestAFailingDiskIsNoVerdict(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Update(map[int]string{adestest.Content: adestest.Stream("", strings.Repeat("% filling\n", 20_000))})
	p.Level(k, "B", adestest.Sig{})
	r, err := validate.File(&brokenReader{Reader: bytes.NewReader(p.Data)}, int64(len(p.Data)), validate.Options{Anchors: k.Anchors()})
	if !errors.Is(err, errDisk) || errors.Is(err, fault.Invalid) || len(r.Signatures) > 0 {
		t.Errorf("%v, %d signatures", err, len(r.Signatures))
	}
}

// packed is a signed document whose font is in an object stream, and the number
// of that stream.
func packed(t *testing.T, k *adestest.PKI) (data []byte, container int) {
	t.Helper()
	d := pdftest.One()
	d.Objects[3] = "<< /Type /Page /Parent 2 0 R /Resources << /Font << /F1 6 0 R >> >> /Contents 4 0 R >>"
	d.Objects[6] = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
	d.Packed, d.Form, d.Plain = []int{6}, pdftest.Stream, true
	out, err := signWith(t, k, d.Bytes(), pades.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := pdf.Open(bytes.NewReader(out), int64(len(out)), pdf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 100; n++ {
		obj, err := f.Load(pdf.Ref{Num: n})
		if s, ok := obj.(*pdf.Stream); err == nil && ok && s.Dict.Get("Type") == pdf.Name("ObjStm") {
			return out, n
		}
	}
	t.Fatal("no object stream")
	return nil, 0
}

// TestObjectsCannotBeChangedThroughTheirObjectStream replaces the object stream
// and leaves the cross-reference entries of what is in it alone.
func TestObjectsCannotBeChangedThroughTheirObjectStream(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	data, container := packed(t, k)
	if r := judge(t, k, data, false); !r.Passed() {
		t.Fatal(text(r))
	}
	f, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	obj, err := f.Load(pdf.Ref{Num: container})
	if err != nil {
		t.Fatal(err)
	}
	stream := obj.(*pdf.Stream)
	content, err := f.Decode(stream)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(content, []byte("/Helvetica"), []byte("/Wingdings"), 1)
	for name, replacement := range map[string]pdf.Object{
		"other content":   &pdf.Stream{Dict: stream.Dict.Clone(), Data: changed},
		"no stream":       pdf.Integer(7),
		"hidden behind V": &pdf.Stream{Dict: stream.Dict.Clone(), Data: changed},
	} {
		u := f.Update()
		u.Set(pdf.Ref{Num: container}, replacement)
		if name == "hidden behind V" { // it is referred to, from where it is harmless
			catalog, err := u.EditDict(f.Root())
			if err != nil {
				t.Fatal(err)
			}
			catalog.Set("Metadata", pdf.Ref{Num: container})
		}
		more, err := u.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		r := judge(t, k, append(bytes.Clone(data), more...), false)
		if r.Passed() || !strings.Contains(text(r), "object stream") {
			t.Errorf("%s:\n%s", name, text(r))
		}
	}
}

// TestAStreamInAFieldsPlaceIsNoField lets an object be a form field and a page's
// image at once, and changes its data under the cover of its value.
func TestAStreamInAFieldsPlaceIsNoField(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	both := func(value, data string) string {
		return adestest.Stream("/Type /XObject /Subtype /Form /BBox [0 0 300 100] /FT /Tx /T (amount) /Rect [0 0 0 0] /V ("+value+")", data)
	}
	p := adestest.NewPDF(t)
	p.Fields = []int{10}
	p.PageExtra = "/Rotate 0"
	page := strings.Replace(p.PageObject(), "/Font <<", "/XObject << /X 10 0 R >> /Font <<", 1)
	p.Update(map[int]string{10: both("one", "(100) Tj"), adestest.Catalog: p.CatalogObject()})
	s := forged(k, adestest.Forgery{})
	s.Objects = map[int]string{adestest.Page: page}
	p.Sign(s)
	if r := judge(t, k, p.Data, true); !r.Passed() {
		t.Fatal(text(r))
	}
	p.Update(map[int]string{10: both("two", "(999) Tj")})
	if r := judge(t, k, p.Data, true); r.Passed() {
		t.Error(text(r))
	}
}
