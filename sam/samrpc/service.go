package samrpc

import (
	"context"
	"encoding/json"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// Service is what the gateway's socket offers. *sam.Module and *Client have it.
type Service interface {
	Identity(ctx context.Context) (samapi.Identity, error)
	Credentials(ctx context.Context, q samapi.CredentialQuery) ([]samapi.Credential, error)
	Begin(ctx context.Context, in samapi.Intent) (samapi.Begun, error)
	Outcome(ctx context.Context, sid, handle string) (samapi.Outcome, error)
	Delegate(ctx context.Context, in samapi.Delegated) (samapi.Outcome, error)
	Sign(ctx context.Context, req samapi.SignRequest) (samapi.SignResult, error)
	Result(ctx context.Context, sid, client string) (samapi.SignResult, error)
	Acknowledge(ctx context.Context, sid, client string, signatures [][]byte) error
	AcknowledgeAll(ctx context.Context, arrived []samapi.Arrival) error

	// Orders of a registration authority; without its signature they are refused.
	EnrolSigner(ctx context.Context, order signing.Signed) (samapi.Enrolment, error)
	AssignKey(ctx context.Context, order signing.Signed) (samapi.Assigned, error)
	BindCertificate(ctx context.Context, order signing.Signed) error
	RevokeDevice(ctx context.Context, order signing.Signed) error
	SetCredentialState(ctx context.Context, order signing.Signed) error
	DestroyKey(ctx context.Context, order signing.Signed) error
	LiftBlock(ctx context.Context, order signing.Signed) error

	Checkpoint(ctx context.Context) (samapi.Checkpoint, error)
	Bundle(ctx context.Context, sid string) (json.RawMessage, error)
	Ready(ctx context.Context) error
}

// Admin is what the administrators' socket offers. *sam.Module and *AdminClient
// have it.
type Admin interface {
	RegisterAuthority(ctx context.Context, name string, spki []byte) (samapi.Authority, error)
	RevokeAuthority(ctx context.Context, key string) error
	Authorities(ctx context.Context) ([]samapi.Authority, error)
	RegisterGateway(ctx context.Context, issuer, returnURL string) error
	Gateways(ctx context.Context) ([]samapi.Gateway, error)
	Devices(ctx context.Context, signer string) ([]samapi.Device, error)
	Status(ctx context.Context) (samapi.Status, error)
	Verify(ctx context.Context) (samapi.Verification, error)
	Probe(ctx context.Context) (keystore.Capabilities, error)
	Rewrap(ctx context.Context) (int, error)
	Inventory(ctx context.Context) (samapi.Inventory, error)
	Ledger(ctx context.Context, kept []string) (samapi.Ledger, error)
	Attest(ctx context.Context, a samapi.Attestation) (json.RawMessage, error)
	Checkpoint(ctx context.Context) (samapi.Checkpoint, error)
	Bundle(ctx context.Context, sid string) (json.RawMessage, error)
	Ready(ctx context.Context) error
}

// Requests of operations that take more than one value, or none that is JSON.
type (
	nothing struct{}
	handle  struct {
		SID    string `json:"sid"`
		Handle string `json:"handle"`
	}
	owned struct {
		SID    string `json:"sid"`
		Client string `json:"client"`
	}
	checkpoints struct {
		Kept []string `json:"kept"`
	}
	arrived struct {
		owned

		Signatures [][]byte `json:"signatures"`
	}
	bySID struct {
		SID string `json:"sid"`
	}
	newAuthority struct {
		Name string `json:"name"`
		SPKI []byte `json:"spki"`
	}
	byKey struct {
		Key string `json:"key"`
	}
	newGateway struct {
		Issuer    string `json:"issuer"`
		ReturnURL string `json:"returnURL"`
	}
	bySigner struct {
		Signer string `json:"signer"`
	}
)

// failure is how a fault travels.
type failure struct {
	Kind   string `json:"kind"`
	Code   string `json:"code,omitempty"`
	Detail string `json:"detail"`
}
