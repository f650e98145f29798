package sam

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// AssignKey carries out an RA's order to make a key for a signer. The key is bound
// to the mechanism for good and cannot sign before a certificate is bound to it
// (EN 419 241-1 SRC_SKS.1.3, SRA_SKM.1).
func (m *Module) AssignKey(ctx context.Context, s signing.Signed) (samapi.Assigned, error) {
	var p samapi.AssignKey
	o, err := m.openOrder(ctx, samapi.DomainAssignKey, s, &p, &p.Order)
	if err != nil {
		return samapi.Assigned{}, err
	}
	if err := m.checkAssign(ctx, p); err != nil {
		return samapi.Assigned{}, err
	}
	key, err := m.keys.Generate(ctx, p.KeyType)
	if err != nil {
		return samapi.Assigned{}, fault.New(fault.Unavailable, "the keystore could not make a %s key", p.KeyType).Because(err)
	}
	c := &credential{link: link{
		ID: store.NewID(), Signer: p.Signer, Mechanism: p.Mechanism, SCAL: scal(p.Mechanism),
		KeyType: key.Type, SPKI: key.SPKI, KEK: key.KEK,
		Multisign: p.Multisign, MinWysiwys: p.MinWysiwys,
		State: samapi.CredentialNew, Made: o.at, Version: 1,
	}, blob: key.Blob}
	record, err := m.keyRecord(c)
	if err != nil {
		return samapi.Assigned{}, err
	}
	err = m.carry(ctx, o, func(ctx context.Context, tx *store.Tx) error {
		if err := m.insertCredential(ctx, tx, c); err != nil {
			return err
		}
		sum := sha256.Sum256(c.SPKI)
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventKeyAssigned, Subject: c.ID, Actor: o.actor(),
			Data: change{Record: c.record(), Version: c.Version, Order: p.ID, Details: map[string]any{
				"signer": c.Signer, "mechanism": c.Mechanism, "keyType": c.KeyType,
				"key": hex.EncodeToString(sum[:]), "keystore": m.driver,
			}},
		})
	})
	if err != nil {
		return samapi.Assigned{}, err
	}
	return samapi.Assigned{Credential: c.ID, KeyRecord: record}, nil
}

func (m *Module) checkAssign(ctx context.Context, p samapi.AssignKey) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, format, args...).WithCode(samapi.CodeOrder)
	}
	if _, err := signing.ParseKeyType(string(p.KeyType)); err != nil {
		return bad("%v", err)
	}
	switch {
	case p.KeyType == signing.KeyEd25519:
		// RFC 8419: an Ed25519 CMS signature is over the signed attributes
		// themselves, and only their digest comes here.
		return bad("an Ed25519 key signs messages, and only digests come here; use P-256")
	case !slices.Contains(mechanisms, p.Mechanism):
		return bad("the mechanism must be one of %s", strings.Join(mechanisms, ", "))
	case p.Multisign < 1 || p.Multisign > m.limits.Documents:
		return bad("multisign must be 1 to %d", m.limits.Documents)
	case p.MinWysiwys < 0 || p.MinWysiwys > 1:
		return bad("minWysiwys must be 0 or 1")
	}
	who, err := m.signerByID(ctx, m.db, p.Signer)
	if err != nil {
		return m.alarm(ctx, err)
	}
	// TS 119 431-1 LNK-6.2.2-02A: a key at SCAL2 needs a person proved at
	// substantial or better.
	if who.Assurance == assurances[0] {
		return fault.New(fault.Forbidden, "the identity of %q is proved at level low; a key needs substantial or high", p.Signer).WithCode(samapi.CodeOrder)
	}
	return nil
}

// keyRecord is what the CA gets to know of the key.
func (m *Module) keyRecord(c *credential) (signing.Signed, error) {
	b, err := signing.EncodeCanonical(signing.KeyRecord{
		Version: 1, Module: m.issuer, Credential: c.ID, Signer: c.Signer, KeyType: c.KeyType, SPKI: c.SPKI,
		Mechanism: c.Mechanism, SCAL: c.SCAL, Keystore: m.driver, Made: c.Made.Truncate(time.Second),
	})
	if err != nil {
		return signing.Signed{}, fmt.Errorf("key record: %w", err)
	}
	return signing.Seal(signing.DomainKeyRecord, b, m.identity)
}

