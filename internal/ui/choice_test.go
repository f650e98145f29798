package ui_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/i18n/i18ntest"
	"github.com/countersign/countersign/internal/ui"
)

func TestFrameSpeaksEveryLanguage(t *testing.T) {
	i18ntest.Check(t, os.DirFS("."), "templates/*.html")
}

func bilingual(t *testing.T) *ui.Pages {
	t.Helper()
	texts, err := i18n.Load(fstest.MapFS{
		"locales/en.json": {Data: []byte(`{"hi": "Hi {{.Name}}", "docs": {"one": "{{.Count}} document", "other": "{{.Count}} documents"}}`)},
		"locales/de.json": {Data: []byte(`{"hi": "Hallo {{.Name}}", "docs": {"one": "{{.Count}} Dokument", "other": "{{.Count}} Dokumente"}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := ui.New(fstest.MapFS{"a.html": {Data: []byte(`{{define "content"}}<h1>{{t "hi" "Name" .Name}}</h1>{{n "docs" 2}} {{time .At}} {{size 1200}}{{end}}`)}},
		ui.Site{Org: "x", Test: true, Texts: texts})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReaderChoosesLanguageAndThemeWithoutAScript(t *testing.T) {
	p := bilingual(t)
	h := p.Choices(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, _ := p.Begin(r, "en")
		v.Data = map[string]any{"Name": "<Ada>", "At": time.Date(2026, 3, 5, 9, 7, 0, 0, time.UTC)}
		if err := p.Write(w, http.StatusOK, "a", v); err != nil {
			t.Error(err)
		}
	}))
	get := func(path string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Accept-Language", "de")
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	first := get("/a/b?v=1").Body.String()
	for _, want := range []string{`<html lang="en">`, `<h1>Hi &lt;Ada&gt;</h1>2 documents 5 March 2026, 09:07 UTC 1.2 KB`, `href="/a/b?lang=de&amp;v=1"`, `lang="de"`, "Skip to the content"} {
		if !strings.Contains(first, want) {
			t.Errorf("no %s in\n%s", want, first)
		}
	}
	w := get("/a/b?lang=de&theme=dark&v=1")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/a/b?v=1" || len(w.Result().Cookies()) != 2 {
		t.Fatalf("status %d to %q with %v", w.Code, w.Header().Get("Location"), w.Result().Cookies())
	}
	second := get(w.Header().Get("Location"), w.Result().Cookies()...).Body.String()
	for _, want := range []string{`<html lang="de" data-theme="dark">`, `<h1>Hallo &lt;Ada&gt;</h1>2 Dokumente 5. März 2026, 09:07 UTC 1,2 KB`, "Testinstallation", "Zum Inhalt"} {
		if !strings.Contains(second, want) {
			t.Errorf("no %s in\n%s", want, second)
		}
	}
	if w := get("/a?lang=xx&theme=pink"); w.Code != http.StatusOK {
		t.Errorf("a language that nobody wrote: status %d", w.Code)
	}
	if w := get("//mallory.example/?lang=de"); strings.HasPrefix(w.Header().Get("Location"), "//") {
		t.Errorf("sent to %q", w.Header().Get("Location"))
	}
}

func TestMessageThatIsMissingIsAnError(t *testing.T) {
	p := bilingual(t)
	if _, err := p.Render("a", ui.View{Lang: "de", Data: map[string]any{"At": time.Now()}}); err != nil {
		t.Errorf("a value that is nil: %v", err) // nil is a value
	}
	broken, err := ui.New(fstest.MapFS{"a.html": {Data: []byte(`{{define "content"}}{{t "nosuch"}}{{end}}`)}}, ui.Site{Org: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := broken.Render("a", ui.View{}); err == nil {
		t.Error("unknown key: no error")
	}
}
