package oauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"

	"github.com/countersign/countersign/internal/loopback"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/ui"
)

// Config is what a [Server] needs. Issuer, DB, Approver and Secrets are required.
type Config struct {
	// Issuer is the one address of this server: https://HOST[:PORT], nothing after
	// it. http is for this machine only (127.0.0.1, localhost, *.localhost).
	Issuer   string
	DB       *store.DB
	Approver Approver
	// Secrets are random, at least 32 bytes each. The first makes tokens and seals
	// what is stored; the others still open what they made.
	Secrets [][]byte
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: slog.Default()

	// Site is how the page for people looks; its Org is the issuer's host by default.
	Site ui.Site

	RequestLife time.Duration // of a pushed request; 0: 90 s
	CodeLife    time.Duration // of an authorization code; 0: 60 s
	AccessLife  time.Duration // of a token of scope service; 0: 1 h. Credential tokens end with the approval
	RefreshLife time.Duration // of a grant that is refreshed, from its first token on; 0: 30 days
	// NonceLife, if not 0, demands DPoP proofs with a nonce of ours that is not
	// older, at the endpoints of this package (RFC 9449 §8).
	NonceLife time.Duration
}

// beginTime is how long the approver may take to answer.
const beginTime = time.Minute

// Server is the authorization server. All methods may be called at once.
type Server struct {
	issuer   string
	origin   string
	secure   bool // browsers reach it over https
	db       *store.DB
	rows     tables
	memory   *memory
	approver Approver
	keys     *keys
	strategy *tokenStrategy
	provider *fosite.Fosite
	pages    *ui.Pages
	now      func() time.Time
	log      *slog.Logger

	requestLife, codeLife, accessLife, refreshLife, nonceLife time.Duration
}

// New migrates the database and returns a server.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.DB == nil || c.Approver == nil {
		return nil, errors.New("oauth: a database and an approver are needed")
	}
	u, err := checkIssuer(c.Issuer)
	if err != nil {
		return nil, err
	}
	keys, err := deriveKeys(c.Secrets)
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "oauth", migrations); err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	s := &Server{
		issuer: c.Issuer, origin: origin(u), secure: u.Scheme == "https",
		db: c.DB, memory: newMemory(c.DB), approver: c.Approver, keys: keys, now: c.Now, log: c.Log,
		requestLife: or(c.RequestLife, 90*time.Second), codeLife: or(c.CodeLife, time.Minute),
		accessLife: or(c.AccessLife, time.Hour), refreshLife: or(c.RefreshLife, 30*24*time.Hour), nonceLife: c.NonceLife,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.pages, err = newPages(c.Site, u); err != nil {
		return nil, err
	}
	s.strategy = newStrategy(keys.token, s.now)
	s.provider = newProvider(s)
	return s, nil
}

func or(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

func checkIssuer(issuer string) (*url.URL, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.String() != issuer {
		return nil, fmt.Errorf("oauth: issuer %q must be https://HOST[:PORT] and nothing more", issuer)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())) {
		return nil, fmt.Errorf("oauth: issuer %q must be https; http is for this machine only", issuer)
	}
	return u, nil
}

// The paths, below the issuer. Those of CSC (API v2 §8.2) are the same under
// /csc/v2, where clients look that know only the service's base address.
const (
	pathMetadata   = "/.well-known/oauth-authorization-server"
	pathOpenID     = "/.well-known/openid-configuration"
	pathKeys       = "/oauth2/jwks"
	pathPush       = "/oauth2/pushed_authorize"
	pathAuthorize  = "/oauth2/authorize"
	pathApproved   = "/oauth2/approved"
	pathToken      = "/oauth2/token" //nolint:gosec // a path
	pathRevoke     = "/oauth2/revoke"
	pathIntrospect = "/oauth2/introspect"
	cscPrefix      = "/csc/v2"
)

// ReturnPath is where the approval origin sends browsers back to, below the
// issuer: the return URL to register there.
const ReturnPath = pathApproved

// Mux is where the routes go; internal/httpd has one.
type Mux interface {
	Handle(method, pattern string, h http.Handler)
}

// Mount adds the routes.
func (s *Server) Mount(mux Mux) {
	route := func(method, pattern string, h http.HandlerFunc) { mux.Handle(method, pattern, only(method, h)) }
	route(http.MethodGet, pathMetadata, s.metadata)
	route(http.MethodGet, pathOpenID, s.metadata)
	route(http.MethodGet, pathKeys, s.jwks)
	route(http.MethodGet, pathApproved, s.approved)
	route(http.MethodPost, pathIntrospect, s.answered(http.StatusOK, s.introspected))
	mux.Handle(http.MethodGet, ui.Prefix+"{file...}", s.pages.Assets())
	for _, prefix := range []string{"", cscPrefix} {
		route(http.MethodPost, prefix+pathPush, s.answered(http.StatusCreated, s.pushed))
		route(http.MethodGet, prefix+pathAuthorize, s.authorize)
		route(http.MethodPost, prefix+pathToken, s.answered(http.StatusOK, s.tokens))
	}
	route(http.MethodPost, pathRevoke, s.revoke(http.StatusOK))                  // RFC 7009 §2.2
	route(http.MethodPost, cscPrefix+pathRevoke, s.revoke(http.StatusNoContent)) // CSC API v2 §8.2.5
}

// only keeps HEAD, which a mux may take for GET, from taking up a request.
func only(method string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		h(w, r)
	})
}

// maxForm is the most bytes of a form.
const maxForm = 256 << 10

// postForm reads the parameters of a direct request: in the body, once each.
func postForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return nil, refuse(codeInvalidRequest, "Send the parameters as application/x-www-form-urlencoded.")
	}
	if r.URL.RawQuery != "" {
		return nil, refuse(codeInvalidRequest, "Send the parameters in the body, none in the address.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		e := refuse(codeInvalidRequest, "The body cannot be read as a form of at most 256 KB.").because(err)
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			e.status = http.StatusRequestEntityTooLarge
		}
		return nil, e
	}
	return r.PostForm, single(r.PostForm)
}

// single refuses parameters that occur more than once (RFC 6749 §3.1, §3.2).
func single(form url.Values) error {
	for name, values := range form {
		if len(values) > 1 {
			return refuse(codeInvalidRequest, fmt.Sprintf("Parameter %.40s occurs more than once.", name))
		}
	}
	return nil
}
