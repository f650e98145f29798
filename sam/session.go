package sam

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
)

// Lives of what a device needs to see its requests.
const (
	nonceLife   = time.Minute
	sessionLife = 15 * time.Minute
)

// macSession protects sessions of devices.
const macSession = "countersign-sam-session-v1"

// session is what a device's token stands for.
type session struct {
	Hash          []byte    `json:"hash"`
	Authenticator string    `json:"authenticator"`
	Expires       time.Time `json:"expires"`
}

// Nonce asks a device to prove that it holds its key. It says nothing of who asks.
func (m *Module) Nonce(ctx context.Context) (samapi.Nonce, error) {
	now, err := m.clock.read()
	if err != nil {
		return samapi.Nonce{}, err
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	n := samapi.Nonce{Module: m.issuer, Nonce: base64.RawURLEncoding.EncodeToString(b[:]), Expires: now.Add(nonceLife)}
	sum := sha256.Sum256([]byte(n.Nonce))
	if _, err := m.db.Exec(ctx, `INSERT INTO sam_nonce (hash, expires) VALUES ($1, $2)`, sum[:], store.Micros(n.Expires)); err != nil {
		return samapi.Nonce{}, fmt.Errorf("store nonce: %w", err)
	}
	return n, nil
}

// errSession is the one answer to whatever is wrong with a session.
func errSession() error {
	return fault.New(fault.Unauthenticated, "the session of this device is unknown or over; sign a new nonce").WithCode(samapi.CodeSession)
}

// OpenSession takes a device's signature over a fresh nonce. The session lets the
// device see and reject its requests; to approve takes a signature of its own and
// the PIN.
func (m *Module) OpenSession(ctx context.Context, req samapi.OpenSession) (samapi.Session, error) {
	now, err := m.clock.read()
	if err != nil {
		return samapi.Session{}, err
	}
	if err := m.useNonce(ctx, req.Nonce, now); err != nil {
		return samapi.Session{}, err
	}
	a, err := m.authenticatorByID(ctx, m.db, req.Authenticator)
	if errors.Is(err, fault.NotFound) {
		return samapi.Session{}, errSession()
	}
	if err != nil {
		return samapi.Session{}, m.alarm(ctx, err)
	}
	if err := m.checkSession(a, req); err != nil {
		return samapi.Session{}, err
	}
	if a.State != stateActive { // it is told only to who holds the key
		return samapi.Session{}, errRevoked()
	}
	secret, hash := token()
	s := session{Hash: hash, Authenticator: a.ID, Expires: now.Add(sessionLife)}
	mac, err := m.mac(ctx, macSession, &s)
	if err != nil {
		return samapi.Session{}, err
	}
	_, err = m.db.Exec(ctx, `INSERT INTO sam_session (hash, authenticator, expires, mac) VALUES ($1, $2, $3, $4)`,
		s.Hash, s.Authenticator, store.Micros(s.Expires), mac)
	if err != nil {
		return samapi.Session{}, fmt.Errorf("store session: %w", err)
	}
	return samapi.Session{Token: secret, Expires: s.Expires}, nil
}

// useNonce takes a nonce out of the store: of two that bring it at the same time,
// one finds it.
func (m *Module) useNonce(ctx context.Context, nonce string, now time.Time) error {
	sum := sha256.Sum256([]byte(nonce))
	n, err := m.db.Exec(ctx, `DELETE FROM sam_nonce WHERE hash = $1 AND expires > $2`, sum[:], store.Micros(now))
	if err != nil {
		return fmt.Errorf("use nonce: %w", err)
	}
	if n != 1 {
		return errSession()
	}
	return nil
}

func (m *Module) checkSession(a *authenticator, req samapi.OpenSession) error {
	if a.Mechanism != samapi.DeviceKey {
		return errSession()
	}
	key, err := a.key()
	if err != nil {
		return err
	}
	challenge, err := samapi.SessionChallenge(m.issuer, a.ID, req.Nonce)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(key, challenge, req.Signature) {
		return errSession()
	}
	return nil
}

func errRevoked() error {
	return fault.New(fault.Forbidden, "this device was revoked").WithCode(samapi.CodeDeviceRevoked)
}

// deviceOf returns the device of a session. A device that was revoked meanwhile is
// refused at once.
func (m *Module) deviceOf(ctx context.Context, secret string) (*authenticator, time.Time, error) {
	now, err := m.clock.read()
	if err != nil {
		return nil, now, err
	}
	sum := sha256.Sum256([]byte(secret))
	s := session{Hash: sum[:]}
	var (
		expires int64
		mac     []byte
	)
	err = m.db.QueryRow(ctx, `SELECT authenticator, expires, mac FROM sam_session WHERE hash = $1`, s.Hash).Scan(&s.Authenticator, &expires, &mac)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, now, errSession()
	}
	if err != nil {
		return nil, now, fmt.Errorf("read session: %w", err)
	}
	s.Expires = store.Time(expires)
	if err := m.verify(ctx, macSession, "session/"+s.Authenticator, &s, mac); err != nil {
		return nil, now, m.alarm(ctx, err)
	}
	if !now.Before(s.Expires) {
		return nil, now, errSession()
	}
	a, err := m.authenticatorByID(ctx, m.db, s.Authenticator)
	if err != nil {
		return nil, now, m.alarm(ctx, err)
	}
	if a.State != stateActive {
		return nil, now, errRevoked()
	}
	return a, now, nil
}

// CloseSession ends a device's session; an unknown one is no error.
func (m *Module) CloseSession(ctx context.Context, secret string) error {
	sum := sha256.Sum256([]byte(secret))
	if _, err := m.db.Exec(ctx, `DELETE FROM sam_session WHERE hash = $1`, sum[:]); err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

// RemoveDevice revokes the device of a session, as an order of the RA does: the
// signer lost it or gives it away.
func (m *Module) RemoveDevice(ctx context.Context, secret string) error {
	a, now, err := m.deviceOf(ctx, secret)
	if err != nil {
		return err
	}
	o := &order{by: nil, at: now, self: "device:" + a.ID}
	return m.alarm(ctx, m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return m.revokeDevice(ctx, tx, o, a.ID, "removed by its signer")
	}))
}

// forgetSessions drops what has expired.
func (m *Module) forgetSessions(ctx context.Context, now time.Time) error {
	for _, table := range []string{`DELETE FROM sam_nonce WHERE expires <= $1`, `DELETE FROM sam_session WHERE expires <= $1`} {
		if _, err := m.db.Exec(ctx, table, store.Micros(now)); err != nil {
			return fmt.Errorf("forget sessions: %w", err)
		}
	}
	return nil
}

// revokeDevice ends the use of a device and suspends the keys that are left
// without one.
func (m *Module) revokeDevice(ctx context.Context, tx *store.Tx, o *order, id, reason string) error {
	a, err := m.authenticatorByID(ctx, tx, id)
	if err != nil {
		return err
	}
	if a.State == stateRevoked {
		return fault.New(fault.Conflict, "the device was revoked before").WithCode(samapi.CodeDeviceRevoked)
	}
	a.State = stateRevoked
	if err := m.updateAuthenticator(ctx, tx, a); err != nil {
		return err
	}
	err = m.audit.Append(ctx, tx, audit.Event{
		Type: eventDeviceRevoked, Subject: a.ID, Actor: o.actor(),
		Data: change{Record: a.record(), Version: a.Version, Order: o.head.ID, Details: map[string]string{"signer": a.Signer, "reason": reason}},
	})
	if err != nil {
		return err
	}
	return m.suspendOrphans(ctx, tx, o, a)
}
