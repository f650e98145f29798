package direct_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/i18n/i18ntest"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/portal/direct"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

// service is a signing service that signs everything once, or fails as it is told.
type service struct {
	mu       sync.Mutex
	leaf     *x509.Certificate
	began    [][]signer.Digests
	redeemed []string // addresses
	fail     error
	hold     chan struct{} // Complete waits for it, unless nil
}

func (s *service) credential() *signer.Credential {
	return &signer.Credential{ID: "key-1", Description: "Ada", SCAL: "2", Algorithm: signing.ECDSAWithSHA256, Multisign: 1, Chain: []*x509.Certificate{s.leaf}}
}

func (s *service) Credentials(context.Context) ([]*signer.Credential, error) {
	return []*signer.Credential{s.credential()}, nil
}

func (s *service) Credential(_ context.Context, id string) (*signer.Credential, error) {
	if id != "key-1" {
		return nil, fault.New(fault.NotFound, "no such key").WithCode("credential")
	}
	return s.credential(), nil
}

func (s *service) Begin(_ context.Context, _ *signer.Credential, documents []signer.Digests) (*signer.Authorization, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began = append(s.began, documents)
	state := "state-" + string(rune('0'+len(s.began)))
	return &signer.Authorization{URL: "http://sign.example/authorize?request_uri=" + state, State: state, Verifier: "secret-verifier"}, nil
}

func (s *service) Complete(ctx context.Context, _ *signer.Credential, _ *signer.Authorization, final string, _ []signer.Digests) ([][]byte, error) {
	s.mu.Lock()
	s.redeemed = append(s.redeemed, final)
	hold, fail := s.hold, s.fail
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return [][]byte{[]byte("signature")}, fail
}

func (s *service) Token(_ context.Context, imprint []byte, hash, nonce string) ([]byte, error) {
	return []byte("token of " + string(imprint) + hash + nonce), nil
}

func (s *service) Evidence(_ context.Context, leaves, _ []*x509.Certificate) (pades.Evidence, error) {
	return pades.Evidence{Certs: [][]byte{leaves[0].Raw}, OCSPs: [][]byte{[]byte("good")}}, nil
}

// site is the page with its API, and one browser.
type site struct {
	t       *testing.T
	handler http.Handler
	service *service
	direct  *direct.Direct
	cookie  *http.Cookie
	clock   time.Time
}

