package sam

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// maxDelegationSkew is how far the machine's clock may be ahead.
const maxDelegationSkew = time.Minute

// Delegate takes a machine's order for a key that is bound to the mechanism
// delegated: a seal, which its creator controls and no person approves (SCAL 1). The
// order is verified with the machine's key that the registration authority had
// enrolled; it is good once, and must name exactly what the intent asks for. What
// follows is the path of every signature: the SAD is made and logged, and Sign
// consumes it.
func (m *Module) Delegate(ctx context.Context, in samapi.Delegated) (samapi.Outcome, error) {
	i, err := m.checkIntent(ctx, in.Intent, false)
	if err != nil {
		return samapi.Outcome{}, m.alarm(ctx, err)
	}
	if i.cred.Mechanism != samapi.Delegation {
		return samapi.Outcome{}, fault.New(fault.Forbidden, "the key is bound to %s and needs its signer's approval", i.cred.Mechanism).WithCode(samapi.CodeUnknownDevice)
	}
	device, d, err := i.machine(in.Object)
	if err != nil {
		return samapi.Outcome{}, err
	}
	r, err := m.newRequest(i)
	if err != nil {
		return samapi.Outcome{}, err
	}
	_, r.ViewHash = token() // there is no browser
	until := i.now.Add(i.redeem)
	err = m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := m.confirm(ctx, tx, &i.parties); err != nil {
			return err
		}
		if err := useDelegation(ctx, tx, device, d, i.now); err != nil {
			return err
		}
		if err := m.insertRequest(ctx, tx, r); err != nil {
			return err
		}
		if err := m.audit.Append(ctx, tx, audit.Event{
			Type: eventSADCreated, Subject: i.cred.ID, Actor: "client:" + i.Client, SID: r.SID,
			Data: map[string]any{
				"sadHash": hex.EncodeToString(r.SADHash), "signer": i.who.ID, "org": i.Org, "gateway": i.Gateway,
				"documents": len(i.Documents), "wysiwys": i.wysiwys, "request": hex.EncodeToString(i.Request),
			},
		}); err != nil {
			return err
		}
		return m.delegated(ctx, tx, r, device, d, in.Object, until)
	})
	if errors.Is(err, errMoved) {
		err = fault.New(fault.Conflict, "the credential or its machine was changed at the same moment; ask again").Because(err)
	}
	if err != nil {
		return samapi.Outcome{}, m.alarm(ctx, err)
	}
	m.seenAll(i.versions())
	return samapi.Outcome{
		SID: r.SID, State: samapi.Approved, Signer: i.who.ID, Credential: i.cred.ID, Client: i.Client, Count: len(i.Documents), Expires: until,
	}, nil
}

// machine finds the enrolled machine that ordered this, and compares the order with
// the intent.
func (i *intent) machine(object string) (*authenticator, signing.Delegation, error) {
	bad := func(cause error) error {
		return fault.New(fault.Forbidden, "the machine's order does not authorise this").WithCode(samapi.CodeAssertion).Because(cause)
	}
	sealed, err := signing.ParseDelegation(object)
	if err != nil {
		return nil, signing.Delegation{}, bad(err)
	}
	for _, a := range i.devices {
		pub, err := x509.ParsePKIXPublicKey(a.SPKI)
		if err != nil {
			return nil, signing.Delegation{}, fmt.Errorf("%s: %w", a.record(), err)
		}
		key, ok := pub.(*ecdsa.PublicKey)
		if !ok {
			return nil, signing.Delegation{}, fmt.Errorf("%s: key of type %T", a.record(), pub)
		}
		if id, err := signing.KeyID(key); err != nil || id != sealed.Key {
			continue
		}
		d, err := sealed.Open(key)
		if err != nil {
			return nil, d, bad(err)
		}
		if err := i.matches(d); err != nil {
			return nil, d, bad(err)
		}
		return a, d, nil
	}
	return nil, signing.Delegation{}, bad(errors.New("no machine with this key is enrolled for the credential"))
}

