package approval_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/sam/approval"
	"github.com/countersign/countersign/sam/samtest"
)

// TestNoOtherHostOfTheDomainSetsOurCookies looks at the cookies of an origin with
// https: their name keeps other hosts from setting them, and no script reads them.
func TestNoOtherHostOfTheDomainSetsOurCookies(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{})
	for _, origin := range []string{"https://approve.example", samtest.Approval} {
		h, err := approval.New(approval.Config{Module: r.Module, Origin: origin, Now: r.Clock.Now, Site: ui.Site{Org: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		secure, prefix := strings.HasPrefix(origin, "https:"), ""
		if secure {
			prefix = "__Host-"
		}
		call := func(method, path, body string, cookies ...*http.Cookie) *http.Response {
			req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
			req.Header.Set("Accept", "text/html")
			if body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			for _, c := range cookies {
				req.AddCookie(c)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			return w.Result()
		}
		only := func(res *http.Response, name string) *http.Cookie {
			t.Helper()
			defer res.Body.Close()
			all := res.Cookies()
			if res.StatusCode != http.StatusOK || len(all) != 1 {
				t.Fatalf("%s: status %d, cookies %v", origin, res.StatusCode, all)
			}
			c := all[0]
			if c.Name != prefix+name || c.Secure != secure || !c.HttpOnly || c.Domain != "" || secure && c.Path != "/" || c.MaxAge <= 0 || c.MaxAge > 15*60 {
				t.Errorf("%s: cookie %s", origin, c.Raw)
			}
			return c
		}
		opening, err := json.Marshal(r.Opening(p.Device, r.Fresh()))
		if err != nil {
			t.Fatal(err)
		}
		session := only(call(http.MethodPost, "/app/api/session", string(opening)), "device")
		if res := call(http.MethodGet, "/app/api/inbox", "", session); res.StatusCode != http.StatusOK {
			t.Errorf("%s: the session does not work: %d", origin, res.StatusCode)
		}
		if secure { // as another host would set it
			planted := &http.Cookie{Name: "device", Value: session.Value}
			if res := call(http.MethodGet, "/app/api/inbox", "", planted); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("a session under another name: %d", res.StatusCode)
			}
		}
		q := r.Request(p, samtest.Hash(origin))
		page := strings.TrimPrefix(q.URL, samtest.Approval)
		claim := only(call(http.MethodGet, page, ""), "claim-"+q.SID)
		if res := call(http.MethodGet, page, "", claim); res.StatusCode != http.StatusOK || len(res.Cookies()) != 0 {
			t.Errorf("%s: the browser that holds the page: %d", origin, res.StatusCode)
		}
		if res := call(http.MethodGet, page, ""); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: another browser: %d", origin, res.StatusCode)
		}
	}
}
