package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// newToken makes the secret of a cookie: 256 random bits.
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func errSession() error {
	return fault.New(fault.Unauthenticated, "you are not logged in, or no longer").WithCode(CodeSession)
}

// open starts a session, in place of the one with the old token if there is one.
func (s *Service) open(ctx context.Context, tx *store.Tx, u User, stage Stage, from Browser, old string) (Session, error) {
	if old != "" {
		n, err := tx.Exec(ctx, `DELETE FROM account_session WHERE hash = $1`, hashOf(old))
		if err != nil {
			return Session{}, fmt.Errorf("end session: %w", err)
		}
		if n != 1 { // a second tab was faster
			return Session{}, errSession()
		}
	}
	now := s.config.Now()
	token := newToken()
	_, err := tx.Exec(ctx, `INSERT INTO account_session (hash, org_id, user_id, stage, agent, setup, made, used) VALUES ($1, $2, $3, $4, $5, '', $6, $6)`,
		hashOf(token), u.Org, u.ID, string(stage), hashOf(from.Agent), store.Micros(now))
	if err != nil {
		return Session{}, fmt.Errorf("start session: %w", err)
	}
	return Session{Token: token, User: u, Stage: stage, Expires: now.Add(s.config.Idle)}, nil
}

// held is a session in the database.
type held struct {
	Session
	user  row
	setup string
}

// find reads the session of a token, at any stage.
func (s *Service) find(ctx context.Context, token string, from Browser) (held, error) {
	var (
		h                held
		org, user, agent string
		made, used       int64
	)
	err := s.config.DB.QueryRow(ctx, `SELECT org_id, user_id, stage, agent, setup, made, used FROM account_session WHERE hash = $1`, hashOf(token)).
		Scan(&org, &user, &h.Stage, &agent, &h.setup, &made, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return held{}, errSession()
	}
	if err != nil {
		return held{}, fmt.Errorf("read session: %w", err)
	}
	now := s.config.Now()
	idle := s.config.Idle
	if h.Stage != LoggedIn {
		idle = min(idle, 15*time.Minute)
	}
	end := store.Time(used).Add(idle)
	if last := store.Time(made).Add(s.config.Longest); last.Before(end) {
		end = last
	}
	if !now.Before(end) || agent != hashOf(from.Agent) {
		return held{}, errSession()
	}
	if h.user, err = s.userByID(ctx, s.config.DB, org, user); err != nil {
		return held{}, err
	}
	if h.user.Locked {
		return held{}, errSession()
	}
	h.Token, h.User, h.Expires = token, h.user.User, end
	return h, nil
}

// Session says who a cookie's token belongs to and lengthens the session. A token
// that is unknown, too old or of another browser (User-Agent) is fault
// Unauthenticated with CodeSession; one that is not at LoggedIn is Unauthenticated
// with CodeSecond, and the Session is returned with it.
func (s *Service) Session(ctx context.Context, token string, from Browser) (Session, error) {
	if token == "" {
		return Session{}, errSession()
	}
	h, err := s.find(ctx, token, from)
	if err != nil {
		return Session{}, err
	}
	if h.Stage != LoggedIn {
		return h.Session, fault.New(fault.Unauthenticated, "the second step of the login is missing").WithCode(CodeSecond)
	}
	now := s.config.Now()
	if h.Expires.Sub(now) < s.config.Idle-time.Minute { // a write a minute is enough
		if _, err := s.config.DB.Exec(ctx, `UPDATE account_session SET used = $1 WHERE hash = $2`, store.Micros(now), hashOf(token)); err != nil {
			return Session{}, fmt.Errorf("lengthen session: %w", err)
		}
		h.Expires = now.Add(s.config.Idle)
	}
	return h.Session, nil
}

// Logout ends a session.
func (s *Service) Logout(ctx context.Context, token string) error {
	if _, err := s.config.DB.Exec(ctx, `DELETE FROM account_session WHERE hash = $1`, hashOf(token)); err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}
