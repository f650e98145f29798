package oauth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/store"
)

// Kinds and states of tokens.
const (
	kindAccess  = "access"
	kindRefresh = "refresh"

	tokenActive  = "active"
	tokenUsed    = "used" // a refresh token that was exchanged
	tokenRevoked = "revoked"
)

// token is what a token stands for. The token itself is nowhere.
type token struct {
	hash, kind, state  string
	org, client, grant string
	scope              string
	signer, credential string
	sid, jkt, details  string
	grantExpires       time.Time // zero: the grant has no end of its own
	issued, expires    time.Time
}

func (tables) insertToken(ctx context.Context, q store.Querier, t *token) error {
	_, err := q.Exec(ctx, `INSERT INTO oauth_token (hash, org_id, client_id, grant_id, kind, state, scope, signer, credential_id, sid, jkt, details, grant_expires, issued_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		t.hash, t.org, t.client, t.grant, t.kind, t.state, t.scope, t.signer, t.credential, t.sid, t.jkt, t.details,
		store.Micros(t.grantExpires), store.Micros(t.issued), store.Micros(t.expires))
	if err != nil {
		return fmt.Errorf("keep token: %w", err)
	}
	return nil
}

func (tables) token(ctx context.Context, q store.Querier, hash string) (*token, error) {
	t := &token{hash: hash}
	var grantExpires, issued, expires int64
	err := q.QueryRow(ctx, `SELECT org_id, client_id, grant_id, kind, state, scope, signer, credential_id, sid, jkt, details, grant_expires, issued_at, expires_at
		FROM oauth_token WHERE hash = $1`, hash).
		Scan(&t.org, &t.client, &t.grant, &t.kind, &t.state, &t.scope, &t.signer, &t.credential, &t.sid, &t.jkt, &t.details, &grantExpires, &issued, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // no such token
	}
	if err != nil {
		return nil, fmt.Errorf("read token: %w", err)
	}
	t.grantExpires, t.issued, t.expires = store.Time(grantExpires), store.Time(issued), store.Time(expires)
	return t, nil
}

// spendRefresh exchanges a refresh token; false if it is not active any more.
func (tables) spendRefresh(ctx context.Context, q store.Querier, hash string) (bool, error) {
	n, err := q.Exec(ctx, `UPDATE oauth_token SET state = 'used' WHERE hash = $1 AND kind = 'refresh' AND state = 'active'`, hash)
	return changed(n, err, "rotate refresh token")
}

// revokeGrant ends every token of a grant that is of that kind.
func (tables) revokeGrant(ctx context.Context, q store.Querier, grant, kind string) error {
	if _, err := q.Exec(ctx, `UPDATE oauth_token SET state = 'revoked' WHERE grant_id = $1 AND kind = $2 AND state <> 'revoked'`, grant, kind); err != nil {
		return fmt.Errorf("revoke grant: %w", err)
	}
	return nil
}

// revokeToken ends one token.
func (tables) revokeToken(ctx context.Context, q store.Querier, hash string) error {
	if _, err := q.Exec(ctx, `UPDATE oauth_token SET state = 'revoked' WHERE hash = $1`, hash); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// How long rows outlive what they are about: a code that comes back is recognised,
// and an expired token is called expired rather than unknown.
const retention = 24 * time.Hour

// abandoned is how long requests are kept after their time that never came to an
// approval. Nobody will ask for them, and anybody can send a public client's.
const abandoned = 10 * time.Minute

// purgeBatch rows are deleted at a time, so that others get to write in between.
const purgeBatch = 500

// Purge deletes what expired long enough ago and returns how many rows that were.
// It is to be called now and then, by one process or by several.
func (s *Server) Purge(ctx context.Context) (int64, error) {
	now := s.now()
	var total int64
	for _, p := range []struct {
		query  string
		before time.Time
	}{
		{`DELETE FROM oauth_once WHERE id IN (SELECT id FROM oauth_once WHERE expires_at < $1 LIMIT $2)`, now},
		{`DELETE FROM oauth_request WHERE id IN (SELECT id FROM oauth_request WHERE created_at < $1 AND expires_at < $1 AND (state = 'pushed' OR state = 'started') LIMIT $2)`, now.Add(-abandoned)},
		{`DELETE FROM oauth_request WHERE id IN (SELECT id FROM oauth_request WHERE created_at < $1 AND expires_at < $1 LIMIT $2)`, now.Add(-retention)},
		{`DELETE FROM oauth_token WHERE hash IN (SELECT hash FROM oauth_token WHERE expires_at < $1 LIMIT $2)`, now.Add(-retention)},
	} {
		for {
			n, err := s.db.Exec(ctx, p.query, store.Micros(p.before), purgeBatch)
			if err != nil {
				return total, fmt.Errorf("purge: %w", err)
			}
			total += n
			if n < purgeBatch {
				break
			}
		}
	}
	return total, nil
}
