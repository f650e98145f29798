package sam

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
)

// After so many wrong PINs a device is locked for a while, and for good.
const (
	pinLockAfter  = 5
	pinBlockAfter = 10
	pinLock       = 15 * time.Minute
)

// pinCounter counts wrong PINs since the last right one. It lives here and not on
// the device: a stolen key file can be tried ten times, offline never.
type pinCounter struct {
	Authenticator string `json:"authenticator"`
	Seq           int64  `json:"seq"`
	Failures      int    `json:"failures"`
	LockedUntil   int64  `json:"lockedUntil"` // microseconds; 0 is not locked
}

func (p *pinCounter) record() string { return "pin/" + p.Authenticator }

// pinVerifier is what is stored of a PIN: without the keystore it says nothing.
func (m *Module) pinVerifier(ctx context.Context, authenticator, pin string) ([]byte, error) {
	return m.mac(ctx, macPIN, []string{authenticator, pin})
}

func (m *Module) insertPINCounter(ctx context.Context, tx *store.Tx, a *authenticator) error {
	p := pinCounter{Authenticator: a.ID, Seq: 1}
	mac, err := m.mac(ctx, macPINCounter, &p)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO sam_pin (authenticator, seq, failures, locked_until, mac) VALUES ($1, $2, 0, 0, $3)`, a.ID, p.Seq, mac)
	if err != nil {
		return fmt.Errorf("insert PIN counter: %w", err)
	}
	return nil
}

// countPIN compares the PIN inside tx and counts the result. A wrong PIN is not an
// error of the transaction, which must commit: it comes back as refused. The new
// sequence number is to be marked as seen when the transaction has committed.
func (m *Module) countPIN(ctx context.Context, tx *store.Tx, a *authenticator, given []byte, now time.Time) (seq int64, refused, err error) {
	p, err := m.readPIN(ctx, tx, a)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case p.Failures >= pinBlockAfter:
		return 0, fault.New(fault.Forbidden, "this device is blocked after %d wrong PINs; enrol it again", pinBlockAfter).WithCode(samapi.CodePINBlocked), nil
	case store.Time(p.LockedUntil).After(now):
		return 0, fault.New(fault.TooMany, "this device is locked after %d wrong PINs; try again in %d minutes",
			pinLockAfter, int(store.Time(p.LockedUntil).Sub(now).Minutes())+1).WithCode(samapi.CodePINLocked), nil
	}
	right := len(a.PIN) > 0 && hmac.Equal(given, a.PIN)
	if right && p.Failures == 0 && p.LockedUntil == 0 {
		return p.Seq, nil, nil // there is nothing to count
	}
	p.Seq++
	p.LockedUntil = 0
	event := ""
	if right {
		p.Failures = 0
	} else {
		p.Failures++
		event, refused = eventApprovalFailed, m.wrongPIN(p, now)
	}
	switch p.Failures {
	case pinLockAfter:
		event = eventDeviceLocked
	case pinBlockAfter:
		event = eventDeviceBlocked
	}
	if err := m.writePIN(ctx, tx, p); err != nil {
		return 0, nil, err
	}
	if event != "" {
		err = m.audit.Append(ctx, tx, audit.Event{
			Type: event, Subject: a.ID, Actor: "signer:" + a.Signer, Outcome: audit.Failure,
			Data: map[string]any{"finding": "wrong PIN", "failures": p.Failures},
		})
	}
	return p.Seq, refused, err
}

func (m *Module) wrongPIN(p *pinCounter, now time.Time) error {
	switch {
	case p.Failures >= pinBlockAfter:
		return fault.New(fault.Forbidden, "the PIN is wrong; the device is blocked now, enrol it again").WithCode(samapi.CodePINBlocked)
	case p.Failures == pinLockAfter:
		p.LockedUntil = store.Micros(now.Add(pinLock))
		return fault.New(fault.TooMany, "the PIN is wrong; the device is locked for %d minutes", int(pinLock.Minutes())).WithCode(samapi.CodePINLocked)
	case p.Failures < pinLockAfter:
		return fault.New(fault.Forbidden, "the PIN is wrong; %d tries are left before the device is locked", pinLockAfter-p.Failures).WithCode(samapi.CodePIN)
	}
	return fault.New(fault.Forbidden, "the PIN is wrong; %d tries are left before the device is blocked", pinBlockAfter-p.Failures).WithCode(samapi.CodePIN)
}

// readPIN reads the counter. Of two transactions that read it and count at the same
// time, the database lets one commit.
func (m *Module) readPIN(ctx context.Context, tx *store.Tx, a *authenticator) (*pinCounter, error) {
	p := pinCounter{}
	var mac []byte
	err := tx.QueryRow(ctx, `SELECT authenticator, seq, failures, locked_until, mac FROM sam_pin WHERE authenticator = $1`, a.ID).
		Scan(&p.Authenticator, &p.Seq, &p.Failures, &p.LockedUntil, &mac)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, tampered("pin/"+a.ID, "it is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("read PIN counter: %w", err)
	}
	if err := m.verify(ctx, macPINCounter, p.record(), &p, mac); err != nil {
		return nil, err
	}
	if p.Seq < m.marks.of(ctx, p.record()) {
		return nil, tampered(p.record(), "an older counter was put back")
	}
	return &p, nil
}

func (m *Module) writePIN(ctx context.Context, tx *store.Tx, p *pinCounter) error {
	mac, err := m.mac(ctx, macPINCounter, p)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE sam_pin SET seq = $1, failures = $2, locked_until = $3, mac = $4 WHERE authenticator = $5 AND seq = $6`,
		p.Seq, p.Failures, p.LockedUntil, mac, p.Authenticator, p.Seq-1)
	if err != nil {
		return fmt.Errorf("write PIN counter: %w", err)
	}
	if n != 1 {
		return fmt.Errorf("write PIN counter: changed meanwhile")
	}
	return nil
}
