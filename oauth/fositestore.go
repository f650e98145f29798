package oauth

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/store"
)

// unit is the work of one HTTP request: what fosite's handlers read and write
// through the adapter. fosite hands nothing but a context from one to the other.
type unit struct {
	q       store.Querier // the transaction, or the database where one statement is enough
	now     time.Time
	client  *storedClient // who asks
	req     *request      // the authorization request it is about, once known
	jkt     string        // key of the DPoP proof, or empty
	uri     string        // of a request that is pushed
	outcome Outcome       // at the way back from approval
	failed  error         // trouble with the database: nothing may be committed

	// What the memory forgets at the end in any case, and what it learns then if all
	// went well.
	forget, learn []func()
}

// end tells the memory what has become of the unit's work.
func (u *unit) end(done bool) {
	for _, f := range u.forget {
		f()
	}
	if done && u.failed == nil {
		for _, f := range u.learn {
			f()
		}
	}
}

type unitKey struct{}

func (u *unit) in(ctx context.Context) context.Context { return context.WithValue(ctx, unitKey{}, u) }

func unitOf(ctx context.Context) *unit {
	u, _ := ctx.Value(unitKey{}).(*unit)
	return u
}

// fail notes trouble with the database.
func (u *unit) fail(err error) error {
	if err != nil && u.failed == nil {
		u.failed = err
	}
	return err
}

// session is fosite's idea of what belongs to a token. Lifetimes are decided here,
// by our clock, whatever fosite's handlers compute.
type session struct {
	s        *Server
	now      time.Time
	template token // of the tokens of this grant
	until    time.Time
	code     time.Time
	access   time.Time
	refresh  time.Time
}

// SetExpiresAt implements fosite.Session. The time that fosite proposes is ignored.
func (s *session) SetExpiresAt(kind fosite.TokenType, _ time.Time) {
	switch kind { //nolint:exhaustive // fosite's other kinds are not used
	case fosite.AuthorizeCode:
		s.code = s.now.Add(s.s.codeLife)
	case fosite.AccessToken:
		s.access = s.now.Add(s.s.accessLife)
		if !s.until.IsZero() {
			s.access = s.until
		}
	case fosite.RefreshToken:
		if s.template.grantExpires.IsZero() {
			s.template.grantExpires = s.now.Add(s.s.refreshLife)
		}
		s.refresh = s.template.grantExpires
	}
}

// GetExpiresAt implements fosite.Session.
func (s *session) GetExpiresAt(kind fosite.TokenType) time.Time {
	switch kind { //nolint:exhaustive // fosite's other kinds are not used
	case fosite.AuthorizeCode:
		return s.code
	case fosite.AccessToken:
		return s.access
	case fosite.RefreshToken:
		return s.refresh
	}
	return time.Time{}
}

// GetUsername implements fosite.Session.
func (s *session) GetUsername() string { return "" }

// GetSubject implements fosite.Session.
func (s *session) GetSubject() string { return s.template.signer }

// Clone implements fosite.Session.
func (s *session) Clone() fosite.Session { c := *s; return &c }

// adapter is fosite's storage on our tables, for one unit of work at a time.
type adapter struct{ s *Server }

// GetClient implements fosite.ClientManager. The client of the unit is the only
// one there is: it was read, and it authenticated, before fosite was asked.
func (a adapter) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	if u := unitOf(ctx); u.client != nil && u.client.ID == id {
		return fositeClient{u.client}, nil
	}
	return nil, fosite.ErrNotFound
}

// ClientAssertionJWTValid implements fosite.ClientManager; fosite does not
// authenticate clients here.
func (a adapter) ClientAssertionJWTValid(context.Context, string) error { return fosite.ErrJTIKnown }

// SetClientAssertionJWT implements fosite.ClientManager.
func (a adapter) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return fosite.ErrJTIKnown
}

// CreatePARSession implements fosite.PARStorage. A request that fits goes into its
// request_uri instead, which then takes the place of fosite's.
func (a adapter) CreatePARSession(ctx context.Context, uri string, _ fosite.AuthorizeRequester) error {
	u := unitOf(ctx)
	u.req.state, u.req.expires = statePushed, u.now.Add(a.s.requestLife)
	if text, ok := a.s.sealRequest(u.req); ok {
		u.uri, u.req.unsaved = text, true
	} else {
		u.uri = uri
	}
	u.req.uriHash = digestHex(u.uri)
	u.learn = append(u.learn, func() { a.s.memory.remember(byURI(u.req.uriHash), u.req) })
	if u.req.unsaved {
		return nil
	}
	_, err := a.s.rows.insertRequest(ctx, u.q, u.req)
	return u.fail(err)
}

// GetPARSession implements fosite.PARStorage.
func (a adapter) GetPARSession(ctx context.Context, _ string) (fosite.AuthorizeRequester, error) {
	return a.s.authorizeRequester(unitOf(ctx))
}

