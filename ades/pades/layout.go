package pades

// Sizes of text, in thousandths of a point. From largest on, the largest is taken
// at which all fits without breaking words; below smallest nobody reads it.
const (
	largest    = 12_000
	wholeWords = 5_000 // down to here no word is broken
	broken     = 8_000 // from here on words may be broken
	smallest   = 4_000
	sizeStep   = 250
)

// layout is where everything stands in a rectangle, from its lower left corner.
type layout struct {
	size  milli // of the text
	lines []textLine
	// image is where the picture stands: left, bottom, width, height.
	image [4]milli
}

// textLine is a line with the start of its baseline.
type textLine struct {
	x, y milli
	text []rune
}

// arrange puts picture and text into a rectangle: beside each other, or the
// picture on top where the rectangle is higher than wide.
func (s *stamp) arrange(width, height milli) (*layout, error) {
	pad := min(3_000, min(width, height)/10)
	area := [4]milli{pad, pad, width - 2*pad, height - 2*pad}
	l := &layout{}
	if s.Image != nil {
		room := area
		switch {
		case len(s.lines) == 0:
		case width >= height:
			room[2] = room[2] * 2 / 5
		default:
			room[3] = room[3] * 2 / 5
			room[1] += area[3] - room[3]
		}
		l.image = s.Image.within(room)
		switch {
		case len(s.lines) == 0:
		case width >= height:
			l.image[0] = pad
			area[0] += l.image[2] + 2*pad
			area[2] -= l.image[2] + 2*pad
		default:
			l.image[1] = height - pad - l.image[3]
			area[3] -= l.image[3] + pad
		}
	}
	if len(s.lines) == 0 {
		return l, nil
	}
	return l, s.set(l, area)
}

// set puts the text into an area, as large as it fits.
func (s *stamp) set(l *layout, area [4]milli) error {
	for _, try := range []struct {
		from, to milli
		breaking bool
	}{{largest, wholeWords, false}, {broken, smallest, true}} {
		for size := try.from; size >= try.to; size -= sizeStep {
			lines, ok := s.wrapAll(size, area[2], try.breaking)
			ascent, line := s.line(size)
			if high := line * milli(len(lines)); !ok || high > area[3] {
				continue
			}
			l.size = size
			top := area[1] + area[3] - (area[3]-line*milli(len(lines)))/2
			for i, text := range lines {
				l.lines = append(l.lines, textLine{area[0], top - line*milli(i) - ascent, text})
			}
			return nil
		}
	}
	return unseemly("the visible signature's text does not fit its rectangle even at %d points; make the rectangle larger, or the text shorter", smallest/1000)
}

// line is how high the largest of the fonts rises, and what a line takes.
func (s *stamp) line(size milli) (ascent, height milli) {
	for _, f := range s.fonts {
		em := milli(f.Em)
		ascent = max(ascent, milli(f.Ascent)*size/em)
		height = max(height, milli(f.Ascent-f.Descent+f.LineGap)*size/em)
	}
	return ascent, height
}

// width is how far a character moves on.
func (s *stamp) width(r rune, size milli) milli {
	f := s.fonts[s.font(r)]
	em := milli(f.Em)
	return (milli(f.Width(r))*size + em/2) / em
}

// wrapAll wraps every line; not ok if one cannot be.
func (s *stamp) wrapAll(size, width milli, breaking bool) (out [][]rune, ok bool) {
	for _, line := range s.lines {
		parts, ok := s.wrap(line, size, width, breaking)
		if !ok {
			return nil, false
		}
		out = append(out, parts...)
	}
	return out, true
}

// wrap breaks a line at spaces and, if it may, within words that are too long.
func (s *stamp) wrap(line []rune, size, width milli, breaking bool) (out [][]rune, ok bool) {
	start, space, at := 0, -1, milli(0)
	for i := 0; i < len(line); i++ {
		w := s.width(line[i], size)
		if line[i] == ' ' {
			space = i
		}
		if at+w <= width || line[i] == ' ' { // a space at the end may hang over
			at += w
			continue
		}
		switch {
		case space > start:
			out = append(out, line[start:space])
			start = space + 1
		case breaking && i > start:
			out = append(out, line[start:i])
			start = i
		default:
			return nil, false
		}
		i, space, at = start-1, -1, 0
	}
	return append(out, line[start:]), true
}
