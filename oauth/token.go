package oauth

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/countersign/countersign/csc"
)

// rawJSON goes into an answer as it is.
type rawJSON = json.RawMessage

// The grants.
const (
	grantCode    = "authorization_code"
	grantClient  = "client_credentials"
	grantRefresh = "refresh_token"
)

// tokens is the token endpoint (RFC 6749 §3.2).
func (s *Server) tokens(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	q, err := s.ask(w, r)
	if err != nil {
		return nil, err
	}
	form, err := forGrant(q.client, q.form)
	if err != nil {
		return nil, err
	}
	var answer map[string]any
	err = s.work(r.Context(), q.client, q.seen, func(ctx context.Context, u *unit) (err error) {
		u.jkt = q.jkt
		answer, err = s.exchange(ctx, u, form)
		return err
	})
	return answer, err
}

// forGrant checks the parameters that a grant needs and leaves out all others.
func forGrant(c *storedClient, form url.Values) (url.Values, error) {
	names, scope := []string{}, form.Get("scope")
	switch form.Get("grant_type") {
	case "":
		return nil, refuse(codeInvalidRequest, "Missing parameter grant_type")
	case grantCode:
		names = append(names, "code")
	case grantRefresh:
		names = append(names, "refresh_token")
		if scope != "" && scope != csc.ScopeService {
			return nil, refuse(codeInvalidScope, "A refresh token is good for scope service only.")
		}
	case grantClient:
		if scope != "" && scope != csc.ScopeService {
			return nil, refuse(codeInvalidScope, "Client credentials are good for scope service only; scope credential needs the signer's approval.")
		}
		if form.Get("authorization_details") != "" {
			return nil, refuse(codeInvalidDetails, "authorization_details need the signer's approval.")
		}
	default:
		return nil, refuse(codeUnsupportedGrant, "Invalid parameter grant_type")
	}
	if !(fositeClient{c}).GetGrantTypes().Has(form.Get("grant_type")) {
		return nil, refuse(codeUnauthorizedClient, "The client is not registered for this grant type.")
	}
	for _, name := range names {
		if form.Get(name) == "" {
			return nil, refuse(codeInvalidRequest, "Missing parameter "+name)
		}
	}
	out := url.Values{}
	for _, name := range append(names, "grant_type", "redirect_uri", "code_verifier", "authorization_details") {
		if form.Has(name) {
			out.Set(name, form.Get(name))
		}
	}
	if form.Get("grant_type") == grantClient {
		out.Set("scope", csc.ScopeService)
	}
	return out, nil
}

// exchange runs the grant.
func (s *Server) exchange(ctx context.Context, u *unit, form url.Values) (map[string]any, error) {
	ar, err := s.provider.NewAccessRequest(ctx, synthetic(ctx, form), &session{s: s, now: u.now})
	if err != nil {
		return nil, err
	}
	if form.Get("grant_type") == grantClient {
		ar.GrantScope(csc.ScopeService)
	}
	if u.req != nil {
		if err := sameDetails(u.req.form.Get("authorization_details"), form.Get("authorization_details")); err != nil {
			return nil, err
		}
	}
	resp, err := s.provider.NewAccessResponse(ctx, ar)
	if err != nil {
		return nil, err
	}
	return resp.ToMap(), nil
}

// sameDetails lets a client repeat its authorization_details (CSC API v2 §8.2.4),
// spelled as it likes, and refuses any other: the signer saw these.
func sameDetails(asked, repeated string) error {
	if repeated == "" || repeated == asked || (asked != "" && sameJSON(asked, repeated)) {
		return nil
	}
	return refuse(codeInvalidDetails, "authorization_details differ from those of the authorization request.")
}
