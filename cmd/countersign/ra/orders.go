package ra

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// Orders is what is needed of the activation module for orders about what is there.
type Orders interface {
	Identity(ctx context.Context) (samapi.Identity, error)
	RevokeDevice(ctx context.Context, order signing.Signed) error
	LiftBlock(ctx context.Context, order signing.Signed) error
}

// RevokeDevice ends the use of a signer's device, for a reason that the log keeps.
func (a *Authority) RevokeDevice(ctx context.Context, m Orders, device, reason string) error {
	id, err := m.Identity(ctx)
	if err != nil {
		return fmt.Errorf("ask the module who it is: %w", err)
	}
	order, err := a.seal(samapi.DomainRevokeDevice, samapi.RevokeDevice{
		Order: samapi.NewOrder(id.Module, a.Now()), Authenticator: device, Reason: reason,
	})
	if err != nil {
		return err
	}
	return m.RevokeDevice(ctx, order)
}

// LiftBlock lets a client ask a signer again who had said "this was not me".
func (a *Authority) LiftBlock(ctx context.Context, m Orders, signer, client, reason string) error {
	id, err := m.Identity(ctx)
	if err != nil {
		return fmt.Errorf("ask the module who it is: %w", err)
	}
	order, err := a.seal(samapi.DomainLiftBlock, samapi.LiftBlock{
		Order: samapi.NewOrder(id.Module, a.Now()), Signer: signer, Client: client, Reason: reason,
	})
	if err != nil {
		return err
	}
	return m.LiftBlock(ctx, order)
}