func newSite(t *testing.T, db *store.DB, org string, s *service) *site {
	t.Helper()
	x := &site{t: t, service: s, clock: time.Now()}
	d, err := direct.New(t.Context(), direct.Config{
		DB: db, Origin: "http://portal.example", Org: "Example", OrgID: org, Now: func() time.Time { return x.clock }, Anchors: []*x509.Certificate{s.leaf},
		Service: func(context.Context) (direct.Service, error) { return s, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httpd.New(httpd.Config{Web: web.Config{Log: slog.New(slog.DiscardHandler)}})
	if err := d.Mount(r); err != nil {
		t.Fatal(err)
	}
	x.handler, x.direct = r, d
	x.visit()
	return x
}

func newService(t *testing.T) *service {
	t.Helper()
	return &service{leaf: adestest.New(t, adestest.Config{}).Signer.Cert}
}

// visit opens the page as a browser that was never here.
func (x *site) visit() *httptest.ResponseRecorder {
	x.t.Helper()
	w := httptest.NewRecorder()
	x.handler.ServeHTTP(w, httptest.NewRequestWithContext(x.t.Context(), http.MethodGet, "/direct", nil))
	if w.Code != http.StatusOK || len(w.Result().Cookies()) != 1 {
		x.t.Fatalf("page: status %d, cookies %v", w.Code, w.Result().Cookies())
	}
	x.cookie = w.Result().Cookies()[0]
	return w
}

// post asks the API and returns status, code of the refusal, and the answer.
func (x *site) post(operation string, body any) (status int, code string, answer map[string]any) {
	x.t.Helper()
	text, ok := body.(string)
	if !ok {
		b, err := json.Marshal(body)
		if err != nil {
			x.t.Fatal(err)
		}
		text = string(b)
	}
	r := httptest.NewRequestWithContext(x.t.Context(), http.MethodPost, "/direct/api/"+operation, strings.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	if x.cookie != nil {
		r.AddCookie(x.cookie)
	}
	w := httptest.NewRecorder()
	x.handler.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		x.t.Fatalf("%s: %v in %s", operation, err, w.Body)
	}
	code, _ = answer["code"].(string)
	return w.Code, code, answer
}

// begin asks for an authorisation and returns its state.
func (x *site) begin() string {
	x.t.Helper()
	status, code, a := x.post("authorize", map[string]any{"credential": "key-1", "documents": []any{doc()}})
	if status != http.StatusOK {
		x.t.Fatalf("authorize: %d %s %v", status, code, a)
	}
	if text, _ := json.Marshal(a); bytes.Contains(text, []byte("verifier")) {
		x.t.Fatalf("the browser learns the PKCE verifier: %s", text)
	}
	state, _ := a["state"].(string)
	return state
}

func doc() map[string]any {
	return map[string]any{"label": "a.pdf", "size": 1000, "dtbsr": make([]byte, 32), "signedAttributes": []byte("attributes"), "digest": make([]byte, 32)}
}

func (x *site) sign(state, address string) (status int, code string, answer map[string]any) {
	x.t.Helper()
	return x.post("sign", map[string]any{"state": state, "address": address})
}

const back = "http://portal.example/direct/return?code=c&state=s&iss=i"

// signed is base64 of what the service gives.
var signed = map[string]any{"signatures": []any{"c2lnbmF0dXJl"}}

func TestCodeIsRedeemedOnceAndTheSignatureGivenAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(t)
		x := newSite(t, db, "", s)
		state := x.begin()
		if _, _, a := x.sign(state, ""); a["waiting"] != true || a["url"] == "" {
			t.Errorf("before the approval: %v", a)
		}
		s.hold = make(chan struct{})
		var all sync.WaitGroup
		answers := make(chan map[string]any, 8)
		for range cap(answers) {
			all.Go(func() {
				_, code, a := x.sign(state, back)
				if code == direct.CodeBusy {
					a = nil
				}
				answers <- a
			})
		}
		time.Sleep(50 * time.Millisecond)
		close(s.hold)
		all.Wait()
		close(answers)
		got := 0
		for a := range answers {
			if a == nil {
				continue
			}
			got++
			if d := cmp.Diff(signed, a); d != "" {
				t.Error(d)
			}
		}
		if len(s.redeemed) != 1 || got < 1 {
			t.Fatalf("the code was redeemed %d times, %d got the signature", len(s.redeemed), got)
		}
		for _, address := range []string{back, "", "http://portal.example/direct/return?code=other"} {
			if status, _, a := x.sign(state, address); status != http.StatusOK || cmp.Diff(signed, a) != "" {
				t.Errorf("again with %q: %d %v", address, status, a)
			}
		}
		if status, _, _ := x.post("forget", map[string]string{"state": state}); status != http.StatusOK {
			t.Errorf("forget: %d", status)
		}
		if status, code, _ := x.sign(state, back); status != http.StatusNotFound || code != "request_unknown" {
			t.Errorf("forgotten: %d %s", status, code)
		}
	})
}

