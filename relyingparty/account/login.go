package account

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

func errLogin() error {
	return fault.New(fault.Unauthenticated, "address, password or code is wrong").WithCode(CodeLogin)
}

// Login checks address and password. The session that comes back can do nothing
// but go on to its Stage. Wrong address and wrong password are the same fault
// (CodeLogin) and take the same time.
func (s *Service) Login(ctx context.Context, org, email, password string, from Browser) (Session, error) {
	email = strings.ToLower(strings.TrimSpace(email))
	if len(email) > 254 {
		return Session{}, errLogin()
	}
	account, address := passwordThrottle(org, email), addressThrottle(org, from.Address)
	if err := s.try(ctx, org, address, addressTries*s.config.Tries); err != nil {
		return Session{}, err
	}
	if err := s.try(ctx, org, account, s.config.Tries); err != nil {
		return Session{}, err
	}
	u, err := scanUser(s.config.DB.QueryRow(ctx, selectUser+`WHERE org_id = $1 AND email = $2`, org, email))
	missing := errors.Is(err, sql.ErrNoRows)
	if err != nil && !missing {
		return Session{}, fmt.Errorf("read account: %w", err)
	}
	if missing {
		u.password = s.nobody
	}
	ok, err := s.compare(ctx, password, u.password)
	if err != nil {
		return Session{}, err
	}
	if !ok || missing || u.Locked {
		return Session{}, errLogin()
	}
	if err := s.right(ctx, account, address); err != nil {
		return Session{}, err
	}
	stage := NeedsSetup
	if u.TOTP {
		stage = NeedsCode
	}
	var out Session
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		out, err = s.open(ctx, tx, u.User, stage, from, "")
		return err
	})
	return out, err
}

