package validate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/validate"
)

// docMDP is the entries of a signature dictionary that certifies at level p.
func docMDP(p int) string {
	return fmt.Sprintf("/Reference [<< /Type /SigRef /TransformMethod /DocMDP /TransformParams << /Type /TransformParams /P %d /V /1.2 >> >>]", p)
}

// fieldMDP locks one field.
func fieldMDP(field string) string {
	return fmt.Sprintf("/Reference [<< /Type /SigRef /TransformMethod /FieldMDP /TransformParams << /Type /TransformParams /Action /Include /Fields [(%s)] /V /1.2 >> >>]", field)
}

const noteText = "<< /Type /Annot /Subtype /Text /Rect [10 10 30 30] /Contents (nice) /P 3 0 R >>"

// xmp is a metadata packet.
func xmp(title string) string {
	return `<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">` +
		`<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="` + title + `"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`
}

// tagged gives the document a structure tree.
func tagged(p *adestest.PDF) {
	p.CatalogExtra = "/MarkInfo << /Marked true >> /StructTreeRoot 31 0 R"
	p.PageExtra = "/StructParents 0"
	p.Update(map[int]string{
		31: "<< /Type /StructTreeRoot /K 32 0 R /ParentTree 33 0 R /ParentTreeNextKey 1 >>", 32: "<< /Type /StructElem /S /Document /P 31 0 R /K [34 0 R] >>",
		33: "<< /Nums [0 [34 0 R]] >>", 34: "<< /Type /StructElem /S /P /P 32 0 R /K 0 /Pg 3 0 R >>",
		adestest.Catalog: p.CatalogObject(), adestest.Page: p.PageObject(),
	})
}

// withTextField is a document with the text field "amount" (object 10), whose
// appearance is object 11, and an empty signature field "here" (object 12).
func withTextField(t *testing.T) *adestest.PDF {
	p := adestest.NewPDF(t)
	p.Fields, p.Annots = []int{10, 12}, []int{10, 12}
	p.Update(map[int]string{
		10:               field("one"),
		11:               adestest.Stream("/Type /XObject /Subtype /Form /BBox [0 0 100 20]", "(one) Tj"),
		12:               "<< /Type /Annot /Subtype /Widget /FT /Sig /T (here) /F 4 /Rect [300 10 400 40] /P 3 0 R >>",
		adestest.Catalog: p.CatalogObject(), adestest.Page: p.PageObject(),
	})
	return p
}

func field(value string) string {
	return fmt.Sprintf("<< /Type /Annot /Subtype /Widget /FT /Tx /T (amount) /F 4 /Rect [10 10 110 30] /P 3 0 R /V (%s) /AP << /N 11 0 R >> >>", value)
}

// changeRow is something that happens after signing, and what it does to the signature.
type changeRow struct {
	name    string
	fields  bool // begin with the form
	into    bool // sign the empty field, which leaves the page as it is
	entries string
	prepare func(p *adestest.PDF)
	after   func(p *adestest.PDF)
	verdict validate.Verdict
	sub     validate.Sub
	change  string // in the changes
}

// build makes the file.
func (row changeRow) build(t *testing.T, k *adestest.PKI) []byte {
	p := adestest.NewPDF(t)
	if row.fields {
		p = withTextField(t)
	}
	if row.prepare != nil {
		row.prepare(p)
	}
	s := forged(k, adestest.Forgery{})
	s.Entries = row.entries
	if row.into {
		s.Into, s.Field = 12, "here"
	}
	p.Sign(s)
	row.after(p)
	return p.Data
}

