package cscclient

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
)

// Authorization is an authorisation that waits for the signer. It can be kept as
// JSON between the way there and the way back; Verifier is a secret until then.
type Authorization struct {
	URL      string                    `json:"url"` // where the signer's browser goes
	State    string                    `json:"state"`
	Verifier string                    `json:"verifier"`
	Details  []csc.AuthorizationDetail `json:"details"`
}

// Authorize asks for an authorisation over these hashes, pushed to the server
// where it takes that (RFC 9126), with PKCE (RFC 7636) and authorization_details
// (RFC 9396).
func (c *Client) Authorize(ctx context.Context, details []csc.AuthorizationDetail) (*Authorization, error) {
	e, err := c.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	if c.config.RedirectURI == "" {
		return nil, fmt.Errorf("signing service %s: the redirect URI is missing", c.config.BaseURL)
	}
	encoded, err := json.Marshal(details)
	if err != nil {
		return nil, fmt.Errorf("encode authorization_details: %w", err)
	}
	a := &Authorization{State: random(), Verifier: random(), Details: details}
	challenge := sha256.Sum256([]byte(a.Verifier))
	v := url.Values{
		"response_type":         {"code"},
		"client_id":             {c.config.ClientID},
		"redirect_uri":          {c.config.RedirectURI},
		"scope":                 {csc.ScopeCredential},
		"state":                 {a.State},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
		"authorization_details": {string(encoded)},
	}
	if e.pushed != "" {
		if v, err = c.push(ctx, e.pushed, v); err != nil {
			return nil, err
		}
	}
	u, err := url.Parse(e.authorize)
	if err != nil {
		return nil, c.http.garbage("names an endpoint that must not be used").Because(err)
	}
	q := u.Query()
	maps.Copy(q, v)
	u.RawQuery = q.Encode()
	a.URL = u.String()
	return a, nil
}

// push sends the parameters to the server and returns those that stand for them.
func (c *Client) push(ctx context.Context, to string, v url.Values) (url.Values, error) {
	a, err := c.form(ctx, to, v)
	if err != nil {
		return nil, err
	}
	var pushed struct {
		RequestURI string `json:"request_uri"`
	}
	if err := c.http.decode(a, &pushed, http.StatusCreated, http.StatusOK); err != nil {
		return nil, err
	}
	if pushed.RequestURI == "" {
		return nil, c.http.garbage("answered a pushed authorisation without request_uri")
	}
	return url.Values{"client_id": {c.config.ClientID}, "request_uri": {pushed.RequestURI}}, nil
}

// Redeem takes the URL on which the signer's browser came back and gets the token
// that signs. A refusal by the signer is fault.Forbidden with CodeApprovalRefused.
func (c *Client) Redeem(ctx context.Context, a *Authorization, final string) (*Token, error) {
	e, err := c.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	code, err := parseCallback(final, callback{redirectURI: c.config.RedirectURI, state: a.State, issuer: e.issuer, needIss: e.needIss})
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(a.Details)
	if err != nil {
		return nil, fmt.Errorf("encode authorization_details: %w", err)
	}
	t, err := c.token(ctx, url.Values{
		"grant_type":            {"authorization_code"},
		"code":                  {code},
		"redirect_uri":          {c.config.RedirectURI},
		"client_id":             {c.config.ClientID},
		"code_verifier":         {a.Verifier},
		"authorization_details": {string(encoded)}, // CSC API v2 §8.4: repeated
	})
	if err != nil {
		return nil, err
	}
	for i, id := range t.Credentials {
		if i >= len(a.Details) || id != a.Details[i].CredentialID {
			return nil, c.http.garbage("gave a token for another credential than was asked for")
		}
	}
	return t, nil
}

// Revoke makes a token useless. A server that does not offer it is left alone.
func (c *Client) Revoke(ctx context.Context, t *Token) error {
	e, err := c.endpoints(ctx)
	if err != nil || e.revoke == "" {
		return err
	}
	a, err := c.form(ctx, e.revoke, url.Values{"token": {t.Value}, "token_type_hint": {"access_token"}})
	if err != nil {
		return err
	}
	if a.status == http.StatusOK || a.status == http.StatusNoContent { // RFC 7009 and CSC differ
		return nil
	}
	return c.http.decode(a, nil)
}

// callback is what a redirect must fit.
type callback struct {
	redirectURI, state, issuer string
	needIss                    bool
}

// parseCallback reads the URL of a redirect back and returns the code. It takes
// only the redirect URI that was asked for, each parameter once, the state of
// this authorisation (against forged redirects) and its issuer (RFC 9207,
// against mixed-up servers).
func parseCallback(final string, want callback) (code string, err error) {
	wrong := func(what string) error {
		return fault.New(fault.Unavailable, "the browser came back with %s; start again", what).WithCode(CodeGarbage)
	}
	got, err := url.Parse(final)
	if err != nil {
		return "", wrong("an address that cannot be read")
	}
	asked, err := url.Parse(want.redirectURI)
	if err != nil {
		return "", fmt.Errorf("redirect URI %q: %w", want.redirectURI, err)
	}
	if got.Scheme != asked.Scheme || got.Host != asked.Host || got.Path != asked.Path || got.User != nil || got.Fragment != "" {
		return "", wrong("another address than the redirect URI")
	}
	q, err := url.ParseQuery(got.RawQuery)
	if err != nil {
		return "", wrong("parameters that cannot be read")
	}
	for _, name := range []string{"code", "state", "iss", "error", "error_description"} {
		if len(q[name]) > 1 {
			return "", wrong("a parameter given twice")
		}
	}
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(want.state)) != 1 {
		return "", wrong("the state of another request")
	}
	if iss := q.Get("iss"); (want.needIss || q.Has("iss")) && want.issuer != "" && iss != want.issuer {
		return "", wrong("an answer of another authorisation server")
	}
	if e := printable(q.Get("error")); e != "" {
		said := printable(q.Get("error_description"))
		if e == csc.CodeAccessDenied {
			if said == "" {
				said = "the signer refused or did not answer in time"
			}
			return "", fault.New(fault.Forbidden, "no approval: %s", said).WithCode(CodeApprovalRefused)
		}
		return "", fault.New(fault.Unavailable, "the authorisation server refused: %s %s", e, said).WithCode(CodeRefused)
	}
	code = q.Get("code")
	if code == "" || len(code) > 4096 {
		return "", wrong("no code")
	}
	return code, nil
}

// random returns 256 random bits as text.
func random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
