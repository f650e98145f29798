package federation

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/store"
)

func (p *Peers) insertAuthorization(ctx context.Context, a *authorization) error {
	digests, err := json.Marshal(a.digests)
	if err != nil {
		return fmt.Errorf("encode digests: %w", err)
	}
	_, err = p.db.Exec(ctx, `INSERT INTO federation_authorization
		(sid, org_id, client, peer, handle, state, state_hash, return_hash, sealed, hash_oid, digests, rule, serial, created, expires, token_expires)
		VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $9, $10, $11, $12, $13, $14, 0)`,
		a.sid, a.org, a.client, a.peer, a.handle, a.state, a.stateHash, a.sealed, a.hashOID, string(digests), a.rule, a.serial,
		store.Micros(a.created), store.Micros(a.expires))
	if err != nil {
		return fmt.Errorf("keep authorisation: %w", err)
	}
	return nil
}

const selectAuthorization = `SELECT a.sid, a.org_id, a.client, a.peer, a.handle, a.state, a.state_hash, a.return_hash, a.sealed, a.hash_oid, a.digests,
	COALESCE(g.spent, ''), a.rule, a.serial, a.created, a.expires, a.token_expires
	FROM federation_authorization a LEFT JOIN federation_grant g ON g.sid = a.sid WHERE a.`

// authorization returns the authorisation of that sid, or nil.
func (p *Peers) authorization(ctx context.Context, sid string) (*authorization, error) {
	return scanAuthorization(p.db.QueryRow(ctx, selectAuthorization+`sid = $1`, sid))
}

// byState returns the authorisation whose state parameter that is, or nil.
func (p *Peers) byState(ctx context.Context, state string) (*authorization, error) {
	return scanAuthorization(p.db.QueryRow(ctx, selectAuthorization+`state_hash = $1`, digestHex(state)))
}

func scanAuthorization(row *sql.Row) (*authorization, error) {
	var (
		a                           authorization
		digests                     string
		created, expires, tokenEnds int64
	)
	err := row.Scan(&a.sid, &a.org, &a.client, &a.peer, &a.handle, &a.state, &a.stateHash, &a.returnHash, &a.sealed, &a.hashOID, &digests, &a.spent,
		&a.rule, &a.serial, &created, &expires, &tokenEnds)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // no such authorisation
	}
	if err != nil {
		return nil, fmt.Errorf("read authorisation: %w", err)
	}
	if err := json.Unmarshal([]byte(digests), &a.digests); err != nil || ((a.state == stateAuthorized || a.state == stateEnded) && len(a.digests) != len(a.spent)) {
		return nil, errors.Join(fmt.Errorf("authorisation %s cannot be read", a.sid), err)
	}
	a.unlike = unlike(a.digests)
	a.created, a.expires, a.tokenExpires = store.Time(created), store.Time(expires), store.Time(tokenEnds)
	return &a, nil
}

// move changes the state of an authorisation, with what it seals now; false if it
// is in another state.
func (p *Peers) move(ctx context.Context, a *authorization, from, to, sealed string, tokenExpires time.Time) (bool, error) {
	n, err := p.db.Exec(ctx, `UPDATE federation_authorization SET state = $3, sealed = $4, token_expires = $5 WHERE sid = $1 AND state = $2`,
		a.sid, from, to, sealed, store.Micros(tokenExpires))
	if err != nil {
		return false, fmt.Errorf("authorisation %s to %s: %w", a.sid, to, err)
	}
	return n == 1, nil
}

// grant keeps the peer's token, and lets every position be sent once.
func (p *Peers) grant(ctx context.Context, a *authorization, sealed string, until time.Time) error {
	return p.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE federation_authorization SET state = 'AUTHORIZED', sealed = $2, token_expires = $3 WHERE sid = $1 AND state = 'CANCELLED'`,
			a.sid, sealed, store.Micros(until))
		if err == nil && n != 1 {
			err = errors.New("it is in another state")
		}
		if err != nil {
			return fmt.Errorf("grant %s: %w", a.sid, err)
		}
		_, err = tx.Exec(ctx, `INSERT INTO federation_grant (sid, org_id, peer, spent, expires) VALUES ($1, $2, $3, $4, $5)`,
			a.sid, a.org, a.peer, strings.Repeat("0", len(a.digests)), store.Micros(until))
		if err != nil {
			return fmt.Errorf("grant %s: %w", a.sid, err)
		}
		return nil
	})
}

// returnedWith notes the answer that a browser brought, once.
func (p *Peers) returnedWith(ctx context.Context, a *authorization, sealed, returnHash string, now time.Time) (bool, error) {
	n, err := p.db.Exec(ctx, `UPDATE federation_authorization SET state = 'RETURNED', sealed = $2, return_hash = $3
		WHERE sid = $1 AND state = 'AUTHORIZING' AND expires > $4`, a.sid, sealed, returnHash, store.Micros(now))
	if err != nil {
		return false, fmt.Errorf("note return of %s: %w", a.sid, err)
	}
	return n == 1, nil
}

func unlike(list []string) bool {
	seen := make(map[string]bool, len(list))
	for _, d := range list {
		if seen[d] {
			return false
		}
		seen[d] = true
	}
	return true
}

// distinct reports whether every digest is there once.
func (a *authorization) distinct() bool { return a.unlike }

// opened are authorisations in use, as they were when this process last changed
// them. What it remembers decides nothing: a position is spent by an UPDATE that
// names what was spent before.
type opened struct {
	mu sync.Mutex
	m  map[string]*authorization
}

// maxOpened bounds them.
const maxOpened = 1024

func (o *opened) get(sid string) *authorization {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.m[sid]; a != nil {
		mine := *a
		return &mine
	}
	return nil
}

// put remembers an authorisation with its positions spent, or forgets it when they
// could not be.
func (o *opened) put(a *authorization, spent string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		delete(o.m, a.sid)
		return
	}
	if o.m == nil || len(o.m) >= maxOpened {
		o.m = map[string]*authorization{}
	}
	next := *a
	next.spent = spent
	o.m[a.sid] = &next
}

// forget makes the next use read it.
func (o *opened) forget(sid string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.m, sid)
}
