package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/i18n/i18ntest"
	"github.com/countersign/countersign/internal/store/storetest"
)

func TestEveryMessageExistsInEveryLanguage(t *testing.T) {
	i18ntest.Check(t, os.DirFS("."), "templates/*.html", "page.go")
}

// TestErrorPageSpeaksTheReadersLanguage and brings its style sheet along.
func TestErrorPageSpeaksTheReadersLanguage(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	for lang, want := range map[string]string{"en": "This request cannot continue", "de-AT,en;q=0.5": "Diese Anfrage kann nicht fortgesetzt werden"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/oauth2/authorize?client_id=nobody", nil)
		req.Header.Set("Accept", "text/html")
		req.Header.Set("Accept-Language", lang)
		a := r.do(req)
		page := string(a.body)
		if a.status != http.StatusBadRequest || !strings.Contains(page, want) || !strings.Contains(page, "invalid_request") {
			t.Errorf("%s: got %d %s", lang, a.status, page)
		}
		style := regexp.MustCompile(`href="(/ui/[^"]+\.css)"`).FindStringSubmatch(page)
		if style == nil {
			t.Fatalf("no style sheet: %s", page)
		}
		if css := r.do(httptest.NewRequestWithContext(t.Context(), http.MethodGet, issuer+style[1], nil)); css.status != http.StatusOK {
			t.Errorf("style sheet: %d", css.status)
		}
	}
}
