// Package cscserver speaks the Cloud Signature Consortium's API version 2.2 over
// HTTP: it decodes strictly, calls a csc.Service and answers in the
// specification's words, with JSON for everything, unknown paths included.
package cscserver

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/signing"
)

// DefaultMaxBody is the most bytes a request body may have: hashes and names fit
// many times over, documents do not.
const DefaultMaxBody = 256 << 10

// Authenticator tells who asks. It is given a request with one well-formed
// Authorization header. Errors are faults of kind fault.Unauthenticated with the
// code invalid_token or expired_token.
type Authenticator interface {
	Caller(r *http.Request) (csc.Caller, error)
}

// Config says what the service is and what it offers. BaseURL, OAuthBase, Name,
// Region, Service and Auth are required.
type Config struct {
	// BaseURL is the public base of the API; it ends in /csc/v2.
	BaseURL string
	// OAuthBase is what clients append /oauth2/authorize to; it is the issuer.
	OAuthBase string
	// OAuthEndpoints are the endpoints below OAuthBase; the default is
	// authorize, pushed_authorize, token and revoke.
	OAuthEndpoints []string
	// AuthTypes is info.authType; the default is oauth2code and oauth2client.
	AuthTypes []string

	Name        string // of the service, at most 255 characters
	Region      string // ISO 3166-1 alpha-2
	Lang        string // the default is "en"
	Description string // the default is Name
	// Logo is a URI of a picture; the default is one that this server answers.
	Logo string

	// Algorithms are what keys of this service sign with; the default is every
	// algorithm of the key types P-256 and RSA-3072.
	Algorithms []signing.Algorithm
	// Timestamps says that signatures/timestamp is offered.
	Timestamps bool

	Service csc.Service
	Auth    Authenticator
	// Explicit offers credentials/authorize; nil: it is not offered.
	Explicit csc.Authorizer
	MaxBody  int64 // the default is DefaultMaxBody
}

// Server is the http.Handler for every path at and below the base URL's path,
// except the authorisation server's.
type Server struct {
	config Config
	path   string // of the base URL, without trailing slash
	info   []byte
	routes map[string]route
}

type route struct {
	methods []string // HTTP methods
	serve   func(http.ResponseWriter, *http.Request) error
}

//go:embed logo.png
var logo []byte

// New checks the configuration and returns the server.
func New(c Config) (*Server, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Host == "" || base.RawQuery != "" || !strings.HasSuffix(base.Path, "/csc/v2") {
		return nil, fmt.Errorf("CSC base URL %q: must be absolute and end in /csc/v2 (CSC API v2 §7.2)", c.BaseURL)
	}
	if oauth, err := url.Parse(c.OAuthBase); err != nil || oauth.Host == "" || strings.HasSuffix(c.OAuthBase, "/") || strings.Contains(oauth.Path, "oauth2") {
		return nil, fmt.Errorf("OAuth base URL %q: must be absolute, without the oauth2 part and without a slash at the end", c.OAuthBase)
	}
	if c.Service == nil || c.Auth == nil {
		return nil, errors.New("CSC server: Service and Auth are required")
	}
	if c.Name == "" || len(c.Name) > 255 || len(c.Description) > 255 || len(c.Region) != 2 {
		return nil, errors.New("CSC server: Name (at most 255 characters) and Region (two letters) are required")
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	s := &Server{config: c, path: base.Path}
	if s.info, err = json.Marshal(c.describe()); err != nil {
		return nil, fmt.Errorf("encode info: %w", err)
	}
	s.routes = s.table()
	return s, nil
}

func (s *Server) table() map[string]route {
	post := func(m func(*request) (any, error)) route {
		return route{[]string{http.MethodPost}, s.method(m)}
	}
	routes := map[string]route{
		csc.MethodInfo:            {[]string{http.MethodGet, http.MethodHead, http.MethodPost}, s.serveInfo},
		csc.MethodCredentialsList: post(s.credentialsList),
		csc.MethodCredentialsInfo: post(s.credentialsInfo),
		csc.MethodSignHash:        {[]string{http.MethodPost}, s.signHash},
	}
	if s.config.Timestamps {
		routes[csc.MethodTimestamp] = post(s.timestamp)
	}
	if s.config.Explicit != nil {
		routes[csc.MethodAuthorize] = post(s.credentialsAuthorize)
	}
	if s.config.Logo == "" {
		routes["logo.png"] = route{[]string{http.MethodGet, http.MethodHead}, serveLogo}
	}
	notOffered := []string{
		"auth/login", "auth/revoke", "credentials/authorize", "credentials/authorizeCheck", "credentials/getChallenge",
		"credentials/sendOTP", "credentials/extendTransaction", "credentials/create", "credentials/delete",
		csc.MethodTimestamp, "signatures/signDoc", "signatures/signPolling",
	}
	for _, name := range notOffered {
		if _, ok := routes[name]; !ok {
			routes[name] = route{[]string{http.MethodPost}, func(http.ResponseWriter, *http.Request) error { return csc.ErrUnsupportedMethod }}
		}
	}
	return routes
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, s.path+"/")
	rt, known := s.routes[name]
	var err error
	switch {
	case !ok || !known:
		err = csc.ErrNoSuchPath
	case !slices.Contains(rt.methods, r.Method):
		w.Header().Set("Allow", strings.Join(rt.methods, ", "))
		err = csc.ErrHTTPMethod
	default:
		err = rt.serve(w, r)
	}
	if err != nil {
		WriteError(w, r, err)
	}
}

// Paths returns the paths that this server answers, for a router that wants them
// one by one. The server itself answers unknown paths and wrong methods in the
// API's form, so whatever else is below the base is best sent to it too.
func (s *Server) Paths() []string {
	paths := make([]string, 0, len(s.routes))
	for name := range s.routes {
		paths = append(paths, s.path+"/"+name)
	}
	slices.Sort(paths)
	return paths
}

// WriteError answers with err in the API's form, and logs it. It is a
// web.ErrorWriter, also meant for the layers above: limits, recovered panics.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	web.Fail(r.Context(), err)
	e := csc.ErrorOf(err)
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		w.Header().Set("WWW-Authenticate", challenge(r, e))
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "5")
		}
	}
	_ = writeJSON(w, e.Status, e) // whoever asked may be gone
}

// writeJSON sends v and pushes it out of this process's buffers; no error means
// that it left.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return writeBody(w, status, "application/json", body)
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
