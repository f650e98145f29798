package oauth

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// tables are the queries of this package. Races are decided by the database: what
// is spent is spent by an UPDATE whose WHERE says in which state it must be.
type tables struct{}

// storedClient is a client with its sealed secrets.
type storedClient struct {
	Client
	sealed [][]byte
	keys   func() ([]*publicKey, error) // of JWKS, read once
}

func (tables) client(ctx context.Context, q store.Querier, id string) (*storedClient, error) {
	var data, secrets string
	c := &storedClient{Client: Client{ID: id}}
	err := q.QueryRow(ctx, `SELECT org_id, data, secrets FROM oauth_client WHERE id = $1`, id).Scan(&c.Org, &data, &secrets)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // no such client
	}
	if err != nil {
		return nil, fmt.Errorf("read client: %w", err)
	}
	if err := errors.Join(json.Unmarshal([]byte(data), &c.Client), json.Unmarshal([]byte(secrets), &c.sealed)); err != nil {
		return nil, fmt.Errorf("read client: %w", err)
	}
	c.keys = sync.OnceValues(func() ([]*publicKey, error) { return parseKeySet(c.JWKS) })
	return c, nil
}

func (t tables) putClient(ctx context.Context, q store.Querier, c Client, sealed [][]byte, now time.Time) error {
	old, err := t.client(ctx, q, c.ID)
	if err != nil {
		return err
	}
	if old != nil && old.Org != c.Org {
		return fault.New(fault.Conflict, "client id %s is taken", c.ID)
	}
	if c.Auth == AuthSecret && len(sealed) == 0 {
		if old == nil || len(old.sealed) == 0 {
			return fault.New(fault.Invalid, "client %s needs a secret", c.ID)
		}
		sealed = old.sealed
	}
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode client: %w", err)
	}
	secrets, err := json.Marshal(sealed)
	if err != nil {
		return fmt.Errorf("encode client: %w", err)
	}
	_, err = q.Exec(ctx, `INSERT INTO oauth_client (id, org_id, data, secrets, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)
		ON CONFLICT (id) DO UPDATE SET data = $3, secrets = $4, updated_at = $5`,
		c.ID, c.Org, string(data), string(secrets), store.Micros(now))
	return err
}

