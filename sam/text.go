package sam

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/fault"
)

// The most characters of what is shown to a signer.
const (
	maxLabel  = 256
	maxName   = 128
	maxReason = 500
)

// cleanText makes text safe to show: white space, line and paragraph separators
// become single blanks, variation selectors are left out, and what is invisible or
// turns the direction of writing becomes a visible replacement character, so that
// "invoice\u202Efdp.exe" does not look like a PDF, and "Ba\u200Bnk" not like "Bank".
func cleanText(s string, most int) (string, error) {
	if len(s) > 4*most {
		return "", fault.New(fault.Invalid, "a text has more than %d characters", most)
	}
	var b strings.Builder
	blank := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			blank = b.Len() > 0
			continue
		case unicode.Is(unicode.Variation_Selector, r):
			continue // it chooses between forms of the same character
		case invisible(r):
			r = utf8.RuneError
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(r)
	}
	out := b.String()
	if utf8.RuneCountInString(out) > most {
		return "", fault.New(fault.Invalid, "a text has more than %d characters", most)
	}
	return out, nil
}

// invisible says whether a character shows nothing or changes how others are
// shown: controls, formats (bidirectional marks, zero width), private and
// unassigned ones, and the letters and marks that are blank by definition, the
// Hangul fillers and the empty Braille pattern among them.
func invisible(r rune) bool {
	return !unicode.IsPrint(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || r == '\u2800'
}

// plain says whether a text is of visible ASCII and blanks only, as identifiers
// of clients are (RFC 6749 appendix A.1).
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
