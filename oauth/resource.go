package oauth

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
)

func errToken() *fault.Error {
	return fault.New(fault.Unauthenticated, "The token provided is not a valid OAuth access or refresh token.").WithCode(codeInvalidToken)
}

// Caller says who sends a request to a protected resource, from its access token
// and, if the token is bound to a key, its DPoP proof. Faults are of kind
// Unauthenticated with the code invalid_token or expired_token, which revoked
// tokens have too.
//
// A token is checked each time it is used; a proof is good for one call of Caller.
func (s *Server) Caller(r *http.Request) (csc.Caller, error) {
	ctx := r.Context()
	scheme, text, err := credentials(r)
	if err != nil {
		return csc.Caller{}, err
	}
	t, c, err := s.accessToken(ctx, text)
	if err != nil {
		return csc.Caller{}, err
	}
	if err := s.checkBinding(ctx, r, scheme, text, t); err != nil {
		return csc.Caller{}, err
	}
	return csc.Caller{
		Org: t.org, Client: t.client, ClientName: c.Name, Subject: t.signer, Scope: t.scope,
		Credential: t.credential, SID: t.sid, Expires: t.expires,
	}, nil
}

// credentials takes the Authorization header apart.
func credentials(r *http.Request) (scheme, token string, err error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", "", errToken()
	}
	scheme, token, _ = strings.Cut(values[0], " ")
	scheme, token = strings.ToLower(scheme), strings.TrimLeft(token, " ")
	if (scheme != "bearer" && scheme != "dpop") || token == "" {
		return "", "", errToken()
	}
	return scheme, token, nil
}

// accessToken finds an access token that is good, and its client.
func (s *Server) accessToken(ctx context.Context, text string) (*token, *storedClient, error) {
	if !s.strategy.valid(ctx, prefixAccess, text) {
		return nil, nil, errToken()
	}
	t, err := s.tokenByHash(ctx, digestHex(text))
	if err != nil {
		return nil, nil, err
	}
	if t == nil || t.kind != kindAccess {
		return nil, nil, errToken()
	}
	c, err := s.client(ctx, t.client)
	if err != nil {
		return nil, nil, err
	}
	if c == nil || c.Disabled || c.Org != t.org {
		return nil, nil, errToken()
	}
	if t.state != tokenActive || !s.now().Before(t.expires) {
		return nil, nil, fault.New(fault.Unauthenticated, "The access or refresh token is expired or has been revoked.").WithCode(codeExpiredToken)
	}
	return t, c, nil
}

// checkBinding makes a bound token worth nothing without its key, and the scheme
// say which of the two a token is (RFC 9449 §7.1).
func (s *Server) checkBinding(ctx context.Context, r *http.Request, scheme, text string, t *token) error {
	if t.jkt == "" {
		if scheme != "bearer" {
			return errToken().Because(fmt.Errorf("token is not bound to a DPoP key"))
		}
		return nil
	}
	if scheme != "dpop" {
		return errToken().Because(fmt.Errorf("token is bound to a DPoP key and came as %s", scheme))
	}
	jkt, seen, err := s.dpop(r, text)
	if err != nil {
		return errToken().Because(err)
	}
	if jkt != t.jkt {
		return errToken().Because(fmt.Errorf("DPoP proof is missing or made with another key"))
	}
	for _, o := range seen {
		o.org = t.org
		first, err := s.rows.see(ctx, s.db, o)
		if err != nil {
			return err
		}
		if !first {
			return errToken().Because(o.refusal)
		}
	}
	return nil
}
