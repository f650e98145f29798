package sam

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/webauthn"
)

// Limits of enrolments and PINs.
const (
	maxEnrolment = 30 * 24 * time.Hour
	maxCodeTries = 5
	minPIN       = 6
	maxPIN       = 12
)

// States of an enrolment.
const (
	enrolmentOpen    = "open"
	enrolmentUsed    = "used"
	enrolmentBlocked = "blocked"
)

// enrolment is the permission to enrol one device.
type enrolment struct {
	ID        string    `json:"id"`
	Order     string    `json:"order"`
	Signer    string    `json:"signer"`
	Mechanism string    `json:"mechanism"`
	CodeHash  []byte    `json:"codeHash"`
	Expires   time.Time `json:"expires"`
}

func (e *enrolment) record() string { return "enrolment/" + e.ID }

func (m *Module) insertEnrolment(ctx context.Context, tx *store.Tx, e *enrolment) error {
	mac, err := m.mac(ctx, macEnrolment, e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO sam_enrolment (id, order_id, signer, mechanism, code_hash, expires, mac, tries, state)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)`,
		e.ID, e.Order, e.Signer, e.Mechanism, e.CodeHash, store.Micros(e.Expires), mac, enrolmentOpen)
	if err != nil {
		return fmt.Errorf("insert enrolment: %w", err)
	}
	return nil
}

// errActivation is the one answer to everything that is wrong with an enrolment or
// its code, so that nobody learns which.
func errActivation() error {
	return fault.New(fault.Forbidden, "this enrolment is unknown, used up or expired, or the activation code is wrong").WithCode(samapi.CodeActivation)
}

// Enrol makes a device an authenticator of the person who knows the activation
// code. The device proves that it holds its key.
func (m *Module) Enrol(ctx context.Context, id string, req samapi.Enrol) (samapi.Enrolled, error) {
	now, err := m.clock.read()
	if err != nil {
		return samapi.Enrolled{}, err
	}
	e, err := m.enrolmentByID(ctx, id)
	if err != nil {
		return samapi.Enrolled{}, m.alarm(ctx, err)
	}
	if !now.Before(e.Expires) || e.Mechanism != req.Mechanism {
		return samapi.Enrolled{}, errActivation()
	}
	a, err := m.newDevice(ctx, e, req, now)
	if err != nil {
		return samapi.Enrolled{}, err
	}
	if err := m.checkCode(ctx, e, req.Code); err != nil {
		return samapi.Enrolled{}, err
	}
	who, err := m.signerByID(ctx, m.db, e.Signer)
	if err != nil {
		return samapi.Enrolled{}, m.alarm(ctx, err)
	}
	if err := m.admit(ctx, e, a); err != nil {
		return samapi.Enrolled{}, m.alarm(ctx, err)
	}
	return samapi.Enrolled{Authenticator: a.ID, Signer: who.ID, SignerName: who.Subject.CommonName, Module: m.issuer}, nil
}

func (m *Module) enrolmentByID(ctx context.Context, id string) (*enrolment, error) {
	var (
		e       enrolment
		expires int64
		mac     []byte
	)
	err := m.db.QueryRow(ctx, `SELECT id, order_id, signer, mechanism, code_hash, expires, mac FROM sam_enrolment WHERE id = $1`, id).
		Scan(&e.ID, &e.Order, &e.Signer, &e.Mechanism, &e.CodeHash, &expires, &mac)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errActivation()
	}
	if err != nil {
		return nil, fmt.Errorf("read enrolment: %w", err)
	}
	e.Expires = store.Time(expires)
	return &e, m.verify(ctx, macEnrolment, e.record(), &e, mac)
}

// checkCode counts the try before it compares, so that guesses at the same time
// are all counted.
func (m *Module) checkCode(ctx context.Context, e *enrolment, code string) error {
	n, err := m.db.Exec(ctx, `UPDATE sam_enrolment SET tries = tries + 1 WHERE id = $1 AND state = $2 AND tries < $3`,
		e.ID, enrolmentOpen, maxCodeTries)
	if err != nil {
		return fmt.Errorf("count activation code: %w", err)
	}
	if n != 1 {
		return errActivation()
	}
	given, err := samapi.ActivationCodeHash(e.Order, code)
	if err == nil && hmac.Equal(given, e.CodeHash) {
		return nil
	}
	err = m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE sam_enrolment SET state = $1 WHERE id = $2 AND state = $3 AND tries >= $4`,
			enrolmentBlocked, e.ID, enrolmentOpen, maxCodeTries); err != nil {
			return fmt.Errorf("block enrolment: %w", err)
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventEnrolmentFailed, Subject: e.Signer, Actor: "device", Outcome: audit.Failure,
			Data: map[string]string{"enrolment": e.ID, "finding": "wrong activation code"},
		})
	})
	return errors.Join(errActivation(), err)
}

