package cscserver_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscserver"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// service holds the server to what csc.Service's callers promise.
type service struct {
	tb        testing.TB
	err       error
	calls     []string
	delivered int
	signHash  *csc.SignHashRequest
}

func (s *service) call(name string) error {
	s.calls = append(s.calls, name)
	return s.err
}

func (s *service) CredentialsList(_ context.Context, by csc.Caller, q *csc.CredentialsListRequest) (*csc.CredentialsListResponse, error) {
	if by.Scope != csc.ScopeService || q.Certificates == "" {
		s.tb.Errorf("CredentialsList by %+v: %+v", by, q)
	}
	return &csc.CredentialsListResponse{CredentialIDs: []string{"c"}}, s.call("list")
}

func (s *service) CredentialsInfo(_ context.Context, by csc.Caller, q *csc.CredentialsInfoRequest) (*csc.CredentialInfo, error) {
	if q.CredentialID == "" || (by.Scope == csc.ScopeCredential && by.Credential != q.CredentialID) || q.Certificates == "" {
		s.tb.Errorf("CredentialsInfo by %+v: %+v", by, q)
	}
	return &csc.CredentialInfo{}, s.call("info")
}

func (s *service) SignHash(_ context.Context, by csc.Caller, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	if by.Scope != csc.ScopeCredential || by.Credential != q.CredentialID || len(q.Hashes) == 0 || q.OperationMode != "S" {
		s.tb.Errorf("SignHash by %+v: %+v", by, q)
	}
	out := &csc.SignHashResponse{}
	for _, h := range q.Hashes {
		raw, err := base64.StdEncoding.DecodeString(h)
		if err != nil || len(raw) == 0 {
			s.tb.Errorf("hash %q is not standard base64", h)
		}
		out.Signatures = append(out.Signatures, base64.StdEncoding.EncodeToString(append([]byte("signed "), raw...)))
	}
	s.signHash = q
	return out, s.call("sign")
}

func (s *service) Timestamp(_ context.Context, _ csc.Caller, q *csc.TimestampRequest) (*csc.TimestampResponse, error) {
	if _, err := signing.HashByOID(q.HashAlgo); err != nil {
		s.tb.Errorf("Timestamp: %+v", q)
	}
	return &csc.TimestampResponse{Timestamp: "dG9rZW4="}, s.call("timestamp")
}

func (s *service) Delivered(context.Context, csc.Caller, *csc.SignHashRequest, *csc.SignHashResponse) {
	s.delivered++
}

// tokens are the access tokens that the authenticator knows.
var tokens = map[string]csc.Caller{
	"service":    {Org: "o", Client: "rp", Scope: csc.ScopeService},
	"credential": {Org: "o", Client: "rp", Scope: csc.ScopeCredential, Credential: "c", SID: "s", Subject: "alice"},
}

type authenticator struct{}

func (authenticator) Caller(r *http.Request) (csc.Caller, error) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	by, ok := tokens[strings.TrimSpace(token)]
	if !ok {
		return csc.Caller{}, fault.New(fault.Unauthenticated, "unknown").WithCode(csc.CodeInvalidToken)
	}
	return by, nil
}

func config(s csc.Service) cscserver.Config {
	return cscserver.Config{
		BaseURL: "https://sign.example/csc/v2", OAuthBase: "https://sign.example", Name: "Test", Region: "BE", Timestamps: true,
		Service: s, Auth: authenticator{},
	}
}

func newServer(tb testing.TB) (*cscserver.Server, *service) {
	tb.Helper()
	s := &service{tb: tb}
	h, err := cscserver.New(config(s))
	if err != nil {
		tb.Fatal(err)
	}
	return h, s
}

