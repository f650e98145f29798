package account

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

const selectUser = `SELECT id, org_id, email, name, lang, role, password, totp, totp_step, locked, made FROM account_user `

// row is a user with what only this package sees.
type row struct {
	User
	password string
	totp     string // sealed; empty without a second factor
	step     int64  // of the last code that was used
}

type scanner interface{ Scan(dest ...any) error }

func scanUser(from scanner) (row, error) {
	var (
		u            row
		locked, made int64
	)
	err := from.Scan(&u.ID, &u.Org, &u.Email, &u.Name, &u.Lang, &u.Role, &u.password, &u.totp, &u.step, &locked, &made)
	u.Locked, u.Made, u.TOTP = locked != 0, store.Time(made), u.totp != ""
	return u, err
}

func (s *Service) userByID(ctx context.Context, q store.Querier, org, id string) (row, error) {
	u, err := scanUser(q.QueryRow(ctx, selectUser+`WHERE id = $1 AND org_id = $2`, id, org))
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, fault.New(fault.NotFound, "there is no such account")
	}
	if err != nil {
		return row{}, fmt.Errorf("read account: %w", err)
	}
	return u, nil
}

// Create makes an account. The password is checked against the policy.
func (s *Service) Create(ctx context.Context, n NewUser) (User, error) {
	bad := func(format string, args ...any) (User, error) {
		return User{}, fault.New(fault.Invalid, format, args...)
	}
	address, err := mail.ParseAddress(n.Email)
	if err != nil || address.Address != strings.TrimSpace(n.Email) || len(n.Email) > 254 {
		return bad("%q is no e-mail address", n.Email)
	}
	n.Email, n.Name = strings.ToLower(address.Address), strings.TrimSpace(n.Name)
	if n.Role == "" {
		n.Role = Member
	}
	switch {
	case n.Org == "":
		return bad("the organisation is missing")
	case n.Name == "" || len(n.Name) > 200:
		return bad("the name is missing or too long")
	case !slices.Contains([]Role{Member, Admin}, n.Role):
		return bad("the role must be member or admin")
	case len(n.Lang) > 35:
		return bad("the language is no language tag")
	}
	if err := s.checkPassword(n.Password, n.Email, n.Name); err != nil {
		return User{}, err
	}
	hash, err := s.hash(ctx, n.Password)
	if err != nil {
		return User{}, err
	}
	u := User{ID: store.NewID(), Org: n.Org, Email: n.Email, Name: n.Name, Lang: n.Lang, Role: n.Role, Made: store.Time(store.Micros(s.config.Now()))}
	sealed := ""
	if n.Second != "" {
		secret, err := base32Text.DecodeString(n.Second)
		if err != nil || len(secret) < 16 {
			return bad("the secret of the second factor must be 128 bits or more in base32")
		}
		sealed, u.TOTP = s.sealSecret(u.ID, secret), true
	}
	rows, err := s.config.DB.Exec(ctx, `INSERT INTO account_user (id, org_id, email, name, lang, role, password, totp, totp_step, locked, made)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $9, 0, 0, $8) ON CONFLICT DO NOTHING`,
		u.ID, u.Org, u.Email, u.Name, u.Lang, string(u.Role), hash, store.Micros(u.Made), sealed)
	if err != nil {
		return User{}, fmt.Errorf("make account: %w", err)
	}
	if rows != 1 {
		return User{}, fault.New(fault.Conflict, "there is an account for %s already", u.Email).WithCode(CodeExists)
	}
	return u, nil
}

// User returns an account of that organisation.
func (s *Service) User(ctx context.Context, org, id string) (User, error) {
	u, err := s.userByID(ctx, s.config.DB, org, id)
	return u.User, err
}

// Users lists the accounts of an organisation by name.
func (s *Service) Users(ctx context.Context, org string) (list []User, err error) {
	rows, err := s.config.DB.Query(ctx, selectUser+`WHERE org_id = $1 ORDER BY name, id`, org)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		u, err := scanUser(rows)
		if err != nil {
			return nil, fmt.Errorf("list accounts: %w", err)
		}
		list = append(list, u.User)
	}
	return list, rows.Err()
}

// Lock keeps an account from logging in and ends its sessions.
func (s *Service) Lock(ctx context.Context, org, id string) error {
	return s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := changed(tx.Exec(ctx, `UPDATE account_user SET locked = 1 WHERE id = $1 AND org_id = $2`, id, org)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM account_session WHERE user_id = $1`, id)
		return err
	})
}

// Unlock lets a locked account log in again and forgets its wrong tries.
func (s *Service) Unlock(ctx context.Context, org, id string) error {
	return s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		u, err := s.userByID(ctx, tx, org, id)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM account_throttle WHERE name = $1 OR name = $2`, passwordThrottle(org, u.Email), codeThrottle(id)); err != nil {
			return err
		}
		return changed(tx.Exec(ctx, `UPDATE account_user SET locked = 0 WHERE id = $1 AND org_id = $2`, id, org))
	})
}

// SetLang remembers the language a user reads.
func (s *Service) SetLang(ctx context.Context, org, id, lang string) error {
	if len(lang) > 35 {
		return fault.New(fault.Invalid, "the language is no language tag")
	}
	return changed(s.config.DB.Exec(ctx, `UPDATE account_user SET lang = $1 WHERE id = $2 AND org_id = $3`, lang, id, org))
}

// changed makes "no row" a NotFound.
func changed(rows int64, err error) error {
	if err != nil {
		return fmt.Errorf("change account: %w", err)
	}
	if rows != 1 {
		return fault.New(fault.NotFound, "there is no such account")
	}
	return nil
}

// sealSecret and openSecret keep second factors unreadable in the database, and
// bound to their account.
func (s *Service) sealSecret(user string, secret []byte) string {
	return base64.RawStdEncoding.EncodeToString(s.seal.Seal(nil, nil, secret, []byte(user))) //nolint:gosec // NewGCMWithRandomNonce makes the nonce
}

func (s *Service) openSecret(user, sealed string) ([]byte, error) {
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("second factor of %s: %w", user, err)
	}
	secret, err := s.seal.Open(nil, nil, b, []byte(user))
	if err != nil {
		return nil, fmt.Errorf("second factor of %s: %w", user, err)
	}
	return secret, nil
}
