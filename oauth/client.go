package oauth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/loopback"
	"github.com/countersign/countersign/internal/store"
)

// Auth is how a client proves who it is.
type Auth string

// The methods. A client with a secret may send it by HTTP Basic or in the body.
const (
	AuthSecret Auth = "client_secret"   // client_secret_basic, client_secret_post
	AuthKey    Auth = "private_key_jwt" // RFC 7523, with a key of JWKS
	AuthNone   Auth = "none"            // a public client; PKCE and DPoP protect it
)

// Client is an application that may ask for tokens.
type Client struct {
	ID   string `json:"-"`
	Org  string `json:"-"`    // the organisation it belongs to
	Name string `json:"name"` // shown to signers
	Auth Auth   `json:"auth"`
	// Secrets are for AuthSecret: at least 43 characters, see [NewSecret]. Several
	// are valid at once while they are exchanged. They are written and never read
	// back; [Server.PutClient] without any keeps those it has.
	Secrets []string `json:"-"`
	// JWKS is for AuthKey: the public keys as a JWK set. Nothing is ever fetched.
	JWKS json.RawMessage `json:"jwks,omitempty"`
	// Redirects are compared character by character, except for the port of http
	// with a loopback address (RFC 8252 §7.3).
	Redirects []string `json:"redirects,omitempty"`
	Scopes    []string `json:"scopes"` // csc.ScopeService, csc.ScopeCredential
	// Refresh adds a refresh token to client credentials.
	Refresh  bool `json:"refresh,omitempty"`
	DPoP     bool `json:"dpop,omitempty"` // refuse tokens that are not bound to a key
	PAR      bool `json:"par,omitempty"`  // refuse authorization requests that were not pushed
	Disabled bool `json:"disabled,omitempty"`
}

var (
	clientID = regexp.MustCompile(`^[A-Za-z0-9._~:/-]{1,200}$`)
	orgID    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
)

// check says what is wrong with a client before it is stored.
func (c *Client) check() error {
	switch {
	case !clientID.MatchString(c.ID):
		return fault.New(fault.Invalid, "client id %.40q: use 1 to 200 of A-Z a-z 0-9 . _ ~ : / -", c.ID)
	case !orgID.MatchString(c.Org):
		return fault.New(fault.Invalid, "organisation %.40q: use 1 to 100 of A-Z a-z 0-9 . _ -", c.Org)
	case c.Name == "" || !presentable(c.Name):
		return fault.New(fault.Invalid, "client %s needs a name that can be shown to signers", c.ID)
	}
	if err := c.checkAuth(); err != nil {
		return err
	}
	for _, s := range c.Scopes {
		if s != csc.ScopeService && s != csc.ScopeCredential {
			return fault.New(fault.Invalid, "client %s: scope %.40q is not offered", c.ID, s)
		}
	}
	for _, r := range c.Redirects {
		if err := checkRedirect(r); err != nil {
			return fault.New(fault.Invalid, "client %s: redirect URI %.200q: %s", c.ID, r, err.Error())
		}
	}
	if slices.Contains(c.Scopes, csc.ScopeCredential) && len(c.Redirects) == 0 {
		return fault.New(fault.Invalid, "client %s: scope credential needs a redirect URI", c.ID)
	}
	return nil
}

func (c *Client) checkAuth() error {
	switch c.Auth {
	case AuthSecret:
		for _, s := range c.Secrets {
			if !strongSecret(s) {
				return fault.New(fault.Invalid, "client %s: a secret must be random, with 43 to 256 of A-Z a-z 0-9 . _ ~ -", c.ID)
			}
		}
		if len(c.Secrets) > 4 {
			return fault.New(fault.Invalid, "client %s: at most 4 secrets are valid at once", c.ID)
		}
	case AuthKey:
		if _, err := parseKeySet(c.JWKS); err != nil {
			return fault.New(fault.Invalid, "client %s: jwks: %s", c.ID, err.Error())
		}
	case AuthNone:
		if slices.Contains(c.Scopes, csc.ScopeService) {
			return fault.New(fault.Invalid, "client %s: scope service needs a client that authenticates", c.ID)
		}
	default:
		return fault.New(fault.Invalid, "client %s: authentication %.40q is not offered", c.ID, c.Auth)
	}
	if c.Auth != AuthSecret && len(c.Secrets) > 0 {
		return fault.New(fault.Invalid, "client %s: secrets go with client_secret only", c.ID)
	}
	return nil
}