func request(method, path, token, body string) *http.Request {
	r := httptest.NewRequest(method, "https://sign.example"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestInfoTellsTheTruth(t *testing.T) {
	h, _ := newServer(t)
	want := csc.Info{
		Specs: "2.2.0.0", Name: "Test", Logo: "https://sign.example/csc/v2/logo.png", Region: "BE", Lang: "en", Description: "Test",
		AuthType: []string{"oauth2code", "oauth2client"}, OAuth2: "https://sign.example", SupportsRAR: true, SupportedHashTypes: []string{"dtbsr"},
		Methods: []string{
			"info", "credentials/list", "credentials/info", "signatures/signHash", "signatures/timestamp",
			"oauth2/authorize", "oauth2/pushed_authorize", "oauth2/token", "oauth2/revoke",
		},
		SignAlgorithms: csc.SignAlgorithms{Algos: []string{
			"1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3", "1.2.840.10045.4.3.4",
			"1.2.840.113549.1.1.11", "1.2.840.113549.1.1.12", "1.2.840.113549.1.1.13", "1.2.840.113549.1.1.10",
		}},
		SignatureFormats: csc.SignatureFormats{Formats: []string{}, EnvelopeProperties: [][]string{}}, ConformanceLevels: []string{},
	}
	for _, r := range []*http.Request{
		request(http.MethodPost, "/csc/v2/info", "", "{}"),
		request(http.MethodPost, "/csc/v2/info", "", `{"lang":null,"unknown":[1]}`),
		request(http.MethodPost, "/csc/v2/info", "", ""),
		request(http.MethodGet, "/csc/v2/info", "", ""),
		request(http.MethodPost, "/csc/v2/info", "expired", "{}"),
	} {
		w := do(h, r)
		var got csc.Info
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", r.Method, w.Code, w.Body)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(w.Body.String(), "null") {
			t.Errorf("info holds nulls: %s", w.Body)
		}
	}
	for _, m := range want.Methods {
		if strings.HasPrefix(m, "oauth2/") {
			continue
		}
		if w := do(h, request(http.MethodPost, "/csc/v2/"+m, "service", "{}")); w.Code == http.StatusNotFound || w.Code == http.StatusNotImplemented {
			t.Errorf("info lists %s, which answers %d", m, w.Code)
		}
	}
	if w := do(h, request(http.MethodGet, "/csc/v2/logo.png", "", "")); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/png" {
		t.Errorf("logo: %d", w.Code)
	} else if c, err := png.DecodeConfig(w.Body); err != nil || c.Width > 256 || c.Height > 256 {
		t.Errorf("logo: %v %+v", err, c)
	}
}

func TestServerWithoutTimestampsDoesNotListThem(t *testing.T) {
	c := config(&service{tb: t})
	c.Timestamps = false
	h, err := cscserver.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if w := do(h, request(http.MethodGet, "/csc/v2/info", "", "")); strings.Contains(w.Body.String(), "timestamp") {
		t.Errorf("info: %s", w.Body)
	}
	if w := do(h, request(http.MethodPost, "/csc/v2/signatures/timestamp", "service", "{}")); w.Code != http.StatusNotImplemented {
		t.Errorf("answered %d", w.Code)
	}
}

