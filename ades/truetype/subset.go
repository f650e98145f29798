package truetype

import (
	"encoding/binary"
	"slices"
)

// Subset is a font cut down to some characters. Each has a glyph of its own, so
// that a glyph says which character it is.
type Subset struct {
	// Data is the font as a PDF embeds it (FontFile2). It does not map characters.
	Data []byte
	// Chars are the characters in order; that at i has the glyph i+1. Glyph 0 is
	// for what is missing, those behind are parts of others.
	Chars []rune
	// Widths are those of all glyphs, in units of the font.
	Widths []int
}

// Glyph is the number of the character's glyph, 0 if it has none.
func (s *Subset) Glyph(r rune) int {
	if i, ok := slices.BinarySearch(s.Chars, r); ok {
		return i + 1
	}
	return 0
}

// Subset cuts the font down to the characters. The result depends on nothing but
// the font and which characters there are.
func (f *Font) Subset(chars []rune) (*Subset, error) {
	c := &cut{f: f, glyphs: []int{0}, parts: map[int]int{}}
	s := &Subset{}
	for _, r := range chars {
		if i, ok := slices.BinarySearch(s.Chars, r); !ok {
			s.Chars = slices.Insert(s.Chars, i, r)
		}
	}
	for _, r := range s.Chars {
		c.glyphs = append(c.glyphs, f.glyph(r))
	}
	for i := 0; i < len(c.glyphs); i++ { // it grows by the parts of what is in it
		if err := c.add(c.glyphs[i]); err != nil {
			return nil, err
		}
	}
	for _, g := range c.glyphs {
		s.Widths = append(s.Widths, f.advance(g))
	}
	s.Data = c.font()
	return s, nil
}

// cut is a subset in the making.
type cut struct {
	f      *Font
	glyphs []int       // of the font, in the order of the subset
	parts  map[int]int // those that are parts of others, with their number in the subset
	glyf   []byte
	loca   []byte
}

// The flags of a part of a glyph.
const (
	wordArguments = 1 << 0
	oneScale      = 1 << 3
	moreParts     = 1 << 5
	twoScales     = 1 << 6
	fourScales    = 1 << 7
	instructions  = 1 << 8
)

// add appends a glyph's outline. The parts it is made of get numbers of their
// own, behind all others.
func (c *cut) add(g int) error {
	outline, err := c.f.outline(g)
	if err != nil {
		return err
	}
	outline = slices.Clone(outline)
	switch {
	case len(outline) == 0:
	case i16(outline, 0) < 0:
		outline, err = c.composite(g, outline)
	default:
		outline, err = simple(g, outline)
	}
	if err != nil {
		return err
	}
	c.loca = binary.BigEndian.AppendUint32(c.loca, uint32(len(c.glyf))) //nolint:gosec // at most maxSize for each of 65,536
	c.glyf = append(c.glyf, outline...)
	for len(c.glyf)%4 != 0 {
		c.glyf = append(c.glyf, 0)
	}
	return nil
}

// simple is an outline without its instructions for a coarse grid, which nobody
// prints or reads on any more, and which are half of it.
func simple(g int, outline []byte) ([]byte, error) {
	at := 10 + 2*i16(outline, 0)
	if at+2 > len(outline) || at+2+u16(outline, at) > len(outline) {
		return nil, unfit("glyph %d is cut off", g)
	}
	rest := outline[at+2+u16(outline, at):]
	outline[at], outline[at+1] = 0, 0
	return append(outline[:at+2], rest...), nil
}

// composite gives the parts of a glyph their new numbers, and takes its
// instructions away.
func (c *cut) composite(g int, outline []byte) ([]byte, error) {
	end, err := c.renumber(g, outline)
	if err != nil {
		return nil, err
	}
	return outline[:end], nil
}

