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

// cleanText makes text safe to show: white space becomes single blanks, and what
// is invisible or turns the direction of writing becomes a visible replacement
// character, so that "invoice\u202Efdp.exe" does not look like a PDF.
func cleanText(s string, most int) (string, error) {
	if len(s) > 4*most {
		return "", fault.New(fault.Invalid, "a text has more than %d characters", most)
	}
	var b strings.Builder
	blank := false
	for _, r := range s {
		if unicode.IsSpace(r) {
			blank = b.Len() > 0
			continue
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		if !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	out := b.String()
	if utf8.RuneCountInString(out) > most {
		return "", fault.New(fault.Invalid, "a text has more than %d characters", most)
	}
	return out, nil
}