func TestSignaturesBelongToOneBrowserOfOneOrganisation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(t)
		x := newSite(t, db, "one", s)
		state := x.begin()
		own := x.cookie
		other := newSite(t, db, "two", s)
		other.cookie = own // even with the same cookie
		if status, code, _ := other.sign(state, back); status != http.StatusNotFound || code != "request_unknown" {
			t.Errorf("another organisation: %d %s", status, code)
		}
		x.visit()
		if status, code, _ := x.sign(state, back); status != http.StatusNotFound || code != "request_unknown" {
			t.Errorf("another browser: %d %s", status, code)
		}
		x.cookie = nil
		if status, code, _ := x.sign(state, back); status != http.StatusUnauthorized || code != "no_session" {
			t.Errorf("no browser: %d %s", status, code)
		}
		if len(s.redeemed) > 0 {
			t.Errorf("redeemed %v", s.redeemed)
		}
		x.cookie = own
		if status, _, _ := x.sign(state, back); status != http.StatusOK {
			t.Errorf("the browser itself: %d", status)
		}
	})
}

func TestWhatEndedIsSaidToHave(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(t)
		x := newSite(t, db, "", s)
		for _, row := range []struct {
			name   string
			fail   error
			status int
			code   string
		}{
			{"refused by the signer", fault.New(fault.Forbidden, "no approval").WithCode(cscclient.CodeApprovalRefused), http.StatusForbidden, cscclient.CodeApprovalRefused},
			{"a service that lies", fault.New(fault.Unavailable, "wrong signature").WithCode(signer.CodeSignatureWrong), http.StatusServiceUnavailable, signer.CodeSignatureWrong},
			{"our own trouble", context.DeadlineExceeded, http.StatusInternalServerError, ""},
		} {
			s.fail = row.fail
			state := x.begin()
			if status, code, a := x.sign(state, back); status != row.status || code != row.code {
				t.Errorf("%s: %d %s %v", row.name, status, code, a)
			}
			n := len(s.redeemed)
			if status, code, _ := x.sign(state, back); status == http.StatusOK || code != row.code || len(s.redeemed) != n {
				t.Errorf("%s, asked again: %d %s, redeemed %d times", row.name, status, code, len(s.redeemed)-n+1)
			}
		}
		s.fail = nil
		state := x.begin()
		x.clock = x.clock.Add(2 * time.Hour)
		if status, code, _ := x.sign(state, back); status != http.StatusNotFound || code != "request_unknown" {
			t.Errorf("after two hours: %d %s", status, code)
		}
		if err := x.direct.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestProcessThatDiedWhileItRedeemedIsReportedAsUncertain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newSite(t, db, "", newService(t))
		state := x.begin()
		if _, err := db.Exec(t.Context(), `UPDATE direct_signing SET phase = $1, began = $2 WHERE id = $3`, "redeeming", store.Micros(x.clock), state); err != nil {
			t.Fatal(err)
		}
		if status, code, _ := x.sign(state, back); status != http.StatusConflict || code != direct.CodeBusy {
			t.Errorf("at once: %d %s", status, code)
		}
		x.clock = x.clock.Add(5 * time.Minute)
		if status, code, _ := x.sign(state, back); status != http.StatusServiceUnavailable || code != "lost" {
			t.Errorf("later: %d %s", status, code)
		}
	})
}

