package sam

import (
	"context"
	"errors"
	"log/slog"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store"
)

// The types of events in the log.
const (
	eventAuthorityAdded   = "authority.registered"
	eventAuthorityRevoked = "authority.revoked"
	eventGatewaySet       = "gateway.registered"
	eventSignerRegistered = "signer.registered"
	eventEnrolmentOpened  = "enrolment.opened"
	eventEnrolmentFailed  = "enrolment.failed"
	eventDeviceEnrolled   = "device.enrolled"
	eventDeviceRevoked    = "device.revoked"
	eventDeviceLocked     = "device.locked"
	eventDeviceBlocked    = "device.blocked"
	eventKeyAssigned      = "key.assigned"
	eventCertificateBound = "certificate.bound"
	eventSuspended        = "credential.suspended"
	eventResumed          = "credential.resumed"
	eventKeyDestroyed     = "key.destroyed"
	eventKeyRewrapped     = "key.rewrapped"
	eventSADCreated       = "sad.created"
	eventApprovalFailed   = "approval.failed"
	eventSADApproved      = "sad.approved"
	eventSADRejected      = "sad.rejected"
	eventSADDisowned      = "sad.disowned" // "this was not me"
	eventClientBackOff    = "client.backoff"
	eventClientBlocked    = "client.blocked"
	eventClientUnblocked  = "client.unblocked"
	eventSADExpired       = "sad.expired"
	eventSADConsumed      = "sad.consumed"
	eventSignatureCreated = "signature.created"
	eventSignatureBurned  = "signature.burned"
	eventDelivered        = "signature.delivered"
	eventTampered         = "record.tampered"
	eventReport           = "report.attested"
)

// actorSelf is the actor of what the module does by itself.
const actorSelf = "sam"

// change is the data of events about a protected record: an auditor, and Verify,
// can tell from it which version of the record must be current.
type change struct {
	Record  string `json:"record"`
	Version int64  `json:"version"`
	Order   string `json:"order,omitempty"` // id of the RA's order
	Details any    `json:"details,omitempty"`
}

// alarm records that a stored record is not what the module wrote, if that is what
// err says, and returns err. Call it where an operation ends, outside of
// transactions.
func (m *Module) alarm(ctx context.Context, err error) error {
	t, ok := errors.AsType[*errTampered](err)
	if !ok {
		return err
	}
	m.logger.ErrorContext(ctx, "stored record was tampered with", slog.String("record", t.record), slog.String("finding", t.what))
	ctx = context.WithoutCancel(ctx)
	failed := m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventTampered, Subject: t.record, Actor: actorSelf, Outcome: audit.Failure,
			Data: map[string]string{"finding": t.what},
		})
	})
	return errors.Join(err, failed)
}
