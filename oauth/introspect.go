package oauth

import (
	"context"
	"net/http"

	"github.com/countersign/countersign/csc"
)

// introspected says what a token is (RFC 7662) to the client it was issued to. For
// everybody else's tokens the answer is that of an unknown one.
func (s *Server) introspected(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	q, err := s.ask(w, r)
	if err != nil {
		return nil, err
	}
	form, c := q.form, q.client
	if c.Auth == AuthNone { // RFC 7662 §2.1: against guessing, and against those who only found a token
		return nil, refuse(codeInvalidClient, "Introspection is for clients that authenticate.")
	}
	if form.Get("token") == "" {
		return nil, refuse(codeInvalidRequest, "Missing parameter token")
	}
	if err := s.noteUses(r.Context(), c, q.seen); err != nil {
		return nil, err
	}
	t, err := s.anyToken(r.Context(), c, form.Get("token"))
	if err != nil {
		return nil, err
	}
	if t == nil || t.state != tokenActive || !s.now().Before(t.expires) {
		return map[string]any{"active": false}, nil
	}
	return s.described(t), nil
}

// noteUses notes assertions and proofs where nothing else is written.
func (s *Server) noteUses(ctx context.Context, c *storedClient, seen []once) error {
	if len(seen) == 0 {
		return nil
	}
	return s.work(ctx, c, seen, func(context.Context, *unit) error { return nil })
}

// anyToken finds a token of that client, of either kind; nil if there is none.
func (s *Server) anyToken(ctx context.Context, c *storedClient, text string) (*token, error) {
	if !s.strategy.valid(ctx, prefixAccess, text) && !s.strategy.valid(ctx, prefixRefresh, text) {
		return nil, nil //nolint:nilnil // not a token
	}
	t, err := s.rows.token(ctx, s.db, digestHex(text))
	if err != nil || t == nil || t.client != c.ID || t.org != c.Org {
		return nil, err
	}
	return t, nil
}

func (s *Server) described(t *token) map[string]any {
	m := map[string]any{
		"active": true, "iss": s.issuer, "client_id": t.client, "scope": t.scope,
		"iat": t.issued.Unix(), "exp": t.expires.Unix(), "jti": t.hash[:32],
	}
	if t.kind == kindAccess {
		m["token_type"] = "Bearer"
		if t.jkt != "" {
			m["token_type"] = "DPoP"
		}
	}
	if t.jkt != "" {
		m["cnf"] = map[string]string{"jkt": t.jkt}
	}
	if t.scope == csc.ScopeCredential {
		m["sub"], m["credentialID"] = t.signer, t.credential
	}
	if t.details != "" {
		m["authorization_details"] = rawJSON(t.details)
	}
	return m
}

// revoke ends a token (RFC 7009) and answers with done. An access token ends
// alone, a refresh token with all of its grant (CSC API v2 §8.2.5).
func (s *Server) revoke(done int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.revoked(w, r, done == http.StatusNoContent); err != nil {
			s.writeError(w, r, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(done)
	}
}

// revoked revokes. strict means CSC's error table, which names two errors where
// RFC 7009 has success: an unknown token and an unknown hint.
func (s *Server) revoked(w http.ResponseWriter, r *http.Request, strict bool) error {
	q, err := s.ask(w, r)
	if err != nil {
		return err
	}
	form, c := q.form, q.client
	text, hint := form.Get("token"), form.Get("token_type_hint")
	if text == "" {
		return refuse(codeInvalidRequest, "Missing parameter token")
	}
	if strict && hint != "" && hint != "access_token" && hint != "refresh_token" {
		return refuse(codeInvalidRequest, "Invalid parameter token_type_hint")
	}
	t, err := s.anyToken(r.Context(), c, text)
	if err != nil {
		return err
	}
	if t == nil && strict {
		return refuse(codeInvalidRequest, "Invalid string parameter token")
	}
	return s.work(r.Context(), c, q.seen, func(ctx context.Context, u *unit) error {
		switch {
		case t == nil: // unknown, or another client's: RFC 7009 §2.2, nothing to do
			return nil
		case t.kind == kindAccess:
			return s.revokeToken(ctx, u, t.hash)
		}
		if err := s.revokeGrant(ctx, u, t.grant, kindRefresh); err != nil {
			return err
		}
		return s.revokeGrant(ctx, u, t.grant, kindAccess)
	})
}
