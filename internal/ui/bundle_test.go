package ui_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/countersign/countersign/internal/ui"
)

func dist() fstest.MapFS {
	return fstest.MapFS{
		".gitignore":          {Data: []byte("*")},
		"page.js":             {Data: []byte("plain script")},
		"page.js.br":          {Data: []byte("brotli script")},
		"page.js.gz":          {Data: []byte("gzip script")},
		"small.wasm":          {Data: []byte("\x00asm")},
		"pdfjs/pdf.min.mjs":   {Data: []byte("viewer")},
		"pdfjs/cmaps/a.bcmap": {Data: []byte("map")},
	}
}

func bundle(t *testing.T, dist fstest.MapFS) *ui.Bundle {
	t.Helper()
	b, err := ui.NewBundle(ui.BundleConfig{Prefix: "/x/assets/", Dist: dist})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fetch(t *testing.T, h http.Handler, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheSmallestFormThatABrowserTakesIsSent(t *testing.T) {
	b := bundle(t, dist())
	path, err := b.Path("page.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ accept, encoding, body string }{
		{"gzip, deflate, br, zstd", "br", "brotli script"},
		{"gzip", "gzip", "gzip script"},
		{"br;q=0, gzip;q=0.5", "gzip", "gzip script"},
		{"br;q=0,gzip;q=0", "", "plain script"},
		{"brx", "", "plain script"},
		{"", "", "plain script"},
	} {
		w := fetch(t, b, path, "Accept-Encoding", row.accept)
		if w.Code != http.StatusOK || w.Body.String() != row.body || w.Header().Get("Content-Encoding") != row.encoding {
			t.Errorf("%q: status %d, %q, encoding %q; want %q, %q", row.accept, w.Code, w.Body, w.Header().Get("Content-Encoding"), row.body, row.encoding)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/javascript; charset=utf-8", "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": ui.WorkerPolicy,
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%q: %s is %q, want %q", row.accept, name, got, want)
			}
		}
		if !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%q: Cache-Control %q", row.accept, w.Header().Get("Cache-Control"))
		}
	}
}

func TestAFilesAddressChangesWithItsContent(t *testing.T) {
	before := bundle(t, dist())
	changed := dist()
	changed["page.js"] = &fstest.MapFile{Data: []byte("other")}
	changed["pdfjs/cmaps/a.bcmap"] = &fstest.MapFile{Data: []byte("other")}
	after := bundle(t, changed)
	for name, moves := range map[string]bool{"page.js": true, "pdfjs/pdf.min.mjs": true, "small.wasm": false} {
		old, err := before.Path(name)
		if err != nil {
			t.Fatal(err)
		}
		now, err := after.Path(name)
		if err != nil {
			t.Fatal(err)
		}
		if (old != now) != moves {
			t.Errorf("%s: address %s, then %s", name, old, now)
		}
		if got := fetch(t, after, old).Code; (got == http.StatusNotFound) != moves {
			t.Errorf("%s: the old address answers %d", name, got)
		}
	}
	folder, err := after.Folder("pdfjs")
	if err != nil {
		t.Fatal(err)
	}
	if w := fetch(t, after, folder+"cmaps/a.bcmap"); w.Code != http.StatusOK || w.Body.String() != "other" {
		t.Errorf("a file beside another: status %d, %q", w.Code, w.Body)
	}
}

func TestWhatWasNotBuiltIsSaidToBe(t *testing.T) {
	b := bundle(t, fstest.MapFS{".gitignore": {Data: []byte("*")}})
	_, err := b.Path("page.js")
	if _, err2 := b.Folder("pdfjs"); !errors.Is(err, ui.ErrNotBuilt) || !errors.Is(err2, ui.ErrNotBuilt) || b.Has("page.js") || b.Has(".gitignore") {
		t.Errorf("got %v and %v", err, err2)
	}
	for _, target := range []string{"/x/assets/", "/x/assets/.gitignore", "/x/assets//page.js", "/elsewhere"} {
		if w := fetch(t, b, target); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", target, w.Code)
		}
	}
}

func TestAFixedAddressIsAskedForEachTime(t *testing.T) {
	b := bundle(t, dist())
	for _, encoding := range []string{"", "br"} {
		w := fetch(t, b.File("page.js"), "/sw.js", "Accept-Encoding", encoding)
		tag := w.Header().Get("ETag")
		if w.Code != http.StatusOK || tag == "" || w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("status %d, %v", w.Code, w.Header())
		}
		if w := fetch(t, b.File("page.js"), "/sw.js", "Accept-Encoding", encoding, "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("encoding %q, unchanged: status %d with %d bytes", encoding, w.Code, w.Body.Len())
		}
	}
	if w := fetch(t, b.File("missing.js"), "/sw.js"); w.Code != http.StatusNotFound {
		t.Errorf("missing: status %d", w.Code)
	}
}
