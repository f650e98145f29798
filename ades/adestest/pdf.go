package adestest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// Object numbers of the document that NewPDF makes.
const (
	Catalog = 1
	Pages   = 2
	Page    = 3
	Content = 4
	Font    = 5
)

// PDF is a small PDF file that grows by incremental updates with a classic
// cross-reference table, as any other program might write them.
type PDF struct {
	Data []byte
	// CatalogExtra and PageExtra are further entries of the two dictionaries in
	// the next update that writes them.
	CatalogExtra, PageExtra string
	// Fields and Annots are the object numbers in the form and on the page.
	Fields, Annots []int

	tb   testing.TB
	next int
	xref int
}

// NewPDF makes a document of one page with text.
func NewPDF(tb testing.TB) *PDF {
	p := &PDF{tb: tb, next: Font + 1}
	p.Data = []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	p.Update(map[int]string{
		Catalog: p.CatalogObject(),
		Pages:   "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		Page:    p.PageObject(),
		Content: Stream("", "BT /F1 24 Tf 72 700 Td (I owe Bob 100 euros) Tj ET"),
		Font:    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	})
	return p
}

// Stream is the text of a stream object.
func Stream(entries, data string) string {
	return fmt.Sprintf("<< %s /Length %d >>\nstream\n%s\nendstream", entries, len(data), data)
}

// New returns a free object number.
func (p *PDF) New() int {
	p.next++
	return p.next - 1
}

// CatalogObject is the catalogue as it is to be written now.
func (p *PDF) CatalogObject() string {
	form := ""
	if len(p.Fields) > 0 {
		form = fmt.Sprintf(" /AcroForm << /SigFlags 3 /Fields [%s] >>", refs(p.Fields))
	}
	return fmt.Sprintf("<< /Type /Catalog /Pages 2 0 R%s %s >>", form, p.CatalogExtra)
}

// PageObject is the page as it is to be written now.
func (p *PDF) PageObject() string {
	annots := ""
	if len(p.Annots) > 0 {
		annots = fmt.Sprintf(" /Annots [%s]", refs(p.Annots))
	}
	return fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >>%s %s >>", annots, p.PageExtra)
}

func refs(list []int) string {
	var b strings.Builder
	for _, n := range list {
		fmt.Fprintf(&b, "%d 0 R ", n)
	}
	return strings.TrimSpace(b.String())
}

// Update appends one revision with these objects. An empty text frees the object.
func (p *PDF) Update(objects map[int]string) {
	numbers := make([]int, 0, len(objects))
	for n := range objects {
		numbers = append(numbers, n)
		p.next = max(p.next, n+1)
	}
	slices.Sort(numbers)
	offsets := map[int]int{}
	for _, n := range numbers {
		if objects[n] == "" {
			continue
		}
		offsets[n] = len(p.Data)
		p.Data = fmt.Appendf(p.Data, "%d 0 obj\n%s\nendobj\n", n, objects[n])
	}
	prev := ""
	if p.xref > 0 {
		prev = fmt.Sprintf(" /Prev %d", p.xref)
	}
	p.xref = len(p.Data)
	p.Data = append(p.Data, "xref\n0 1\n0000000000 65535 f \n"...)
	for i := 0; i < len(numbers); {
		run := 1
		for i+run < len(numbers) && numbers[i+run] == numbers[i]+run {
			run++
		}
		p.Data = fmt.Appendf(p.Data, "%d %d\n", numbers[i], run)
		for _, n := range numbers[i : i+run] {
			if objects[n] == "" {
				p.Data = append(p.Data, "0000000000 00001 f \n"...)
				continue
			}
			p.Data = fmt.Appendf(p.Data, "%010d 00000 n \n", offsets[n])
		}
		i += run
	}
	id := "<00112233445566778899aabbccddeeff>"
	p.Data = fmt.Appendf(p.Data, "trailer\n<< /Size %d /Root 1 0 R /ID [%s %s]%s >>\nstartxref\n%d\n%%%%EOF\n", p.next, id, id, prev, p.xref)
}

// Sig is a signature to be added to a PDF.
type Sig struct {
	Field     string // "" is Signature and a number
	SubFilter string // "" is ETSI.CAdES.detached
	// M is the text of /M; "" is Time, "-" leaves it out.
	M    string
	Time time.Time
	// Entries go into the signature dictionary, FieldEntries into the field.
	Entries, FieldEntries string
	// Into is the number of an existing empty field to fill; 0 makes a new one.
	Into int
	// Rect is the widget's rectangle; "" is an invisible one.
	Rect string
	// Objects go into the same revision.
	Objects map[int]string
	// Hole is the room for the CMS in bytes; 0 is 12,000.
	Hole int
	// CMS makes the contents from the signed bytes.
	CMS func(signed []byte) []byte
	// Smuggle puts bytes between the end of /Contents and the second range.
	Smuggle string
	// Tail makes text between the trailer and startxref, from where the
	// cross-reference begins and where the text will.
	Tail func(xref, at int) string
	// Range changes the ByteRange before it is written.
	Range func([4]int) [4]int
	// Touch changes the file after the CMS was made, before it is put in.
	Touch func(data []byte)
	// DropRange leaves the ByteRange out; DropContents leaves the hole empty.
	DropRange, DropContents bool
}

