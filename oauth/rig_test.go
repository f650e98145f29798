package oauth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/oauth"
)

const (
	issuer     = "https://sign.example"
	redirect   = "https://rp.example/cb"
	credential = "cred-1"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fakeApprover is a signer with a device. It holds the server to the contract: a
// request that an approver could not show is an error of the test.
type fakeApprover struct {
	t     testing.TB
	clock *clock

	mu       sync.Mutex
	asked    []oauth.ApprovalRequest
	outcomes map[string]oauth.Outcome // by sid
	handles  map[string]string        // handle to sid, until redeemed
	// beginErr, if set, is what Begin answers; change alters outcomes.
	beginErr error
	began    func() // called when Begin is done, unless nil
	change   func(*oauth.Outcome)
	redeemed int
	page     string // address of the approval page
}

func newApprover(t testing.TB, c *clock) *fakeApprover {
	return &fakeApprover{
		t: t, clock: c, outcomes: map[string]oauth.Outcome{}, handles: map[string]string{}, page: "https://approve.example/a/",
	}
}

func (f *fakeApprover) Begin(_ context.Context, req oauth.ApprovalRequest) (oauth.Approval, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.beginErr != nil {
		return oauth.Approval{}, f.beginErr
	}
	if req.Org == "" || req.Client == "" || req.ClientName == "" || req.Credential == "" || req.HashOID == "" || req.Gateway == "" || len(req.Documents) == 0 || req.Request == [32]byte{} {
		f.t.Errorf("Begin was given an incomplete request: %+v", req)
	}
	for _, d := range req.Documents {
		if d.Label == "" || len(d.DTBSR) < 32 {
			f.t.Errorf("Begin was given a document that cannot be shown: %+v", d)
		}
	}
	sid := store.NewID()
	expires := f.clock.now().Add(5 * time.Minute)
	f.asked = append(f.asked, req)
	f.outcomes[sid] = oauth.Outcome{
		SID: sid, State: oauth.OutcomeApproved, Signer: "signer-1", Credential: req.Credential, Client: req.Client,
		Count: len(req.Documents), Expires: f.clock.now().Add(10 * time.Minute),
	}
	if f.began != nil {
		f.began()
	}
	return oauth.Approval{SID: sid, URL: f.page + sid + "?v=" + store.NewID(), Expires: expires}, nil
}

// decide is the signer at the device: it returns the handle for the way back.
func (f *fakeApprover) decide(sid string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	handle := store.NewID()
	f.handles[handle] = sid
	return handle
}

func (f *fakeApprover) Outcome(_ context.Context, sid, handle string) (oauth.Outcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.handles[handle] != sid || sid == "" {
		return oauth.Outcome{}, fault.New(fault.NotFound, "there is no such handle")
	}
	delete(f.handles, handle)
	f.redeemed++
	o := f.outcomes[sid]
	if f.change != nil {
		f.change(&o)
	}
	return o, nil
}

func (f *fakeApprover) last() oauth.ApprovalRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[len(f.asked)-1]
}

// rig is a server with a resource behind it, a signer and some clients.
type rig struct {
	t        testing.TB
	db       *store.DB
	config   oauth.Config
	clock    *clock
	server   *oauth.Server
	approver *fakeApprover
	mux      *httpd.Router
	secret   string // of the client "secret"
	key      *key   // of the client "key"
	log      *bytes.Buffer
}

// each runs a test with a rig on each engine.
func each(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(t, newRig(t, db, nil)) })
}

