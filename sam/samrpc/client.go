package samrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// Limits of the client.
const (
	callTimeout = 90 * time.Second // longer than any operation of the module
	maxAnswer   = 32 << 20         // an export of the log can be long
)

// socket calls operations over one Unix socket. A call is never tried again: the
// module may have carried it out.
type socket struct{ http *pool }

func dial(path string) socket { return socket{&pool{path: path}} }

// Client speaks to the gateway's socket. All methods may be called at once; their
// errors are the module's own faults, or Unavailable if it cannot be reached.
type Client struct{ socket }

// AdminClient speaks to the administrators' socket.
type AdminClient struct{ socket }

var (
	_ Service = (*Client)(nil)
	_ Admin   = (*AdminClient)(nil)
)

// NewClient returns a client of the gateway's socket. It connects when it is used.
func NewClient(path string) *Client { return &Client{dial(path)} }

// NewAdminClient returns a client of the administrators' socket.
func NewAdminClient(path string) *AdminClient { return &AdminClient{dial(path)} }

// call carries out one operation.
func call[A any](ctx context.Context, s socket, name string, q any) (answer A, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return answer, fmt.Errorf("%s: %w", name, err)
	}
	if len(body) > maxBody {
		return answer, fault.New(fault.TooLarge, "the request has %d KB, the signature activation module takes %d", len(body)>>10, maxBody>>10)
	}
	away := func(cause error) error {
		return fault.New(fault.Unavailable, "the signature activation module does not answer").Because(fmt.Errorf("%s: %w", name, cause))
	}
	status, data, err := s.http.post(ctx, prefix+name, body, maxAnswer)
	switch {
	case err != nil:
		return answer, away(err)
	case len(data) > maxAnswer:
		return answer, away(errors.New("the answer is too long"))
	case status != http.StatusOK:
		return answer, refused(data, status, away)
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return answer, away(err)
	}
	return answer, nil
}

var kinds = []fault.Kind{
	fault.Invalid, fault.NotFound, fault.Conflict, fault.Unauthenticated, fault.Forbidden,
	fault.Expired, fault.TooMany, fault.TooLarge, fault.Unavailable, fault.Internal,
}

// refused is the fault that the module answered with.
func refused(data []byte, status int, away func(error) error) error {
	var f failure
	if err := json.Unmarshal(data, &f); err != nil || !slices.Contains(kinds, fault.Kind(f.Kind)) {
		return away(fmt.Errorf("answered with status %d", status))
	}
	return (&fault.Error{Kind: fault.Kind(f.Kind), Detail: f.Detail}).WithCode(f.Code)
}

func (s socket) order(ctx context.Context, name string, o signing.Signed) error {
	_, err := call[nothing](ctx, s, name, o)
	return err
}

// Checkpoint signs the event log as it is now.
func (s socket) Checkpoint(ctx context.Context) (samapi.Checkpoint, error) {
	return call[samapi.Checkpoint](ctx, s, "checkpoint", nothing{})
}

// Bundle is the log's proof of one activation, the JSON of an audit bundle.
func (s socket) Bundle(ctx context.Context, sid string) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, s, "bundle", bySID{sid})
}

// Ready says whether the module can work.
func (s socket) Ready(ctx context.Context) error {
	_, err := call[nothing](ctx, s, "ready", nothing{})
	return err
}

// Identity says who the module is.
func (c *Client) Identity(ctx context.Context) (samapi.Identity, error) {
	return call[samapi.Identity](ctx, c.socket, "identity", nothing{})
}

// Credentials returns the credentials that the query names.
func (c *Client) Credentials(ctx context.Context, q samapi.CredentialQuery) ([]samapi.Credential, error) {
	return call[[]samapi.Credential](ctx, c.socket, "credentials", q)
}

// Begin makes a SAD that waits for the signer's approval.
func (c *Client) Begin(ctx context.Context, in samapi.Intent) (samapi.Begun, error) {
	return call[samapi.Begun](ctx, c.socket, "begin", in)
}

// Outcome redeems the handle of the way back, once.
func (c *Client) Outcome(ctx context.Context, sid, h string) (samapi.Outcome, error) {
	return call[samapi.Outcome](ctx, c.socket, "outcome", handle{sid, h})
}

// Sign makes the signatures that an approved SAD allows. If the answer is lost,
// Result has them.
func (c *Client) Sign(ctx context.Context, req samapi.SignRequest) (samapi.SignResult, error) {
	return call[samapi.SignResult](ctx, c.socket, "sign", req)
}

// Result returns stored signatures that were not acknowledged.
func (c *Client) Result(ctx context.Context, sid, client string) (samapi.SignResult, error) {
	return call[samapi.SignResult](ctx, c.socket, "result", owned{sid, client})
}

// Acknowledge says that these signatures have arrived; no others are forgotten.
func (c *Client) Acknowledge(ctx context.Context, sid, client string, signatures [][]byte) error {
	_, err := call[nothing](ctx, c.socket, "acknowledge", arrived{owned{sid, client}, signatures})
	return err
}