func (tables) linkSigner(ctx context.Context, q store.Querier, org, client, signer string) error {
	_, err := q.Exec(ctx, `INSERT INTO oauth_client_signer (org_id, client_id, signer) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, org, client, signer)
	if err != nil {
		return fmt.Errorf("link signer: %w", err)
	}
	return nil
}

func (tables) unlinkSigner(ctx context.Context, q store.Querier, org, client, signer string) error {
	_, err := q.Exec(ctx, `DELETE FROM oauth_client_signer WHERE org_id = $1 AND client_id = $2 AND signer = $3`, org, client, signer)
	if err != nil {
		return fmt.Errorf("unlink signer: %w", err)
	}
	return nil
}

func (tables) signers(ctx context.Context, q store.Querier, org, client string) (signers []string, err error) {
	rows, err := q.Query(ctx, `SELECT signer FROM oauth_client_signer WHERE org_id = $1 AND client_id = $2 ORDER BY signer`, org, client)
	if err != nil {
		return nil, fmt.Errorf("read signers: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var signer string
		if err := rows.Scan(&signer); err != nil {
			return nil, fmt.Errorf("read signers: %w", err)
		}
		signers = append(signers, signer)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read signers: %w", err)
	}
	return signers, nil
}

// States of an authorization request, in the order they are passed through.
const (
	statePushed   = "pushed"
	stateStarted  = "started" // a browser took it
	stateWaiting  = "waiting" // the approver has it
	stateGranted  = "granted" // there is a code
	stateRedeemed = "redeemed"
	stateEnded    = "ended" // without a code
)

// request is an authorization request; the tokens that come of it carry its id as
// their grant.
type request struct {
	id, org, client, state string
	form                   url.Values // what was asked for, without secrets
	wish                   *intent    // read from form once
	uriHash                string     // of the request_uri, or empty
	unsaved                bool       // it is in its request_uri and nowhere else
	jkt                    string
	browserHash            string
	sid                    string
	signer, credential     string
	tokenExpires           time.Time
	created, expires       time.Time
}

// insertRequest keeps a request; false if its request_uri was used before.
func (tables) insertRequest(ctx context.Context, q store.Querier, r *request) (bool, error) {
	n, err := q.Exec(ctx, `INSERT INTO oauth_request (id, org_id, client_id, state, uri_hash, form, jkt, browser_hash, sid, signer, credential_id, token_expires, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', '', 0, $10, $11) ON CONFLICT (uri_hash) DO NOTHING`,
		r.id, r.org, r.client, r.state, nullable(r.uriHash), r.form.Encode(), r.jkt, r.browserHash, nullable(r.sid),
		store.Micros(r.created), store.Micros(r.expires))
	return changed(n, err, "keep authorization request")
}

func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

const selectRequest = `SELECT id, org_id, client_id, state, form, jkt, browser_hash, sid, signer, credential_id, token_expires, created_at, expires_at FROM oauth_request`

func (t tables) requestByURI(ctx context.Context, q store.Querier, hash string) (*request, error) {
	return t.scanRequest(q.QueryRow(ctx, selectRequest+` WHERE uri_hash = $1`, hash))
}

func (t tables) requestBySID(ctx context.Context, q store.Querier, sid string) (*request, error) {
	return t.scanRequest(q.QueryRow(ctx, selectRequest+` WHERE sid = $1`, sid))
}

func (t tables) requestByCode(ctx context.Context, q store.Querier, hash string) (*request, error) {
	return t.scanRequest(q.QueryRow(ctx, selectRequest+` WHERE code_hash = $1`, hash))
}

func (tables) scanRequest(row *sql.Row) (*request, error) {
	var (
		r                              request
		form                           string
		sid                            sql.NullString
		tokenExpires, created, expires int64
	)
	err := row.Scan(&r.id, &r.org, &r.client, &r.state, &form, &r.jkt, &r.browserHash, &sid, &r.signer, &r.credential, &tokenExpires, &created, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // no such request
	}
	if err != nil {
		return nil, fmt.Errorf("read authorization request: %w", err)
	}
	if r.form, err = url.ParseQuery(form); err != nil {
		return nil, fmt.Errorf("read authorization request: %w", err)
	}
	r.sid, r.tokenExpires, r.created, r.expires = sid.String, store.Time(tokenExpires), store.Time(created), store.Time(expires)
	return &r, nil
}

// start takes a pushed request for one browser; false if it was taken or is late.
func (tables) start(ctx context.Context, q store.Querier, id, browserHash string, now, expires time.Time) (bool, error) {
	n, err := q.Exec(ctx, `UPDATE oauth_request SET state = 'started', browser_hash = $2, expires_at = $4
		WHERE id = $1 AND state = 'pushed' AND expires_at > $3`, id, browserHash, store.Micros(now), store.Micros(expires))
	return changed(n, err, "start authorization")
}

// await notes the approval that a request waits for, and the browser that started it.
// from is the state it is in: started, or pushed where the caller has claimed it.
func (tables) await(ctx context.Context, q store.Querier, r *request, from string) (bool, error) {
	n, err := q.Exec(ctx, `UPDATE oauth_request SET state = 'waiting', browser_hash = $3, sid = $4, expires_at = $5 WHERE id = $1 AND state = $2`,
		r.id, from, r.browserHash, r.sid, store.Micros(r.expires))
	return changed(n, err, "await approval")
}

// grant gives a waiting request its code.
func (tables) grant(ctx context.Context, q store.Querier, id, codeHash string, o Outcome, expires time.Time) (bool, error) {
	n, err := q.Exec(ctx, `UPDATE oauth_request SET state = 'granted', code_hash = $2, signer = $3, credential_id = $4, token_expires = $5, expires_at = $6
		WHERE id = $1 AND state = 'waiting'`, id, codeHash, o.Signer, o.Credential, store.Micros(o.Expires), store.Micros(expires))
	return changed(n, err, "grant authorization")
}

// redeem spends the code.
func (tables) redeem(ctx context.Context, q store.Querier, id string) (bool, error) {
	n, err := q.Exec(ctx, `UPDATE oauth_request SET state = 'redeemed' WHERE id = $1 AND state = 'granted'`, id)
	return changed(n, err, "redeem code")
}

// end closes a request that will have no code.
func (tables) end(ctx context.Context, q store.Querier, id string) (bool, error) {
	n, err := q.Exec(ctx, `UPDATE oauth_request SET state = 'ended' WHERE id = $1 AND (state = 'pushed' OR state = 'started' OR state = 'waiting')`, id)
	return changed(n, err, "end authorization")
}

func changed(n int64, err error, doing string) (bool, error) {
	if err != nil {
		return false, fmt.Errorf("%s: %w", doing, err)
	}
	return n == 1, nil
}

// see notes something that may be seen once; false if it was seen before.
func (tables) see(ctx context.Context, q store.Querier, o once) (bool, error) {
	n, err := q.Exec(ctx, `INSERT INTO oauth_once (id, org_id, expires_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`,
		o.id, o.org, store.Micros(o.expires))
	return changed(n, err, "note use")
}