// newDevice checks the device's key and proof and makes its record.
func (m *Module) newDevice(ctx context.Context, e *enrolment, req samapi.Enrol, now time.Time) (*authenticator, error) {
	name, err := cleanText(req.Name, maxName)
	if err != nil {
		return nil, err
	}
	a := &authenticator{
		ID: store.NewID(), Signer: e.Signer, Mechanism: e.Mechanism, Name: name,
		Handle: []byte{}, PIN: []byte{}, State: stateActive, Enrolled: now, Version: 1,
	}
	switch e.Mechanism {
	case samapi.WebAuthn:
		return a, m.addPasskey(a, e, req)
	case samapi.Delegation:
		return a, addMachine(a, e, req)
	}
	return a, m.addDeviceKey(ctx, a, e, req)
}

func errProof(cause error) error {
	return fault.New(fault.Invalid, "the device's proof of its key is wrong").WithCode(samapi.CodeAssertion).Because(cause)
}

func (m *Module) addDeviceKey(ctx context.Context, a *authenticator, e *enrolment, req samapi.Enrol) error {
	if req.WebAuthn != nil {
		return fault.New(fault.Invalid, "a device key comes without a passkey").WithCode(samapi.CodeAssertion)
	}
	if !validPIN(req.PIN) {
		return fault.New(fault.Invalid, "the PIN must have %d to %d digits, not all the same and not in a row", minPIN, maxPIN).WithCode(samapi.CodePIN)
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
	a.PIN, err = m.pinVerifier(ctx, a.ID, req.PIN)
	return err
}

func (m *Module) addPasskey(a *authenticator, e *enrolment, req samapi.Enrol) error {
	if req.WebAuthn == nil || req.PIN != "" || len(req.SPKI)+len(req.Signature) > 0 {
		return fault.New(fault.Invalid, "a passkey comes with its registration and nothing else").WithCode(samapi.CodeAssertion)
	}
	challenge, err := samapi.EnrolChallenge(e.ID, e.Mechanism, nil)
	if err != nil {
		return err
	}
	r := req.WebAuthn
	data, err := m.party().VerifyRegistration(challenge, r.ID, r.ClientDataJSON, r.AuthenticatorData)
	if err != nil {
		return errProof(err)
	}
	if a.SPKI, err = x509.MarshalPKIXPublicKey(data.Key); err != nil {
		return errProof(err)
	}
	a.Handle = data.CredentialID
	return nil
}

// party is who asks for passkeys: the approval origin and nobody else.
func (m *Module) party() webauthn.Party { return webauthn.Party{Origin: m.approval, RPID: m.rpID} }

// admit stores the device and uses up the enrolment, which the right code was
// given for.
func (m *Module) admit(ctx context.Context, e *enrolment, a *authenticator) error {
	return m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE sam_enrolment SET state = $1 WHERE id = $2 AND state = $3`, enrolmentUsed, e.ID, enrolmentOpen)
		if err != nil {
			return fmt.Errorf("use up enrolment: %w", err)
		}
		if n != 1 {
			return errActivation()
		}
		if err := m.insertAuthenticator(ctx, tx, a); err != nil {
			return err
		}
		if err := m.insertPINCounter(ctx, tx, a); err != nil {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventDeviceEnrolled, Subject: a.ID, Actor: "signer:" + a.Signer,
			Data: change{Record: a.record(), Version: a.Version, Order: e.Order, Details: map[string]any{
				"signer": a.Signer, "mechanism": a.Mechanism, "name": a.Name, "spki": a.SPKI, "enrolment": e.ID,
			}},
		})
	})
}

// parseP256 reads a SubjectPublicKeyInfo that holds a P-256 key in its one DER form.
func parseP256(spki []byte) (*ecdsa.PublicKey, error) {
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, err
	}
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || k.Curve != elliptic.P256() {
		return nil, errors.New("not a P-256 key")
	}
	again, err := x509.MarshalPKIXPublicKey(k)
	if err != nil || !hmac.Equal(again, spki) {
		return nil, errors.New("public key in another form than DER")
	}
	return k, nil
}

// validPIN refuses what everybody tries first.
func validPIN(pin string) bool {
	if len(pin) < minPIN || len(pin) > maxPIN || strings.Trim(pin, "0123456789") != "" {
		return false
	}
	step := int(pin[1]) - int(pin[0])
	if step < -1 || step > 1 {
		return true
	}
	for i := 2; i < len(pin); i++ {
		if int(pin[i])-int(pin[i-1]) != step {
			return true
		}
	}
	return false
}
