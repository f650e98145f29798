package federation

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/signing"
)

// errIndeterminate is the honest answer when a request was sent and no answer came.
func errIndeterminate() *csc.Error {
	return csc.NewError(http.StatusServiceUnavailable, codeIndeterminate,
		"It is not known whether the signature was made: the trust service that holds the key gave no usable answer after the request was sent. It is not sent again. Repeat this request to ask for the result; a new approval may make a second signature.")
}

// errLost is the answer when nobody will ever know.
func errLost() *csc.Error {
	return csc.NewError(http.StatusBadRequest, codeIndeterminate,
		"It will not be known here whether the signature was made: the trust service that holds the key gave no usable answer in time. This approval is used up; a new one may make a second signature.")
}

var errInFlight = csc.NewError(http.StatusConflict, csc.CodeInvalidRequest, "The same request is being worked on; ask again in a moment.")

// SignHash implements csc.Service; see Sign.
func (p *Peers) SignHash(ctx context.Context, by csc.Caller, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	order, err := q.Order()
	if err != nil {
		return nil, err
	}
	v, err := p.Sign(ctx, by, order)
	if err != nil {
		return nil, err
	}
	return v.Response(), nil
}

// Sign implements csc.Signer: it asks the peer once for each digest that was
// approved there, verifies what comes back, and keeps it with its receipt before it
// goes on. The same request again gets the same answer.
func (p *Peers) Sign(ctx context.Context, by csc.Caller, order *csc.Order) (*csc.Verified, error) {
	k, err := p.handle(ctx, by.Org, by.Client, order.Credential)
	if err != nil {
		return nil, csc.InvalidParameter("credentialID").Because(err)
	}
	request := requestOf(order, k.remote)
	for range 8 {
		a, err := p.approved(ctx, by, k, request.Hashes)
		if err != nil {
			return nil, err
		}
		v, err := p.signOnce(ctx, a, k, order, request)
		if !errors.Is(err, errRace) {
			return v, said(err)
		}
	}
	return nil, errInFlight
}

// approved finds the authorisation behind the caller's token. One that is remembered
// will do as long as it allows what is asked for: the database decides in the end.
func (p *Peers) approved(ctx context.Context, by csc.Caller, k *handle, hashes []string) (*authorization, error) {
	if by.Scope != csc.ScopeCredential || by.SID == "" {
		return nil, csc.ErrInsufficientScope
	}
	a := p.open.get(by.SID)
	if a != nil {
		if _, _, free := a.reserve(hashes); !free || !a.distinct() {
			a = nil
		}
	}
	if a == nil {
		var err error
		if a, err = p.authorization(ctx, by.SID); err != nil {
			return nil, err
		}
	}
	if a == nil || a.org != by.Org || a.client != by.Client || a.handle != k.id || (a.state != stateAuthorized && a.state != stateEnded) {
		return nil, csc.InvalidParameter("SAD")
	}
	return a, nil
}

// signOnce is one try; errRace means that another request came in between and
// nothing was sent.
func (p *Peers) signOnce(ctx context.Context, a *authorization, k *handle, order *csc.Order, request *csc.SignHashRequest) (*csc.Verified, error) {
	spent, positions, free := a.reserve(request.Hashes)
	before, err := p.prior(ctx, a, free, fingerprintOf(order))
	if err != nil {
		return nil, err
	}
	if before != nil && (!free || before.state != opDelivered) {
		return p.again(ctx, a, k, before, order)
	}
	now := p.now()
	switch {
	case !free:
		return nil, csc.ErrHashNotAuthorized
	case !now.Before(a.tokenExpires):
		return nil, csc.ErrSADExpired
	}
	e, _, err := p.routed(a.org, a.peer, k.level)
	if err != nil {
		return nil, err
	}
	if _, err := p.look(ctx, e, k, a.sid); err != nil {
		return nil, err
	}
	token, err := p.token(a)
	if err != nil {
		return nil, err
	}
	o := &operation{
		id: store.NewID(), org: a.org, sid: a.sid, client: a.client, peer: a.peer, handle: k.id, state: opSending, fingerprint: fingerprintOf(order),
		positions: positions, request: request, created: now, lease: now.Add(p.config.SignTime),
	}
	err = p.startSending(ctx, a, spent, o)
	p.open.put(a, spent, err)
	if err != nil {
		if errors.Is(err, errRace) { // or the peer is in quarantine, which the database has looked at
			err = cmp.Or(p.quarantined(ctx, p.db, a.peer), err)
		}
		return nil, err
	}
	return p.send(ctx, e, k, o, order, token)
}

// requestOf is an order as the peer gets it.
func requestOf(order *csc.Order, remote string) *csc.SignHashRequest {
	alg := order.Algorithm
	q := &csc.SignHashRequest{CredentialID: remote, SignAlgo: alg.OID(), HashAlgorithmOID: signing.HashOID(alg.Hash()), OperationMode: "S"}
	if alg.PSS() {
		q.SignAlgoParams = base64.StdEncoding.EncodeToString(alg.PSSParameters())
	}
	for _, d := range order.Digests {
		q.Hashes = append(q.Hashes, base64.StdEncoding.EncodeToString(d.Sum))
	}
	return q
}