// BindCertificate carries out an RA's order to give a credential its certificate.
// It must be for the credential's key, name its signer, and chain to an anchor.
func (m *Module) BindCertificate(ctx context.Context, s signing.Signed) error {
	var p samapi.BindCertificate
	o, err := m.openOrder(ctx, samapi.DomainBindCertificate, s, &p, &p.Order)
	if err != nil {
		return err
	}
	c, err := m.credentialByID(ctx, m.db, p.Credential)
	if err != nil {
		return m.alarm(ctx, err)
	}
	if c.State != samapi.CredentialNew {
		return fault.New(fault.Conflict, "the credential has its certificate; a key is bound to exactly one").WithCode(samapi.CodeCertificate)
	}
	who, err := m.signerByID(ctx, m.db, c.Signer)
	if err != nil {
		return m.alarm(ctx, err)
	}
	if err := m.checkChain(p.Chain, c, who, o.at); err != nil {
		return err
	}
	c.chain, c.State = p.Chain, samapi.CredentialActive
	return m.carry(ctx, o, func(ctx context.Context, tx *store.Tx) error {
		next := *c // the transaction may run again
		if err := m.updateCredential(ctx, tx, &next); err != nil {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventCertificateBound, Subject: c.ID, Actor: o.actor(),
			Data: change{Record: c.record(), Version: next.Version, Order: p.ID, Details: map[string]any{
				"signer": c.Signer, "certificate": next.CertHash,
			}},
		})
	})
}

// SetCredentialState carries out an RA's order to suspend or resume a credential.
func (m *Module) SetCredentialState(ctx context.Context, s signing.Signed) error {
	var p samapi.CredentialState
	o, err := m.openOrder(ctx, samapi.DomainCredentialState, s, &p, &p.Order)
	if err != nil {
		return err
	}
	from, kind := samapi.CredentialActive, eventSuspended
	switch p.State {
	case samapi.CredentialSuspended:
	case samapi.CredentialActive:
		from, kind = samapi.CredentialSuspended, eventResumed
	default:
		return fault.New(fault.Invalid, "the state must be active or suspended").WithCode(samapi.CodeOrder)
	}
	c, err := m.credentialByID(ctx, m.db, p.Credential)
	if err != nil {
		return m.alarm(ctx, err)
	}
	if c.State != from {
		return fault.New(fault.Conflict, "the credential is %s", c.State).WithCode(samapi.CodeCredentialDisabled)
	}
	return m.carry(ctx, o, func(ctx context.Context, tx *store.Tx) error {
		next := *c
		next.State = p.State
		return m.changeState(ctx, tx, o, &next, kind, p.Reason)
	})
}

// DestroyKey carries out an RA's order to destroy a credential's key. The wrapped
// key is gone for good; certificate and records stay as evidence.
func (m *Module) DestroyKey(ctx context.Context, s signing.Signed) error {
	var p samapi.DestroyKey
	o, err := m.openOrder(ctx, samapi.DomainDestroyKey, s, &p, &p.Order)
	if err != nil {
		return err
	}
	c, err := m.credentialByID(ctx, m.db, p.Credential)
	if err != nil {
		return m.alarm(ctx, err)
	}
	if c.State == samapi.CredentialDestroyed {
		return fault.New(fault.Conflict, "the key was destroyed before").WithCode(samapi.CodeCredentialDisabled)
	}
	return m.carry(ctx, o, func(ctx context.Context, tx *store.Tx) error {
		next := *c
		next.State, next.blob = samapi.CredentialDestroyed, []byte{}
		return m.changeState(ctx, tx, o, &next, eventKeyDestroyed, p.Reason)
	})
}

func (m *Module) changeState(ctx context.Context, tx *store.Tx, o *order, c *credential, kind, reason string) error {
	if err := m.updateCredential(ctx, tx, c); err != nil {
		return err
	}
	return m.audit.Append(ctx, tx, audit.Event{
		Type: kind, Subject: c.ID, Actor: o.actor(),
		Data: change{Record: c.record(), Version: c.Version, Order: o.head.ID, Details: map[string]string{"reason": reason}},
	})
}

// RevokeDevice carries out an RA's order to end the use of a device. Credentials
// that are left without one are suspended at once (CIR 2015/1502 2.2.3).
func (m *Module) RevokeDevice(ctx context.Context, s signing.Signed) error {
	var p samapi.RevokeDevice
	o, err := m.openOrder(ctx, samapi.DomainRevokeDevice, s, &p, &p.Order)
	if err != nil {
		return err
	}
	return m.carry(ctx, o, func(ctx context.Context, tx *store.Tx) error {
		return m.revokeDevice(ctx, tx, o, p.Authenticator, p.Reason)
	})
}

func (m *Module) suspendOrphans(ctx context.Context, tx *store.Tx, o *order, a *authenticator) error {
	left, err := m.authenticatorsOf(ctx, tx, a.Signer, a.Mechanism)
	if err != nil || len(left) > 0 {
		return err
	}
	all, err := m.credentialsOf(ctx, tx, a.Signer)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Mechanism != a.Mechanism || c.State != samapi.CredentialActive {
			continue
		}
		c.State = samapi.CredentialSuspended
		if err := m.changeState(ctx, tx, o, c, eventSuspended, "the signer's last device was revoked"); err != nil {
			return err
		}
	}
	return nil
}
