package cscclient

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
)

// Token is an access token. It is a secret.
type Token struct {
	Value   string
	Expires time.Time
	// Credentials are what the token is for, if the authorisation server says so.
	Credentials []string
}

// endpoints is what is known of an authorisation server.
type endpoints struct {
	issuer    string // "" if it did not publish metadata
	authorize string
	pushed    string // "" if not offered
	token     string
	revoke    string // "" if not offered
	needIss   bool   // RFC 9207: the way back names the issuer
}

type discovery struct {
	mu   sync.Mutex
	done *endpoints
}

// endpoints finds the authorisation server, once.
func (c *Client) endpoints(ctx context.Context) (*endpoints, error) {
	c.discovery.mu.Lock()
	defer c.discovery.mu.Unlock()
	if c.discovery.done != nil {
		return c.discovery.done, nil
	}
	e, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	for _, u := range []string{e.authorize, e.pushed, e.token, e.revoke} {
		if u == "" {
			continue
		}
		if _, err := secure(u); err != nil {
			return nil, c.http.garbage("names an endpoint that must not be used").Because(err)
		}
	}
	c.discovery.done = e
	return e, nil
}

func (c *Client) discover(ctx context.Context) (*endpoints, error) {
	if c.config.Issuer != "" {
		e, err := c.metadata(ctx, c.config.Issuer)
		if err == nil && e == nil {
			err = fault.New(fault.Unavailable, "the authorisation server %s publishes no metadata", c.config.Issuer).WithCode(CodeGarbage)
		}
		return e, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	issuer := info.OAuth2Issuer
	if issuer == "" {
		issuer = info.OAuth2
	}
	if _, err := secure(issuer); err != nil {
		return nil, c.http.garbage("names no authorisation server that can be used").Because(err)
	}
	e, err := c.metadata(ctx, issuer)
	if err != nil || e != nil {
		return e, err
	}
	if info.OAuth2 == "" {
		return nil, fault.New(fault.Unavailable, "the authorisation server %s publishes no metadata", issuer).WithCode(CodeGarbage)
	}
	base := strings.TrimSuffix(info.OAuth2, "/") + "/"
	e = &endpoints{authorize: base + csc.EndpointAuthorize, token: base + csc.EndpointToken, revoke: base + csc.EndpointRevoke}
	if slices.Contains(info.Methods, csc.EndpointPushedAuthorize) {
		e.pushed = base + csc.EndpointPushedAuthorize
	}
	return e, nil
}

// metadata fetches RFC 8414 metadata; nil if the server has none.
func (c *Client) metadata(ctx context.Context, issuer string) (*endpoints, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer %q: %w", issuer, err)
	}
	at := *u
	at.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
	a, err := c.http.do(ctx, call{http.MethodGet, at.String(), http.Header{"Accept": {"application/json"}}, nil, true, maxAnswer})
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusNotFound {
		return nil, nil //nolint:nilnil // none is an answer
	}
	var m struct {
		Issuer    string `json:"issuer"`
		Authorize string `json:"authorization_endpoint"`
		Pushed    string `json:"pushed_authorization_request_endpoint"`
		Token     string `json:"token_endpoint"`
		Revoke    string `json:"revocation_endpoint"`
		Iss       bool   `json:"authorization_response_iss_parameter_supported"`
	}
	if err := c.http.decode(a, &m, http.StatusOK); err != nil {
		return nil, err
	}
	if m.Issuer != issuer {
		return nil, c.http.garbage("publishes the metadata of another authorisation server")
	}
	if m.Authorize == "" || m.Token == "" {
		return nil, c.http.garbage("publishes metadata without authorization_endpoint or token_endpoint")
	}
	return &endpoints{m.Issuer, m.Authorize, m.Pushed, m.Token, m.Revoke, m.Iss}, nil
}

// ServiceToken returns the client's own token of scope service, from the client
// credentials grant. It is kept until shortly before it expires.
func (c *Client) ServiceToken(ctx context.Context) (*Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.service != nil && c.now().Before(c.service.Expires.Add(-30*time.Second)) {
		return c.service, nil
	}
	t, err := c.token(ctx, url.Values{"grant_type": {"client_credentials"}, "scope": {csc.ScopeService}})
	if err != nil {
		return nil, err
	}
	c.service = t
	return t, nil
}

// form posts a form to an endpoint, as this client.
func (c *Client) form(ctx context.Context, to string, v url.Values) (*answer, error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	if c.config.ClientSecret == "" {
		v.Set("client_id", c.config.ClientID)
	} else { // RFC 6749 §2.3.1: both parts form-encoded
		pair := url.QueryEscape(c.config.ClientID) + ":" + url.QueryEscape(c.config.ClientSecret)
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	return c.http.do(ctx, call{http.MethodPost, to, header, []byte(v.Encode()), false, maxAnswer})
}

func (c *Client) token(ctx context.Context, v url.Values) (*Token, error) {
	e, err := c.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	a, err := c.form(ctx, e.token, v)
	if err != nil {
		return nil, err
	}
	var raw json.RawMessage
	if err := c.http.decode(a, &raw, http.StatusOK); err != nil {
		return nil, err
	}
	t, err := parseToken(raw, c.now())
	if err != nil {
		return nil, c.http.garbage("answered with a token that cannot be used").Because(err)
	}
	return t, nil
}

// parseToken reads a token response (RFC 6749 §5.1).
func parseToken(body []byte, now time.Time) (*Token, error) {
	var m struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   *int64 `json:"expires_in"`
		// Of the details only this is read: servers differ in how they write the rest.
		Details []struct {
			CredentialID string `json:"credentialID"`
		} `json:"authorization_details"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	if m.AccessToken == "" || len(m.AccessToken) > 64<<10 || strings.ContainsFunc(m.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("access token of %d bytes is missing or not printable", len(m.AccessToken))
	}
	if !strings.EqualFold(m.TokenType, "Bearer") {
		return nil, fmt.Errorf("token type %q, want Bearer", m.TokenType)
	}
	seconds := int64(3600) // CSC API: the default of expires_in
	if m.ExpiresIn != nil {
		seconds = *m.ExpiresIn
	}
	if seconds <= 0 || seconds > 1<<31 {
		return nil, fmt.Errorf("token expires in %d s", seconds)
	}
	t := &Token{Value: m.AccessToken, Expires: now.Add(time.Duration(seconds) * time.Second)}
	for _, d := range m.Details {
		t.Credentials = append(t.Credentials, d.CredentialID)
	}
	return t, nil
}