// DeletePARSession implements fosite.PARStorage: it takes the request for the
// browser that is here, or fails because somebody was faster. Where this process is
// the only one, the request has been claimed, and one statement later notes browser
// and approval together.
func (a adapter) DeletePARSession(ctx context.Context, _ string) error {
	u := unitOf(ctx)
	if a.s.memory.alone {
		return nil
	}
	ok, err := a.s.takeUp(ctx, u)
	if err != nil {
		return u.fail(err)
	}
	if !ok {
		return errSpentURI()
	}
	return nil
}

// CreateAuthorizeCodeSession implements oauth2.AuthorizeCodeStorage.
func (a adapter) CreateAuthorizeCodeSession(ctx context.Context, hash string, _ fosite.Requester) error {
	u, until := unitOf(ctx), unitOf(ctx).now.Add(a.s.codeLife)
	u.forget = append(u.forget, func() { a.s.memory.requests.forget(bySID(u.req.sid)) })
	ok, err := a.s.rows.grant(ctx, u.q, u.req.id, hash, u.outcome, until)
	if err != nil {
		return u.fail(err)
	}
	if !ok {
		return refuse(codeInvalidRequest, "This authorization was answered before.")
	}
	granted := u.req.clone()
	granted.state, granted.expires = stateGranted, until
	granted.signer, granted.credential, granted.tokenExpires = u.outcome.Signer, u.outcome.Credential, u.outcome.Expires
	u.learn = append(u.learn, func() { a.s.memory.remember(byCode(hash), granted) })
	return nil
}

// GetAuthorizeCodeSession implements oauth2.AuthorizeCodeStorage. A code of another
// client is unknown: only its own client can spend it, or revoke by replaying it.
func (a adapter) GetAuthorizeCodeSession(ctx context.Context, hash string, into fosite.Session) (fosite.Requester, error) {
	u := unitOf(ctx)
	if u.req == nil {
		r, err := a.s.requestBy(byCode(hash), func() (*request, error) { return a.s.rows.requestByCode(ctx, u.q, hash) })
		if err != nil {
			return nil, u.fail(err)
		}
		if r == nil || r.client != u.client.ID || r.org != u.client.Org {
			return nil, fosite.ErrNotFound
		}
		u.req = r
		if s, ok := into.(*session); ok {
			s.until, s.code, s.template = r.tokenExpires, r.expires, r.template()
		}
	}
	q := &fosite.Request{
		ID: u.req.id, RequestedAt: u.req.created, Client: fositeClient{u.client}, Form: u.req.form, Session: into,
		RequestedScope: fosite.Arguments{csc.ScopeCredential}, GrantedScope: fosite.Arguments{csc.ScopeCredential},
	}
	if u.req.state != stateGranted {
		return q, fosite.ErrInvalidatedAuthorizeCode
	}
	return q, nil
}

// template is what every token of a credential grant has in common.
func (r *request) template() token {
	return token{
		org: r.org, client: r.client, grant: r.id, signer: r.signer, credential: r.credential,
		sid: r.sid, jkt: r.jkt, details: r.form.Get("authorization_details"),
	}
}

// InvalidateAuthorizeCodeSession implements oauth2.AuthorizeCodeStorage.
func (a adapter) InvalidateAuthorizeCodeSession(ctx context.Context, hash string) error {
	u := unitOf(ctx)
	u.forget = append(u.forget, func() { a.s.memory.requests.forget(byCode(hash)) })
	ok, err := a.s.rows.redeem(ctx, u.q, u.req.id)
	if err != nil {
		return u.fail(err)
	}
	if !ok { // somebody was faster with the same code: RFC 6749 §4.1.2
		if err := a.RevokeAccessToken(ctx, u.req.id); err != nil {
			return err
		}
		return refuse(codeInvalidGrant, "The authorization code has already been used.")
	}
	return nil
}

// CreateAccessTokenSession implements oauth2.AccessTokenStorage.
func (a adapter) CreateAccessTokenSession(ctx context.Context, hash string, r fosite.Requester) error {
	return a.issue(ctx, hash, kindAccess, fosite.AccessToken, r)
}

// CreateRefreshTokenSession implements oauth2.RefreshTokenStorage.
func (a adapter) CreateRefreshTokenSession(ctx context.Context, hash, _ string, r fosite.Requester) error {
	return a.issue(ctx, hash, kindRefresh, fosite.RefreshToken, r)
}