func TestAPITakesDigestsAndNothingLarger(t *testing.T) {
	s := newService(t)
	x := newSite(t, storetest.SQLite(t), "", s)
	with := func(name string, value any) any {
		d := doc()
		d[name] = value
		return map[string]any{"credential": "key-1", "documents": []any{d}}
	}
	for name, row := range map[string]struct {
		operation string
		body      any
		status    int
	}{
		"a document in place of a digest": {"authorize", with("dtbsr", make([]byte, 64<<10)), http.StatusBadRequest},
		"attributes that are none":        {"authorize", with("signedAttributes", make([]byte, 64<<10)), http.StatusBadRequest},
		"a long name":                     {"authorize", with("label", strings.Repeat("x", 600)), http.StatusBadRequest},
		"another member":                  {"authorize", with("content", "JVBERi0="), http.StatusBadRequest},
		"more than 256 KB":                {"authorize", with("label", strings.Repeat("x", 300<<10)), http.StatusRequestEntityTooLarge},
		"no JSON":                         {"authorize", "%PDF-1.7", http.StatusBadRequest},
		"another key":                     {"authorize", map[string]any{"credential": "key-2", "documents": []any{doc()}}, http.StatusNotFound},
		"a signing that is not there":     {"evidence", map[string]any{"state": "none", "leaves": [][]byte{[]byte("x")}}, http.StatusNotFound},
	} {
		if status, code, a := x.post(row.operation, row.body); status != row.status {
			t.Errorf("%s: %d %s %v, want %d", name, status, code, a, row.status)
		}
	}
	state := x.begin()
	for _, address := range []string{"http://portal.example/elsewhere?code=c", "::", "/direct/return/../x?code=c"} {
		if status, code, _ := x.sign(state, address); status != http.StatusBadRequest || code != "address" {
			t.Errorf("%s: %d %s", address, status, code)
		}
	}
	if status, _, a := x.post("credentials", map[string]any{}); status != http.StatusOK || !strings.Contains(mustJSON(t, a), `"name":"`+s.leaf.Subject.CommonName) {
		t.Errorf("credentials: %d %v", status, a)
	}
	stamp := map[string]any{"state": state, "imprint": []byte("i"), "hash": "h", "nonce": "n"}
	proof := map[string]any{"state": state, "leaves": [][]byte{s.leaf.Raw}, "known": [][]byte{}}
	for operation, q := range map[string]any{"timestamp": stamp, "evidence": proof} {
		if status, code, _ := x.post(operation, q); status != http.StatusForbidden || code != "not_signed" {
			t.Errorf("%s without a signature: %d %s", operation, status, code)
		}
	}
	if status, _, _ := x.sign(state, back); status != http.StatusOK {
		t.Fatalf("sign: %d", status)
	}
	if status, _, a := x.post("timestamp", stamp); status != http.StatusOK || a["token"] == "" {
		t.Errorf("timestamp: %d %v", status, a)
	}
	if status, _, a := x.post("evidence", proof); status != http.StatusOK || a["ocsps"] == nil {
		t.Errorf("evidence: %d %v", status, a)
	}
	proof["leaves"] = [][]byte{[]byte("x")}
	if status, code, _ := x.post("evidence", proof); status != http.StatusBadRequest || code != "certificate" {
		t.Errorf("no certificate: %d %s", status, code)
	}
	if status, _, a := x.post("anchors", map[string]any{}); status != http.StatusOK || a["anchors"] == nil {
		t.Errorf("anchors: %d %v", status, a)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPageMaySendToItsAPIOnly(t *testing.T) {
	x := newSite(t, storetest.SQLite(t), "", newService(t))
	w := x.visit()
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{
		"default-src 'none'", "connect-src http://portal.example/direct/api/;", "form-action 'none'", "frame-ancestors 'none'", "base-uri 'none'",
		"require-trusted-types-for 'script'", "trusted-types default",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe-inline") || strings.Contains(policy, "'unsafe-eval'") || strings.Contains(policy, "https:") {
		t.Errorf("the policy is too wide: %s", policy)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/direct/api/anchors", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "https://evil.example")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.AddCookie(x.cookie)
	got := httptest.NewRecorder()
	x.handler.ServeHTTP(got, r)
	if got.Code != http.StatusForbidden {
		t.Errorf("a page of another site: status %d", got.Code)
	}
}

func TestPageSpeaksEveryLanguage(t *testing.T) {
	c := i18ntest.Check(t, os.DirFS("."), "pages/*.html", "page.go")
	scripts, err := os.ReadDir("web")
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, f := range scripts {
		text, err := os.ReadFile("web/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq(string(text), `say("`) {
			key, _, ok := strings.Cut(part, `"`)
			if !ok || strings.ContainsAny(key, " \n/") || part == string(text) {
				continue
			}
			if said++; !c.Has("js." + key) {
				t.Errorf("%s says %q, which nobody wrote", f.Name(), key)
			}
		}
	}
	if said < 30 {
		t.Errorf("only %d messages were found in the scripts", said)
	}
}
