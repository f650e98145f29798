package truetype_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"github.com/countersign/countersign/ades/fonts"
	"github.com/countersign/countersign/ades/truetype"
	"github.com/countersign/countersign/internal/fault"
)

func parse(tb testing.TB, data []byte) *truetype.Font {
	tb.Helper()
	f, err := truetype.Parse(data)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestFontSaysWhatAnotherReaderSays(t *testing.T) {
	for _, data := range [][]byte{fonts.Regular(), gomono.TTF, goitalic.TTF} {
		f := parse(t, data)
		other, err := sfnt.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		var b sfnt.Buffer
		if name, err := other.Name(&b, sfnt.NameIDPostScript); err != nil || name != f.Name {
			t.Errorf("name %q, want %q, %v", f.Name, name, err)
		}
		if f.Em != int(other.UnitsPerEm()) {
			t.Errorf("%s: em %d", f.Name, f.Em)
		}
		em := fixed.I(f.Em)
		for r := range rune(0x11000) {
			g, err := other.GlyphIndex(&b, r)
			if err != nil {
				t.Fatal(err)
			}
			if f.Has(r) != (g != 0) {
				t.Fatalf("%s: %U: there %v, glyph %d", f.Name, r, f.Has(r), g)
			}
			width, err := other.GlyphAdvance(&b, g, em, 0)
			if err != nil || width != fixed.I(f.Width(r)) {
				t.Fatalf("%s: %U is %d wide, want %v, %v", f.Name, r, f.Width(r), width, err)
			}
		}
	}
}

func TestDefaultFontCoversItsScripts(t *testing.T) {
	f := parse(t, fonts.Regular())
	for _, text := range []string{
		"The quick brown fox 0123456789 .,:;-–—()[]/\\'\"„“”‚‘’«»‹›€£§&@#%+*=<>!?", "ÄÖÜäöüß ÀÂÇÉÈÊËÎÏÔŒÙÛŸ àâçéèêëîïôœùûÿ", "ĄĆĘŁŃÓŚŹŻ ąćęłńóśźż", "ČĎĚŇŘŠŤŮŽ čďěňřšťůž",
		"ŐŰőű ĂÂÎŞŢăâîşţ ÅÆØåæø ĀĒĪŪĶĻŅ āēīūķļņ ĞİŞğış ÐÞðþ Ññ ¿¡", "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ αβγδεζηθικλμνξοπρστυφχψω άέήίόύώ ς", "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ абвгдежзийклмнопрстуфхцчшщъыьэюя ЁёІіЇїЄєҐґЎў",
	} {
		for _, r := range text {
			if !f.Has(r) {
				t.Errorf("%c (%U) is missing", r, r)
			}
			if !truetype.Plain(r) {
				t.Errorf("%c (%U) is not plain", r, r)
			}
		}
	}
}

// tables takes a font file apart.
func tables(data []byte) map[string][]byte {
	out := map[string][]byte{}
	for i := range int(binary.BigEndian.Uint16(data[4:])) {
		row := data[12+16*i:]
		at, size := binary.BigEndian.Uint32(row[8:]), binary.BigEndian.Uint32(row[12:])
		out[string(row[:4])] = data[at : at+size]
	}
	return out
}

// file puts a font file together, without sums.
func file(t map[string][]byte) []byte {
	out := binary.BigEndian.AppendUint16([]byte{0, 1, 0, 0}, uint16(len(t)))
	out = append(out, make([]byte, 6)...)
	var body []byte
	for _, name := range slices.Sorted(maps.Keys(t)) {
		out = append(out, name...)
		out = binary.BigEndian.AppendUint32(out, 0)
		out = binary.BigEndian.AppendUint32(out, uint32(12+16*len(t)+len(body)))
		out = binary.BigEndian.AppendUint32(out, uint32(len(t[name])))
		body = append(body, t[name]...)
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
	}
	return append(out, body...)
}

func TestSubsetDrawsTheSameGlyphs(t *testing.T) {
	const text = "Ångström, Žofie – Ελλάς, Київ \u00a0 fi"
	for _, data := range [][]byte{fonts.Regular(), gomono.TTF} {
		f := parse(t, data)
		s, err := f.Subset([]rune(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Data) > len(data)/4 {
			t.Errorf("%s: %d of %d bytes are left", f.Name, len(s.Data), len(data))
		}
		// Another reader wants the tables that a PDF does not.
		all := tables(s.Data)
		for _, name := range []string{"cmap", "name", "post", "OS/2"} {
			all[name] = tables(data)[name]
		}
		other, err := sfnt.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		cut, err := sfnt.Parse(file(all))
		if err != nil {
			t.Fatal(err)
		}
		if cut.NumGlyphs() != len(s.Widths) || len(s.Widths) <= len(s.Chars) {
			t.Errorf("%d glyphs, %d widths, %d characters", cut.NumGlyphs(), len(s.Widths), len(s.Chars))
		}
		for _, r := range text {
			assertSameGlyph(t, other, cut, s, r)
		}
	}
}

func assertSameGlyph(t *testing.T, other, cut *sfnt.Font, s *truetype.Subset, r rune) {
	t.Helper()
	var b, c sfnt.Buffer
	em := fixed.I(int(other.UnitsPerEm()))
	old, err := other.GlyphIndex(&b, r)
	if err != nil {
		t.Fatal(err)
	}
	want, err := other.LoadGlyph(&b, old, em, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := s.Glyph(r)
	got, err := cut.LoadGlyph(&c, sfnt.GlyphIndex(g), em, nil)
	if err != nil {
		t.Fatalf("%c: %v", r, err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%c is drawn in another way", r)
	}
	width, err := cut.GlyphAdvance(&c, sfnt.GlyphIndex(g), em, 0)
	if err != nil || width != fixed.I(s.Widths[g]) {
		t.Errorf("%c is %v wide, want %d: %v", r, width, s.Widths[g], err)
	}
}

func TestSubsetDependsOnTheCharactersOnly(t *testing.T) {
	f := parse(t, fonts.Regular())
	a, err := f.Subset([]rune("Ärger und Übermut"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Subset([]rune("tumrebÜ dnu regrÄ"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Data, b.Data) || !slices.Equal(a.Chars, b.Chars) {
		t.Error("the subsets differ")
	}
	if a.Glyph('x') != 0 {
		t.Error("a character has a glyph that is not in the subset")
	}
}

func TestSumsOfASubsetAreRight(t *testing.T) {
	s, err := parse(t, fonts.Regular()).Subset([]rune("abc"))
	if err != nil {
		t.Fatal(err)
	}
	var sum uint32
	for i := 0; i < len(s.Data); i += 4 {
		sum += binary.BigEndian.Uint32(s.Data[i:])
	}
	if sum != 0xb1b0afba {
		t.Errorf("the sum of the file is %#x", sum)
	}
}

func TestFontsThatCannotBeUsedAreRefused(t *testing.T) {
	good := fonts.Regular()
	with := func(name string, change func([]byte) []byte) []byte {
		all := tables(good)
		all[name] = change(bytes.Clone(all[name]))
		if all[name] == nil {
			delete(all, name)
		}
		return file(all)
	}
	set := func(at int, v uint16) func([]byte) []byte {
		return func(t []byte) []byte {
			binary.BigEndian.PutUint16(t[at:], v)
			return t
		}
	}
	none := func([]byte) []byte { return nil }
	rows := map[string]struct {
		data []byte
		says string
	}{
		"empty":           {nil, "no TrueType font"},
		"PDF":             {[]byte("%PDF-1.7 and more of it"), "no TrueType font"},
		"CFF":             {append([]byte("OTTO"), good[4:]...), "CFF"},
		"collection":      {append([]byte("ttcf"), good[4:]...), "collection"},
		"web font":        {append([]byte("wOF2"), good[4:]...), "packed"},
		"cut off":         {good[:len(good)/2], "cut off"},
		"list cut off":    {good[:40], "cut off"},
		"no em":           {with("head", set(18, 0)), "em has 0 units"},
		"no glyphs":       {with("maxp", set(4, 0)), "0 glyphs"},
		"too many widths": {with("hhea", set(34, 0xffff)), "widths"},
		"flat lines":      {with("hhea", set(4, 0x8000)), "units high"},
		"may not embed":   {with("OS/2", set(8, 2)), "forbid embedding"},
		"may not subset":  {with("OS/2", set(8, 0x100)), "a part of it"},
		"bitmaps only":    {with("OS/2", set(8, 0x200)), "bitmaps only"},
		"no Unicode":      {with("cmap", set(2, 0)), "characters of Unicode"},
	}
	for _, name := range []string{"head", "hhea", "maxp", "hmtx", "loca", "glyf", "cmap"} {
		rows["without "+name] = struct {
			data []byte
			says string
		}{with(name, none), fmt.Sprintf("lacks the table %q", name)}
	}
	for name, row := range rows {
		_, err := truetype.Parse(row.data)
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || e.Kind != fault.Invalid || e.Code != truetype.CodeFont || !strings.Contains(e.Detail, row.says) {
			t.Errorf("%s: %v, want %q", name, err, row.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	small, err := parse(f, fonts.Regular()).Subset([]rune("aÄ"))
	if err != nil {
		f.Fatal(err)
	}
	all := tables(small.Data)
	all["cmap"] = tables(fonts.Regular())["cmap"]
	delete(all, "fpgm")
	f.Add(file(all))
	f.Add(small.Data[:200])
	f.Fuzz(func(t *testing.T, data []byte) {
		font, err := truetype.Parse(data)
		if err == nil {
			_, err = font.Subset([]rune("abcÄéΩЖ€\U0001F600"))
		}
		if err != nil && !errors.Is(err, fault.Invalid) {
			t.Fatal(err)
		}
	})
}

func TestPlainIsStricterThanUnicodeSays(t *testing.T) {
	kin := []*unicode.RangeTable{
		unicode.Arabic, unicode.Hebrew, unicode.Syriac, unicode.Thaana, unicode.Nko, unicode.Mongolian, unicode.Adlam, unicode.Samaritan,
		unicode.Mandaic, unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil,
		unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Thai, unicode.Lao, unicode.Tibetan, unicode.Myanmar,
		unicode.Khmer, unicode.Javanese, unicode.Balinese, unicode.Brahmi,
	}
	for r := range rune(unicode.MaxRune) {
		assigned := unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs)
		set := unicode.IsGraphic(r) && !unicode.IsMark(r) && !unicode.In(r, kin...)
		if assigned && truetype.Plain(r) && !set {
			t.Errorf("%U is set, and cannot be", r)
		}
	}
	for _, script := range []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Armenian, unicode.Georgian} {
		for r := range rune(0x10000) {
			if unicode.Is(script, r) && !unicode.IsMark(r) && !truetype.Plain(r) {
				t.Errorf("%U is not set, and can be", r)
			}
		}
	}
}
