// Package i18ntest holds templates against the messages that they use.
package i18ntest

import (
	"io/fs"
	"regexp"
	"testing"

	"github.com/countersign/countersign/internal/i18n"
)

// used finds {{t "key"}} and {{n "key" .Count}}, also in parentheses, and the
// calls l.T("key" and l.N("key" in Go.
var used = regexp.MustCompile(`(?:[{(\s]|\.)(?:t|n|T|N|Say|SayN|frame)[ (]"([a-z][A-Za-z0-9_.-]*[A-Za-z0-9_-])"`)

// Check loads the catalogue, which fails unless every language has every message
// and place holder, and finds keys that files use and nobody wrote. files are
// patterns below fsys: templates and Go sources.
func Check(t *testing.T, fsys fs.FS, files ...string) *i18n.Catalog {
	t.Helper()
	c, err := i18n.Load(fsys)
	if err != nil {
		t.Fatalf("messages: %v", err)
	}
	if len(c.Languages()) < 2 {
		t.Errorf("there is one language only: %v", c.Languages())
	}
	for _, pattern := range files {
		names, err := fs.Glob(fsys, pattern)
		if err != nil || len(names) == 0 {
			t.Errorf("no file %s, %v", pattern, err)
		}
		for _, name := range names {
			text, err := fs.ReadFile(fsys, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range used.FindAllStringSubmatch(string(text), -1) {
				if !c.Has(found[1]) {
					t.Errorf("%s uses the message %q, which nobody wrote", name, found[1])
				}
			}
		}
	}
	return c
}
