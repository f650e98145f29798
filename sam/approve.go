package sam

import (
	"bytes"
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
	"github.com/countersign/countersign/signing"
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
	// Signed is there if the device put its key under it.
	Signed *samapi.SignedStatement `json:"signed,omitempty"`
}

// Approve takes a signer's yes: the device's signature over exactly the bytes of
// the SAD, the number of the other screen and, for a device key, the PIN. It
// returns the request's new state.
func (m *Module) Approve(ctx context.Context, sid string, yes samapi.Approval) (string, error) {
	d, err := m.Decide(ctx, sid, "", yes)
	return d.State, err
}

// Decide is Approve for a device that may also be the browser that started the
// request: with that browser's view token it learns where the browser goes, as
// Return would say it.
func (m *Module) Decide(ctx context.Context, sid, view string, yes samapi.Approval) (samapi.Decision, error) {
	now, err := m.clock.read()
	if err != nil {
		return samapi.Decision{}, err
	}
	d := &decision{m: m, yes: yes, view: view, now: now}
	d.before = d.assertion(ctx, m.db, sid)
	err = m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		d.Decision, d.seen, d.refused = samapi.Decision{}, nil, nil
		return d.tx(ctx, tx, sid)
	})
	if err != nil {
		return d.Decision, m.alarm(ctx, err)
	}
	m.seenAll(d.seen)
	return d.Decision, d.refused
}

// decision is one call of Decide.
type decision struct {
	samapi.Decision

	m       *Module
	yes     samapi.Approval
	view    string
	now     time.Time
	before  assertion
	seen    []version
	refused error // why not, when there is something to commit nevertheless
}

// assertion is what was found of a device's signatures.
type assertion struct {
	held   *heldRequest
	device *heldAuthenticator
	what   string // what is wrong, for the log
	err    error  // the same for the caller
}

// assertion verifies the device's signatures over a request, as request and device
// are known. It takes long for the one writer there may be, so it is done before
// the transaction, which looks whether both are still the same.
func (d *decision) assertion(ctx context.Context, q store.Querier, sid string) (out assertion) {
	held, ok := d.m.memory.requests.get(sid)
	if !ok {
		r, err := d.m.requestByID(ctx, q, sid, d.now)
		if err != nil {
			return out // the transaction says what is wrong
		}
		held = r.held
	}
	device, ok := d.m.memory.authenticators.get(d.yes.Authenticator)
	if !ok || device.device.Signer != held.sad.Signer {
		return out
	}
	return d.check(held, device)
}

func (d *decision) check(held *heldRequest, device *heldAuthenticator) assertion {
	a := assertion{held: held, device: device}
	r := &request{fixed: held.fixed, raw: held.raw, sad: held.sad}
	if a.err = d.m.checkAssertion(&device.device, r, d.yes); a.err != nil {
		a.what = "the device's signature over the SAD is wrong"
	} else if a.err = checkStatement(&device.device, r, d.yes); a.err != nil {
		a.what = "the device's statement is wrong"
	}
	return a
}

// tx decides, all in one transaction: guesses at the same time are counted one
// after the other, and one approval wins.
func (d *decision) tx(ctx context.Context, tx *store.Tx, sid string) error {
	r, err := d.m.requestByID(ctx, tx, sid, d.now)
	if err != nil {
		return err
	}
	d.State = r.state
	if r.state != samapi.Pending {
		return errDecided(r)
	}
	a, err := d.approver(ctx, tx, r)
	if err != nil {
		return err
	}
	found := d.before
	if found.held == nil || found.held.row != r.held.row || found.device.row != a.row {
		found = d.check(r.held, a)
	}
	if found.err != nil {
		d.State, d.refused = "", found.err
		return d.m.failed(ctx, tx, r, &a.device, found.what)
	}
	if d.refused, err = d.count(ctx, tx, r, &a.device); err != nil || d.refused != nil {
		return err
	}
	d.State = samapi.Approved
	return d.approve(ctx, tx, r, &a.device)
}

// count compares number and PIN. What is wrong is counted and refused.
func (d *decision) count(ctx context.Context, tx *store.Tx, r *request, a *authenticator) (refused, err error) {
	if sameBrowser(a, r, d.yes) {
		if err := mine(ctx, tx, r.SID, d.yes.Claim); err != nil {
			return nil, err
		}
	} else {
		if d.State, refused, err = d.m.countNumber(ctx, tx, r, a, d.yes.Number, d.now); err != nil || refused != nil {
			return refused, err
		}
	}
	if a.Mechanism != samapi.DeviceKey {
		return nil, nil
	}
	pin, err := d.m.pinVerifier(ctx, a.ID, d.yes.PIN)
	if err != nil {
		return nil, err
	}
	seq, refused, err := d.m.countPIN(ctx, tx, a, pin, d.now)
	d.seen = append(d.seen, version{"pin/" + a.ID, seq})
	return refused, err
}