// matches holds an order against what is asked for and against the clock.
func (i *intent) matches(d signing.Delegation) error {
	issued, expires := time.Unix(d.Issued, 0), time.Unix(d.Expires, 0)
	switch {
	case d.Audience != i.Gateway:
		return fmt.Errorf("it is for the gateway %q", d.Audience)
	case d.Client != i.Client:
		return fmt.Errorf("it is for the client %q", d.Client)
	case d.Credential != i.Credential:
		return fmt.Errorf("it is for the credential %q", d.Credential)
	case d.HashOID != i.HashOID:
		return fmt.Errorf("it is for digests of %q", d.HashOID)
	case !i.now.Before(expires):
		return fmt.Errorf("it expired at %s", expires.UTC())
	case issued.After(i.now.Add(maxDelegationSkew)):
		return fmt.Errorf("it was made at %s, which lies ahead", issued.UTC())
	}
	hashes := make([][]byte, 0, len(i.Documents))
	for _, doc := range i.Documents {
		hashes = append(hashes, doc.DTBSR)
	}
	if !slices.EqualFunc(d.Hashes, hashes, slices.Equal) {
		return errors.New("it is for other hashes")
	}
	return nil
}

// useDelegation uses up a machine's order, as orders of registration authorities
// are.
func useDelegation(ctx context.Context, tx *store.Tx, a *authenticator, d signing.Delegation, now time.Time) error {
	n, err := tx.Exec(ctx, `INSERT INTO sam_order (authority, id, domain, done) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		a.record(), d.ID, domainDelegation, store.Micros(now))
	if err != nil {
		return fmt.Errorf("use up delegation: %w", err)
	}
	if n != 1 {
		return fault.New(fault.Conflict, "this order of the machine was carried out before").WithCode(samapi.CodeOrderReplayed)
	}
	return nil
}

// domainDelegation names machines' orders among those that were carried out.
const domainDelegation = "countersign-delegation-v1"

// delegated turns a new request's state to approved, with the machine's order as
// evidence beside it.
func (m *Module) delegated(ctx context.Context, tx *store.Tx, r *request, a *authenticator, d signing.Delegation, object string, until time.Time) error {
	ev := evidence{Mechanism: a.Mechanism, Authenticator: a.ID, SPKI: a.SPKI, Signature: []byte(object)}
	assertion, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(assertion)
	ap := approval{SID: r.SID, SADHash: r.SADHash, Authenticator: a.ID, Assertion: sum[:], Approved: r.Issued, RedeemUntil: until}
	mac, err := m.mac(ctx, macApproval, &ap)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE sam_request SET state = $1, ended = $2, authenticator = $3, assertion = $4, redeem_until = $5, approval_mac = $6,
		returned = $2 WHERE sid = $7 AND state = $8`,
		samapi.Approved, store.Micros(ap.Approved), a.ID, string(assertion), store.Micros(until), mac, r.SID, samapi.Pending)
	if err != nil {
		return fmt.Errorf("approve: %w", err)
	}
	if n != 1 {
		return errDecided(r)
	}
	return m.audit.Append(ctx, tx, audit.Event{
		Type: eventSADApproved, Subject: r.sad.Credential, Actor: "machine:" + a.ID, SID: r.SID,
		Data: map[string]any{"sad": r.raw, "evidence": ev, "by": d.By, "delegation": d.ID},
	})
}

// addMachine checks a machine's key and its proof.
func addMachine(a *authenticator, e *enrolment, req samapi.Enrol) error {
	if req.WebAuthn != nil || req.PIN != "" {
		return fault.New(fault.Invalid, "a machine's key comes without passkey and PIN").WithCode(samapi.CodeAssertion)
	}
	pub, err := parseP256(req.SPKI)
	if err != nil {
		return errProof(err)
	}
	challenge, err := samapi.EnrolChallenge(e.ID, e.Mechanism, req.SPKI)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(pub, challenge, req.Signature) {
		return errProof(errors.New("signature does not verify"))
	}
	a.SPKI = req.SPKI
	return nil
}

// mechanisms are what a device may be and a key be bound to.
var mechanisms = []string{samapi.DeviceKey, samapi.WebAuthn, samapi.Delegation}

// scal is the level of sole control that a mechanism gives (EN 419 241-1): for a
// seal, control by its creator.
func scal(mechanism string) int {
	if mechanism == samapi.Delegation {
		return 1
	}
	return 2
}