func TestEveryRefusalIsJSON(t *testing.T) {
	h, s := newServer(t)
	big := `{"clientData":"` + strings.Repeat("x", cscserver.DefaultMaxBody) + `"}`
	chunked := request(http.MethodPost, "/csc/v2/credentials/list", "service", big)
	chunked.ContentLength = -1
	form := request(http.MethodPost, "/csc/v2/credentials/list", "service", "a=b")
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	latin := request(http.MethodPost, "/csc/v2/credentials/list", "service", "{}")
	latin.Header.Set("Content-Type", "application/json; charset=iso-8859-1")
	untyped := request(http.MethodPost, "/csc/v2/credentials/list", "service", "{}")
	untyped.Header.Del("Content-Type")
	twice := request(http.MethodPost, "/csc/v2/credentials/list", "service", "{}")
	twice.Header.Add("Authorization", "Bearer service")
	rows := map[string]struct {
		r      *http.Request
		status int
		header [2]string
	}{
		"unknown path":       {request(http.MethodPost, "/csc/v2/credential/list", "service", "{}"), 404, [2]string{}},
		"other version":      {request(http.MethodPost, "/csc/v1/info", "", "{}"), 404, [2]string{}},
		"slash at the end":   {request(http.MethodPost, "/csc/v2/info/", "", "{}"), 404, [2]string{}},
		"GET":                {request(http.MethodGet, "/csc/v2/credentials/list", "service", ""), 405, [2]string{"Allow", "POST"}},
		"TRACE":              {request(http.MethodTrace, "/csc/v2/signatures/signHash", "service", ""), 405, [2]string{"Allow", "POST"}},
		"PUT info":           {request(http.MethodPut, "/csc/v2/info", "", "{}"), 405, [2]string{"Allow", "GET, HEAD, POST"}},
		"not offered":        {request(http.MethodPost, "/csc/v2/signatures/signDoc", "service", "{}"), 501, [2]string{}},
		"no token":           {request(http.MethodPost, "/csc/v2/credentials/list", "", "{}"), 401, [2]string{"WWW-Authenticate", "Bearer"}},
		"wrong token":        {request(http.MethodPost, "/csc/v2/credentials/list", "nobody", "{}"), 401, [2]string{"WWW-Authenticate", `Bearer error="invalid_token", error_description="The token provided is not a valid OAuth access or refresh token."`}},
		"two headers":        {twice, 400, [2]string{}},
		"too large":          {request(http.MethodPost, "/csc/v2/credentials/list", "service", big), 413, [2]string{}},
		"too large, chunked": {chunked, 413, [2]string{}},
		"form":               {form, 415, [2]string{}},
		"other charset":      {latin, 415, [2]string{}},
		"no type":            {untyped, 415, [2]string{}},
		"not JSON":           {request(http.MethodPost, "/csc/v2/credentials/list", "service", "{"), 400, [2]string{}},
		"an array":           {request(http.MethodPost, "/csc/v2/credentials/list", "service", "[]"), 400, [2]string{}},
		"a string":           {request(http.MethodPost, "/csc/v2/credentials/list", "service", `"x"`), 400, [2]string{}},
		"null":               {request(http.MethodPost, "/csc/v2/credentials/list", "service", "null"), 400, [2]string{}},
		"two objects":        {request(http.MethodPost, "/csc/v2/credentials/list", "service", "{}{}"), 400, [2]string{}},
		"rest behind":        {request(http.MethodPost, "/csc/v2/credentials/list", "service", "{} x"), 400, [2]string{}},
		"member twice":       {request(http.MethodPost, "/csc/v2/credentials/list", "service", `{"lang":"en","lang":"de"}`), 400, [2]string{}},
		"escaped twice":      {request(http.MethodPost, "/csc/v2/credentials/list", "service", `{"lang":"en","l\u0061ng":"de"}`), 400, [2]string{}},
		"null, then value":   {request(http.MethodPost, "/csc/v2/credentials/list", "service", `{"userID":null,"userID":"a"}`), 400, [2]string{}},
		"broken UTF-8":       {request(http.MethodPost, "/csc/v2/credentials/list", "service", "{\"lang\":\"\xff\"}"), 400, [2]string{}},
		"flag as text":       {request(http.MethodPost, "/csc/v2/credentials/list", "service", `{"onlyValid":"true"}`), 400, [2]string{}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			w := do(h, row.r)
			var e csc.Error
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Code == "" || e.Description == "" {
				t.Errorf("body %q", w.Body)
			}
			if w.Code != row.status || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("status %d, want %d; header %v", w.Code, row.status, w.Header())
			}
			if got := w.Header().Get(row.header[0]); row.header[0] != "" && got != row.header[1] {
				t.Errorf("%s: %q, want %q", row.header[0], got, row.header[1])
			}
		})
	}
	if len(s.calls) > 0 {
		t.Errorf("refused requests reached the service: %q", s.calls)
	}
}

func TestFaultsOfTheServiceBecomeTheirStatus(t *testing.T) {
	rows := []struct {
		err    error
		status int
		code   string
	}{
		{fault.New(fault.Invalid, "x"), 400, csc.CodeInvalidRequest},
		{fault.New(fault.NotFound, "x"), 400, csc.CodeInvalidRequest},
		{fault.New(fault.Conflict, "x"), 400, csc.CodeInvalidRequest},
		{fault.New(fault.Expired, "x"), 400, csc.CodeInvalidRequest},
		{fault.New(fault.Unauthenticated, "x").WithCode(csc.CodeExpiredToken), 401, csc.CodeExpiredToken},
		{fault.New(fault.Forbidden, "x"), 403, csc.CodeAccessDenied},
		{fault.New(fault.TooLarge, "x"), 413, csc.CodeInvalidRequest},
		{fault.New(fault.TooMany, "x"), 429, csc.CodeTemporarilyUnavailable},
		{fault.New(fault.Unavailable, "x"), 503, csc.CodeTemporarilyUnavailable},
		{fault.New(fault.Internal, "secret"), 500, csc.CodeServerError},
		{errors.New("secret"), 500, csc.CodeServerError},
		{csc.ErrAccessDenied.Because(errors.New("secret")), 400, csc.CodeAccessDenied},
	}
	for _, row := range rows {
		h, s := newServer(t)
		s.err = row.err
		w := do(h, request(http.MethodPost, "/csc/v2/credentials/list", "service", "{}"))
		var e csc.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != row.status || e.Code != row.code {
			t.Errorf("%v: %d %s", row.err, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("the cause is shown: %s", w.Body)
		}
		if needs := row.status == 429 || row.status == 503; needs != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%v: Retry-After %q", row.err, w.Header().Get("Retry-After"))
		}
	}
}

