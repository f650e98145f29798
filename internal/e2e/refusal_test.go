package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// noise is what a person should not have to read.
var noise = regexp.MustCompile(`goroutine|panic|\.go:\d|0x[0-9a-f]{6}|%!|<nil>|\bEOF\b|internal error|dial tcp|syscall|\*[a-z]+\.[A-Z]|\bfault\b|json:|unmarshal|SQLSTATE|context deadline`)

// sentence returns the one sentence with which a command ended.
func (r *result) sentence(t testing.TB) string {
	t.Helper()
	var said []string
	for line := range strings.Lines(r.err) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "countersign: "):
			said = append(said, strings.TrimPrefix(line, "countersign: "))
		case line == "" || strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "Open this address in a browser"): // what goes on
		case len(said) > 0:
			t.Errorf("more than one line at the end: %v", r)
		default:
			t.Errorf("%q is neither progress nor the end: %v", line, r)
		}
	}
	if len(said) != 1 {
		t.Fatalf("%d sentences at the end, want one: %v", len(said), r)
	}
	if noise.MatchString(said[0]) || len(said[0]) > 320 || len(said[0]) < 15 {
		t.Errorf("this is no clear sentence: %q", said[0])
	}
	return said[0]
}

// ends checks exit code and sentence.
func (r *result) ends(t testing.TB, code int, says string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d: %v", r.code, code, r)
	}
	if s := r.sentence(t); !regexp.MustCompile(says).MatchString(s) {
		t.Errorf("the sentence is %q, want one that says %q", s, says)
	} else {
		t.Logf("exit %d: %s", r.code, s)
	}
}

// folder is everything in a folder, by name.
func folder(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%v %v", info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %x", sha256.Sum256(b))
		}
		if !d.IsDir() || path != dir {
			all[path] = what
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// untouched runs do and checks that it leaves a folder as it was.
func untouched(t testing.TB, dir string, do func() *result) *result {
	t.Helper()
	before := folder(t, dir)
	r := do()
	if d := cmp.Diff(before, folder(t, dir)); d != "" {
		t.Errorf("%v\nchanged the folder (-before +after):\n%s", r, d)
	}
	return r
}

// desk is a folder of its own for one mishap, with a document in it.
func (in *installation) desk(t testing.TB) (dir, doc string) {
	t.Helper()
	dir, err := os.MkdirTemp(in.dir, "desk") //nolint:usetesting // where commands of other users find it
	if err != nil {
		t.Fatal(err)
	}
	return dir, writePDF(t, filepath.Join(dir, "contract.pdf"), 2000, 7)
}

// refuses signs a document and checks that there is nothing but a sentence of it.
func (in *installation) refuses(t testing.TB, code int, says string, more ...string) {
	t.Helper()
	in.refusesWith(t, nil, code, says, more...)
}

// refusesWith is refuses with more in the environment.
func (in *installation) refusesWith(t testing.TB, env []string, code int, says string, more ...string) {
	t.Helper()
	dir, doc := in.desk(t)
	untouched(t, dir, func() *result {
		return in.runWith(t.Context(), t, env, append([]string{"sign", doc, "-o", filepath.Join(dir, "signed.pdf")}, more...)...)
	}).ends(t, code, says)
}
