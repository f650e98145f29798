package ui_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/countersign/countersign/internal/ui"
)

var pages = fstest.MapFS{
	"_note.html": {Data: []byte(`{{define "note"}}<b>{{.}}</b>{{end}}`)},
	"hello.html": {Data: []byte(`{{define "content"}}<p>{{icon "check"}}{{.}}</p>{{template "note" .}}{{end}}`)},
}

func TestPageHasFrameContentAndPolicy(t *testing.T) {
	p, err := ui.New(pages, ui.Site{Org: "Nordlys <Trust>", Test: true, Foot: "foot", Links: []ui.Link{{URL: "/help", Text: "Help"}}})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	err = p.Write(w, http.StatusTeapot, "hello", ui.View{Title: "Hello", Refresh: &ui.Refresh{Seconds: 2, URL: "/x?a=1&b=2"}, Data: `<script>alert(1)</script>`})
	if err != nil {
		t.Fatal(err)
	}
	body := w.Body.String()
	for _, want := range []string{
		`<html lang="en">`, "<title>Hello – Nordlys &lt;Trust&gt;</title>", `content="2; url=/x?a=1&amp;b=2"`,
		"Test installation. Not legally binding.", "<b>&lt;script&gt;", `<a href="/help">Help</a>`, `<svg class="icon"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %s:\n%s", want, body)
		}
	}
	if strings.Contains(body, "<script>") || strings.Contains(body, " style=") {
		t.Errorf("page has a script or inline style:\n%s", body)
	}
	if w.Code != http.StatusTeapot || w.Header().Get("Content-Security-Policy") != ui.Policy {
		t.Errorf("got status %d, policy %q", w.Code, w.Header().Get("Content-Security-Policy"))
	}
	css := regexp.MustCompile(`href="(/ui/ui\.[0-9a-f]+\.css)"`).FindStringSubmatch(body)
	if css == nil {
		t.Fatalf("no style sheet in\n%s", body)
	}
	w = httptest.NewRecorder()
	p.Assets().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, css[1], nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "--accent") || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("style sheet: status %d, %d bytes, %v", w.Code, w.Body.Len(), w.Header())
	}
	w = httptest.NewRecorder()
	p.Assets().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ui/../pages.go", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("a file that is no asset: status %d", w.Code)
	}
}

func TestBrokenTemplatesAreFoundAtStart(t *testing.T) {
	for name, dir := range map[string]fstest.MapFS{
		"no content":   {"a.html": {Data: []byte(`{{define "other"}}{{end}}`)}},
		"syntax error": {"a.html": {Data: []byte(`{{define "content"}}{{if}}{{end}}`)}},
	} {
		if _, err := ui.New(dir, ui.Site{Org: "x"}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := ui.New(pages, ui.Site{}); err == nil {
		t.Error("a site without a name: no error")
	}
}

func TestUnknownPagesAndIconsAreErrors(t *testing.T) {
	p, err := ui.New(fstest.MapFS{"a.html": {Data: []byte(`{{define "content"}}{{icon .}}{{end}}`)}}, ui.Site{Org: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Render("b", ui.View{}); err == nil {
		t.Error("unknown page: no error")
	}
	if _, err := p.Render("a", ui.View{Data: "nosuch"}); err == nil {
		t.Error("unknown icon: no error")
	}
}