// renumber returns where the parts end.
func (c *cut) renumber(g int, outline []byte) (end int, err error) {
	at := 10
	for more := true; more; {
		if at+4 > len(outline) {
			return 0, unfit("glyph %d is cut off", g)
		}
		flags, part := u16(outline, at), u16(outline, at+2)
		if part >= c.f.glyphs {
			return 0, unfit("glyph %d is made of glyph %d, which does not exist", g, part)
		}
		n, ok := c.parts[part]
		if !ok {
			if n = len(c.glyphs); n > 0xffff {
				return 0, unfit("it has too many glyphs")
			}
			c.glyphs, c.parts[part] = append(c.glyphs, part), n
		}
		binary.BigEndian.PutUint16(outline[at:], uint16(flags&^instructions)) //nolint:gosec // 16 bits
		binary.BigEndian.PutUint16(outline[at+2:], uint16(n))                 //nolint:gosec // checked above
		at += 6
		if flags&wordArguments != 0 {
			at += 2
		}
		switch {
		case flags&oneScale != 0:
			at += 2
		case flags&twoScales != 0:
			at += 4
		case flags&fourScales != 0:
			at += 8
		}
		more = flags&moreParts != 0
	}
	if at > len(outline) {
		return 0, unfit("glyph %d is cut off", g)
	}
	return at, nil
}

// font puts the tables together.
func (c *cut) font() []byte {
	n := len(c.glyphs)
	tables := map[string][]byte{"glyf": c.glyf}
	for _, name := range []string{"head", "hhea", "maxp"} {
		tables[name] = slices.Clone(c.f.tables[name])
	}
	clear(tables["maxp"][16:28])                                                // what instructions need: nothing
	tables["loca"] = binary.BigEndian.AppendUint32(c.loca, uint32(len(c.glyf))) //nolint:gosec // see add
	binary.BigEndian.PutUint32(tables["head"][8:], 0)                           // the sum of all follows
	binary.BigEndian.PutUint16(tables["head"][50:], 1)                          // loca is long
	binary.BigEndian.PutUint16(tables["maxp"][4:], uint16(n))                   //nolint:gosec // at most 65,536 less one
	binary.BigEndian.PutUint16(tables["hhea"][34:], uint16(n))                  //nolint:gosec // the same
	for _, g := range c.glyphs {
		m := binary.BigEndian.AppendUint16(nil, uint16(c.f.advance(g))) //nolint:gosec // read as 16 bits
		m = binary.BigEndian.AppendUint16(m, uint16(c.f.bearing(g)&0xffff))
		tables["hmtx"] = append(tables["hmtx"], m...)
	}
	return sfnt(tables)
}

// tableNames are the tables of a subset, in order.
var tableNames = [...]string{"glyf", "head", "hhea", "hmtx", "loca", "maxp"}

// sfnt writes a font file of the tables.
func sfnt(tables map[string][]byte) []byte {
	n, power, log := len(tableNames), 1, 0
	for 2*power <= n {
		power, log = 2*power, log+1
	}
	out := []byte{0, 1, 0, 0}
	for _, v := range []int{n, 16 * power, log, 16 * (n - power)} {
		out = binary.BigEndian.AppendUint16(out, uint16(v)) //nolint:gosec // a dozen tables
	}
	at := 12 + 16*n
	var body []byte
	head := 0
	for _, name := range tableNames {
		t := tables[name]
		if name == "head" {
			head = at + len(body)
		}
		out = append(out, name...)
		out = binary.BigEndian.AppendUint32(out, sum(t))
		out = binary.BigEndian.AppendUint32(out, uint32(at+len(body))) //nolint:gosec // fonts are small
		out = binary.BigEndian.AppendUint32(out, uint32(len(t)))       //nolint:gosec // fonts are small
		body = append(body, t...)
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
	}
	out = append(out, body...)
	binary.BigEndian.PutUint32(out[head+8:], 0xb1b0afba-sum(out))
	return out
}

// sum is the checksum of a table, as if padded with zeros.
func sum(t []byte) uint32 {
	var s uint32
	for ; len(t) >= 4; t = t[4:] {
		s += binary.BigEndian.Uint32(t)
	}
	var last [4]byte
	copy(last[:], t)
	return s + binary.BigEndian.Uint32(last[:])
}
