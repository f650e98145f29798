package truetype

import (
	"bytes"
	"encoding/binary"

	"github.com/countersign/countersign/internal/fault"
)

// CodeFont says that a font cannot be used; its detail says why.
const CodeFont = "font_unfit"

// maxSize is the largest font that is read. Fonts for every script of the world
// are about half as large.
const maxSize = 64 << 20

func unfit(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "the font cannot be used: "+format, args...).WithCode(CodeFont)
}

// Font is a font that was read. It is never changed, so all may use it at once.
// Lengths are in its own units, of which an em has Em.
type Font struct {
	// Name is the PostScript name, "Font" if it has none that a PDF can hold.
	Name string
	Em   int
	// Ascent is above the baseline, Descent below it and so negative; LineGap is
	// what lines keep between them.
	Ascent, Descent, LineGap, CapHeight int
	// Box holds every glyph: left, bottom, right, top.
	Box [4]int
	// Angle is the slant in degrees, negative for italics.
	Angle int

	tables  map[string][]byte
	glyphs  int // how many there are
	metrics int // how many have a width of their own
	long    bool
	chars   func(rune) int
}

// Parse reads a font. It keeps data, which must not change.
func Parse(data []byte) (*Font, error) {
	if len(data) > maxSize {
		return nil, unfit("it is larger than %d MB", maxSize>>20)
	}
	f := &Font{tables: map[string][]byte{}}
	for _, read := range []func() error{
		func() error { return f.readTables(data) }, f.readHead, f.readGlyphs, f.readLicence, f.readChars,
	} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	f.Name = f.postScriptName()
	return f, nil
}

