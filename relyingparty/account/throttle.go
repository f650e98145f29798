package account

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// Pauses after too many wrong tries.
const (
	firstPause   = 30 * time.Second
	longestPause = 15 * time.Minute
	addressTries = 10 // times Config.Tries: many people may share an address
)

func passwordThrottle(org, email string) string { return "password/" + org + "/" + email }
func codeThrottle(user string) string           { return "code/" + user }
func addressThrottle(org, address string) string {
	return "address/" + org + "/" + address
}

// try counts a try before it is made, so that tries at the same time are counted
// one after the other. It refuses while there is a pause.
func (s *Service) try(ctx context.Context, org, name string, most int) error {
	now := s.config.Now()
	var wait time.Duration
	err := s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		wait = 0
		if _, err := tx.Exec(ctx, `INSERT INTO account_throttle (name, org_id, failures, until, changed) VALUES ($1, $2, 0, 0, $3) ON CONFLICT DO NOTHING`,
			name, org, store.Micros(now)); err != nil {
			return err
		}
		var failures, until int64
		if err := tx.QueryRow(ctx, `SELECT failures, until FROM account_throttle WHERE name = $1`, name).Scan(&failures, &until); err != nil {
			return err
		}
		if wait = store.Time(until).Sub(now); until != 0 && wait > 0 {
			return nil
		}
		wait, failures = 0, failures+1
		until = 0
		if over := failures - int64(most); over >= 0 {
			until = store.Micros(now.Add(min(longestPause, firstPause<<min(over, 10))))
		}
		_, err := tx.Exec(ctx, `UPDATE account_throttle SET failures = $1, until = $2, changed = $3 WHERE name = $4`, failures, until, store.Micros(now), name)
		return err
	})
	if err != nil {
		return fmt.Errorf("count try: %w", err)
	}
	if wait > 0 {
		return fault.New(fault.TooMany, "there were too many wrong tries; try again in %s", wait.Round(time.Second)).WithCode(CodeThrottled)
	}
	return nil
}

// right takes back what try counted: the whole count of an account, one of an
// address, where others may be guessing.
func (s *Service) right(ctx context.Context, account, address string) error {
	return s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM account_throttle WHERE name = $1`, account); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE account_throttle SET failures = failures - 1, until = 0 WHERE name = $1 AND failures > 0`, address)
		return err
	})
}
