package oauth

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/par"
	"github.com/ory/fosite/handler/pkce"

	"github.com/countersign/countersign/csc"
)

// fositeClient is a client as fosite sees it.
type fositeClient struct{ c *storedClient }

// GetID and the other methods implement fosite.Client.
func (c fositeClient) GetID() string { return c.c.ID }

// GetHashedSecret implements fosite.Client; fosite checks no secret here.
func (c fositeClient) GetHashedSecret() []byte { return nil }

// GetRedirectURIs implements fosite.Client.
func (c fositeClient) GetRedirectURIs() []string { return c.c.Redirects }

// GetGrantTypes implements fosite.Client.
func (c fositeClient) GetGrantTypes() fosite.Arguments {
	var grants fosite.Arguments
	if slices.Contains(c.c.Scopes, csc.ScopeCredential) {
		grants = append(grants, grantCode)
	}
	if slices.Contains(c.c.Scopes, csc.ScopeService) && c.c.Auth != AuthNone {
		grants = append(grants, grantClient)
		if c.c.Refresh {
			grants = append(grants, grantRefresh)
		}
	}
	return grants
}

// GetResponseTypes implements fosite.Client.
func (c fositeClient) GetResponseTypes() fosite.Arguments { return fosite.Arguments{"code"} }

// GetResponseModes implements fosite.ResponseModeClient.
func (c fositeClient) GetResponseModes() []fosite.ResponseModeType {
	return []fosite.ResponseModeType{fosite.ResponseModeQuery}
}

// GetScopes implements fosite.Client.
func (c fositeClient) GetScopes() fosite.Arguments { return c.c.Scopes }

// IsPublic implements fosite.Client.
func (c fositeClient) IsPublic() bool { return c.c.Auth == AuthNone }

// GetAudience implements fosite.Client.
func (c fositeClient) GetAudience() fosite.Arguments { return nil }

// newProvider composes the grants that are offered, and no others. fosite fetches
// keys and requests (jwks_uri, request_uri) for clients that implement its
// OpenIDConnectClient only; ours do not, so nothing is ever fetched.
func newProvider(s *Server) *fosite.Fosite {
	config := &fosite.Config{
		EnforcePKCE:                    true,
		EnablePKCEPlainChallengeMethod: false,
		OmitRedirectScopeParam:         true,
		RefreshTokenScopes:             []string{csc.ScopeService},
		ScopeStrategy:                  fosite.ExactScopeStrategy,
		SendDebugMessagesToClients:     false,
		PushedAuthorizeContextLifespan: s.requestLife,
		RedirectSecureChecker:          fosite.IsRedirectURISecure,
		ClientAuthenticationStrategy: func(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
			if c := unitOf(ctx).client; c != nil { // authenticated before fosite was asked
				return fositeClient{c}, nil
			}
			return nil, fosite.ErrInvalidClient
		},
	}
	store := adapter{s}
	code := &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy: s.strategy, RefreshTokenStrategy: s.strategy, AuthorizeCodeStrategy: s.strategy,
		CoreStorage: store, TokenRevocationStorage: store, Config: config,
	}
	proof := &pkce.Handler{AuthorizeCodeStrategy: s.strategy, Storage: store, Config: config}
	refresh := &oauth2.RefreshTokenGrantHandler{
		AccessTokenStrategy: s.strategy, RefreshTokenStrategy: s.strategy, TokenRevocationStorage: store, Config: config,
	}
	client := &oauth2.ClientCredentialsGrantHandler{
		HandleHelper: &oauth2.HandleHelper{AccessTokenStrategy: s.strategy, AccessTokenStorage: store, Config: config},
		Config:       config,
	}
	config.AuthorizeEndpointHandlers = fosite.AuthorizeEndpointHandlers{code, proof}
	config.TokenEndpointHandlers = fosite.TokenEndpointHandlers{code, proof, refresh, client, bindingHandler{s}}
	config.PushedAuthorizeEndpointHandlers = fosite.PushedAuthorizeEndpointHandlers{&par.PushedAuthorizeHandler{Storage: store, Config: config}}
	return fosite.NewOAuth2Provider(store, config)
}

// synthetic is a request for fosite that has exactly these parameters, so that
// nothing reaches it that was not looked at before.
func synthetic(ctx context.Context, form url.Values) *http.Request {
	return (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/"}, Header: http.Header{}, Body: http.NoBody,
		Form: form, PostForm: form,
	}).WithContext(ctx)
}

// bindingHandler adds to fosite's grants what they lack: tokens bound to a DPoP
// key, an end that the approval sets, and refresh tokens for client credentials.
type bindingHandler struct{ s *Server }

// HandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (h bindingHandler) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	u := unitOf(ctx)
	s, ok := r.GetSession().(*session)
	if !ok {
		return fosite.ErrServerError.WithDebug("session of another kind")
	}
	bound := s.template.jkt
	switch {
	case u.jkt == "" && (bound != "" || u.client.DPoP):
		return errProof("a proof is required here")
	case bound != "" && bound != u.jkt:
		return errProof("the proof is not made with the key that this grant is bound to")
	}
	if !s.access.After(u.now) {
		return refuse(codeInvalidGrant, "The approval has expired.")
	}
	s.template.org, s.template.client, s.template.jkt = u.client.Org, u.client.ID, u.jkt
	return nil
}

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler.
func (h bindingHandler) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, to fosite.AccessResponder) error {
	u := unitOf(ctx)
	s, ok := r.GetSession().(*session)
	if !ok {
		return fosite.ErrServerError.WithDebug("session of another kind")
	}
	if r.GetGrantTypes().ExactOne(grantClient) && u.client.Refresh {
		s.SetExpiresAt(fosite.RefreshToken, u.now)
		text, hash, err := h.s.strategy.GenerateRefreshToken(ctx, r)
		if err != nil {
			return err
		}
		if err := adapter(h).CreateRefreshTokenSession(ctx, hash, "", r); err != nil {
			return err
		}
		to.SetExtra("refresh_token", text)
	}
	to.SetTokenType("Bearer")
	if u.jkt != "" {
		to.SetTokenType("DPoP")
	}
	to.SetExpiresIn(s.access.Sub(u.now))
	if s.template.details != "" {
		to.SetExtra("authorization_details", rawJSON(s.template.details))
	}
	return nil
}

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (bindingHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (bindingHandler) CanHandleTokenEndpointRequest(context.Context, fosite.AccessRequester) bool {
	return true
}
