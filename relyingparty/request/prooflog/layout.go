package prooflog

import (
	"strings"

	"github.com/countersign/countersign/ades/truetype"
)

// The page: A4, in points.
const (
	pageWidth  = 595.28
	pageHeight = 841.89
	margin     = 56.0
	column     = 130.0 // where the values of rows begin
	leading    = 1.35
)

// line is a piece of text at a place.
type line struct {
	x, y, size float64
	text       string
}

// layout sets text on pages.
type layout struct {
	font  *truetype.Font
	chars map[rune]bool
	pages [][]line
	y     float64 // from the top of the current page
}

// down moves on and begins a page when there is no room.
func (l *layout) down(height float64) float64 {
	if len(l.pages) == 0 || l.y+height > pageHeight-margin-20 {
		l.pages = append(l.pages, nil)
		l.y = margin
	}
	l.y += height
	return pageHeight - l.y
}

func (l *layout) put(x, y, size float64, text string) {
	last := len(l.pages) - 1
	l.pages[last] = append(l.pages[last], line{x, y, size, text})
}

func (l *layout) space(height float64) { l.y += height }

func (l *layout) heading(text string) {
	l.space(14)
	if l.y > pageHeight-margin-80 { // no heading alone at the end
		l.y = pageHeight
	}
	l.text(mid, text)
	l.space(4)
}

func (l *layout) text(size float64, text string) {
	for _, part := range l.wrap(text, size, pageWidth-2*margin) {
		l.put(margin, l.down(size*leading), size, part)
	}
}

// row is a name and its value.
func (l *layout) row(name, value string) {
	if value == "" {
		value = "-"
	}
	for i, part := range l.wrap(value, body, pageWidth-2*margin-column) {
		y := l.down(body * leading)
		if i == 0 {
			l.put(margin+12, y, body, l.known(name))
		}
		l.put(margin+column, y, body, part)
	}
}

// known replaces what the font cannot show, and remembers what it must.
func (l *layout) known(text string) string {
	var b strings.Builder
	for _, r := range text {
		if !truetype.Plain(r) || !l.font.Has(r) {
			b.WriteString("(?)")
			continue
		}
		b.WriteRune(r)
	}
	for _, r := range b.String() {
		l.chars[r] = true
	}
	return b.String()
}

func (l *layout) width(text string, size float64) float64 {
	n := 0
	for _, r := range text {
		n += l.font.Width(r)
	}
	return float64(n) * size / float64(l.font.Em)
}

// wrap breaks text into lines of at most that width, between words where it can.
func (l *layout) wrap(text string, size, width float64) (lines []string) {
	for paragraph := range strings.SplitSeq(text, "\n") {
		current := ""
		for word := range strings.FieldsSeq(l.known(paragraph)) {
			if current != "" && l.width(current+" "+word, size) <= width {
				current += " " + word
				continue
			}
			if current != "" {
				lines = append(lines, current)
			}
			current = word
			for l.width(current, size) > width {
				n := l.fitting(current, size, width)
				lines = append(lines, current[:n])
				current = current[n:]
			}
		}
		lines = append(lines, current)
	}
	return lines
}

// fitting is how many bytes of a word fit, at least one letter.
func (l *layout) fitting(word string, size, width float64) int {
	n := 0
	for i, r := range word {
		end := i + len(string(r))
		if n > 0 && l.width(word[:end], size) > width {
			break
		}
		n = end
	}
	return n
}
