package truetype

import "sort"

// readChars chooses the best of the tables that say which glyph a character has:
// one of all of Unicode before one of its first plane.
func (f *Font) readChars() error {
	t, err := f.table("cmap", 4)
	if err != nil {
		return err
	}
	best := 0
	for i := range u16(t, 2) {
		if 4+8*i+8 > len(t) {
			return unfit("its table %q is cut off", "cmap")
		}
		platform, encoding, at := u16(t, 4+8*i), u16(t, 4+8*i+2), u32(t, 4+8*i+4)
		known := platform == 0 || platform == 3 && (encoding == 1 || encoding == 10)
		if !known || at < 0 || at+4 > len(t) {
			continue
		}
		sub := t[at:]
		switch format := u16(sub, 0); {
		case format == 12 && best < 12 && len(sub) >= 16:
			if f.chars = segmented(sub); f.chars != nil {
				best = 12
			}
		case format == 4 && best < 4 && len(sub) >= 16:
			if f.chars = firstPlane(sub); f.chars != nil {
				best = 4
			}
		}
	}
	if best == 0 {
		return unfit("it does not say which glyphs the characters of Unicode have")
	}
	return nil
}

// segmented reads a table of format 12; nil if it is cut off. Its groups of
// characters stand in order.
func segmented(t []byte) func(rune) int {
	n := u32(t, 12)
	if n < 0 || n > (len(t)-16)/12 {
		return nil
	}
	return func(r rune) int {
		i := sort.Search(n, func(i int) bool { return u32(t, 16+12*i+4) >= int(r) })
		if i == n {
			return 0
		}
		first, glyph := u32(t, 16+12*i), u32(t, 16+12*i+8)
		if int(r) < first || glyph > 0xffff {
			return 0
		}
		return glyph + int(r) - first
	}
}

// firstPlane reads a table of format 4; nil if it is cut off. Its segments stand
// in order; each gives its glyphs by a difference or in a list behind.
func firstPlane(t []byte) func(rune) int {
	n := u16(t, 6) / 2
	if len(t) < 16+8*n {
		return nil
	}
	ends, starts, deltas, offsets := t[14:], t[16+2*n:], t[16+4*n:], t[16+6*n:]
	return func(r rune) int {
		if r > 0xffff {
			return 0
		}
		i := sort.Search(n, func(i int) bool { return u16(ends, 2*i) >= int(r) })
		if i == n || int(r) < u16(starts, 2*i) {
			return 0
		}
		glyph, offset := int(r), u16(offsets, 2*i)
		if offset != 0 {
			at := 2*i + offset + 2*(int(r)-u16(starts, 2*i))
			if at+2 > len(offsets) {
				return 0
			}
			if glyph = u16(offsets, at); glyph == 0 {
				return 0
			}
		}
		return (glyph + u16(deltas, 2*i)) & 0xffff
	}
}
