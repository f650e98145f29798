package sam

import (
	"context"
	"crypto/hmac"
	"fmt"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// Domains of the MACs that protect stored records.
const (
	macAuthority     = "countersign-sam-authority-v1"
	macGateway       = "countersign-sam-gateway-v1"
	macSigner        = "countersign-sam-signer-v1"
	macEnrolment     = "countersign-sam-enrolment-v1"
	macAuthenticator = "countersign-sam-authenticator-v1"
	macLink          = "countersign-sam-link-v1"
	macPIN           = "countersign-sam-pin-v1"
	macPINCounter    = "countersign-sam-pin-counter-v1"
	macRequest       = "countersign-sam-request-v1"
	macApproval      = "countersign-sam-approval-v1"
)

// mac computes the MAC of a record: every field of it, in its canonical form.
func (m *Module) mac(ctx context.Context, domain string, record any) ([]byte, error) {
	b, err := signing.EncodeCanonical(record)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", domain, err)
	}
	sum, err := m.keys.MAC(ctx, domain, b)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the keystore does not answer").Because(fmt.Errorf("%s: %w", domain, err))
	}
	return sum, nil
}

// verify compares a record with the MAC it was stored with. name is the record's
// own, for the log: "credential/abc".
func (m *Module) verify(ctx context.Context, domain, name string, record any, mac []byte) error {
	want, err := m.mac(ctx, domain, record)
	if err != nil {
		return err
	}
	if !hmac.Equal(want, mac) {
		return tampered(name, "its MAC is wrong")
	}
	return nil
}

// fresh refuses a record that is older than one seen before: a row put back from
// a backup, to bring a revoked device or a destroyed key to life again. head is
// the newest version in sam_head, q where it was read.
func (m *Module) fresh(ctx context.Context, q store.Querier, name string, version, head int64) error {
	mark := max(head, m.marks.of(ctx, name))
	switch {
	case head == 0 || version < mark:
		return tampered(name, fmt.Sprintf("version %d was replaced by version %d", version, mark))
	case version > head:
		return tampered(name, fmt.Sprintf("version %d was never written, the newest is %d", version, head))
	}
	if _, inside := q.(*store.Tx); !inside { // what a transaction reads may never be committed
		m.marks.raise(name, version)
	}
	return nil
}

// version is a version of a record that a transaction met.
type version struct {
	record string
	number int64
}

// seenAll raises the marks of what a transaction met, once it is committed.
func (m *Module) seenAll(all []version) {
	for _, v := range all {
		if v.number > 0 {
			m.marks.raise(v.record, v.number)
		}
	}
}

// advance writes the head of a record's new version. It belongs into the
// transaction that writes the record.
func advance(ctx context.Context, tx *store.Tx, name string, version int64) error {
	n, err := tx.Exec(ctx, `INSERT INTO sam_head (record, version) VALUES ($1, $2) ON CONFLICT DO NOTHING`, name, version)
	if err != nil {
		return fmt.Errorf("write version of %s: %w", name, err)
	}
	if n != 1 {
		return tampered(name, fmt.Sprintf("version %d was written before", version))
	}
	return nil
}

// errTampered is what tampered faults wrap.
type errTampered struct{ record, what string }

func (e *errTampered) Error() string { return fmt.Sprintf("stored record %s: %s", e.record, e.what) }

func tampered(record, what string) error {
	return fault.New(fault.Internal, "a stored record is not what the activation module wrote; nothing was signed").
		WithCode(samapi.CodeRecordTampered).Because(&errTampered{record, what})
}
