package sam

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
)

// Limits of one request's approval.
const (
	maxNumberTries = 3
	maxFailures    = 20 // failed assertions that are recorded
)

// evidence is what is kept of an approval, for the log and for the auditor: with
// the SAD and the device's public key it proves what was approved.
type evidence struct {
	Mechanism     string            `json:"mechanism"`
	Authenticator string            `json:"authenticator"`
	SPKI          []byte            `json:"spki"`
	Signature     []byte            `json:"signature,omitempty"`
	WebAuthn      *samapi.Assertion `json:"webauthn,omitempty"`
	// StatedByDevice is what the device said beside its signature. Nobody checked
	// it, and no policy counts it: that is the SAD's own wysiwys.
	StatedByDevice *statement `json:"statedByDevice,omitempty"`
}

// statement is a device's own word about an approval.
type statement struct {
	Wysiwys int `json:"wysiwys"` // 2: it recomputed every digest from the documents
}

// Approve takes a signer's yes: the device's signature over exactly the bytes of
// the SAD, the number of the other screen and, for a device key, the PIN. It
// returns the request's new state.
func (m *Module) Approve(ctx context.Context, sid string, yes samapi.Approval) (string, error) {
	now, err := m.clock.read()
	if err != nil {
		return "", err
	}
	r, err := m.requestByID(ctx, m.db, sid, now)
	if err != nil {
		return "", m.alarm(ctx, err)
	}
	if r.state != samapi.Pending {
		return r.state, errDecided(r)
	}
	a, err := m.approver(ctx, r, yes)
	if err != nil {
		return "", m.alarm(ctx, err)
	}
	if err := m.checkAssertion(a, r, yes); err != nil {
		return "", errors.Join(err, m.failed(ctx, r, a, "the device's signature over the SAD is wrong"))
	}
	var pin []byte
	if a.Mechanism == samapi.DeviceKey {
		if pin, err = m.pinVerifier(ctx, a.ID, yes.PIN); err != nil {
			return "", err
		}
	}
	return m.decide(ctx, r, a, yes, pin, now)
}

// approver finds the device that says yes and checks that it may, for this request:
// one of the SAD's devices, active, of the mechanism that the key is bound to.
func (m *Module) approver(ctx context.Context, r *request, yes samapi.Approval) (*authenticator, error) {
	unknown := fault.New(fault.Forbidden, "this device is not one that may approve this request").WithCode(samapi.CodeUnknownDevice)
	if !slices.Contains(r.sad.Authenticators, yes.Authenticator) {
		return nil, unknown
	}
	a, err := m.authenticatorByID(ctx, m.db, yes.Authenticator)
	if err != nil {
		return nil, err
	}
	c, err := m.credentialByID(ctx, m.db, r.sad.Credential)
	if err != nil {
		return nil, err
	}
	if err := usable(c); err != nil {
		return nil, err
	}
	return a, mayApprove(a, c, r)
}

// mayApprove holds device, key and request together (SRA_SKM.1: one key, one
// mechanism).
func mayApprove(a *authenticator, c *credential, r *request) error {
	switch {
	case a.State != stateActive:
		return fault.New(fault.Forbidden, "this device was revoked").WithCode(samapi.CodeDeviceRevoked)
	case a.Signer != r.sad.Signer || c.Signer != r.sad.Signer || r.Signer != r.sad.Signer:
		return fault.New(fault.Forbidden, "the device is another signer's").WithCode(samapi.CodeUnknownDevice)
	case a.Mechanism != c.Mechanism:
		return fault.New(fault.Forbidden, "the key is bound to %s", c.Mechanism).WithCode(samapi.CodeUnknownDevice)
	}
	return nil
}

// checkAssertion verifies the device's signature over the SAD's exact bytes.
func (m *Module) checkAssertion(a *authenticator, r *request, yes samapi.Approval) error {
	bad := func(cause error) error {
		return fault.New(fault.Forbidden, "the device's signature over the request is wrong").WithCode(samapi.CodeAssertion).Because(cause)
	}
	key, err := a.key()
	if err != nil {
		return err
	}
	challenge := sad.Challenge(r.raw)
	switch a.Mechanism {
	case samapi.DeviceKey:
		if yes.WebAuthn != nil {
			return bad(errors.New("a passkey's assertion for a device key"))
		}
		if !ecdsa.VerifyASN1(key, challenge[:], yes.Signature) {
			return bad(errors.New("signature does not verify"))
		}
	case samapi.WebAuthn:
		w := yes.WebAuthn
		if w == nil || len(yes.Signature) > 0 || yes.PIN != "" {
			return bad(errors.New("a passkey approves by its assertion alone"))
		}
		if subtle.ConstantTimeCompare(w.ID, a.Handle) != 1 {
			return bad(errors.New("the assertion names another passkey"))
		}
		if _, err := m.party().VerifyAssertion(challenge[:], key, w.ClientDataJSON, w.AuthenticatorData, w.Signature); err != nil {
			return bad(err)
		}
	default:
		return bad(fmt.Errorf("mechanism %q", a.Mechanism))
	}
	return nil
}