// checkRedirect says what is wrong with a redirect URI to be registered.
func checkRedirect(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || !u.IsAbs() || u.Opaque != "" || strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c > '~' }):
		return fmt.Errorf("it is not an absolute URI")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return fmt.Errorf("it has a fragment")
	case u.User != nil:
		return fmt.Errorf("it has a user name")
	case u.Scheme == "https":
		if u.Hostname() == "" {
			return fmt.Errorf("it has no host")
		}
		return nil
	case u.Scheme == "http":
		if !loopback.Is(u.Hostname()) {
			return fmt.Errorf("http is for loopback addresses and localhost only")
		}
		return nil
	case slices.Contains([]string{"javascript", "data", "vbscript", "file", "blob", "about", "filesystem", "view-source", "ftp", "ws", "wss"}, u.Scheme):
		return fmt.Errorf("its scheme is not that of an application")
	}
	return nil // a private-use scheme (RFC 8252 §7.1)
}

// redirect returns the redirect URI of a request: the one it names, if it is
// registered, or the only one that is registered.
func (c *Client) redirect(given string) (string, bool) {
	if given == "" {
		if len(c.Redirects) == 1 {
			return c.Redirects[0], true
		}
		return "", false
	}
	for _, r := range c.Redirects {
		if r == given || sameLoopback(r, given) {
			return given, true
		}
	}
	return "", false
}

// sameLoopback reports whether given differs from a registered loopback URI in
// the port only (RFC 8252 §7.3): a native application cannot know its port before.
// The text is compared, so that nothing depends on how a URI is parsed.
func sameLoopback(registered, given string) bool {
	for _, prefix := range []string{"http://127.0.0.1", "http://[::1]"} {
		want, ok := cutPort(registered, prefix)
		if !ok {
			continue
		}
		have, ok := cutPort(given, prefix)
		return ok && have == want
	}
	return false
}

var port = regexp.MustCompile(`^:[0-9]{1,5}`)

// cutPort returns what follows prefix and an optional port.
func cutPort(uri, prefix string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(uri, prefix)
	if !ok {
		return "", false
	}
	rest = rest[len(port.FindString(rest)):]
	return rest, rest == "" || rest[0] == '/' || rest[0] == '?'
}

// PutClient registers or changes a client. An id is taken once, for one
// organisation.
func (s *Server) PutClient(ctx context.Context, c Client) error {
	if err := c.check(); err != nil {
		return err
	}
	sealed := make([][]byte, len(c.Secrets))
	for i, secret := range c.Secrets {
		sealed[i] = s.keys.sealSecret(c.Org, c.ID, secret)
	}
	err := s.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return s.rows.putClient(ctx, tx, c, sealed, s.now()) })
	s.memory.clients.forget(c.ID)
	if err != nil {
		return fmt.Errorf("put client %s: %w", c.ID, err)
	}
	return nil
}

// Client returns a client of that organisation, without secrets.
func (s *Server) Client(ctx context.Context, org, id string) (Client, error) {
	c, err := s.rows.client(ctx, s.db, id)
	if err != nil {
		return Client{}, fmt.Errorf("client %s: %w", id, err)
	}
	if c == nil || c.Org != org {
		return Client{}, fault.New(fault.NotFound, "there is no client %s", id)
	}
	return c.Client, nil
}

// LinkSigner lets a client list the credentials of a signer with its own token.
func (s *Server) LinkSigner(ctx context.Context, org, client, signer string) error {
	if signer == "" {
		return fault.New(fault.Invalid, "name the signer to link to client %s", client)
	}
	if _, err := s.Client(ctx, org, client); err != nil {
		return err
	}
	return s.rows.linkSigner(ctx, s.db, org, client, signer)
}

// UnlinkSigner takes back what LinkSigner did.
func (s *Server) UnlinkSigner(ctx context.Context, org, client, signer string) error {
	return s.rows.unlinkSigner(ctx, s.db, org, client, signer)
}

// Signers returns the signers linked to a client, in order.
func (s *Server) Signers(ctx context.Context, org, client string) ([]string, error) {
	return s.rows.signers(ctx, s.db, org, client)
}
