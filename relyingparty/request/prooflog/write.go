package prooflog

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/truetype"
)

// writer writes the objects of a PDF one after the other.
type writer struct {
	b       bytes.Buffer
	offsets []int
	err     error
}

// object adds an object and returns its number.
func (w *writer) object(format string, args ...any) int {
	w.offsets = append(w.offsets, w.b.Len())
	n := len(w.offsets)
	fmt.Fprintf(&w.b, "%d 0 obj\n", n)
	fmt.Fprintf(&w.b, format, args...)
	w.b.WriteString("\nendobj\n")
	return n
}

// stream adds a compressed stream; entries are further entries of its dictionary.
func (w *writer) stream(entries string, data []byte) int {
	var z bytes.Buffer
	c := zlib.NewWriter(&z)
	if _, err := c.Write(data); err != nil {
		w.err = err
	}
	if err := c.Close(); err != nil {
		w.err = err
	}
	return w.object("<< %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream", entries, z.Len(), z.Bytes())
}

// write makes the file.
func write(l *layout, s Story, attachment []byte) ([]byte, error) {
	for n := range l.pages {
		l.pages[n] = append(l.pages[n], line{margin, margin - 20, 8, l.known(fmt.Sprintf("%s · %d / %d", s.Request, n+1, len(l.pages)))})
	}
	sub, err := l.font.Subset(slices.Sorted(maps.Keys(l.chars)))
	if err != nil {
		return nil, fmt.Errorf("write log: %w", err)
	}
	w := &writer{}
	w.b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	font := w.font(l.font, sub)
	date := pdf.FormatDate(s.Written)
	file := w.stream(fmt.Sprintf("/Type /EmbeddedFile /Subtype /application#2Fjson /Params << /Size %d /ModDate (%s) >>", len(attachment), date), attachment)
	spec := w.object("<< /Type /Filespec /F (%[1]s) /UF (%[1]s) /Desc (The log for programs) /AFRelationship /Data /EF << /F %[2]d 0 R /UF %[2]d 0 R >> >>", AttachmentName, file)
	pages := len(w.offsets) + 2*len(l.pages) + 1
	var kids []string
	for _, lines := range l.pages {
		content := w.stream("", content(lines, sub))
		page := w.object("<< /Type /Page /Parent %d 0 R /MediaBox [0 0 %.2f %.2f] /Contents %d 0 R /Resources << /Font << /F1 %d 0 R >> >> >>",
			pages, pageWidth, pageHeight, content, font)
		kids = append(kids, fmt.Sprintf("%d 0 R", page))
	}
	w.object("<< /Type /Pages /Count %d /Kids [%s] >>", len(kids), strings.Join(kids, " "))
	catalog := w.object("<< /Type /Catalog /Pages %d 0 R /Lang (en) /ViewerPreferences << /DisplayDocTitle true >> /AF [%d 0 R] /Names << /EmbeddedFiles << /Names [(%s) %d 0 R] >> >> >>",
		pages, spec, AttachmentName, spec)
	info := w.object("<< /Title %s /CreationDate (%s) /Producer (Countersign) >>", textString("Log: "+s.Title), date)
	return w.end(catalog, info)
}

// end writes cross-reference table and trailer.
func (w *writer) end(catalog, info int) ([]byte, error) {
	start := w.b.Len()
	fmt.Fprintf(&w.b, "xref\n0 %d\n0000000000 65535 f \n", len(w.offsets)+1)
	for _, at := range w.offsets {
		fmt.Fprintf(&w.b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&w.b, "trailer\n<< /Size %d /Root %d 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(w.offsets)+1, catalog, info, start)
	return w.b.Bytes(), w.err
}

// content is the content stream of a page.
func content(lines []line, sub *truetype.Subset) []byte {
	var b bytes.Buffer
	b.WriteString("BT\n")
	for _, t := range lines {
		fmt.Fprintf(&b, "/F1 %.1f Tf 1 0 0 1 %.2f %.2f Tm <", t.size, t.x, t.y)
		for _, r := range t.text {
			fmt.Fprintf(&b, "%04x", sub.Glyph(r))
		}
		b.WriteString("> Tj\n")
	}
	b.WriteString("ET\n")
	return b.Bytes()
}

// font embeds the font's subset (ISO 32000-2, 9.7): glyphs by number, and which
// character each is, so that the text can be searched and read aloud.
func (w *writer) font(f *truetype.Font, sub *truetype.Subset) int {
	name := "AAAAAA+" + f.Name
	scale := func(n int) int { return n * 1000 / f.Em }
	data := w.stream(fmt.Sprintf("/Length1 %d", len(sub.Data)), sub.Data)
	descriptor := w.object("<< /Type /FontDescriptor /FontName /%s /Flags 4 /FontBBox [%d %d %d %d] /ItalicAngle %d /Ascent %d /Descent %d /CapHeight %d /StemV 80 /FontFile2 %d 0 R >>",
		name, scale(f.Box[0]), scale(f.Box[1]), scale(f.Box[2]), scale(f.Box[3]), f.Angle, scale(f.Ascent), scale(f.Descent), scale(f.CapHeight), data)
	var widths []string
	for _, n := range sub.Widths {
		widths = append(widths, fmt.Sprint(scale(n)))
	}
	cid := w.object("<< /Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /FontDescriptor %d 0 R /CIDToGIDMap /Identity /DW 0 /W [0 [%s]] >>",
		name, descriptor, strings.Join(widths, " "))
	unicode := w.stream("", toUnicode(sub))
	return w.object("<< /Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H /DescendantFonts [%d 0 R] /ToUnicode %d 0 R >>", name, cid, unicode)
}

func toUnicode(sub *truetype.Subset) []byte {
	var b bytes.Buffer
	b.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n" +
		"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <ffff>\nendcodespacerange\n")
	for chunk := range slices.Chunk(sub.Chars, 100) {
		fmt.Fprintf(&b, "%d beginbfchar\n", len(chunk))
		for _, r := range chunk {
			fmt.Fprintf(&b, "<%04x> <", sub.Glyph(r))
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, "%04x", u)
			}
			b.WriteString(">\n")
		}
		b.WriteString("endbfchar\n")
	}
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return b.Bytes()
}

// textString is a text string in UTF-16 with its mark.
func textString(s string) string {
	var b strings.Builder
	b.WriteString("<feff")
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04x", u)
	}
	return b.String() + ">"
}