// failed records a wrong assertion; of very many, the first.
func (m *Module) failed(ctx context.Context, r *request, a *authenticator, finding string) error {
	return m.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE sam_request SET failures = failures + 1 WHERE sid = $1 AND failures < $2`, r.SID, maxFailures)
		if err != nil || n == 0 {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventApprovalFailed, Subject: a.ID, Actor: "device:" + a.ID, SID: r.SID, Outcome: audit.Failure,
			Data: map[string]string{"finding": finding},
		})
	})
}

// decide compares number and PIN and approves, all in one transaction: guesses at
// the same time are counted one after the other, and one approval wins.
func (m *Module) decide(ctx context.Context, r *request, a *authenticator, yes samapi.Approval, pin []byte, now time.Time) (string, error) {
	var (
		state   string
		seq     int64
		refused error
	)
	err := m.db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		state, seq, refused = samapi.Pending, 0, nil
		var err error
		if state, refused, err = m.countNumber(ctx, tx, r, a, yes.Number, now); err != nil || refused != nil {
			return err
		}
		if a.Mechanism == samapi.DeviceKey {
			if seq, refused, err = m.countPIN(ctx, tx, a, pin, now); err != nil || refused != nil {
				return err
			}
		}
		state = samapi.Approved
		return m.approve(ctx, tx, r, a, yes, now)
	})
	if err != nil {
		return "", m.alarm(ctx, err)
	}
	if seq > 0 {
		m.seen("pin/"+a.ID, seq)
	}
	return state, refused
}

// countNumber compares the number. The third wrong one rejects the request: either
// nobody sees the other screen, or somebody else started it.
func (m *Module) countNumber(ctx context.Context, tx *store.Tx, r *request, a *authenticator, number string, now time.Time) (state string, refused, err error) {
	n, err := tx.Exec(ctx, `UPDATE sam_request SET tries = tries + 1 WHERE sid = $1 AND state = $2 AND expires > $3`,
		r.SID, samapi.Pending, store.Micros(now))
	if err != nil {
		return "", nil, fmt.Errorf("count number: %w", err)
	}
	if n != 1 {
		return "", nil, fault.New(fault.Conflict, "the request is decided already").WithCode(samapi.CodeSADInvalid)
	}
	if subtle.ConstantTimeCompare([]byte(number), []byte(r.Number)) == 1 {
		// The right number is no try: the PIN has a counter of its own.
		_, err := tx.Exec(ctx, `UPDATE sam_request SET tries = tries - 1 WHERE sid = $1`, r.SID)
		return samapi.Pending, nil, err
	}
	var tries int
	if err := tx.QueryRow(ctx, `SELECT tries FROM sam_request WHERE sid = $1`, r.SID).Scan(&tries); err != nil {
		return "", nil, fmt.Errorf("count number: %w", err)
	}
	if tries >= maxNumberTries {
		refused = fault.New(fault.Conflict, "the number was wrong %d times; the request is rejected, nothing was signed", maxNumberTries).WithCode(samapi.CodeRejected)
		return samapi.Rejected, refused, m.reject(ctx, tx, r, now, "device:"+a.ID, "wrong number")
	}
	refused = fault.New(fault.Forbidden, "this is not the number on the other screen; %d tries are left", maxNumberTries-tries).WithCode(samapi.CodeNumber)
	return samapi.Pending, refused, m.audit.Append(ctx, tx, audit.Event{
		Type: eventApprovalFailed, Subject: a.ID, Actor: "device:" + a.ID, SID: r.SID, Outcome: audit.Failure,
		Data: map[string]string{"finding": "wrong number"},
	})
}

// approve turns the request's state, once, with the evidence beside it.
func (m *Module) approve(ctx context.Context, tx *store.Tx, r *request, a *authenticator, yes samapi.Approval, now time.Time) error {
	ev := evidence{Mechanism: a.Mechanism, Authenticator: a.ID, SPKI: a.SPKI, Signature: yes.Signature, WebAuthn: yes.WebAuthn}
	if yes.StatedWysiwys == 2 && r.sad.Wysiwys == 1 {
		ev.StatedByDevice = &statement{Wysiwys: 2}
	}
	assertion, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(assertion)
	ap := approval{
		SID: r.SID, SADHash: r.SADHash, Authenticator: a.ID, Assertion: sum[:],
		Approved: now, RedeemUntil: now.Add(r.Redeem),
	}
	mac, err := m.mac(ctx, macApproval, &ap)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE sam_request SET state = $1, ended = $2, authenticator = $3, assertion = $4, redeem_until = $5, approval_mac = $6
		WHERE sid = $7 AND state = $8 AND expires > $2`,
		samapi.Approved, store.Micros(ap.Approved), a.ID, string(assertion), store.Micros(ap.RedeemUntil), mac, r.SID, samapi.Pending)
	if err != nil {
		return fmt.Errorf("approve: %w", err)
	}
	if n != 1 {
		return errDecided(r)
	}
	return m.audit.Append(ctx, tx, audit.Event{
		Type: eventSADApproved, Subject: r.sad.Credential, Actor: "signer:" + r.Signer, SID: r.SID,
		Data: map[string]any{"sad": r.raw, "evidence": ev, "number": true, "pin": a.Mechanism == samapi.DeviceKey},
	})
}