func u16(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
func i16(b []byte, at int) int { return int(int16(binary.BigEndian.Uint16(b[at:]))) } //nolint:gosec // two's complement
func u32(b []byte, at int) int { return int(binary.BigEndian.Uint32(b[at:])) }

// readTables finds the tables. Lengths are at most maxSize, so they fit an int
// everywhere.
func (f *Font) readTables(data []byte) error {
	if len(data) < 12 {
		return unfit("it is no TrueType font")
	}
	switch string(data[:4]) {
	case "\x00\x01\x00\x00", "true":
	case "OTTO":
		return unfit("its outlines are of the PostScript kind (CFF); give one with TrueType outlines")
	case "ttcf":
		return unfit("it is a collection of fonts; give a file with one")
	case "wOFF", "wOF2":
		return unfit("it is packed for the web; give a .ttf file")
	default:
		return unfit("it is no TrueType font")
	}
	n := u16(data, 4)
	if 12+16*n > len(data) {
		return unfit("it is cut off")
	}
	for i := range n {
		row := data[12+16*i:]
		at, size := int64(binary.BigEndian.Uint32(row[8:])), int64(binary.BigEndian.Uint32(row[12:]))
		if at+size > int64(len(data)) {
			return unfit("it is cut off")
		}
		f.tables[string(row[:4])] = data[at : at+size]
	}
	return nil
}

// table returns a table that has at least so many bytes.
func (f *Font) table(name string, least int) ([]byte, error) {
	t, ok := f.tables[name]
	if !ok {
		return nil, unfit("it lacks the table %q", name)
	}
	if len(t) < least {
		return nil, unfit("its table %q is cut off", name)
	}
	return t, nil
}

func (f *Font) readHead() error {
	head, err := f.table("head", 54)
	if err != nil {
		return err
	}
	f.Em = u16(head, 18)
	if f.Em < 16 || f.Em > 16384 {
		return unfit("its em has %d units", f.Em)
	}
	f.Box = [4]int{i16(head, 36), i16(head, 38), i16(head, 40), i16(head, 42)}
	f.long = u16(head, 50) != 0
	hhea, err := f.table("hhea", 36)
	if err != nil {
		return err
	}
	f.Ascent, f.Descent, f.LineGap = i16(hhea, 4), i16(hhea, 6), max(0, i16(hhea, 8))
	if f.Ascent-f.Descent <= 0 || f.Ascent-f.Descent+f.LineGap > 8*f.Em {
		return unfit("its lines would be %d units high, with an em of %d", f.Ascent-f.Descent+f.LineGap, f.Em)
	}
	f.CapHeight = f.Ascent
	if os2 := f.tables["OS/2"]; len(os2) >= 90 && u16(os2, 0) >= 2 {
		f.CapHeight = i16(os2, 88)
	}
	if post := f.tables["post"]; len(post) >= 8 {
		f.Angle = i16(post, 4)
	}
	f.metrics = u16(hhea, 34)
	return nil
}

// readGlyphs checks that the tables of glyphs are as long as they say.
func (f *Font) readGlyphs() error {
	maxp, err := f.table("maxp", 32)
	if err != nil {
		return err
	}
	f.glyphs = u16(maxp, 4)
	if f.glyphs == 0 || f.metrics == 0 || f.metrics > f.glyphs {
		return unfit("it has %d glyphs and %d widths", f.glyphs, f.metrics)
	}
	if _, err := f.table("hmtx", 4*f.metrics+2*(f.glyphs-f.metrics)); err != nil {
		return err
	}
	width := 2
	if f.long {
		width = 4
	}
	if _, err := f.table("loca", width*(f.glyphs+1)); err != nil {
		return err
	}
	_, err = f.table("glyf", 0)
	return err
}

// readLicence obeys the licence bits of OS/2 (fsType).
func (f *Font) readLicence() error {
	os2 := f.tables["OS/2"]
	if len(os2) < 10 {
		return nil
	}
	switch bits := u16(os2, 8); {
	case bits&0x000f == 0x0002:
		return unfit("its licence bits forbid embedding")
	case bits&0x0100 != 0:
		return unfit("its licence bits forbid embedding a part of it")
	case bits&0x0200 != 0:
		return unfit("its licence bits allow to embed bitmaps only")
	}
	return nil
}

// postScriptName reads name 6, which holds printable ASCII only.
func (f *Font) postScriptName() string {
	const none = "Font"
	t := f.tables["name"]
	if len(t) < 6 {
		return none
	}
	n, start := u16(t, 2), u16(t, 4)
	for i := range n {
		if 6+12*i+12 > len(t) {
			return none
		}
		row := t[6+12*i:]
		size, at := u16(row, 8), start+u16(row, 10)
		if u16(row, 6) != 6 || at+size > len(t) {
			continue
		}
		var name []byte
		for _, c := range t[at : at+size] {
			if c != 0 { // UTF-16 for all but the Macintosh
				name = append(name, c)
			}
		}
		if regular(name) {
			return string(name)
		}
	}
	return none
}

func regular(name []byte) bool {
	strange := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
	}
	return len(name) > 0 && len(name) < 64 && !bytes.ContainsFunc(name, strange)
}

// Has reports whether the font has a glyph for the character.
func (f *Font) Has(r rune) bool { return f.glyph(r) != 0 }

// Width is how far the character's glyph moves on.
func (f *Font) Width(r rune) int { return f.advance(f.glyph(r)) }

func (f *Font) glyph(r rune) int {
	if g := f.chars(r); g < f.glyphs {
		return g
	}
	return 0
}

func (f *Font) advance(g int) int { return u16(f.tables["hmtx"], 4*min(g, f.metrics-1)) }

// bearing is the left side bearing.
func (f *Font) bearing(g int) int {
	if g < f.metrics {
		return i16(f.tables["hmtx"], 4*g+2)
	}
	return i16(f.tables["hmtx"], 4*f.metrics+2*(g-f.metrics))
}

// outline returns a glyph's outline; empty for one that shows nothing.
func (f *Font) outline(g int) ([]byte, error) {
	loca, glyf := f.tables["loca"], f.tables["glyf"]
	var from, to int
	if f.long {
		from, to = u32(loca, 4*g), u32(loca, 4*g+4)
	} else {
		from, to = 2*u16(loca, 2*g), 2*u16(loca, 2*g+2)
	}
	if from < 0 || from > to || to > len(glyf) {
		return nil, unfit("the outline of glyph %d lies outside its table", g)
	}
	if from < to && to-from < 10 {
		return nil, unfit("the outline of glyph %d is cut off", g)
	}
	return glyf[from:to], nil
}
