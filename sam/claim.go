package sam

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
)

// Claim gives a request's page to the first browser that opens it, which gets a
// secret to keep. For that browser, which brings the secret, and no other, mine is
// true from then on: whoever began a request and sends its address to somebody else
// does not get back what the other one approved.
func (m *Module) Claim(ctx context.Context, sid, view, secret string) (fresh string, mine bool, err error) {
	r, _, err := m.viewed(ctx, sid, view)
	if err != nil {
		return "", false, err
	}
	held, mine, err := claimed(ctx, m.db, r.SID, secret)
	if err != nil || held {
		return "", mine, err
	}
	fresh, hash := token()
	n, err := m.db.Exec(ctx, `INSERT INTO sam_claim (sid, hash) VALUES ($1, $2) ON CONFLICT DO NOTHING`, r.SID, hash)
	if err != nil {
		return "", false, fmt.Errorf("claim request: %w", err)
	}
	if n != 1 { // another browser was faster
		return "", false, nil
	}
	return fresh, true, nil
}

// Mine refuses a browser that is not the one that opened the request's page first.
// Where no browser opened it, as with the command line, there is nothing to refuse.
func (m *Module) Mine(ctx context.Context, sid, secret string) error {
	return mine(ctx, m.db, sid, secret)
}

func mine(ctx context.Context, q store.Querier, sid, secret string) error {
	held, mine, err := claimed(ctx, q, sid, secret)
	if err != nil || !held || mine {
		return err
	}
	return fault.New(fault.Forbidden, "this request was opened in another browser, and goes on there").WithCode(samapi.CodeOtherBrowser)
}

func claimed(ctx context.Context, q store.Querier, sid, secret string) (held, mine bool, err error) {
	var hash []byte
	err = q.QueryRow(ctx, `SELECT hash FROM sam_claim WHERE sid = $1`, sid).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("read claim: %w", err)
	}
	return true, matches(secret, hash), nil
}
