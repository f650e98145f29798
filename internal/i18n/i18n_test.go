package i18n_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/i18n/i18ntest"
)

const (
	english = `{"hello": "Hello {{.Name}}", "a": {"b": "inside"}, "docs": {"one": "{{.Count}} document", "other": "{{.Count}} documents"}}`
	german  = `{"hello": "Hallo {{.Name}}", "a": {"b": "drinnen"}, "docs": {"one": "{{.Count}} Dokument", "other": "{{.Count}} Dokumente"}}`
)

func locales(en, de string) fstest.MapFS {
	return fstest.MapFS{"locales/en.json": {Data: []byte(en)}, "locales/de.json": {Data: []byte(de)}}
}

func TestReaderGetsTheFirstLanguageThatIsWritten(t *testing.T) {
	c := i18ntest.Check(t, locales(english, german))
	for _, row := range []struct {
		langs []string
		want  string
	}{
		{nil, "en"},
		{[]string{"de-AT", "en"}, "de"},
		{[]string{"sv", "de"}, "de"},
		{[]string{"zh-Hant"}, "en"},
		{[]string{"not a tag", "de"}, "de"},
		{[]string{"en-GB", "de"}, "en"},
	} {
		if got := c.For(row.langs...).Lang(); got != row.want {
			t.Errorf("%v: %s, want %s", row.langs, got, row.want)
		}
	}
	l := c.For("de")
	got := []string{l.T("hello", "Name", "<Ada>"), l.T("a.b"), l.N("docs", 1), l.N("docs", 2), c.For().N("docs", 0), l.T("nosuch"), l.T("hello"), l.T("hello", "Name")}
	want := []string{"Hallo <Ada>", "drinnen", "1 Dokument", "2 Dokumente", "0 documents", "nosuch", "hello", "hello"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCatalogueWithAGapDoesNotLoad(t *testing.T) {
	for name, de := range map[string]string{
		"missing message":      `{"hello": "Hallo {{.Name}}", "docs": {"one": "{{.Count}}", "other": "{{.Count}}"}}`,
		"other place holder":   strings.Replace(german, ".Name", ".Nome", 1),
		"missing plural form":  strings.Replace(german, `"one": "{{.Count}} Dokument", `, "", 1),
		"message nobody knows": strings.Replace(german, `"hello"`, `"more": "x", "hello"`, 1),
		"empty message":        strings.Replace(german, "drinnen", "", 1),
		"not JSON":             german[1:],
	} {
		if _, err := i18n.Load(locales(english, de)); err == nil {
			t.Errorf("%s: it loads", name)
		}
	}
	if _, err := i18n.Load(fstest.MapFS{"locales/de.json": {Data: []byte(german)}}); err == nil {
		t.Error("without English: it loads")
	}
	if _, err := i18n.Load(fstest.MapFS{"locales/en.json": {Data: []byte(english)}, "locales/xx.json": {Data: []byte(german)}}); err == nil {
		t.Error("a language without plural rules: it loads")
	}
}

func TestTimesAndSizesAreWrittenOut(t *testing.T) {
	c := i18ntest.Check(t, locales(english, german))
	at := time.Date(2026, time.March, 5, 9, 7, 0, 0, time.UTC)
	got := []string{c.For().Time(at), c.For("de").Time(at)}
	for _, n := range []int64{0, 999, 1000, 1200, 9949, 214_000, 999_499, 999_500, 1_200_000, 52_000_000} {
		got = append(got, c.For("de").Size(n))
	}
	want := []string{
		"5 March 2026, 09:07 UTC", "5. März 2026, 09:07 UTC",
		"0 bytes", "999 bytes", "1,0 KB", "1,2 KB", "9,9 KB", "214 KB", "999 KB", "1,0 MB", "1,2 MB", "52 MB",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChosenLanguageComesBeforeTheBrowsers(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header.Set("Accept-Language", "fr;q=0.5, en-GB, *;q=0.1")
	if diff := cmp.Diff([]string{"en-GB", "fr"}, i18n.FromRequest(r)); diff != "" {
		t.Error(diff)
	}
	r.AddCookie(&http.Cookie{Name: i18n.Cookie, Value: "de"})
	if diff := cmp.Diff([]string{"de", "en-GB", "fr"}, i18n.FromRequest(r)); diff != "" {
		t.Error(diff)
	}
	r.Header.Set("Accept-Language", strings.Repeat("en,", 1000))
	if diff := cmp.Diff([]string{"de"}, i18n.FromRequest(r)); diff != "" {
		t.Error(diff)
	}
}

// FuzzFromRequest reads any header and cookie; what comes out a catalogue takes.
func FuzzFromRequest(f *testing.F) {
	c, err := i18n.Load(locales(english, german))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("de-AT, en;q=0.7, *;q=0.1", "de")
	f.Add("x-y-z;q=2", "<b>")
	f.Fuzz(func(t *testing.T, header, cookie string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header["Accept-Language"] = []string{header}
		r.Header["Cookie"] = []string{i18n.Cookie + "=" + cookie}
		langs := i18n.FromRequest(r)
		if len(langs) > 10 {
			t.Errorf("%d languages", len(langs))
		}
		if lang := c.For(langs...).Lang(); lang != "en" && lang != "de" {
			t.Errorf("language %q", lang)
		}
	})
}
