package pades

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"unicode/utf16"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/truetype"
)

// embedded is a font of which the update holds what is used.
type embedded struct {
	subset *truetype.Subset
	ref    pdf.Ref
}

// embed adds the fonts that the text is set in; those that are not used stay nil.
func (d *draft) embed() ([]*embedded, error) {
	used := make([][]rune, len(d.look.fonts))
	for _, line := range d.look.lines {
		for _, r := range line {
			i := d.look.font(r)
			used[i] = append(used[i], r)
		}
	}
	out := make([]*embedded, len(used))
	for i, chars := range used {
		if len(chars) == 0 {
			continue
		}
		f := d.look.fonts[i]
		subset, err := f.Subset(chars)
		if err != nil {
			return nil, err
		}
		out[i] = &embedded{subset, d.addFont(f, subset)}
	}
	return out, nil
}

// addFont adds a composite font (9.7) whose codes are the glyphs of the subset.
func (d *draft) addFont(f *truetype.Font, s *truetype.Subset) pdf.Ref {
	name := pdf.Name(subsetTag(s.Data) + "+" + f.Name)
	descriptor := d.addDescriptor(name, f, s)
	widths := pdf.Array{}
	for _, w := range s.Widths {
		widths = append(widths, pdf.Integer(perMille(f, w)))
	}
	descendant := d.u.Add(pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("Font")},
		pdf.Entry{Key: "Subtype", Value: pdf.Name("CIDFontType2")},
		pdf.Entry{Key: "BaseFont", Value: name},
		pdf.Entry{Key: "CIDSystemInfo", Value: pdf.NewDict(
			pdf.Entry{Key: "Registry", Value: pdf.String("Adobe")},
			pdf.Entry{Key: "Ordering", Value: pdf.String("Identity")},
			pdf.Entry{Key: "Supplement", Value: pdf.Integer(0)})},
		pdf.Entry{Key: "FontDescriptor", Value: descriptor},
		pdf.Entry{Key: "W", Value: pdf.Array{pdf.Integer(0), widths}},
		pdf.Entry{Key: "CIDToGIDMap", Value: pdf.Name("Identity")},
	))
	return d.u.Add(pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("Font")},
		pdf.Entry{Key: "Subtype", Value: pdf.Name("Type0")},
		pdf.Entry{Key: "BaseFont", Value: name},
		pdf.Entry{Key: "Encoding", Value: pdf.Name("Identity-H")},
		pdf.Entry{Key: "DescendantFonts", Value: pdf.Array{descendant}},
		pdf.Entry{Key: "ToUnicode", Value: d.u.Add(&pdf.Stream{Dict: &pdf.Dict{}, Data: toUnicode(s.Chars)})},
	))
}

// addDescriptor adds the font's metrics and program, which is too small to be
// worth compressing. The set of its glyphs, which
// is all of them, is said because PDF/A-1 demands it (ISO 19005-1, 6.3.5).
func (d *draft) addDescriptor(name pdf.Name, f *truetype.Font, s *truetype.Subset) pdf.Ref {
	program := &pdf.Stream{Dict: pdf.NewDict(pdf.Entry{Key: "Length1", Value: pdf.Integer(len(s.Data))}), Data: s.Data}
	all := make([]byte, (len(s.Widths)+7)/8)
	for i := range s.Widths {
		all[i/8] |= 0x80 >> (i % 8)
	}
	const symbolic, stem = 4, 80
	box := pdf.Array{}
	for _, v := range f.Box {
		box = append(box, pdf.Integer(perMille(f, v)))
	}
	return d.u.Add(pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("FontDescriptor")},
		pdf.Entry{Key: "FontName", Value: name},
		pdf.Entry{Key: "Flags", Value: pdf.Integer(symbolic)},
		pdf.Entry{Key: "FontBBox", Value: box},
		pdf.Entry{Key: "ItalicAngle", Value: pdf.Integer(f.Angle)},
		pdf.Entry{Key: "Ascent", Value: pdf.Integer(perMille(f, f.Ascent))},
		pdf.Entry{Key: "Descent", Value: pdf.Integer(perMille(f, f.Descent))},
		pdf.Entry{Key: "CapHeight", Value: pdf.Integer(perMille(f, f.CapHeight))},
		pdf.Entry{Key: "StemV", Value: pdf.Integer(stem)},
		pdf.Entry{Key: "FontFile2", Value: d.u.Add(program)},
		pdf.Entry{Key: "CIDSet", Value: d.u.Add(&pdf.Stream{Dict: &pdf.Dict{}, Data: all})},
	))
}

// perMille is a length of the font in thousandths of an em, rounded.
func perMille(f *truetype.Font, v int) int {
	if v < 0 {
		return -perMille(f, -v)
	}
	return (v*1000 + f.Em/2) / f.Em
}

// subsetTag is six letters that tell subsets apart (9.9.2).
func subsetTag(font []byte) string {
	sum := sha256.Sum256(font)
	tag := make([]byte, 6)
	for i := range tag {
		tag[i] = 'A' + sum[i]%26
	}
	return string(tag)
}

// toUnicode says which character each glyph is (9.10.3), so that the text can be
// searched and read aloud.
func toUnicode(chars []rune) []byte {
	var b bytes.Buffer
	b.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n" +
		"/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n" +
		"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n" +
		"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n")
	const most = 100
	for from := 0; from < len(chars); from += most {
		part := chars[from:min(from+most, len(chars))]
		fmt.Fprintf(&b, "%d beginbfchar\n", len(part))
		for i, r := range part {
			fmt.Fprintf(&b, "<%04X> <", from+i+1)
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, "%04X", u)
			}
			b.WriteString(">\n")
		}
		b.WriteString("endbfchar\n")
	}
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return b.Bytes()
}