// Sign appends a revision with the signature.
func (p *PDF) Sign(s Sig) {
	p.tb.Helper()
	if s.Hole == 0 {
		s.Hole = 12_000
	}
	if s.SubFilter == "" {
		s.SubFilter = "ETSI.CAdES.detached"
	}
	if s.Rect == "" {
		s.Rect = "0 0 0 0"
	}
	if s.Field == "" {
		s.Field = fmt.Sprintf("Signature%d", len(p.Fields)+1)
	}
	at := p.write(s)
	p.fill(s, at)
}

const rangeRoom = "[0 0000000000 0000000000 0000000000]"

// write appends the revision and returns where the signature dictionary begins.
func (p *PDF) write(s Sig) int {
	start := len(p.Data)
	value, field := p.New(), s.Into
	objects := map[int]string{}
	maps.Copy(objects, s.Objects)
	if field == 0 {
		field = p.New()
		p.Fields = append(p.Fields, field)
		p.Annots = append(p.Annots, field)
	}
	for n, text := range map[int]string{Catalog: p.CatalogObject(), Page: p.PageObject()} {
		if _, given := objects[n]; !given && s.Into == 0 {
			objects[n] = text
		}
	}
	m := ""
	switch {
	case s.M == "":
		m = "/M (" + s.Time.UTC().Format("D:20060102150405Z") + ")"
	case s.M != "-":
		m = "/M (" + s.M + ")"
	}
	kind := "Sig"
	if s.SubFilter == "ETSI.RFC3161" {
		kind = "DocTimeStamp"
	}
	byteRange := "/ByteRange " + rangeRoom
	if s.DropRange {
		byteRange = ""
	}
	objects[value] = fmt.Sprintf("<< /Type /%s /Filter /Adobe.PPKLite /SubFilter /%s %s %s %s /Contents <%s>%s >>",
		kind, s.SubFilter, m, s.Entries, byteRange, strings.Repeat("0", 2*s.Hole), s.Smuggle)
	objects[field] = fmt.Sprintf("<< /Type /Annot /Subtype /Widget /FT /Sig /T (%s) /F 132 /Rect [%s] /P 3 0 R /V %d 0 R %s >>", s.Field, s.Rect, value, s.FieldEntries)
	p.Update(objects)
	if s.Tail != nil {
		at := bytes.LastIndex(p.Data, []byte("startxref"))
		p.Data = slices.Insert(p.Data, at, []byte(s.Tail(p.xref, at))...)
	}
	return start + bytes.Index(p.Data[start:], fmt.Appendf(nil, "%d 0 obj\n<< /Type /%s", value, kind))
}

// fill writes ByteRange and contents.
func (p *PDF) fill(s Sig, at int) {
	open := at + bytes.Index(p.Data[at:], []byte("/Contents <")) + len("/Contents ")
	end := open + 2*s.Hole + 2
	ranges := [4]int{0, open, end + len(s.Smuggle), len(p.Data) - end - len(s.Smuggle)}
	if s.Range != nil {
		ranges = s.Range(ranges)
	}
	if !s.DropRange {
		where := at + bytes.Index(p.Data[at:], []byte(rangeRoom))
		text := fmt.Sprintf("[%d %d %d %d]", ranges[0], ranges[1], ranges[2], ranges[3])
		copy(p.Data[where:], text+strings.Repeat(" ", len(rangeRoom)-len(text)))
	}
	signed := append(slices.Clone(p.Data[ranges[0]:ranges[0]+ranges[1]]), p.Data[ranges[2]:ranges[2]+ranges[3]]...)
	der := s.CMS(signed)
	if len(der) > s.Hole {
		p.tb.Fatalf("the CMS has %d bytes, the hole %d", len(der), s.Hole)
	}
	if !s.DropContents {
		hex.Encode(p.Data[open+1:], der)
	}
	if s.Touch != nil {
		s.Touch(p.Data)
	}
}

// DSS appends a revision with a document security store, replacing the last one.
func (p *PDF) DSS(certs, crls, ocsps [][]byte) {
	p.tb.Helper()
	objects := map[int]string{}
	list := func(key string, values [][]byte) string {
		var numbers []int
		for _, v := range values {
			n := p.New()
			objects[n] = Stream("", string(v))
			numbers = append(numbers, n)
		}
		return fmt.Sprintf("/%s [%s]", key, refs(numbers))
	}
	dss := p.New()
	objects[dss] = "<< /Type /DSS " + list("Certs", certs) + list("CRLs", crls) + list("OCSPs", ocsps) + " >>"
	p.CatalogExtra += fmt.Sprintf(" /DSS %d 0 R", dss)
	objects[Catalog] = p.CatalogObject()
	p.Update(objects)
}

// Level adds a PAdES signature of the PKI's signer at a level: B, T, LT or LTA.
func (p *PDF) Level(k *PKI, level string, s Sig) {
	p.tb.Helper()
	if s.Time.IsZero() {
		s.Time = k.Now
	}
	if s.CMS == nil {
		s.CMS = func(signed []byte) []byte {
			f := Forgery{Content: signed}
			if level != "B" {
				f.Timestamp = func(sig []byte) []byte { return k.Token(sig, k.Now) }
			}
			return k.Forge(f)
		}
	}
	p.Sign(s)
	if level == "LT" || level == "LTA" {
		p.DSS(k.Evidence())
	}
	if level == "LTA" {
		p.Sign(Sig{SubFilter: "ETSI.RFC3161", M: "-", CMS: func(signed []byte) []byte { return k.Token(signed, k.Now) }})
	}
}
