package pki

import (
	"context"
	"crypto"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/signing"
)

// Reason is a CRLReason of RFC 5280 §5.3.1.
type Reason int

// The reasons that can be given. Suspension (certificateHold) is none: a
// signature made meanwhile could never be judged.
const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1
	CACompromise         Reason = 2
	AffiliationChanged   Reason = 3
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	PrivilegeWithdrawn   Reason = 9
)

var reasonNames = map[Reason]string{
	Unspecified: "unspecified", KeyCompromise: "keyCompromise", CACompromise: "cACompromise", AffiliationChanged: "affiliationChanged",
	Superseded: "superseded", CessationOfOperation: "cessationOfOperation", PrivilegeWithdrawn: "privilegeWithdrawn",
}

// String gives the name of RFC 5280.
func (r Reason) String() string {
	if s, ok := reasonNames[r]; ok {
		return s
	}
	return fmt.Sprintf("reason %d", int(r))
}

// ParseReason finds a reason by its name in RFC 5280; "" is unspecified.
func ParseReason(s string) (Reason, error) {
	if s == "" {
		return Unspecified, nil
	}
	for r, name := range reasonNames {
		if name == s {
			return r, nil
		}
	}
	return 0, fault.New(fault.Invalid, "reason %q: use keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn or unspecified", s).
		WithCode("reason")
}

// DomainRevocation is the domain of sealed Revocations.
const DomainRevocation = "countersign-revocation-v1"

// maxRevocationAge is how old a revocation may be when it arrives.
const maxRevocationAge = day

// Revocation is a registration authority's order to revoke a signer's
// certificate, sealed with its key.
type Revocation struct {
	Version int       `json:"v"`      // 1
	Serial  string    `json:"serial"` // lower-case hex
	Reason  string    `json:"reason"` // a name of RFC 5280
	Time    time.Time `json:"time"`   // when it was ordered
}

// SealRevocation signs an order to revoke.
func SealRevocation(r Revocation, key crypto.Signer) (signing.Signed, error) {
	payload, err := signing.EncodeCanonical(r)
	if err != nil {
		return signing.Signed{}, err
	}
	return signing.Seal(DomainRevocation, payload, key)
}

// Revoked is since when and why a certificate is revoked.
type Revoked struct {
	Serial string    `json:"serial"`
	Reason string    `json:"reason"`
	Time   time.Time `json:"time"`
}

// Revoke revokes a signer's certificate on the order of a registration
// authority, for good. OCSP and CRL say so from the moment Revoke returns. An
// order for a certificate that is revoked already changes nothing and returns
// what holds.
func (a *Authority) Revoke(ctx context.Context, s signing.Signed) (Revoked, error) {
	ra, payload, err := a.open(ctx, RA, DomainRevocation, s)
	if err != nil {
		return Revoked{}, err
	}
	var order Revocation
	if err := signing.DecodeCanonical(payload, &order); err != nil || order.Version != 1 {
		return Revoked{}, fault.New(fault.Invalid, "the revocation is malformed").WithCode("revocation").Because(err)
	}
	reason, err := ParseReason(order.Reason)
	if err != nil {
		return Revoked{}, err
	}
	now := a.cfg.Now()
	if order.Time.After(now.Add(skew)) || now.Sub(order.Time) > maxRevocationAge {
		return Revoked{}, fault.New(fault.Expired, "the revocation is from the future or older than a day: order it anew").WithCode("revocation_expired")
	}
	return a.revoke(ctx, order.Serial, reason, ra.KeyID, &s, RoleSigner)
}

// RevokeOwn revokes any certificate but the root's, on the word of the local
// operator. A revoked time-stamping unit or responder is replaced at once; after
// the issuing CA is revoked nothing is issued any more.
func (a *Authority) RevokeOwn(ctx context.Context, serial string, reason Reason) (Revoked, error) {
	if _, ok := reasonNames[reason]; !ok {
		return Revoked{}, fault.New(fault.Invalid, "%v cannot be given", reason).WithCode("reason")
	}
	r, err := a.revoke(ctx, serial, reason, "operator", nil, RoleSigner, RoleTSA, RoleOCSP, RoleCA)
	if err != nil {
		return Revoked{}, err
	}
	return r, a.Maintain(ctx)
}

func (a *Authority) revoke(ctx context.Context, serial string, reason Reason, actor string, order *signing.Signed, roles ...Role) (Revoked, error) {
	var row certificate
	err := a.cfg.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if row, err = certificateBySerial(ctx, tx, serial); noRows(err) {
			return fault.New(fault.NotFound, "no certificate has that serial number")
		} else if err != nil {
			return err
		}
		if !slices.Contains(roles, row.Role) {
			return fault.New(fault.Forbidden, "a %s certificate is not revoked this way", row.Role)
		}
		if !row.Revoked.IsZero() {
			return nil
		}
		now := a.cfg.Now()
		if _, err := markRevoked(ctx, tx, serial, reason, now); err != nil {
			return err
		}
		row.Revoked, row.Reason = store.Time(store.Micros(now)), reason
		if err := touchCRL(ctx, tx, row.Issuer); err != nil {
			return err
		}
		return a.record(ctx, tx, audit.Event{Type: "pki.certificate.revoked", Subject: serial, Actor: actor, Data: revocationEvent{
			Role: row.Role, Reason: reason.String(), Signer: row.Signer, Credential: row.Credential, Order: order,
		}})
	})
	if err != nil {
		return Revoked{}, err
	}
	return Revoked{Serial: serial, Reason: row.Reason.String(), Time: row.Revoked}, nil
}

// revocationEvent is what the log keeps of a revocation.
type revocationEvent struct {
	Role       Role            `json:"role"`
	Reason     string          `json:"reason"`
	Signer     string          `json:"signer,omitempty"`
	Credential string          `json:"credential,omitempty"`
	Order      *signing.Signed `json:"order,omitempty"`
}
