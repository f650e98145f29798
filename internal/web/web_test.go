package web_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
)

// logged is a handler's log, one JSON object a line.
type logged struct{ bytes.Buffer }

func (l *logged) records(t *testing.T) []map[string]any {
	t.Helper()
	var list []map[string]any
	d := json.NewDecoder(bytes.NewReader(l.Bytes()))
	for {
		var m map[string]any
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
}

func wrap(h http.HandlerFunc, c web.Config) (http.Handler, *logged) {
	l := &logged{}
	c.Log = slog.New(slog.NewJSONHandler(l, nil))
	c.Name = "test"
	return web.Wrap(h, c), l
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOneRecordPerRequestWithWhatWasAdded(t *testing.T) {
	h, l := wrap(func(w http.ResponseWriter, r *http.Request) {
		web.SetRoute(r.Context(), "/a/{sid}")
		web.Annotate(r.Context(), "client_id", "first")
		web.Annotate(r.Context(), "client_id", "acme")
		web.Problem(w, r, fault.New(fault.Forbidden, "not yours").Because(errors.New("org 7 is not org 8")))
	}, web.Config{})
	w := serve(h, httptest.NewRequest(http.MethodGet, "/a/123?token=secret", nil))
	records := l.records(t)
	if len(records) != 1 {
		t.Fatalf("%d records", len(records))
	}
	for key, want := range map[string]any{
		"server": "test", "method": "GET", "route": "/a/{sid}", "status": 403.0, "client_id": "acme", "client_addr": "192.0.2.1",
		"error": "not yours: org 7 is not org 8", "level": "INFO", "request_id": w.Header().Get("X-Request-Id"),
	} {
		if got := records[0][key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if s := l.String(); strings.Contains(s, "secret") || strings.Contains(s, "first") {
		t.Errorf("the record shows too much: %s", s)
	}
	if body := w.Body.String(); !strings.Contains(body, "not yours") || strings.Contains(body, "org 7") || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("answer %s", body)
	}
}

func TestInternalErrorsShowNothing(t *testing.T) {
	h, l := wrap(func(w http.ResponseWriter, r *http.Request) {
		web.Problem(w, r, errors.New("password of the database"))
	}, web.Config{})
	w := serve(h, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "password") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if r := l.records(t); r[0]["level"] != "ERROR" || !strings.Contains(l.String(), "password") {
		t.Errorf("record %v", r)
	}
}

func TestPanicIsAnsweredAndLogged(t *testing.T) {
	h, l := wrap(func(http.ResponseWriter, *http.Request) { panic("oh no") }, web.Config{})
	w := serve(h, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "oh no") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if s := l.String(); !strings.Contains(s, "oh no") || !strings.Contains(s, "web_test.go") {
		t.Errorf("the record lacks the panic or its stack: %s", s)
	}
}

// Half an answer must not look like a whole one.
func TestPanicAfterTheAnswerBeganCutsTheConnection(t *testing.T) {
	h, l := wrap(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic("oh no")
	}, web.Config{})
	s := httptest.NewServer(h)
	resp, err := s.Client().Get(s.URL)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(resp.Body)
		if err == nil {
			t.Errorf("the client got %q as a whole answer", body)
		}
	}
	s.Close()
	if !strings.Contains(l.String(), "oh no") {
		t.Errorf("record: %s", l)
	}
}

// TestSocketsGetNoHeadersForBrowsers and answers do not share what they add to them.
func TestSocketsGetNoHeadersForBrowsers(t *testing.T) {
	h := web.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Cache-Control", "max-age=1")
		_, _ = w.Write([]byte("x"))
	}), web.Config{Local: true})
	for range 2 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if got := w.Header().Values("Cache-Control"); len(got) != 2 {
			t.Errorf("Cache-Control: %q", got)
		}
		for _, name := range []string{"Content-Security-Policy", "X-Frame-Options", "Permissions-Policy", "Strict-Transport-Security"} {
			if w.Header().Get(name) != "" {
				t.Errorf("%s is sent to a socket", name)
			}
		}
	}
}

