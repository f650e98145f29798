package csctest

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/csc/cscsam"
	"github.com/countersign/countersign/csc/cscserver"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// What every service of this package knows.
const (
	Org          = "org"
	ClientID     = "rp"
	ClientSecret = "0123456789abcdef0123456789abcdef"
	RedirectURI  = "https://rp.example/callback"
	SignerID     = "alice"
	CredentialID = "cred-1"
)

// Service is a signing service over HTTP on loopback.
type Service struct {
	URL    string // of everything
	Base   string // …/csc/v2
	Issuer string
	SAM    *SAM
	PKI    *adestest.PKI

	// Intercept answers a request instead of the service if it returns true.
	Intercept func(w http.ResponseWriter, r *http.Request) bool
	// Rewrite changes the body of an answer of the API, by method name.
	Rewrite func(method string, body []byte) []byte
	// Refuse makes the signer refuse.
	Refuse bool
	// Skew is added to the time of time-stamps.
	Skew time.Duration
	// Wrap puts something between the API and the module's service.
	Wrap func(csc.Service) csc.Service

	tb testing.TB

	mu       sync.Mutex
	pushed   map[string]url.Values
	codes    map[string]grant
	tokens   map[string]csc.Caller
	requests []string // paths, in order
	machine  *ecdsa.PublicKey
	sealCert *x509.Certificate
	ordered  []string // jti of machines' orders
}

type grant struct {
	form url.Values
	by   csc.Caller
}

// Start starts a service with one credential of that key type.
func Start(tb testing.TB, t signing.KeyType) *Service {
	tb.Helper()
	s := &Service{tb: tb, pushed: map[string]url.Values{}, codes: map[string]grant{}, tokens: map[string]csc.Caller{}}
	server := httptest.NewUnstartedServer(nil)
	s.URL = "http://" + server.Listener.Addr().String()
	s.Issuer, s.Base = s.URL, s.URL+"/csc/v2"
	s.PKI = adestest.New(tb, adestest.Config{BaseURL: s.URL, KeyType: t})
	s.SAM = NewSAM(tb)
	s.SAM.Add(Credential(CredentialID, SignerID, t, s.PKI.Signer.Cert, s.PKI.CA.Cert), s.PKI.Signer.Key)
	server.Config.Handler = s.handler()
	server.Start()
	tb.Cleanup(server.Close)
	return s
}

func (s *Service) handler() http.Handler {
	fetcher := cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true})
	local, err := cscsam.New(cscsam.Config{SAM: s.SAM, Links: s, OCSP: fetcher, TSA: fetcher, TSAURL: s.URL + "/tsa"})
	if err != nil {
		s.tb.Fatal(err)
	}
	api, err := cscserver.New(cscserver.Config{
		BaseURL: s.Base, OAuthBase: s.Issuer, Name: "Test", Region: "BE", Timestamps: true, Service: wrapped{s, local}, Auth: s,
		Explicit: cscsam.Explicit{Service: local, Module: s, Tokens: s, Issuer: s.Issuer, Now: time.Now},
	})
	if err != nil {
		s.tb.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/csc/v2/", s.rewritten(api))
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", s.metadata)
	mux.HandleFunc("POST /oauth2/pushed_authorize", s.push)
	mux.HandleFunc("GET /oauth2/authorize", s.authorize)
	mux.HandleFunc("POST /oauth2/token", s.token)
	mux.HandleFunc("POST /oauth2/revoke", func(http.ResponseWriter, *http.Request) {})
	s.evidence(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.URL.Path)
		s.mu.Unlock()
		if s.Intercept == nil || !s.Intercept(w, r) {
			mux.ServeHTTP(w, r)
		}
	})
}

// Requests lists the paths that were asked for, in order.
func (s *Service) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// wrapped applies Wrap at the time of the call.
type wrapped struct {
	s *Service
	csc.Service
}

func (w wrapped) SignHash(ctx context.Context, by csc.Caller, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	if w.s.Wrap != nil {
		return w.s.Wrap(w.Service).SignHash(ctx, by, q)
	}
	return w.Service.SignHash(ctx, by, q)
}