// AcknowledgeAll is Acknowledge for many approvals at once: all or none.
func (c *Client) AcknowledgeAll(ctx context.Context, arrived []samapi.Arrival) error {
	_, err := call[nothing](ctx, c.socket, "acknowledge-all", arrived)
	return err
}

// Delegate passes a machine's order on.
func (c *Client) Delegate(ctx context.Context, in samapi.Delegated) (samapi.Outcome, error) {
	return call[samapi.Outcome](ctx, c.socket, "delegate", in)
}

// EnrolSigner passes an RA's order on.
func (c *Client) EnrolSigner(ctx context.Context, o signing.Signed) (samapi.Enrolment, error) {
	return call[samapi.Enrolment](ctx, c.socket, "enrol-signer", o)
}

// AssignKey passes an RA's order on.
func (c *Client) AssignKey(ctx context.Context, o signing.Signed) (samapi.Assigned, error) {
	return call[samapi.Assigned](ctx, c.socket, "assign-key", o)
}

// BindCertificate passes an RA's order on.
func (c *Client) BindCertificate(ctx context.Context, o signing.Signed) error {
	return c.order(ctx, "bind-certificate", o)
}

// RevokeDevice passes an RA's order on.
func (c *Client) RevokeDevice(ctx context.Context, o signing.Signed) error {
	return c.order(ctx, "revoke-device", o)
}

// SetCredentialState passes an RA's order on.
func (c *Client) SetCredentialState(ctx context.Context, o signing.Signed) error {
	return c.order(ctx, "set-credential-state", o)
}

// DestroyKey passes an RA's order on.
func (c *Client) DestroyKey(ctx context.Context, o signing.Signed) error {
	return c.order(ctx, "destroy-key", o)
}

// LiftBlock passes an RA's order on.
func (c *Client) LiftBlock(ctx context.Context, o signing.Signed) error {
	return c.order(ctx, "lift-block", o)
}

// RegisterAuthority lets a registration authority give orders.
func (c *AdminClient) RegisterAuthority(ctx context.Context, name string, spki []byte) (samapi.Authority, error) {
	return call[samapi.Authority](ctx, c.socket, "register-authority", newAuthority{name, spki})
}

// RevokeAuthority ends the obedience to a registration authority's key.
func (c *AdminClient) RevokeAuthority(ctx context.Context, key string) error {
	_, err := call[nothing](ctx, c.socket, "revoke-authority", byKey{key})
	return err
}

// Authorities lists the registration authorities.
func (c *AdminClient) Authorities(ctx context.Context) ([]samapi.Authority, error) {
	return call[[]samapi.Authority](ctx, c.socket, "authorities", nothing{})
}

// RegisterGateway sets the one URL to which browsers go back for a gateway.
func (c *AdminClient) RegisterGateway(ctx context.Context, issuer, returnURL string) error {
	_, err := call[nothing](ctx, c.socket, "register-gateway", newGateway{issuer, returnURL})
	return err
}

// Gateways lists the gateways.
func (c *AdminClient) Gateways(ctx context.Context) ([]samapi.Gateway, error) {
	return call[[]samapi.Gateway](ctx, c.socket, "gateways", nothing{})
}

// Devices lists the devices of a signer, or of everybody.
func (c *AdminClient) Devices(ctx context.Context, signer string) ([]samapi.Device, error) {
	return call[[]samapi.Device](ctx, c.socket, "devices", bySigner{signer})
}

// Status counts what the module holds.
func (c *AdminClient) Status(ctx context.Context) (samapi.Status, error) {
	return call[samapi.Status](ctx, c.socket, "status", nothing{})
}

// Verify reads back every protected record and the whole log.
func (c *AdminClient) Verify(ctx context.Context) (samapi.Verification, error) {
	return call[samapi.Verification](ctx, c.socket, "verify", nothing{})
}

// Rewrap wraps every signer's key under the current key-encryption key.
func (c *AdminClient) Rewrap(ctx context.Context) (int, error) {
	return call[int](ctx, c.socket, "rewrap", nothing{})
}

// Probe exercises the keystore.
func (c *AdminClient) Probe(ctx context.Context) (keystore.Capabilities, error) {
	return call[keystore.Capabilities](ctx, c.socket, "probe", nothing{})
}

// Inventory lists the keys and the bounds that the module enforces.
func (c *AdminClient) Inventory(ctx context.Context) (samapi.Inventory, error) {
	return call[samapi.Inventory](ctx, c.socket, "inventory", nothing{})
}

// Ledger reads the whole event log.
func (c *AdminClient) Ledger(ctx context.Context, kept []string) (samapi.Ledger, error) {
	return call[samapi.Ledger](ctx, c.socket, "ledger", checkpoints{kept})
}

// Attest has the log hold the digest of a report, and returns the proof.
func (c *AdminClient) Attest(ctx context.Context, a samapi.Attestation) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c.socket, "attest", a)
}