func TestSecurityHeadersAreOnEveryAnswer(t *testing.T) {
	for _, secure := range []bool{false, true} {
		h, _ := wrap(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/page" {
				w.Header().Set("Content-Security-Policy", "default-src 'self'")
				w.Header().Set("Cache-Control", "max-age=60")
			}
			if r.URL.Path == "/panic" {
				panic("x")
			}
		}, web.Config{Secure: secure})
		for _, path := range []string{"/", "/panic"} {
			head := serve(h, httptest.NewRequest(http.MethodGet, path, nil)).Header()
			for key, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
			} {
				if got := head.Get(key); got != want {
					t.Errorf("%s: %s is %q, want %q", path, key, got, want)
				}
			}
			csp := head.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("%s: policy %q", path, csp)
			}
			if hsts := head.Get("Strict-Transport-Security"); (hsts != "") != secure {
				t.Errorf("secure %v: Strict-Transport-Security %q", secure, hsts)
			}
		}
		head := serve(h, httptest.NewRequest(http.MethodGet, "/page", nil)).Header()
		if head.Get("Content-Security-Policy") != "default-src 'self'" || head.Get("Cache-Control") != "max-age=60" {
			t.Errorf("a page cannot set its own: %v", head)
		}
	}
}

func TestBodyAboveTheLimitIsRefused(t *testing.T) {
	read := 0
	h, _ := wrap(func(w http.ResponseWriter, r *http.Request) {
		body, err := web.ReadBody(r)
		read += len(body)
		if err != nil {
			web.Problem(w, r, err)
		}
	}, web.Config{MaxBody: 1000})
	s := httptest.NewServer(h)
	defer s.Close()
	for _, c := range []struct {
		name string
		body io.Reader
		want int
	}{
		{"at the limit", strings.NewReader(strings.Repeat("x", 1000)), 200},
		{"said", strings.NewReader(strings.Repeat("x", 1001)), 413},
		{"not said", io.MultiReader(strings.NewReader(strings.Repeat("x", 1001))), 413},
	} {
		read = 0
		resp, err := s.Client().Post(s.URL, "text/plain", c.body)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.want || read > 1000 || (c.want == 413) != strings.Contains(string(text), `"code":"too_large"`) {
			t.Errorf("%s: %d after %d bytes: %s", c.name, resp.StatusCode, read, text)
		}
	}
}