func (w wrapped) Delivered(ctx context.Context, by csc.Caller, q *csc.SignHashRequest, answer *csc.SignHashResponse) {
	if d, ok := w.Service.(csc.Deliverer); ok {
		d.Delivered(ctx, by, q, answer)
	}
}

func (s *Service) rewritten(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Rewrite == nil {
			h.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		body := s.Rewrite(strings.TrimPrefix(r.URL.Path, "/csc/v2/"), rec.Body.Bytes())
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
	})
}

// Signers implements cscsam.Links.
func (s *Service) Signers(_ context.Context, org, client string) ([]string, error) {
	if org != Org || client != ClientID {
		return nil, nil
	}
	return []string{SignerID}, nil
}

// Token makes an access token for a caller, without asking anybody.
func (s *Service) Token(by csc.Caller) string {
	t := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[t] = by
	return t
}

// Caller implements cscserver.Authenticator.
func (s *Service) Caller(r *http.Request) (csc.Caller, error) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.mu.Lock()
	by, ok := s.tokens[strings.TrimSpace(token)]
	s.mu.Unlock()
	switch {
	case !ok:
		return csc.Caller{}, fault.New(fault.Unauthenticated, "unknown token").WithCode(csc.CodeInvalidToken)
	case !by.Expires.IsZero() && time.Now().After(by.Expires):
		return csc.Caller{}, fault.New(fault.Unauthenticated, "old token").WithCode(csc.CodeExpiredToken)
	}
	return by, nil
}

