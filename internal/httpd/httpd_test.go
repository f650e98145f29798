package httpd_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/metrics"
	"github.com/countersign/countersign/internal/web"
)

func say(names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, name := range names {
			_, _ = io.WriteString(w, name+"="+r.PathValue(name)+";")
		}
	}
}

func serve(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

// routed has the shapes of routes that the programs mount.
func routed(c httpd.Config) *httpd.Router {
	r := httpd.New(c)
	r.HandleFunc("GET", "/a/{sid}", say("sid"))
	r.HandleFunc("POST", "/a/{sid}", say("sid"))
	r.HandleFunc("DELETE", "/a/{sid}/x", say("sid"))
	r.HandleFunc("GET", "/static/{file...}", say("file"))
	r.HandleFunc("POST", "/token", say())
	return r
}

func TestHandlersGetTheirVariables(t *testing.T) {
	r := routed(httpd.Config{})
	for _, c := range []struct {
		method, path, want string
		status             int
	}{
		{"GET", "/a/123", "sid=123;", 200},
		{"HEAD", "/a/123", "sid=123;", 200},
		{"POST", "/a/x%20y", "sid=x y;", 200},
		{"DELETE", "/a/1/x", "sid=1;", 200},
		{"GET", "/static/js/app.js", "file=js/app.js;", 200},
		{"GET", "/a/1/2", "nothing at this address", 404},
		{"GET", "/a/", "nothing", 404},
		{"GET", "//a/123", "nothing", 404}, // never a redirect
		{"GET", "/token/", "nothing", 404},
		{"GET", "/", "nothing", 404},
	} {
		w := serve(r, c.method, c.path)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
	}
}

// TestFirstRouteWins also where the later one has no variables.
func TestFirstRouteWins(t *testing.T) {
	r := httpd.New(httpd.Config{})
	r.HandleFunc("POST", "/b/first", say("none"))
	r.HandleFunc("POST", "/b/{name}", say("name"))
	r.HandleFunc("POST", "/b/later", say("none"))
	r.HandleFunc("GET", "/b/later", say("none"))
	for target, want := range map[string]string{
		"POST /b/first": "none=;", "POST /b/other": "name=other;", "POST /b/later": "name=later;", "GET /b/later": "none=;", "HEAD /b/later": "none=;",
		"POST /b/fi%72st": "none=;",
	} {
		method, path, _ := strings.Cut(target, " ")
		if w := serve(r, method, path); w.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, want)
		}
	}
}

func TestWrongMethodIsToldTheRightOnes(t *testing.T) {
	r := routed(httpd.Config{})
	for _, c := range []struct{ method, path, allow string }{
		{"DELETE", "/a/1", "GET, HEAD, POST"},
		{"GET", "/token", "POST"},
		{"OPTIONS", "/a/1/x", "DELETE"},
	} {
		w := serve(r, c.method, c.path)
		if w.Code != 405 || w.Header().Get("Allow") != c.allow || !strings.Contains(w.Body.String(), `"code":"method"`) {
			t.Errorf("%s %s: %d, Allow %q, %s", c.method, c.path, w.Code, w.Header().Get("Allow"), w.Body)
		}
		if w.Header().Get("X-Content-Type-Options") == "" {
			t.Error("no security headers")
		}
	}
}

func TestAnswersForNoRouteAreTheProgramsOwn(t *testing.T) {
	r := routed(httpd.Config{
		NotFound: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "own 404")
		}),
		MethodNotAllowed: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusMethodNotAllowed)
			_, _ = io.WriteString(w, "own 405")
		}),
	})
	if w := serve(r, "GET", "/none"); w.Code != 404 || w.Body.String() != "own 404" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := serve(r, "PUT", "/token"); w.Code != 405 || w.Body.String() != "own 405" || w.Header().Get("Allow") != "POST" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What no route takes is what a stranger can ask for most cheaply.
