package oauth

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// assertionType is the client_assertion_type of RFC 7523 §2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Limits of a client assertion.
const (
	clockSkew        = 30 * time.Second
	maxAssertionLife = 10 * time.Minute
)

// once is something that may be seen one time only, until it expires.
type once struct {
	id      string
	org     string
	expires time.Time
	refusal *oauthError // when it was seen before
}

// authenticate says which client sends a request. Nothing is written: the jti of
// an assertion comes back as what the caller's transaction must see once.
func (s *Server) authenticate(ctx context.Context, r *http.Request, form url.Values) (*storedClient, []once, error) {
	basicID, basicSecret, basic, err := basicAuth(r)
	if err != nil {
		return nil, nil, err
	}
	assertion, secret, id := form.Get("client_assertion"), form.Get("client_secret"), form.Get("client_id")
	if more := countTrue(basic, form.Has("client_assertion") || form.Has("client_assertion_type"), secret != ""); more > 1 {
		return nil, nil, refuse(codeInvalidRequest, "The client authenticates in more than one way.")
	}
	switch {
	case basic:
		if id != "" && id != basicID {
			return nil, nil, refuse(codeInvalidClient, "client_id differs from the Authorization header.")
		}
		c, err := s.clientFor(ctx, basicID, AuthSecret)
		return c, nil, s.checkSecret(c, err, basicSecret)
	case form.Has("client_assertion") || form.Has("client_assertion_type"):
		if form.Get("client_assertion_type") != assertionType {
			return nil, nil, refuse(codeInvalidRequest, "Invalid parameter client_assertion_type")
		}
		return s.checkAssertion(ctx, assertion, id, r.URL.Path)
	case id == "":
		return nil, nil, refuse(codeInvalidClient, "Missing parameter client_id")
	case secret != "":
		c, err := s.clientFor(ctx, id, AuthSecret)
		return c, nil, s.checkSecret(c, err, secret)
	}
	c, err := s.clientFor(ctx, id, AuthNone)
	return c, nil, err
}

func countTrue(bs ...bool) (n int) {
	for _, b := range bs {
		if b {
			n++
		}
	}
	return n
}

// basicAuth reads HTTP Basic (RFC 6749 §2.3.1: both parts form-encoded; ids and
// secrets have no character that an encoding changes, other than by percent).
func basicAuth(r *http.Request) (id, secret string, ok bool, err error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", "", false, nil
	}
	id, secret, ok = r.BasicAuth()
	if len(values) > 1 || !ok {
		return "", "", false, refuse(codeInvalidClient, "Invalid authorization header")
	}
	if id, err = url.QueryUnescape(id); err != nil {
		return "", "", false, refuse(codeInvalidClient, "Invalid authorization header")
	}
	if secret, err = url.QueryUnescape(secret); err != nil {
		return "", "", false, refuse(codeInvalidClient, "Invalid authorization header")
	}
	return id, secret, true, nil
}

// errClient is the one answer to an unknown client, a disabled one, a wrong secret
// and another method, so that nobody learns which ids exist.
func errClient() *oauthError {
	return refuse(codeInvalidClient, "The client is not known, or did not authenticate as registered.")
}

// clientFor returns the client if it is registered for that way to authenticate.
func (s *Server) clientFor(ctx context.Context, id string, auth Auth) (*storedClient, error) {
	c, err := s.client(ctx, id)
	if err != nil {
		return nil, err
	}
	if c == nil || c.Disabled || c.Auth != auth {
		return nil, errClient()
	}
	return c, nil
}

func (s *Server) checkSecret(c *storedClient, err error, secret string) error {
	if err != nil {
		return err
	}
	for _, sealed := range c.sealed {
		if s.keys.isSecret(c.Org, c.ID, sealed, secret) {
			return nil
		}
	}
	return errClient()
}

// checkAssertion authenticates with private_key_jwt (RFC 7523 §3).
func (s *Server) checkAssertion(ctx context.Context, assertion, id, path string) (*storedClient, []once, error) {
	t, err := parseJWT(assertion)
	if err != nil {
		return nil, nil, refuse(codeInvalidClient, "client_assertion: "+err.Error()+".")
	}
	sub, err := t.claims.text("sub")
	if err != nil || sub == "" || (id != "" && id != sub) {
		return nil, nil, refuse(codeInvalidClient, "client_assertion: sub is not the client_id.")
	}
	c, err := s.clientFor(ctx, sub, AuthKey)
	if err != nil {
		return nil, nil, err
	}
	if err := verifyWithAny(t, c.keys); err != nil {
		return nil, nil, errClient().because(err)
	}
	seen, err := s.checkAssertionClaims(t, c, path)
	if err != nil {
		return nil, nil, err
	}
	return c, []once{seen}, nil
}

// verifyWithAny tries the client's keys: the one that kid names, or each.
func verifyWithAny(t *jwt, of func() ([]*publicKey, error)) error {
	keys, err := of()
	if err != nil {
		return err
	}
	err = refuse(codeInvalidClient, "no key of the client fits")
	for _, k := range keys {
		if (t.kid != "" && k.kid != "" && t.kid != k.kid) || (k.alg != "" && k.alg != t.alg) {
			continue
		}
		if err = t.verify(k.key); err == nil {
			return nil
		}
	}
	return err
}

func (s *Server) checkAssertionClaims(t *jwt, c *storedClient, path string) (once, error) {
	bad := func(what string) (once, error) {
		return once{}, refuse(codeInvalidClient, "client_assertion: "+what+".")
	}
	if t.typ != "" && t.typ != "JWT" && t.typ != "client-authentication+jwt" {
		return bad("typ is that of another kind of token")
	}
	if iss, err := t.claims.text("iss"); err != nil || iss != c.ID {
		return bad("iss is not the client_id")
	}
	if !s.isAudience(t.claims, path) {
		return bad("aud must be the issuer " + s.issuer + " and nothing else")
	}
	now := s.now()
	exp, ok, err := t.claims.seconds("exp")
	if err != nil || !ok || !now.Before(time.Unix(exp, 0).Add(clockSkew)) {
		return bad("it has expired, or has no exp")
	}
	if time.Unix(exp, 0).After(now.Add(maxAssertionLife + clockSkew)) {
		return bad("exp is more than 10 minutes ahead")
	}
	for _, name := range []string{"nbf", "iat"} {
		if at, ok, err := t.claims.seconds(name); err != nil || (ok && time.Unix(at, 0).After(now.Add(clockSkew))) {
			return bad(name + " is in the future")
		}
	}
	jti, err := t.claims.text("jti")
	if err != nil || jti == "" || len(jti) > 256 {
		return bad("jti is missing or too long")
	}
	return once{
		id: digestHex("assertion", c.ID, jti), org: c.Org, expires: time.Unix(exp, 0).Add(2 * clockSkew),
		refusal: refuse(codeInvalidClient, "client_assertion: its jti was used before."),
	}, nil
}

// isAudience accepts the issuer (RFC 7523bis), the token endpoint (RFC 7523) and
// the endpoint that is called (RFC 9126 §2). There must be one value: an assertion
// that several servers accept can be passed on by one of them.
func (s *Server) isAudience(claims object, path string) bool {
	aud, err := claims.text("aud")
	if err != nil {
		var list []string
		if unmarshal(claims["aud"], &list) != nil || len(list) != 1 {
			return false
		}
		aud = list[0]
	}
	return slices.Contains([]string{s.issuer, s.issuer + pathToken, s.issuer + cscPrefix + pathToken, s.issuer + path}, aud) && aud != ""
}