// token opens the peer's token of an authorisation.
func (p *Peers) token(a *authorization) (*cscclient.Token, error) {
	if a.token != nil {
		return a.token, nil
	}
	var s secrets
	if err := p.sealer.open(a.place(), a.sealed, &s); err != nil || s.Token == nil {
		return nil, errors.Join(fmt.Errorf("token of %s", a.sid), err)
	}
	a.token = s.Token
	return s.Token, nil
}

// send sends the operation and takes what comes. It goes on when the caller leaves:
// the signature would be made all the same.
func (p *Peers) send(ctx context.Context, e *entry, k *handle, o *operation, order *csc.Order, token *cscclient.Token) (*csc.Verified, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.config.SignTime-p.config.SignTime/10)
	defer cancel()
	var (
		answer *csc.SignHashResponse
		sent   bool
	)
	err := e.gate.pass(func() (err error) {
		answer, sent, err = e.remote.SignHash(ctx, token, o.request)
		return err
	})
	attrs := []any{"peer", e.ID, "sid", o.sid, "operation", o.id, "error", err}
	switch {
	case err == nil:
		return p.accept(ctx, e, k, o, order, answer, false)
	case answered(err): // the peer says that it did not sign
		p.log.InfoContext(ctx, "peer refused to sign", attrs...)
		refusal, _ := errors.AsType[*csc.Error](err)
		told := csc.NewError(refusal.Status, refusal.Code, refusal.Description).Because(err)
		return nil, errors.Join(told, p.end(ctx, o, opRejected, err.Error()))
	case !sent: // certainly nothing left
		p.log.WarnContext(ctx, "peer not reached", attrs...)
		return nil, errors.Join(errClosed.Because(err), p.end(ctx, o, opRejected, err.Error()))
	}
	p.log.ErrorContext(ctx, "outcome at a peer not known", append(attrs, "alarm", true)...)
	return nil, errors.Join(errIndeterminate().Because(err), p.end(ctx, o, opIndeterminate, err.Error()))
}

// accept verifies an answer, keeps it with its receipt, and returns it. A lie
// quarantines the peer and nothing is passed on.
func (p *Peers) accept(ctx context.Context, e *entry, k *handle, o *operation, order *csc.Order, answer *csc.SignHashResponse, resolved bool) (*csc.Verified, error) {
	v, err := p.check(ctx, e, k, o, order, answer)
	if l := asLie(err); l != nil {
		told := err
		if fault.Of(err).Code != codeQuarantined {
			told = p.quarantine(ctx, finding{org: o.org, peer: e.ID, sid: o.sid, lie: l})
		}
		return nil, errors.Join(told, p.end(ctx, o, opQuarantined, l.Error()))
	}
	if err != nil { // not known yet whether it is good: it stays here, and is looked at again
		p.log.WarnContext(ctx, "answer of a peer not verified yet", "peer", e.ID, "sid", o.sid, "operation", o.id, "error", err)
		return nil, errors.Join(errIndeterminate().Because(err), p.keep(ctx, o, answer), p.end(ctx, o, opIndeterminate, err.Error()))
	}
	sealed, err := p.sealer.seal(o.place(), v.Response())
	if err != nil {
		return nil, err
	}
	receipt := Receipt{
		ID: o.id, Org: o.org, Time: p.now(), Client: o.client, SID: o.sid, Credential: k.id, Service: PeerService + e.ID, Algorithm: order.Algorithm,
		Count: len(order.Digests), Binding: order.Digests.Binding(), Cert: k.cert, Signatures: hashAll(v),
	}
	if err := p.verified(ctx, o, sealed, receipt, resolved); err != nil {
		return nil, errIndeterminate().Because(err) // still SENDING in the database, and resolved from there
	}
	p.config.Count(e.ID, "signed")
	return v, nil
}

// PeerService begins the service of a receipt for a peer's signatures; the peer's id
// follows.
const PeerService = "peer:"

// check holds an answer against the certificate that was chosen, its authority, its
// status, and what the peer says of the credential now.
func (p *Peers) check(ctx context.Context, e *entry, k *handle, o *operation, order *csc.Order, answer *csc.SignHashResponse) (*csc.Verified, error) {
	var v *csc.Verified
	signatures, err := answer.Decode()
	if err == nil {
		v, err = order.Verify(k.leaf, signatures)
	}
	if err != nil {
		return nil, p.whichLie(ctx, e, k, err)
	}
	s, err := p.statuses.get(ctx, e.ocsp, k.leaf, k.issuer)
	switch {
	case err != nil:
		return nil, err
	case s.good:
	case s.revoked.Before(o.created.Add(-revocationGrace)):
		return nil, lied(LieRevoked, "it signed with a certificate that was revoked at %s", s.revoked.UTC().Format(time.RFC3339))
	default: // it may have learnt of it after it signed
		return nil, unfit("its certificate was revoked at %s", s.revoked.UTC().Format(time.RFC3339)).WithCode(codeRevoked)
	}
	if _, err := p.look(ctx, e, k, o.sid); err != nil && fault.Of(err).Code != codeChanged { // a renewal does not undo what the old one signed
		return nil, err
	}
	return v, nil
}

// whichLie says which lie a wrong signature is: the peer is asked for the
// certificate once more.
func (p *Peers) whichLie(ctx context.Context, e *entry, k *handle, wrong error) *lie {
	p.forget(k)
	if _, err := p.ask(ctx, e, k); err != nil && fault.Of(err).Code == codeChanged {
		return lied(LieCertificate, "it signed with another certificate than was chosen: %s", wrong)
	}
	return lied(LieSignature, "%s", wrong)
}