func newRig(t testing.TB, db *store.DB, change func(*oauth.Config)) *rig {
	t.Helper()
	r := &rig{t: t, db: db, clock: newClock(), log: &bytes.Buffer{}}
	r.approver = newApprover(t, r.clock)
	config := oauth.Config{
		Issuer: issuer, DB: db, Approver: r.approver, Now: r.clock.now,
		Secrets: [][]byte{[]byte("0123456789abcdef0123456789abcdef")},
		Log:     slog.New(slog.NewTextHandler(&lockedWriter{w: r.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&config)
	}
	r.config = config
	r.restart()
	r.secret, r.key = oauth.NewSecret(), newKey(t)
	for _, c := range []oauth.Client{
		{ID: "secret", Auth: oauth.AuthSecret, Secrets: []string{r.secret}, Scopes: []string{"service", "credential"}, Refresh: true},
		{ID: "key", Auth: oauth.AuthKey, JWKS: r.key.jwks(), Scopes: []string{"service", "credential"}, Refresh: true},
		{ID: "public", Auth: oauth.AuthNone, Scopes: []string{"credential"}},
	} {
		c.Org, c.Name, c.Redirects = "org-1", "Relying Party "+c.ID, []string{redirect, "https://rp.example/second", "http://127.0.0.1/native"}
		r.put(c)
	}
	return r
}

// restart puts a new server in the place of the one before, as when the process was
// started again: it knows what stands in the database.
func (r *rig) restart() {
	r.t.Helper()
	var err error
	if r.server, err = oauth.New(r.t.Context(), r.config); err != nil {
		r.t.Fatal(err)
	}
	r.mux = httpd.New(httpd.Config{})
	r.server.Mount(r.mux)
	r.mux.HandleFunc(http.MethodPost, "/csc/v2/{rest...}", r.resource)
}

func (r *rig) put(c oauth.Client) {
	r.t.Helper()
	if err := r.server.PutClient(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// resource answers with who asks, as a CSC method would see it.
func (r *rig) resource(w http.ResponseWriter, req *http.Request) {
	by, err := r.server.Caller(req)
	if err != nil {
		e := csc.ErrorOf(err)
		w.WriteHeader(e.Status)
		_ = json.NewEncoder(w).Encode(e)
		return
	}
	_ = json.NewEncoder(w).Encode(by)
}

// answer is an HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
	json   map[string]any
}

func (r *rig) do(req *http.Request) answer {
	w := httptest.NewRecorder()
	r.mux.ServeHTTP(w, req)
	a := answer{status: w.Code, header: w.Header(), body: w.Body.Bytes()}
	_ = json.Unmarshal(a.body, &a.json)
	return a
}

// text is a member of a JSON answer.
func (a answer) text(name string) string { s, _ := a.json[name].(string); return s }

// location is where the answer sends the browser, and with which parameters.
func (a answer) location(t testing.TB) (to string, q url.Values) {
	t.Helper()
	if a.status != http.StatusSeeOther {
		t.Fatalf("got %d %s, want a redirect", a.status, a.body)
	}
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	q = u.Query()
	u.RawQuery = ""
	return u.String(), q
}

func (a answer) refused(t testing.TB, status int, code string) {
	t.Helper()
	if a.status != status || a.text("error") != code {
		t.Fatalf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
	for _, bad := range []string{"sql", "fosite", "goroutine"} {
		if strings.Contains(strings.ToLower(string(a.body)), bad) {
			t.Fatalf("the answer tells of our insides: %s", a.body)
		}
	}
}

// party is a client of the server, with what it sends to authenticate.
type party struct {
	id    string
	apply func(req *http.Request, form url.Values) // adds the authentication
	proof func(method, path, token string) string  // makes a DPoP proof, or nil
}

func (r *rig) basic() party {
	return party{id: "secret", apply: func(req *http.Request, _ url.Values) { req.SetBasicAuth("secret", r.secret) }}
}

func (r *rig) jwt() party {
	return party{id: "key", apply: func(_ *http.Request, form url.Values) {
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", r.assertion(nil))
	}}
}

func (r *rig) public() party {
	return party{id: "public", apply: func(_ *http.Request, form url.Values) { form.Set("client_id", "public") }}
}

// withDPoP is the same party, with a proof on each request.
func (p party) withDPoP(r *rig, k *key) party {
	p.proof = func(method, path, token string) string { return r.proof(k, method, path, token, nil) }
	return p
}

// assertion is a client assertion of the client "key"; change alters the claims.
func (r *rig) assertion(change map[string]any) string {
	now := r.clock.now().Unix()
	claims := map[string]any{"iss": "key", "sub": "key", "aud": issuer, "iat": now, "nbf": now, "exp": now + 60, "jti": store.NewID()}
	return r.key.sign(nil, claims, change)
}

// proof is a DPoP proof; change alters the claims.
func (r *rig) proof(k *key, method, path, token string, change map[string]any) string {
	claims := map[string]any{"htm": method, "htu": issuer + path, "iat": r.clock.now().Unix(), "jti": store.NewID()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return k.sign(map[string]any{"typ": "dpop+jwt", "jwk": k.jwk()}, claims, change)
}

// post sends a form as a party.
func (r *rig) post(p party, path string, form url.Values) answer {
	form = clone(form)
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, issuer+path, nil)
	if p.apply != nil {
		p.apply(req, form)
	}
	if p.proof != nil {
		req.Header.Set("DPoP", p.proof(http.MethodPost, path, ""))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Body = io.NopCloser(strings.NewReader(form.Encode()))
	return r.do(req)
}

func (r *rig) get(path string, q url.Values, cookies ...*http.Cookie) answer {
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodGet, issuer+path+"?"+q.Encode(), nil)
	for _, c := range cookies {
		req.AddCookie(c)
	}
	return r.do(req)
}

// call uses a token at the resource.
func (r *rig) call(authorization, proof string) answer {
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, issuer+"/csc/v2/signatures/signHash", strings.NewReader("{}"))
	req.Header.Set("Authorization", authorization)
	if proof != "" {
		req.Header.Set("DPoP", proof)
	}
	return r.do(req)
}

func clone(form url.Values) url.Values {
	out := url.Values{}
	for k, v := range form {
		out[k] = append([]string(nil), v...)
	}
	return out
}

// verifier and its challenge, for PKCE.
const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// details are authorization_details for these documents.
func details(names ...string) string {
	docs := make([]string, len(names))
	for i, n := range names {
		docs[i] = `{"hash":"` + digest(n) + `","label":"` + n + `"}`
	}
	return `[{"type":"https://cloudsignatureconsortium.org/2025/credential","credentialID":"` + credential + `","documentDigests":[` +
		strings.Join(docs, ",") + `],"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1"}]`
}

// wish is an authorization request that is right.
func wish(change ...string) url.Values {
	form := url.Values{
		"response_type": {"code"}, "redirect_uri": {redirect}, "scope": {"credential"}, "state": {"a state"},
		"code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"}, "authorization_details": {details("a.pdf", "b.pdf")},
	}
	for i := 0; i < len(change); i += 2 {
		form.Set(change[i], change[i+1])
		if change[i+1] == "" {
			form.Del(change[i])
		}
	}
	return form
}

// push pushes a request and returns the query for the authorization endpoint.
func (r *rig) push(p party, form url.Values) url.Values {
	r.t.Helper()
	a := r.post(p, "/oauth2/pushed_authorize", form)
	if a.status != http.StatusCreated {
		r.t.Fatalf("PAR: got %d %s", a.status, a.body)
	}
	return url.Values{"client_id": {p.id}, "request_uri": {a.text("request_uri")}}
}

// pending is an authorization that waits for its signer.
type pending struct {
	sid     string
	cookies []*http.Cookie
}

// begin sends a browser to the authorization endpoint.
func (r *rig) begin(q url.Values) pending {
	r.t.Helper()
	a := r.get("/oauth2/authorize", q)
	to, _ := a.location(r.t)
	sid, ok := strings.CutPrefix(to, r.approver.page)
	if !ok {
		r.t.Fatalf("authorize sent the browser to %s", a.header.Get("Location"))
	}
	return pending{sid: sid, cookies: (&http.Response{Header: a.header}).Cookies()}
}

// back sends the browser back from a decided approval.
func (r *rig) back(p pending) answer {
	return r.get("/oauth2/approved", url.Values{"sid": {p.sid}, "handle": {r.approver.decide(p.sid)}}, p.cookies...)
}

// code goes through approval and returns the code.
func (r *rig) code(q url.Values) string {
	r.t.Helper()
	_, got := r.back(r.begin(q)).location(r.t)
	if got.Get("code") == "" {
		r.t.Fatalf("no code: %v", got)
	}
	return got.Get("code")
}

// redemption is the token request for a code.
func redemption(code string, change ...string) url.Values {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
	for i := 0; i < len(change); i += 2 {
		form.Set(change[i], change[i+1])
		if change[i+1] == "" {
			form.Del(change[i])
		}
	}
	return form
}

// credentialToken runs the whole flow.
func (r *rig) credentialToken(p party) answer {
	r.t.Helper()
	a := r.post(p, "/oauth2/token", redemption(r.code(r.push(p, wish()))))
	if a.status != http.StatusOK {
		r.t.Fatalf("token: got %d %s", a.status, a.body)
	}
	return a
}

// serviceToken asks with client credentials.
func (r *rig) serviceToken(p party) answer {
	r.t.Helper()
	a := r.post(p, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"service"}})
	if a.status != http.StatusOK {
		r.t.Fatalf("token: got %d %s", a.status, a.body)
	}
	return a
}

// active asks introspection.
func (r *rig) active(p party, token string) bool {
	r.t.Helper()
	a := r.post(p, "/oauth2/introspect", url.Values{"token": {token}})
	if a.status != http.StatusOK {
		r.t.Fatalf("introspect: got %d %s", a.status, a.body)
	}
	active, _ := a.json["active"].(bool)
	return active
}