func (a adapter) issue(ctx context.Context, hash, kind string, of fosite.TokenType, r fosite.Requester) error {
	u := unitOf(ctx)
	s, ok := r.GetSession().(*session)
	if !ok {
		return fosite.ErrServerError.WithDebug("session of another kind")
	}
	t := s.template
	t.hash, t.kind, t.state, t.grant = hash, kind, tokenActive, r.GetID()
	t.scope, t.issued, t.expires = strings.Join(r.GetGrantedScopes(), " "), u.now, s.GetExpiresAt(of)
	if kind == kindAccess {
		_, age, _ := a.s.memory.tokens.get(hash)
		u.learn = append(u.learn, func() { a.s.memory.rememberToken(age, &t) })
	}
	return u.fail(a.s.rows.insertToken(ctx, u.q, &t))
}

// revokeToken ends one token.
func (s *Server) revokeToken(ctx context.Context, u *unit, hash string) error {
	u.forget = append(u.forget, func() { s.memory.tokens.forget(hash) })
	return u.fail(s.rows.revokeToken(ctx, u.q, hash))
}

// revokeGrant ends every token of a grant that is of that kind.
func (s *Server) revokeGrant(ctx context.Context, u *unit, grant, kind string) error {
	u.forget = append(u.forget, func() { s.memory.tokens.forget() })
	return u.fail(s.rows.revokeGrant(ctx, u.q, grant, kind))
}

// GetAccessTokenSession implements oauth2.AccessTokenStorage. Introspection and
// revocation read the tables themselves.
func (a adapter) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}

// DeleteAccessTokenSession implements oauth2.AccessTokenStorage.
func (a adapter) DeleteAccessTokenSession(ctx context.Context, hash string) error {
	return a.s.revokeToken(ctx, unitOf(ctx), hash)
}

// GetRefreshTokenSession implements oauth2.RefreshTokenStorage. One that was
// exchanged before comes with fosite.ErrInactiveToken, whereupon fosite revokes
// the grant: either the client or a thief holds the newer one.
func (a adapter) GetRefreshTokenSession(ctx context.Context, hash string, _ fosite.Session) (fosite.Requester, error) {
	u := unitOf(ctx)
	t, err := a.s.rows.token(ctx, u.q, hash)
	if err != nil {
		return nil, u.fail(err)
	}
	if t == nil || t.kind != kindRefresh || t.client != u.client.ID || t.org != u.client.Org || t.state == tokenRevoked {
		return nil, fosite.ErrNotFound
	}
	s := &session{s: a.s, now: u.now, refresh: t.expires, template: *t}
	scopes := fosite.Arguments(strings.Fields(t.scope))
	q := &fosite.Request{
		ID: t.grant, RequestedAt: t.issued, Client: fositeClient{u.client}, Form: url.Values{}, Session: s,
		RequestedScope: scopes, GrantedScope: scopes,
	}
	if t.state != tokenActive {
		return q, fosite.ErrInactiveToken
	}
	return q, nil
}

// DeleteRefreshTokenSession implements oauth2.RefreshTokenStorage.
func (a adapter) DeleteRefreshTokenSession(ctx context.Context, hash string) error {
	return a.s.revokeToken(ctx, unitOf(ctx), hash)
}

// RotateRefreshToken implements oauth2.RefreshTokenStorage.
func (a adapter) RotateRefreshToken(ctx context.Context, grant, hash string) error {
	u := unitOf(ctx)
	ok, err := a.s.rows.spendRefresh(ctx, u.q, hash)
	if err != nil {
		return u.fail(err)
	}
	if !ok {
		if err := a.RevokeRefreshToken(ctx, grant); err != nil {
			return err
		}
		if err := a.RevokeAccessToken(ctx, grant); err != nil {
			return err
		}
		return refuse(codeInvalidGrant, "The refresh token was already used.")
	}
	return nil
}

// RevokeRefreshToken implements oauth2.TokenRevocationStorage.
func (a adapter) RevokeRefreshToken(ctx context.Context, grant string) error {
	return a.s.revokeGrant(ctx, unitOf(ctx), grant, kindRefresh)
}

// RevokeAccessToken implements oauth2.TokenRevocationStorage.
func (a adapter) RevokeAccessToken(ctx context.Context, grant string) error {
	return a.s.revokeGrant(ctx, unitOf(ctx), grant, kindAccess)
}

// CreatePKCERequestSession implements pkce.PKCERequestStorage. The challenge is
// part of the authorization request, so there is nothing more to keep, and a wrong
// verifier does not burn the code.
func (a adapter) CreatePKCERequestSession(context.Context, string, fosite.Requester) error {
	return nil
}

// GetPKCERequestSession implements pkce.PKCERequestStorage.
func (a adapter) GetPKCERequestSession(ctx context.Context, hash string, into fosite.Session) (fosite.Requester, error) {
	return a.GetAuthorizeCodeSession(ctx, hash, into)
}

// DeletePKCERequestSession implements pkce.PKCERequestStorage.
func (a adapter) DeletePKCERequestSession(context.Context, string) error { return nil }