// brokenWriter loses the connection while the answer is written.
type brokenWriter struct{ *httptest.ResponseRecorder }

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestOnlyAnAnswerThatLeftCountsAsDelivered(t *testing.T) {
	h, s := newServer(t)
	body := `{"credentialID":"c","hashes":["` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `"],"signAlgo":"1.2.840.10045.4.3.2"}`
	h.ServeHTTP(brokenWriter{httptest.NewRecorder()}, request(http.MethodPost, "/csc/v2/signatures/signHash", "credential", body))
	if len(s.calls) != 1 || s.delivered != 0 {
		t.Errorf("calls %q, delivered %d", s.calls, s.delivered)
	}
	if w := do(h, request(http.MethodPost, "/csc/v2/signatures/signHash", "credential", body)); w.Code != http.StatusOK || s.delivered != 1 {
		t.Errorf("%d %s, delivered %d", w.Code, w.Body, s.delivered)
	}
}

func TestConfigurationThatWouldLie(t *testing.T) {
	for name, change := range map[string]func(*cscserver.Config){
		"base without version":    func(c *cscserver.Config) { c.BaseURL = "https://sign.example" },
		"relative base":           func(c *cscserver.Config) { c.BaseURL = "/csc/v2" },
		"oauth2 with the path":    func(c *cscserver.Config) { c.OAuthBase = "https://sign.example/oauth2" },
		"oauth2 with slash":       func(c *cscserver.Config) { c.OAuthBase = "https://sign.example/" },
		"no region":               func(c *cscserver.Config) { c.Region = "" },
		"no name":                 func(c *cscserver.Config) { c.Name = "" },
		"no service":              func(c *cscserver.Config) { c.Service = nil },
		"nobody to ask for names": func(c *cscserver.Config) { c.Auth = nil },
	} {
		c := config(&service{tb: t})
		change(&c)
		if _, err := cscserver.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzRequests(f *testing.F) {
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, body := range []string{
		`{}`, `{"credentialID":"c"}`, `{"credentialID":"c","credentialID":"d"}`, `{"hashes":[null]}`, `{"hash":"` + hash + `","hashAlgo":"2.16.840.1.101.3.4.2.1","nonce":"0f"}`,
		`{"credentialID":"c","hashes":["` + hash + `"],"signAlgo":"1.2.840.10045.4.3.2","hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","SAD":"credential"}`,
		`{"credentialID":"c","hashes":["` + hash + `"],"signAlgo":"1.2.840.113549.1.1.10","signAlgoParams":"MAA="}`,
		`{"validity_period":1e400,"response_uri":"x","operationMode":"S","credentialID":"c","hashes":["%41"],"signAlgo":"1.3.101.112"}`,
	} {
		f.Add([]byte(body), "service")
		f.Add([]byte(body), "credential")
	}
	f.Fuzz(func(t *testing.T, body []byte, token string) {
		h, s := newServer(t)
		for _, path := range h.Paths() {
			r := httptest.NewRequest(http.MethodPost, "https://sign.example"+path, bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header["Authorization"] = []string{"Bearer " + token}
			s.signHash = nil
			w := do(h, r)
			if w.Code == http.StatusInternalServerError || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			if s.signHash == nil {
				continue
			}
			var answer csc.SignHashResponse
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer.Signatures) != len(s.signHash.Hashes) {
				t.Errorf("%s: %s", path, w.Body)
			}
			alg, err := signing.Resolve(s.signHash.SignAlgo, s.signHash.HashAlgorithmOID, must(base64.StdEncoding.DecodeString(s.signHash.SignAlgoParams)))
			if err != nil {
				t.Errorf("the algorithm passed on is not one: %+v", s.signHash)
			}
			for _, text := range s.signHash.Hashes {
				if n := len(must(base64.StdEncoding.DecodeString(text))); alg != signing.Ed25519 && n != alg.Hash().Size() {
					t.Errorf("a hash of %d bytes was passed on for %s", n, alg)
				}
			}
		}
	})
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
