package sam_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samtest"
)

// TestTextIsShownWithoutHiddenCharacters goes through what a relying party may
// write into names, as the signer's device gets it.
func TestTextIsShownWithoutHiddenCharacters(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p := r.Person(samtest.Wish{})
	for said, shown := range map[string]string{
		"Miete März – 1 200 €.pdf": "Miete März – 1 200 €.pdf",
		"契約書.pdf":                  "契約書.pdf",
		"חוזה.pdf":                 "חוזה.pdf",
		"a\u0301 e\u0308":          "a\u0301 e\u0308", // combining marks that show

		"a\tb\nc\r\nd":           "a b c d",
		"a\u00a0b\u2003c\u3000d": "a b c d",
		"a\u2028b\u2029c\u0085d": "a b c d", // line and paragraph separators

		"a\x00b\x1b[31mc\x7f":           "a\ufffdb\ufffd[31mc\ufffd",
		"a\u200bb":                      "a\ufffdb", // zero width space
		"a\u200cb\u200dc":               "a\ufffdb\ufffdc",
		"a\u2060b\ufeffc":               "a\ufffdb\ufffdc",
		"a\u00adb":                      "a\ufffdb", // soft hyphen
		"a\u034fb\u061cc":               "a\ufffdb\ufffdc",
		"invoice\u202efdp.exe":          "invoice\ufffdfdp.exe",
		"a\u202ab\u202bc\u202cd\u202de": "a\ufffdb\ufffdc\ufffdd\ufffde",
		"a\u2066b\u2067c\u2068d\u2069e": "a\ufffdb\ufffdc\ufffdd\ufffde",
		"a\u200eb\u200fc":               "a\ufffdb\ufffdc",
		"a\u115fb\u1160c\u3164d\uffa0e": "a\ufffdb\ufffdc\ufffdd\ufffde", // Hangul fillers are letters
		"a\u2800b\u17b4c":               "a\ufffdb\ufffdc",
		"a\ue000b\U000e0041c":           "a\ufffdb\ufffdc", // private use, tag
		"a\xffb":                        "a\ufffdb",

		"\u2764\ufe0f": "\u2764", // variation selectors show nothing
		"a\u180bb":     "ab",
	} {
		in := r.Intent(p, samtest.Hash("x"))
		in.ClientName, in.Documents[0].Label = said, said
		q := r.Started(in)
		if got := q.SAD.Party.Name; got != shown {
			t.Errorf("client %q is shown as %q, want %q", said, got, shown)
		}
		if got := q.SAD.Documents[0].Name; got != shown {
			t.Errorf("document %q is shown as %q, want %q", said, got, shown)
		}
	}
	in := r.Intent(p, samtest.Hash("x"))
	in.ClientName, in.Documents[0].Label = " \u2028\ufe0f", strings.Repeat("\u2029", 3)
	if s := r.Started(in).SAD; s.Party.Name != in.Client || s.Documents[0].Name != "Document 1" {
		t.Errorf("names of blanks are shown as %q, %q", s.Party.Name, s.Documents[0].Name)
	}
}