func TestClientAddressIsTheLastOneNotTrusted(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct{ remote, forwarded, want string }{
		{"203.0.113.9:1", "", "203.0.113.9"},
		{"203.0.113.9:1", "198.51.100.1", "203.0.113.9"}, // not from a proxy: not believed
		{"10.1.1.1:1", "198.51.100.1", "198.51.100.1"},
		{"10.1.1.1:1", "1.1.1.1, 198.51.100.1", "198.51.100.1"}, // what the client made up
		{"10.1.1.1:1", "1.1.1.1, 198.51.100.1, 10.2.2.2", "198.51.100.1"},
		{"10.1.1.1:1", "10.3.3.3", "10.3.3.3"},
		{"10.1.1.1:1", "198.51.100.1, nonsense", "10.1.1.1"},
		{"10.1.1.1:1", "", "10.1.1.1"},
		{"[fd00::1]:1", "2001:db8::1", "2001:db8::1"},
		{"[::ffff:10.1.1.1]:1", "::ffff:198.51.100.1", "198.51.100.1"},
		{"@", "198.51.100.1", "invalid IP"},
	} {
		var got string
		h, _ := wrap(func(_ http.ResponseWriter, r *http.Request) { got = web.ClientAddr(r.Context()).String() }, web.Config{Proxies: proxies})
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		serve(h, r)
		if got != c.want {
			t.Errorf("%s with %q is %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}

func TestRequestIDIsTakenFromTrustedProxiesOnly(t *testing.T) {
	h, _ := wrap(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, web.RequestID(r.Context())) },
		web.Config{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, c := range []struct {
		remote, id string
		kept       bool
	}{
		{"10.0.0.1:1", "abcdef-123_X", true},
		{"203.0.113.9:1", "abcdef-123_X", false},
		{"10.0.0.1:1", "short", false},
		{"10.0.0.1:1", "with space and\ttab", false},
		{"10.0.0.1:1", strings.Repeat("x", 65), false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		r.Header.Set("X-Request-Id", c.id)
		w := serve(h, r)
		if got := w.Body.String(); (got == c.id) != c.kept || got != w.Header().Get("X-Request-Id") || len(got) < 8 {
			t.Errorf("%s with %q: %q", c.remote, c.id, got)
		}
	}
}

func TestPagesOfOtherSitesCannotPost(t *testing.T) {
	guard, err := web.SameOrigin(web.Problem, "https://portal.example")
	if err != nil {
		t.Fatal(err)
	}
	h, _ := wrap(guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP, web.Config{})
	for _, c := range []struct {
		method, site, origin string
		want                 int
	}{
		{http.MethodPost, "same-origin", "", 200},
		{http.MethodPost, "cross-site", "https://evil.example", 403},
		{http.MethodPost, "same-site", "https://sub.example.com", 403},
		{http.MethodPost, "", "https://evil.example", 403},
		{http.MethodPost, "cross-site", "https://portal.example", 200},
		{http.MethodPost, "", "", 200}, // a program
		{http.MethodGet, "cross-site", "https://evil.example", 200},
	} {
		r := httptest.NewRequest(c.method, "https://sign.example/x", nil)
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if w := serve(h, r); w.Code != c.want {
			t.Errorf("%+v: %d", c, w.Code)
		}
	}
	if _, err := web.SameOrigin(web.Problem, "portal.example"); err == nil {
		t.Error("an origin without a scheme was taken")
	}
}

func TestEveryKindOfFaultHasItsStatus(t *testing.T) {
	for kind, want := range map[fault.Kind]int{
		fault.Invalid: 400, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404, fault.Conflict: 409,
		fault.Expired: 410, fault.TooLarge: 413, fault.TooMany: 429, fault.Internal: 500, fault.Unavailable: 503, "new": 500,
	} {
		if got := web.Status(kind); got != want {
			t.Errorf("%s is %d, want %d", kind, got, want)
		}
	}
}

func TestReadJSONSaysWhatIsWrong(t *testing.T) {
	type body struct {
		N    int    `json:"n"`
		Name string `json:"name"`
	}
	for _, c := range []struct {
		name, kind, text string
		strict           bool
		want             string // of the detail; "" when it is taken
	}{
		{"right", "application/json; charset=utf-8", `{"n":1,"name":"x"}`, true, ""},
		{"unknown ignored", "application/json", `{"n":1,"more":2}`, false, ""},
		{"unknown refused", "application/json", `{"n":1,"more":2}`, true, `member "more" is not known`},
		{"form", "application/x-www-form-urlencoded", `n=1`, false, "application/json"},
		{"no type", "", `{}`, false, "application/json"},
		{"cut", "application/json", `{"n":1`, false, "not valid JSON"},
		{"empty", "application/json", ``, false, "not valid JSON"},
		{"wrong", "application/json", `{"n":}`, false, "byte"},
		{"two", "application/json", `{} {}`, false, "more than one"},
		{"rubbish behind", "application/json", `{} x`, false, "more than one"},
		{"text for a number", "application/json", `{"n":"1"}`, false, `"n"`},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.text))
		r.Header.Set("Content-Type", c.kind)
		var v body
		read := web.ReadJSON
		if c.strict {
			read = web.ReadStrictJSON
		}
		err := read(r, &v)
		if c.want == "" {
			if err != nil || v.N != 1 {
				t.Errorf("%s: %+v, %v", c.name, v, err)
			}
			continue
		}
		if f := fault.Of(err); f.Kind != fault.Invalid || !strings.Contains(f.Detail, c.want) || strings.Contains(f.Detail, "body.") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAnswersAreObserved(t *testing.T) {
	var got []web.Observation
	now := time.Unix(0, 0)
	h, _ := wrap(func(w http.ResponseWriter, r *http.Request) {
		now = now.Add(time.Second)
		web.SetRoute(r.Context(), "/x")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "12345")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	}, web.Config{Observe: func(o web.Observation) { got = append(got, o) }, Now: func() time.Time { return now }})
	s := httptest.NewServer(h)
	r, err := http.NewRequest("BREW", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	s.Close() // waits for the handler's end
	want := web.Observation{Name: "test", Route: "/x", Method: "other", Status: 201, Duration: time.Second, Bytes: 5}
	if len(got) != 1 || got[0] != want {
		t.Errorf("observed %+v, want %+v", got, want)
	}
}

func TestFieldsOutsideOfARequestAreDropped(t *testing.T) {
	web.Annotate(t.Context(), "a", 1)
	web.SetRoute(t.Context(), "/")
	web.Fail(t.Context(), errors.New("x"))
	if web.RequestID(t.Context()) != "" || web.ClientAddr(t.Context()).IsValid() {
		t.Error("there is a request")
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("10.0.0.1:1", "1.2.3.4, 10.0.0.2")
	f.Add("[fe80::1%eth0]:1", ",,")
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		h, _ := wrap(func(_ http.ResponseWriter, r *http.Request) {
			if a := web.ClientAddr(r.Context()); a.Is4In6() || a.Zone() != "" {
				t.Errorf("address %s", a)
			}
			_ = web.ClientKey(r)
		}, web.Config{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		r.Header["X-Forwarded-For"] = []string{forwarded}
		serve(h, r)
	})
}