func (s *Service) metadata(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": s.Issuer, "authorization_endpoint": s.URL + "/oauth2/authorize", "token_endpoint": s.URL + "/oauth2/token",
		"pushed_authorization_request_endpoint": s.URL + "/oauth2/pushed_authorize", "revocation_endpoint": s.URL + "/oauth2/revoke",
		"authorization_response_iss_parameter_supported": true,
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func oauthError(w http.ResponseWriter, code, description string) {
	answer(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": description})
}

func (s *Service) client(w http.ResponseWriter, r *http.Request) bool {
	id, secret, ok := r.BasicAuth()
	if !ok || id != ClientID || secret != ClientSecret {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return false
	}
	if err := r.ParseForm(); err != nil {
		oauthError(w, csc.CodeInvalidRequest, "form")
		return false
	}
	return true
}

func (s *Service) push(w http.ResponseWriter, r *http.Request) {
	if !s.client(w, r) {
		return
	}
	if r.PostForm.Get("code_challenge_method") != "S256" || r.PostForm.Get("redirect_uri") != RedirectURI {
		oauthError(w, csc.CodeInvalidRequest, "PKCE and redirect_uri")
		return
	}
	id := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	s.mu.Lock()
	s.pushed[id] = r.PostForm
	s.mu.Unlock()
	answer(w, http.StatusCreated, map[string]any{"request_uri": id, "expires_in": 90})
}

// authorize is the signer's approval and the way back, in one.
func (s *Service) authorize(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	form := s.pushed[r.FormValue("request_uri")]
	delete(s.pushed, r.FormValue("request_uri"))
	s.mu.Unlock()
	if form == nil {
		oauthError(w, csc.CodeInvalidRequest, "request_uri")
		return
	}
	back := url.Values{"state": {form.Get("state")}, "iss": {s.Issuer}}
	if s.Refuse {
		back.Set("error", csc.CodeAccessDenied)
		back.Set("error_description", "rejected by the signer")
	} else {
		code, err := s.approve(form)
		if err != nil {
			s.tb.Errorf("authorization_details: %v", err)
			oauthError(w, csc.CodeInvalidRequest, err.Error())
			return
		}
		back.Set("code", code)
	}
	http.Redirect(w, r, RedirectURI+"?"+back.Encode(), http.StatusSeeOther)
}

func (s *Service) approve(form url.Values) (code string, err error) {
	var details []csc.AuthorizationDetail
	if err := json.Unmarshal([]byte(form.Get("authorization_details")), &details); err != nil || len(details) != 1 {
		return "", errors.Join(err, errors.New("not one detail"))
	}
	var hashes [][]byte
	for _, d := range details[0].DocumentDigests {
		h, err := base64.StdEncoding.DecodeString(d.Hash)
		if err != nil {
			return "", err
		}
		attrs, err := base64.StdEncoding.DecodeString(d.SignedAttrs)
		if err != nil {
			return "", err
		}
		if sum := sha256.Sum256(attrs); len(attrs) > 0 && details[0].HashAlgorithmOID == signing.OIDSHA256 && string(sum[:]) != string(h) {
			return "", errors.New("signedAttrs do not hash to the DTBS/R")
		}
		hashes = append(hashes, h)
	}
	by := csc.Caller{
		Org: Org, Client: ClientID, Subject: SignerID, Scope: csc.ScopeCredential,
		Credential: details[0].CredentialID, SID: s.SAM.Approve(ClientID, details[0].CredentialID, hashes),
	}
	code = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = grant{form, by}
	return code, nil
}

func (s *Service) token(w http.ResponseWriter, r *http.Request) {
	if !s.client(w, r) {
		return
	}
	switch r.PostForm.Get("grant_type") {
	case "client_credentials":
		t := s.Token(csc.Caller{Org: Org, Client: ClientID, Scope: csc.ScopeService})
		answer(w, http.StatusOK, map[string]any{"access_token": t, "token_type": "Bearer", "expires_in": 300})
	case "authorization_code":
		s.mu.Lock()
		g, ok := s.codes[r.PostForm.Get("code")]
		delete(s.codes, r.PostForm.Get("code"))
		s.mu.Unlock()
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		challenge := base64.RawURLEncoding.EncodeToString(sum[:])
		if !ok || r.PostForm.Get("redirect_uri") != g.form.Get("redirect_uri") ||
			subtle.ConstantTimeCompare([]byte(challenge), []byte(g.form.Get("code_challenge"))) != 1 {
			oauthError(w, "invalid_grant", "Invalid parameter code")
			return
		}
		answer(w, http.StatusOK, map[string]any{
			"access_token": s.Token(g.by), "token_type": "Bearer", "expires_in": 300,
			"authorization_details": json.RawMessage(g.form.Get("authorization_details")),
		})
	default:
		oauthError(w, csc.CodeInvalidRequest, "Invalid parameter grant_type")
	}
}

// evidence is what the PKI publishes.
func (s *Service) evidence(mux *http.ServeMux) {
	send := func(contentType string, body func() []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write(body())
		}
	}
	mux.HandleFunc("GET /root.crl", send("application/pkix-crl", func() []byte { return s.PKI.CRL(s.PKI.Root, time.Time{}) }))
	mux.HandleFunc("GET /ca.crl", send("application/pkix-crl", func() []byte { return s.PKI.CRL(s.PKI.CA, time.Time{}) }))
	mux.HandleFunc("GET /ca.cer", send("application/pkix-cert", func() []byte { return s.PKI.CA.Cert.Raw }))
	mux.HandleFunc("POST /ocsp", s.ocsp)
	mux.HandleFunc("POST /tsa", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			s.tb.Error(err)
			return
		}
		q, _, err := cms.ParseTimestampRequest(body)
		if err != nil {
			s.tb.Error(err)
			return
		}
		der, err := cms.EncodeTimestampResponse(s.PKI.TokenFor(q, time.Now().Add(s.Skew)))
		if err != nil {
			s.tb.Error(err)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = w.Write(der)
	})
}

// Approve plays the signer's browser: it opens the authorisation URL and returns
// where the redirects end.
func (s *Service) Approve(ctx context.Context, authorizationURL string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, authorizationURL, http.NoBody)
	if err != nil {
		return "", err
	}
	c := http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusSeeOther {
		return "", errors.New("no way back: " + resp.Status)
	}
	return resp.Header.Get("Location"), nil
}