func changeRows(k *adestest.PKI) []changeRow {
	annotate := func(p *adestest.PDF) {
		n := p.New()
		p.Annots = append(p.Annots, n)
		p.Update(map[int]string{n: noteText, adestest.Page: p.PageObject()})
	}
	newContent := adestest.Stream("", "BT /F1 24 Tf 72 700 Td (I owe Bob 999 euros) Tj ET")
	return []changeRow{
		{name: "nothing", after: func(*adestest.PDF) {}, verdict: validate.Passed},
		{name: "page content replaced", after: func(p *adestest.PDF) {
			p.Update(map[int]string{adestest.Content: newContent})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "content of page 1 was replaced"},
		{name: "page content replaced after certification", entries: docMDP(2), after: func(p *adestest.PDF) {
			p.Update(map[int]string{adestest.Content: newContent})
		}, verdict: validate.Failed, sub: validate.FormatFailure, change: "content of page 1 was replaced"},
		{name: "page content moved to a new object", after: func(p *adestest.PDF) {
			n := p.New()
			p.Update(map[int]string{n: newContent, adestest.Page: strings.Replace(p.PageObject(), "/Contents 4 0 R", fmt.Sprintf("/Contents %d 0 R", n), 1)})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "content of page 1 was replaced"},
		{name: "page content written again unchanged", after: func(p *adestest.PDF) {
			p.Update(map[int]string{adestest.Content: adestest.Stream("", "BT /F1 24 Tf 72 700 Td (I owe Bob 100 euros) Tj ET")})
		}, verdict: validate.Passed},
		{name: "font replaced", after: func(p *adestest.PDF) {
			p.Update(map[int]string{adestest.Font: "<< /Type /Font /Subtype /Type1 /BaseFont /ZapfDingbats >>"})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "Resources/Font/F1 of page 1"},
		{name: "font removed", after: func(p *adestest.PDF) {
			p.Update(map[int]string{adestest.Font: ""})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "was removed"},
		{name: "page added", after: func(p *adestest.PDF) {
			n := p.New()
			p.Update(map[int]string{n: p.PageObject(), adestest.Pages: fmt.Sprintf("<< /Type /Pages /Kids [3 0 R %d 0 R] /Count 2 >>", n)})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "pages were added"},
		{name: "another page tree", after: func(p *adestest.PDF) {
			n := p.New()
			p.Update(map[int]string{n: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", adestest.Catalog: strings.Replace(p.CatalogObject(), "/Pages 2 0 R", fmt.Sprintf("/Pages %d 0 R", n), 1)})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "/Pages was changed"},
		{name: "open action added", after: func(p *adestest.PDF) {
			p.CatalogExtra = "/OpenAction << /S /JavaScript /JS (x) >>"
			p.Update(map[int]string{adestest.Catalog: p.CatalogObject()})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "/OpenAction was changed"},
		{name: "annotation added", after: annotate, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "annotation (Text) added on page 1 (not permitted)"},
		{name: "annotation after P=1", entries: docMDP(1), after: annotate, verdict: validate.Failed, sub: validate.FormatFailure, change: "annotation (Text) added on page 1 (not permitted)"},
		{name: "annotation after P=2", entries: docMDP(2), after: annotate, verdict: validate.Failed, sub: validate.FormatFailure, change: "annotation (Text) added on page 1 (not permitted)"},
		{name: "annotation after P=3", entries: docMDP(3), after: annotate, verdict: validate.Passed, change: "annotation (Text) added on page 1 (permitted)"},
		{name: "annotation with a script after P=3", entries: docMDP(3), after: func(p *adestest.PDF) {
			n := p.New()
			p.Annots = append(p.Annots, n)
			p.Update(map[int]string{n: strings.Replace(noteText, "/Subtype /Text", "/Subtype /Link /A << /S /JavaScript /JS (x) >>", 1), adestest.Page: p.PageObject()})
		}, verdict: validate.Failed, sub: validate.FormatFailure, change: "annotation (Link) with an action was added"},
		{name: "validation data after P=1", entries: docMDP(1), after: func(p *adestest.PDF) { p.DSS(k.Evidence()) }, verdict: validate.Passed, change: "validation data (DSS) added (permitted)"},
		{name: "document time-stamp after P=1", entries: docMDP(1), after: func(p *adestest.PDF) {
			p.Sign(adestest.Sig{SubFilter: "ETSI.RFC3161", M: "-", CMS: func(signed []byte) []byte { return k.Token(signed, k.Now) }})
		}, verdict: validate.Passed, change: "document time-stamp \"Signature2\" added (permitted)"},
		{name: "empty signature field", after: func(p *adestest.PDF) {
			n := p.New()
			p.Fields, p.Annots = append(p.Fields, n), append(p.Annots, n)
			p.Update(map[int]string{
				n:                "<< /Type /Annot /Subtype /Widget /FT /Sig /T (next) /Rect [0 0 0 0] /P 3 0 R >>",
				adestest.Catalog: p.CatalogObject(), adestest.Page: p.PageObject(),
			})
		}, verdict: validate.Passed, change: "empty signature field \"next\" added (permitted)"},
		{name: "empty signature field laid over the text", after: func(p *adestest.PDF) {
			n, ap := p.New(), p.New()
			p.Fields, p.Annots = append(p.Fields, n), append(p.Annots, n)
			p.Update(map[int]string{
				n:                fmt.Sprintf("<< /Type /Annot /Subtype /Widget /FT /Sig /T (next) /Rect [70 690 400 730] /P 3 0 R /AP << /N %d 0 R >> >>", ap),
				ap:               adestest.Stream("/Type /XObject /Subtype /Form /BBox [0 0 330 40]", "(999) Tj"),
				adestest.Catalog: p.CatalogObject(), adestest.Page: p.PageObject(),
			})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "laid over a page"},
		{name: "text field filled in", fields: true, after: func(p *adestest.PDF) {
			n := p.New()
			p.Update(map[int]string{10: strings.Replace(field("two"), "11 0 R", fmt.Sprintf("%d 0 R", n), 1), n: adestest.Stream("/Type /XObject /Subtype /Form /BBox [0 0 100 20]", "(two) Tj")})
		}, verdict: validate.Passed, change: "form field \"amount\" filled in (permitted)"},
		{name: "text field filled in, appearance in place", fields: true, after: func(p *adestest.PDF) {
			p.Update(map[int]string{10: field("two"), 11: adestest.Stream("/Type /XObject /Subtype /Form /BBox [0 0 100 20]", "(two) Tj")})
		}, verdict: validate.Passed, change: "form field \"amount\" filled in (permitted)"},
		{name: "appearance that is also page content", fields: true, into: true, prepare: func(p *adestest.PDF) {
			p.Update(map[int]string{adestest.Page: strings.Replace(p.PageObject(), "/Font <<", "/XObject << /N 11 0 R >> /Font <<", 1)})
		}, after: func(p *adestest.PDF) {
			p.Update(map[int]string{10: field("two"), 11: adestest.Stream("/Type /XObject /Subtype /Form /BBox [0 0 100 20]", "(999) Tj")})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "two roles"},
		{name: "text field filled in after P=1", fields: true, entries: docMDP(1), after: func(p *adestest.PDF) {
			p.Update(map[int]string{10: field("two")})
		}, verdict: validate.Failed, sub: validate.FormatFailure, change: "form field \"amount\" filled in (not permitted)"},
		{name: "locked text field filled in", fields: true, entries: fieldMDP("amount"), after: func(p *adestest.PDF) {
			p.Update(map[int]string{10: field("two")})
		}, verdict: validate.Failed, sub: validate.FormatFailure, change: "form field \"amount\" filled in (not permitted)"},
		{name: "another field is locked", fields: true, entries: fieldMDP("other"), after: func(p *adestest.PDF) {
			p.Update(map[int]string{10: field("two")})
		}, verdict: validate.Passed, change: "form field \"amount\" filled in (permitted)"},
		{name: "text field moved", fields: true, after: func(p *adestest.PDF) {
			p.Update(map[int]string{10: strings.Replace(field("one"), "[10 10 110 30]", "[70 690 400 730]", 1)})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "/Rect was changed"},
		{name: "text field removed", fields: true, after: func(p *adestest.PDF) {
			p.Fields = p.Fields[1:]
			p.Update(map[int]string{adestest.Catalog: p.CatalogObject()})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "\"amount\" was removed"},
		{name: "text field added", after: func(p *adestest.PDF) {
			p.Fields, p.Annots = append(p.Fields, 20), append(p.Annots, 20)
			p.Update(map[int]string{20: strings.Replace(field("x"), "/AP << /N 11 0 R >>", "", 1), adestest.Catalog: p.CatalogObject(), adestest.Page: p.PageObject()})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "form field \"amount\" was added"},
		{name: "unsigned field given another look", fields: true, after: func(p *adestest.PDF) {
			n := p.New()
			p.Update(map[int]string{
				n:  adestest.Stream("/Type /XObject /Subtype /Form /BBox [0 0 100 20]", "(999) Tj"),
				12: fmt.Sprintf("<< /Type /Annot /Subtype /Widget /FT /Sig /T (here) /F 4 /Rect [300 10 400 40] /P 3 0 R /AP << /N %d 0 R >> >>", n),
			})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "given another look"},
		{name: "undefined object supplied", fields: true, into: true, prepare: func(p *adestest.PDF) {
			p.Update(map[int]string{adestest.Page: strings.Replace(p.PageObject(), "/Contents 4 0 R", "/Contents [4 0 R 40 0 R]", 1)})
		}, after: func(p *adestest.PDF) {
			p.Update(map[int]string{40: newContent})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "left undefined"},
		{name: "length of a stream changed", fields: true, into: true, prepare: func(p *adestest.PDF) {
			content := "BT /F1 24 Tf 72 700 Td (I owe Bob 100 euros) Tj ET\n%endstream endobj\nBT (999) Tj ET"
			p.Update(map[int]string{adestest.Content: "<< /Length 40 0 R >>\nstream\n" + content + "\nendstream", 40: "50"})
		}, after: func(p *adestest.PDF) {
			p.Update(map[int]string{40: "85"})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "Length of object 4"},
		{name: "bytes behind the end", after: func(p *adestest.PDF) {
			p.Data = append(p.Data, "4 0 obj\n"+newContent+"\nendobj\n"...)
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "belong to no revision"},
		{name: "white space behind the end", after: func(p *adestest.PDF) { p.Data = append(p.Data, "\r\n \n"...) }, verdict: validate.Passed},
		{name: "document information and metadata", prepare: func(p *adestest.PDF) {
			p.CatalogExtra = "/Metadata 30 0 R"
			p.Update(map[int]string{30: adestest.Stream("/Type /Metadata /Subtype /XML", xmp("old")), adestest.Catalog: p.CatalogObject()})
		}, after: func(p *adestest.PDF) {
			p.Update(map[int]string{30: adestest.Stream("/Type /Metadata /Subtype /XML", xmp("new"))})
		}, verdict: validate.Passed, change: "document metadata updated (permitted)"},
		{name: "validation data that hide something else", after: func(p *adestest.PDF) {
			p.CatalogExtra += " /DSS << /Certs [] /Evil 5 0 R >>"
			p.Update(map[int]string{adestest.Catalog: p.CatalogObject()})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "unknown entry /Evil"},
		{name: "structure element of a new form field", prepare: tagged, after: func(p *adestest.PDF) {
			p.Fields, p.Annots = append(p.Fields, 51), append(p.Annots, 51)
			p.PageExtra = "/StructParents 0"
			p.Update(map[int]string{
				31: "<< /Type /StructTreeRoot /K 32 0 R /ParentTree 33 0 R /ParentTreeNextKey 2 >>", 32: "<< /Type /StructElem /S /Document /P 31 0 R /K [34 0 R 50 0 R] >>",
				33: "<< /Nums [0 [34 0 R] 1 50 0 R] >>", 50: "<< /Type /StructElem /S /Form /P 32 0 R /Pg 3 0 R /K << /Type /OBJR /Obj 51 0 R /Pg 3 0 R >> >>",
				51:               "<< /Type /Annot /Subtype /Widget /FT /Sig /T (next) /Rect [0 0 0 0] /P 3 0 R /StructParent 1 >>",
				adestest.Catalog: p.CatalogObject(), adestest.Page: p.PageObject(),
			})
		}, verdict: validate.Passed, change: "structure elements for form fields added (permitted)"},
		{name: "structure element for no field", prepare: tagged, after: func(p *adestest.PDF) {
			p.Update(map[int]string{
				32: "<< /Type /StructElem /S /Document /P 31 0 R /K [34 0 R 50 0 R] >>",
				50: "<< /Type /StructElem /S /Form /P 32 0 R /ActualText (999) >>",
			})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "not for a new form field"},
		{name: "structure element of text added", prepare: func(p *adestest.PDF) {
			p.CatalogExtra = "/StructTreeRoot 31 0 R"
			p.Update(map[int]string{31: "<< /Type /StructTreeRoot /K 32 0 R >>", 32: "<< /Type /StructElem /S /Document /P 31 0 R /K [] >>", adestest.Catalog: p.CatalogObject()})
		}, after: func(p *adestest.PDF) {
			p.Update(map[int]string{32: "<< /Type /StructElem /S /Document /P 31 0 R /K [35 0 R] >>", 35: "<< /Type /StructElem /S /P /P 32 0 R /ActualText (999) >>"})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "not for a new form field"},
		{name: "structure tree replaced", prepare: func(p *adestest.PDF) {
			p.CatalogExtra = "/StructTreeRoot 31 0 R"
			p.Update(map[int]string{31: "<< /Type /StructTreeRoot /K 32 0 R >>", 32: "<< /Type /StructElem /S /P /P 31 0 R >>", adestest.Catalog: p.CatalogObject()})
		}, after: func(p *adestest.PDF) {
			p.Update(map[int]string{32: "<< /Type /StructElem /S /P /P 31 0 R /ActualText (999 euros) >>"})
		}, verdict: validate.Indeterminate, sub: validate.SigConstraintsFailure, change: "ActualText"},
	}
}

func TestLaterChangesAreToldApart(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	for _, row := range changeRows(k) {
		t.Run(row.name, func(t *testing.T) {
			got := one(t, judge(t, k, row.build(t, k), true), row.verdict, row.sub)
			var changes []string
			for _, c := range got.Changes {
				changes = append(changes, c.String())
			}
			if !strings.Contains(strings.Join(changes, "\n"), row.change) {
				t.Errorf("changes %q, want one with %q", changes, row.change)
			}
		})
	}
}

func TestAnEarlierSignatureStaysValidUnderALaterOne(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := withTextField(t)
	p.Sign(forged(k, adestest.Forgery{}))
	second := forged(k, adestest.Forgery{})
	second.Into, second.Field, second.Rect = 12, "here", "300 10 400 40"
	p.Sign(second)
	p.Level(k, "LTA", adestest.Sig{Field: "third"})
	r := judge(t, k, p.Data, false)
	if len(r.Signatures) != 3 || !r.Passed() {
		t.Fatalf("%s", text(r))
	}
	for i, want := range []string{"PAdES-B-LTA", "PAdES-B-LTA", "PAdES-B-LTA"} {
		s := r.Signatures[i]
		if s.Level != want || s.BestTime.IsZero() || s.WholeDocument {
			t.Errorf("signature %d: %s, best time %s, covers %s", i+1, s.Level, s.BestTime, s.Covers)
		}
	}
	if c := r.Signatures[0].Changes[0].String(); c != `revision 4: signature "here" added (permitted)` {
		t.Errorf("change %s", c)
	}
}

func TestASignatureThatWasReplacedIsSeen(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Sign(forged(k, adestest.Forgery{}))
	first := p.Fields[0]
	p.Sign(forged(k, adestest.Forgery{}))
	// The first signature's field now shows another text.
	ap := p.New()
	p.Update(map[int]string{
		ap:    adestest.Stream("/Type /XObject /Subtype /Form /BBox [0 0 100 20]", "(signed by the king) Tj"),
		first: fmt.Sprintf("<< /Type /Annot /Subtype /Widget /FT /Sig /T (Signature1) /F 132 /Rect [0 0 99 99] /P 3 0 R /V %d 0 R /AP << /N %d 0 R >> >>", first-1, ap),
	})
	r := judge(t, k, p.Data, true)
	if len(r.Signatures) != 2 {
		t.Fatal(text(r))
	}
	for _, s := range r.Signatures {
		if s.Verdict == validate.Passed || !strings.Contains(text(r), "changed after it was signed") {
			t.Errorf("%s: %s", s.Field, text(r))
		}
	}
}

func TestAWrappedSignatureDoesNotPass(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Sign(forged(k, adestest.Forgery{}))
	signed := string(p.Data)
	// Signature wrapping: the signed second range moves to the end of the file,
	// and other objects stand where it was.
	at := strings.Index(signed, "/ByteRange [") + len("/ByteRange [")
	var a, b, c, d int
	if _, err := fmt.Sscanf(signed[at:], "%d %d %d %d", &a, &b, &c, &d); err != nil {
		t.Fatal(err)
	}
	tail := signed[c:]
	evil := " >>\nendobj\n4 0 obj\n" + adestest.Stream("", "(999) Tj") + "\nendobj\n"
	wrapped := signed[:c] + evil + tail
	wrapped = strings.Replace(wrapped, fmt.Sprintf("[%d %d %d %d]", a, b, c, d), fmt.Sprintf("[%d %d %d %d]", a, b, c+len(evil), d), 1)
	r, err := validate.File(strings.NewReader(wrapped), int64(len(wrapped)), validate.Options{Anchors: k.Anchors(), ExtraCRLs: k.CRLs()})
	if err != nil {
		return // refused as damaged
	}
	if r.Passed() {
		t.Errorf("a wrapped signature passes:\n%s", text(r))
	}
}