// approver finds the device that says yes and checks that it may, for this request:
// one of the SAD's devices, active, of the mechanism that the key is bound to.
func (d *decision) approver(ctx context.Context, tx *store.Tx, r *request) (*heldAuthenticator, error) {
	if !slices.Contains(r.sad.Authenticators, d.yes.Authenticator) {
		return nil, fault.New(fault.Forbidden, "this device is not one that may approve this request").WithCode(samapi.CodeUnknownDevice)
	}
	a, err := d.m.heldAuthenticatorByID(ctx, tx, d.yes.Authenticator)
	if err != nil {
		return nil, err
	}
	c, err := d.m.credentialByID(ctx, tx, r.sad.Credential)
	if err != nil {
		return nil, err
	}
	if err := usable(c); err != nil {
		return nil, err
	}
	d.seen = append(d.seen, version{a.device.record(), a.device.Version}, version{c.record(), c.Version})
	return a, mayApprove(&a.device, c, r)
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

// checkStatement verifies what a device says under its key: it is about this SAD,
// and about documents whose digests the SAD has.
func checkStatement(a *authenticator, r *request, yes samapi.Approval) error {
	if yes.Statement == nil {
		return nil
	}
	bad := func(cause error) error {
		return fault.New(fault.Forbidden, "the device's statement about the documents is wrong").WithCode(samapi.CodeStatement).Because(cause)
	}
	var s samapi.DeviceStatement
	if a.Mechanism != samapi.DeviceKey {
		return bad(errors.New("only a device key makes statements"))
	}
	if err := signing.DecodeCanonical(yes.Statement.Statement, &s); err != nil {
		return bad(err)
	}
	if s.Version != 1 || s.Wysiwys != 2 || r.sad.Wysiwys != 1 || !bytes.Equal(s.SADHash, r.SADHash) {
		return bad(errors.New("it is about another request, or says what nobody can know"))
	}
	key, err := a.key()
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(key, samapi.StatementChallenge(yes.Statement.Statement), yes.Statement.Signature) {
		return bad(errors.New("signature does not verify"))
	}
	return nil
}

// failed records a wrong assertion; of very many, the first.
func (m *Module) failed(ctx context.Context, tx *store.Tx, r *request, a *authenticator, finding string) error {
	n, err := tx.Exec(ctx, `UPDATE sam_request SET failures = failures + 1 WHERE sid = $1 AND failures < $2`, r.SID, maxFailures)
	if err != nil || n == 0 {
		return err
	}
	return m.audit.Append(ctx, tx, audit.Event{
		Type: eventApprovalFailed, Subject: a.ID, Actor: "device:" + a.ID, SID: r.SID, Outcome: audit.Failure,
		Data: map[string]string{"finding": finding},
	})
}

// sameBrowser says whether a passkey approves in the browser that started the
// request: then there is no other screen with a number.
func sameBrowser(a *authenticator, r *request, yes samapi.Approval) bool {
	return a.Mechanism == samapi.WebAuthn && yes.View != "" && yes.Number == "" && matches(yes.View, r.ViewHash)
}

// countNumber compares the number. The third wrong one rejects the request: either
// nobody sees the other screen, or somebody else started it.
func (m *Module) countNumber(ctx context.Context, tx *store.Tx, r *request, a *authenticator, number string, now time.Time) (state string, refused, err error) {
	if subtle.ConstantTimeCompare([]byte(number), []byte(r.Number)) == 1 {
		return samapi.Pending, nil, nil // this is no try: the PIN has a counter of its own
	}
	n, err := tx.Exec(ctx, `UPDATE sam_request SET tries = tries + 1 WHERE sid = $1 AND state = $2 AND expires > $3`,
		r.SID, samapi.Pending, store.Micros(now))
	if err != nil {
		return "", nil, fmt.Errorf("count number: %w", err)
	}
	if n != 1 {
		return "", nil, fault.New(fault.Conflict, "the request is decided already").WithCode(samapi.CodeSADInvalid)
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
func (d *decision) approve(ctx context.Context, tx *store.Tx, r *request, a *authenticator) error {
	m, yes, now := d.m, d.yes, d.now
	ev := evidence{Mechanism: a.Mechanism, Authenticator: a.ID, SPKI: a.SPKI, Signature: yes.Signature, WebAuthn: yes.WebAuthn}
	if yes.StatedWysiwys == 2 && r.sad.Wysiwys == 1 {
		ev.StatedByDevice = &statement{Wysiwys: 2}
	}
	if yes.Statement != nil {
		ev.StatedByDevice = &statement{Wysiwys: 2, Signed: yes.Statement}
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
	handle := []byte{}
	if d.view != "" && matches(d.view, r.ViewHash) {
		if d.Return, handle, err = m.wayBack(ctx, tx, r); err != nil {
			return err
		}
	}
	n, err := tx.Exec(ctx, `UPDATE sam_request SET state = $1, ended = $2, authenticator = $3, assertion = $4, redeem_until = $5, approval_mac = $6,
		handle_hash = $7 WHERE sid = $8 AND state = $9 AND expires > $2`,
		samapi.Approved, store.Micros(ap.Approved), a.ID, string(assertion), store.Micros(ap.RedeemUntil), mac, handle, r.SID, samapi.Pending)
	if err != nil {
		return fmt.Errorf("approve: %w", err)
	}
	if n != 1 {
		return errDecided(r)
	}
	return m.audit.Append(ctx, tx, audit.Event{
		Type: eventSADApproved, Subject: r.sad.Credential, Actor: "signer:" + r.Signer, SID: r.SID,
		Data: map[string]any{"sad": r.raw, "evidence": ev, "number": !sameBrowser(a, r, yes), "pin": a.Mechanism == samapi.DeviceKey},
	})
}
