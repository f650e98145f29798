package direct

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/signer"
)

// phase is how far a signing has come.
type phase string

const (
	waiting   phase = "waiting"   // for the signer
	redeeming phase = "redeeming" // one request is at it
	signed    phase = "signed"
	refused   phase = "refused" // by the signer
	failed    phase = "failed"  // for good
)

// keptFor is how long a signing can be taken up again.
const keptFor = time.Hour

// stuckAfter is when a signing that is still at it has lost its process: longer
// than any call to the service takes.
const stuckAfter = 3 * time.Minute

// signing is one row.
type signing struct {
	ID      string
	Phase   phase
	Request request
	Result  result
	Began   time.Time
	Expires time.Time
}

// request is what was asked: enough to ask for the signatures later.
type request struct {
	Credential    string                `json:"credential"`
	Authorization *signer.Authorization `json:"authorization"`
	Documents     []signer.Digests      `json:"documents"`
}

// result is what came of it.
type result struct {
	Signatures [][]byte `json:"signatures,omitempty"`
	Code       string   `json:"code,omitempty"`
	Why        string   `json:"why,omitempty"`
}

// rows keeps the signings. Every method is for one organisation and one browser:
// what another one began is not found.
type rows struct {
	db  *store.DB
	org string
	now func() time.Time
}

var errUnknown = fault.New(fault.NotFound, "this browser has no such request; it may have ended an hour after it began").WithCode("request_unknown")

func (s *rows) add(ctx context.Context, browser string, r request) error {
	encoded, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	now := s.now()
	_, err = s.db.Exec(ctx, `INSERT INTO direct_signing (id, org_id, browser, phase, request, result, began, expires) VALUES ($1, $2, $3, $4, $5, '', $6, $7)`,
		r.Authorization.State, s.org, browser, string(waiting), string(encoded), store.Micros(now), store.Micros(now.Add(keptFor)))
	if err != nil {
		return fmt.Errorf("keep request: %w", err)
	}
	return nil
}

func (s *rows) find(ctx context.Context, browser, id string) (*signing, error) {
	var x signing
	var request, result string
	var began, expires int64
	err := s.db.QueryRow(ctx, `SELECT id, phase, request, result, began, expires FROM direct_signing WHERE id = $1 AND org_id = $2 AND browser = $3`,
		id, s.org, browser).Scan(&x.ID, &x.Phase, &request, &result, &began, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("find request: %w", err)
	}
	x.Began, x.Expires = store.Time(began), store.Time(expires)
	if !s.now().Before(x.Expires) {
		return nil, errUnknown
	}
	for text, v := range map[string]any{request: &x.Request, result: &x.Result} {
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), v); err != nil {
			return nil, fmt.Errorf("read request %s: %w", id, err)
		}
	}
	return &x, nil
}

// claim says whether the caller is the one that redeems the code: it is for one use.
// The moment is kept in began.
func (s *rows) claim(ctx context.Context, browser, id string) (bool, error) {
	n, err := s.db.Exec(ctx, `UPDATE direct_signing SET phase = $1, began = $2 WHERE id = $3 AND org_id = $4 AND browser = $5 AND phase = $6`,
		string(redeeming), store.Micros(s.now()), id, s.org, browser, string(waiting))
	if err != nil {
		return false, fmt.Errorf("claim request: %w", err)
	}
	return n == 1, nil
}

// end records what came of a signing. What was asked is forgotten.
func (s *rows) end(ctx context.Context, browser, id string, p phase, r result) error {
	encoded, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	_, err = s.db.Exec(ctx, `UPDATE direct_signing SET phase = $1, result = $2, request = '' WHERE id = $3 AND org_id = $4 AND browser = $5 AND phase = $6`,
		string(p), string(encoded), id, s.org, browser, string(redeeming))
	if err != nil {
		return fmt.Errorf("record result: %w", err)
	}
	return nil
}

// forget deletes a signing that is over for its browser.
func (s *rows) forget(ctx context.Context, browser, id string) error {
	_, err := s.db.Exec(ctx, `DELETE FROM direct_signing WHERE id = $1 AND org_id = $2 AND browser = $3 AND phase <> $4`, id, s.org, browser, string(redeeming))
	if err != nil {
		return fmt.Errorf("forget request: %w", err)
	}
	return nil
}

func (s *rows) purge(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `DELETE FROM direct_signing WHERE expires < $1`, store.Micros(s.now()))
	return err
}
