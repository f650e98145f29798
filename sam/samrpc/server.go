package samrpc

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// prefix is where the operations are, with the version of their form.
const prefix = "/v1/"

// maxBody bounds a request: a SAD has at most 64 KB, hashes and an OCSP response
// a few more. It is below the limit that web.Wrap has for everybody.
const maxBody = 192 << 10

// Handler serves the gateway's socket.
func Handler(s Service) http.Handler {
	mux := http.NewServeMux()
	handle1(mux, "identity", func(ctx context.Context, _ nothing) (samapi.Identity, error) { return s.Identity(ctx) })
	handle1(mux, "credentials", s.Credentials)
	handle1(mux, "begin", s.Begin)
	handle1(mux, "outcome", func(ctx context.Context, q handle) (samapi.Outcome, error) { return s.Outcome(ctx, q.SID, q.Handle) })
	handle1(mux, "delegate", s.Delegate)
	handle1(mux, "sign", s.Sign)
	handle1(mux, "result", func(ctx context.Context, q owned) (samapi.SignResult, error) { return s.Result(ctx, q.SID, q.Client) })
	handle0(mux, "acknowledge", func(ctx context.Context, q arrived) error {
		return s.Acknowledge(ctx, q.SID, q.Client, q.Signatures)
	})
	handle0(mux, "acknowledge-all", s.AcknowledgeAll)
	handle1(mux, "enrol-signer", s.EnrolSigner)
	handle1(mux, "assign-key", s.AssignKey)
	for name, do := range map[string]func(context.Context, signing.Signed) error{
		"bind-certificate":     s.BindCertificate,
		"revoke-device":        s.RevokeDevice,
		"set-credential-state": s.SetCredentialState,
		"destroy-key":          s.DestroyKey,
		"lift-block":           s.LiftBlock,
	} {
		handle0(mux, name, do)
	}
	handleLog(mux, s)
	return finish(mux)
}

// AdminHandler serves the administrators' socket.
func AdminHandler(a Admin) http.Handler {
	mux := http.NewServeMux()
	handle1(mux, "register-authority", func(ctx context.Context, q newAuthority) (samapi.Authority, error) {
		return a.RegisterAuthority(ctx, q.Name, q.SPKI)
	})
	handle0(mux, "revoke-authority", func(ctx context.Context, q byKey) error { return a.RevokeAuthority(ctx, q.Key) })
	handle1(mux, "authorities", func(ctx context.Context, _ nothing) ([]samapi.Authority, error) { return a.Authorities(ctx) })
	handle0(mux, "register-gateway", func(ctx context.Context, q newGateway) error {
		return a.RegisterGateway(ctx, q.Issuer, q.ReturnURL)
	})
	handle1(mux, "gateways", func(ctx context.Context, _ nothing) ([]samapi.Gateway, error) { return a.Gateways(ctx) })
	handle1(mux, "devices", func(ctx context.Context, q bySigner) ([]samapi.Device, error) { return a.Devices(ctx, q.Signer) })
	handle1(mux, "status", func(ctx context.Context, _ nothing) (samapi.Status, error) { return a.Status(ctx) })
	handle1(mux, "verify", func(ctx context.Context, _ nothing) (samapi.Verification, error) { return a.Verify(ctx) })
	handle1(mux, "probe", func(ctx context.Context, _ nothing) (any, error) { return a.Probe(ctx) })
	handle1(mux, "rewrap", func(ctx context.Context, _ nothing) (int, error) { return a.Rewrap(ctx) })
	handle1(mux, "inventory", func(ctx context.Context, _ nothing) (samapi.Inventory, error) { return a.Inventory(ctx) })
	handle1(mux, "ledger", func(ctx context.Context, q checkpoints) (samapi.Ledger, error) { return a.Ledger(ctx, q.Kept) })
	handle1(mux, "attest", func(ctx context.Context, q samapi.Attestation) (json.RawMessage, error) { return a.Attest(ctx, q) })
	handleLog(mux, a)
	return finish(mux)
}

// log is what both sockets offer of the event log and the module's health.
type log interface {
	Checkpoint(ctx context.Context) (samapi.Checkpoint, error)
	Bundle(ctx context.Context, sid string) (json.RawMessage, error)
	Ready(ctx context.Context) error
}

func handleLog(mux *http.ServeMux, l log) {
	handle1(mux, "checkpoint", func(ctx context.Context, _ nothing) (samapi.Checkpoint, error) { return l.Checkpoint(ctx) })
	handle1(mux, "bundle", func(ctx context.Context, q bySID) (json.RawMessage, error) { return l.Bundle(ctx, q.SID) })
	handle0(mux, "ready", func(ctx context.Context, _ nothing) error { return l.Ready(ctx) })
}

func finish(mux *http.ServeMux) http.Handler {
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, fault.New(fault.NotFound, "there is no operation %s", r.URL.Path))
	})
	return web.LimitBody(maxBody, refuse)(mux)
}

// handle1 serves an operation with an answer.
func handle1[Q, A any](mux *http.ServeMux, name string, do func(context.Context, Q) (A, error)) {
	mux.HandleFunc("POST "+prefix+name, func(w http.ResponseWriter, r *http.Request) {
		web.SetRoute(r.Context(), prefix+name)
		var q Q
		if err := web.ReadStrictJSON(r, &q); err != nil {
			refuse(w, r, err)
			return
		}
		answer, err := do(r.Context(), q)
		if err != nil {
			refuse(w, r, err)
			return
		}
		web.WriteJSON(w, r, http.StatusOK, answer)
	})
}

// handle0 serves an operation without an answer.
func handle0[Q any](mux *http.ServeMux, name string, do func(context.Context, Q) error) {
	handle1(mux, name, func(ctx context.Context, q Q) (nothing, error) { return nothing{}, do(ctx, q) })
}

// refuse answers with a fault; everything else is internal and stays in the log.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	web.Fail(r.Context(), err)
	f := fault.Of(err)
	web.WriteJSON(w, r, web.Status(f.Kind), failure{Kind: string(f.Kind), Code: f.Code, Detail: f.Detail})
}
