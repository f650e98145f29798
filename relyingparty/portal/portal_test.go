package portal_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/portal"
)

func open(t *testing.T, db *store.DB) (*portal.Portal, http.Handler) {
	t.Helper()
	p, err := portal.New(t.Context(), portal.Config{DB: db, Org: "Example", Links: []portal.Link{{Name: "Gateway", Address: "https://sign.example", What: "OAuth and CSC"}}})
	if err != nil {
		t.Fatal(err)
	}
	r := httpd.New(httpd.Config{Web: web.Config{Log: slog.New(slog.DiscardHandler)}})
	p.Mount(r)
	return p, r
}

func get(t *testing.T, h http.Handler, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
	return w
}

func TestTheStartPageLeadsToTheParts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		_, h := open(t, db)
		w := get(t, h, "/")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `href="https://sign.example"`) {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		if got := w.Header().Get("Content-Security-Policy"); got != ui.Policy {
			t.Errorf("policy %q", got)
		}
	})
}

func TestTheWayBackIsCountedAndItsCodeIsNeitherShownNorKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p, h := open(t, db)
		for target, status := range map[string]int{
			"/callback?code=verysecretcode&state=x":               http.StatusOK,
			"/callback?error=access_denied&state=x":               http.StatusOK,
			"/callback?error=server_error&error_description=<b>x": http.StatusOK,
			"/callback": http.StatusBadRequest,
		} {
			w := get(t, h, target)
			if w.Code != status {
				t.Errorf("%s: status %d, want %d", target, w.Code, status)
			}
			if strings.Contains(w.Body.String(), "verysecretcode") || strings.Contains(w.Body.String(), "<b>") {
				t.Errorf("%s: the page repeats the query", target)
			}
		}
		got, err := p.Returned(t.Context(), time.Now().Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[string]int{"code": 1, "access_denied": 1, "error": 1, "nothing": 1}, got); d != "" {
			t.Error(d)
		}
		if err := p.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