// Code is the second step of a login: the six digits of the authenticator app, or
// a recovery code. The session gets a new token; the old one is void. A code is
// good once.
func (s *Service) Code(ctx context.Context, token, code string, from Browser) (Session, error) {
	h, err := s.find(ctx, token, from)
	if err != nil {
		return Session{}, err
	}
	if h.Stage != NeedsCode {
		return Session{}, fault.New(fault.Conflict, "this login waits for no code").WithCode(CodeSession)
	}
	throttle := codeThrottle(h.User.ID)
	if err := s.try(ctx, h.User.Org, throttle, s.config.Tries); err != nil {
		return Session{}, err
	}
	var out Session
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := s.useCode(ctx, tx, h.user, cleanCode(code)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM account_throttle WHERE name = $1`, throttle); err != nil {
			return err
		}
		var err error
		out, err = s.open(ctx, tx, h.User, LoggedIn, from, token)
		return err
	})
	return out, err
}

// useCode uses up a code of the authenticator app, or a recovery code.
func (s *Service) useCode(ctx context.Context, tx *store.Tx, u row, code string) error {
	if len(code) == recoveryLength {
		n, err := tx.Exec(ctx, `DELETE FROM account_recovery WHERE user_id = $1 AND org_id = $2 AND hash = $3`, u.ID, u.Org, recoveryHash(u.ID, code))
		if err != nil {
			return fmt.Errorf("use recovery code: %w", err)
		}
		if n != 1 {
			return errLogin()
		}
		return nil
	}
	secret, err := s.openSecret(u.ID, u.totp)
	if err != nil {
		return err
	}
	step, ok := matchCode(secret, code, s.config.Now(), u.step)
	if !ok {
		return errLogin()
	}
	n, err := tx.Exec(ctx, `UPDATE account_user SET totp_step = $1 WHERE id = $2 AND totp_step < $1`, step, u.ID)
	if err != nil {
		return fmt.Errorf("use code: %w", err)
	}
	if n != 1 { // used at the same moment
		return errLogin()
	}
	return nil
}

// SetUp begins the set-up of a second factor for a session at NeedsSetup, or one
// that is logged in. Until Confirm nothing changes. Called again it shows the same
// secret, so that a reloaded page does not void a code that was scanned.
func (s *Service) SetUp(ctx context.Context, token string, from Browser) (Setup, error) {
	h, err := s.find(ctx, token, from)
	if err != nil {
		return Setup{}, err
	}
	if h.Stage == NeedsCode {
		return Setup{}, fault.New(fault.Forbidden, "log in with the code of the second factor that is set up").WithCode(CodeSecond)
	}
	if h.setup != "" {
		secret, err := s.openSecret(h.User.ID, h.setup)
		if err != nil {
			return Setup{}, err
		}
		return s.setup(h.User, secret), nil
	}
	secret := newSecret()
	n, err := s.config.DB.Exec(ctx, `UPDATE account_session SET setup = $1 WHERE hash = $2 AND setup = ''`, s.sealSecret(h.User.ID, secret), hashOf(token))
	if err != nil {
		return Setup{}, fmt.Errorf("set up second factor: %w", err)
	}
	if n != 1 { // a second tab was faster
		return s.SetUp(ctx, token, from)
	}
	return s.setup(h.User, secret), nil
}

// Recovery codes: ten of ten letters, 50 bits each, behind the throttle of codes.
const (
	recoveryCodes  = 10
	recoveryLength = 10
	recoveryAlpha  = "abcdefghjkmnpqrstuvwxyz023456789"
)

func recoveryHash(user, code string) string { return hashOf("recovery\x00" + user + "\x00" + code) }

// Confirm ends the set-up with a first code. It returns the session with a new
// token, and ten recovery codes, which are shown once. Other sessions end.
func (s *Service) Confirm(ctx context.Context, token, code string, from Browser) (Session, []string, error) {
	h, err := s.find(ctx, token, from)
	if err != nil {
		return Session{}, nil, err
	}
	if h.setup == "" {
		return Session{}, nil, fault.New(fault.Conflict, "begin the set-up of the second factor first").WithCode(CodeSession)
	}
	if err := s.try(ctx, h.User.Org, codeThrottle(h.User.ID), s.config.Tries); err != nil {
		return Session{}, nil, err
	}
	secret, err := s.openSecret(h.User.ID, h.setup)
	if err != nil {
		return Session{}, nil, err
	}
	step, ok := matchCode(secret, cleanCode(code), s.config.Now(), 0)
	if !ok {
		return Session{}, nil, errLogin()
	}
	codes := newRecoveryCodes()
	var out Session
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if out, err = s.open(ctx, tx, h.User, LoggedIn, from, token); err != nil {
			return err
		}
		out.User.TOTP = true
		for query, args := range map[string][]any{
			`DELETE FROM account_session WHERE user_id = $1 AND hash <> $2`:   {h.User.ID, hashOf(out.Token)},
			`DELETE FROM account_recovery WHERE user_id = $1`:                 {h.User.ID},
			`DELETE FROM account_throttle WHERE name = $1`:                    {codeThrottle(h.User.ID)},
			`UPDATE account_user SET totp = $1, totp_step = $2 WHERE id = $3`: {s.sealSecret(h.User.ID, secret), step, h.User.ID},
		} {
			if _, err := tx.Exec(ctx, query, args...); err != nil {
				return fmt.Errorf("set up second factor: %w", err)
			}
		}
		for _, c := range codes {
			if _, err := tx.Exec(ctx, `INSERT INTO account_recovery (org_id, user_id, hash) VALUES ($1, $2, $3)`, h.User.Org, h.User.ID, recoveryHash(h.User.ID, c)); err != nil {
				return fmt.Errorf("keep recovery codes: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return Session{}, nil, err
	}
	return out, codes, nil
}

func newRecoveryCodes() []string {
	codes := make([]string, recoveryCodes)
	for i := range codes {
		b := make([]byte, recoveryLength)
		_, _ = rand.Read(b) // never fails
		for j := range b {
			b[j] = recoveryAlpha[b[j]%byte(len(recoveryAlpha))] // 32 letters: no bias
		}
		codes[i] = string(b)
	}
	return codes
}

// SetPassword changes the password of a logged-in session and ends all others.
func (s *Service) SetPassword(ctx context.Context, token, old, password string, from Browser) error {
	session, err := s.Session(ctx, token, from)
	if err != nil {
		return err
	}
	u, err := s.userByID(ctx, s.config.DB, session.User.Org, session.User.ID)
	if err != nil {
		return err
	}
	throttle := passwordThrottle(u.Org, u.Email)
	if err := s.try(ctx, u.Org, throttle, s.config.Tries); err != nil {
		return err
	}
	ok, err := s.compare(ctx, old, u.password)
	if err != nil {
		return err
	}
	if !ok {
		return errLogin()
	}
	if err := s.checkPassword(password, u.Email, u.Name); err != nil {
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := changed(tx.Exec(ctx, `UPDATE account_user SET password = $1 WHERE id = $2 AND password = $3`, hash, u.ID, u.password)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM account_throttle WHERE name = $1`, throttle); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM account_session WHERE user_id = $1 AND hash <> $2`, u.ID, hashOf(token))
		return err
	})
}