func TestWhatNoRouteTakesCanBeRefusedEarlier(t *testing.T) {
	open := false
	r := routed(httpd.Config{Elsewhere: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !open {
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			h.ServeHTTP(w, r)
		})
	}})
	for _, c := range []struct {
		method, target string
		shut, open     int
	}{
		{"GET", "/nothing", 429, 404},
		{"PUT", "/token", 429, 405},
		{"POST", "/token", 200, 200},
	} {
		open = false
		if got := serve(r, c.method, c.target).Code; got != c.shut {
			t.Errorf("%s %s: %d, want %d", c.method, c.target, got, c.shut)
		}
		open = true
		if got := serve(r, c.method, c.target).Code; got != c.open {
			t.Errorf("%s %s: %d, want %d", c.method, c.target, got, c.open)
		}
	}
}

func TestMiddlewaresStandInOrder(t *testing.T) {
	mark := func(name string) httpd.Middleware {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, name+" ")
				h.ServeHTTP(w, r)
			})
		}
	}
	r := httpd.New(httpd.Config{})
	outer := r.With(mark("one"), mark("two"))
	outer.With(mark("three")).HandleFunc("GET", "/three", say("x"))
	outer.HandleFunc("GET", "/two", say("x"))
	r.HandleFunc("GET", "/none", say("x"))
	for path, want := range map[string]string{"/three": "one two three x=;", "/two": "one two x=;", "/none": "x=;"} {
		if got := serve(r, "GET", path).Body.String(); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := r.Routes(); !slices.Equal(got, []string{"GET /none", "GET /three", "GET /two"}) {
		t.Errorf("routes %v", got)
	}
}

func TestWhatCannotBeMountedPanics(t *testing.T) {
	for _, c := range []struct{ method, pattern string }{
		{"GET", "/a/{sid}"}, {"get", "/b"}, {"", "/b"}, {"GET", "b"}, {"GET", "/b/{"},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s %s was mounted", c.method, c.pattern)
				}
			}()
			routed(httpd.Config{}).HandleFunc(c.method, c.pattern, say())
		}()
	}
}

func TestMetricsCountByRoute(t *testing.T) {
	m := metrics.New("1.2.3", "abc")
	r := routed(httpd.Config{Web: web.Config{Name: "gateway", Observe: m.Observe}})
	for _, path := range []string{"/a/1", "/a/2", "/wp-admin", "/other"} {
		serve(r, "GET", path)
	}
	serve(r, "PUT", "/token")
	m.Counter("countersign_signatures_total", "Signatures.", "algorithm")("P-256")
	m.Gauge("countersign_audit_size", "Events.", func() float64 { return 7 })
	m.Histogram("countersign_sign_seconds", "Time.", "algorithm")(0.2, "P-256")
	text := serve(m.Handler(), "GET", "/metrics").Body.String()
	wanted := []string{
		`countersign_http_requests_total{method="GET",route="/a/{sid}",server="gateway",status="200"} 2`,
		`countersign_http_requests_total{method="GET",route="none",server="gateway",status="404"} 2`,
		`countersign_http_requests_total{method="PUT",route="none",server="gateway",status="405"} 1`,
		`countersign_http_request_duration_seconds_count{method="GET",route="/a/{sid}",server="gateway"} 2`,
		`countersign_build_info{commit="abc",`, `version="1.2.3"} 1`, "go_goroutines",
		`countersign_signatures_total{algorithm="P-256"} 1`, "countersign_audit_size 7", `countersign_sign_seconds_count{algorithm="P-256"} 1`,
	}
	// The process's own figures come from /proc, where that shows this process.
	if self, err := os.Readlink("/proc/self"); err == nil && self == strconv.Itoa(os.Getpid()) {
		wanted = append(wanted, "process_open_fds")
	}
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in the metrics", want)
		}
	}
	if strings.Contains(text, "wp-admin") {
		t.Error("a path from outside became a label")
	}
}
