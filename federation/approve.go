package federation

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// Wish is what a client wants a peer's signer to approve.
type Wish struct {
	Org, Client string
	Credential  string
	HashOID     string
	// Qualifier is CSC's word for the level that is asked for; empty is any.
	Qualifier string
	Documents []Document
}

// Document is one of a Wish: names and digests, never the document.
type Document struct {
	Label       string
	Size        int64
	DTBSR       []byte
	DocHash     []byte
	SignedAttrs []byte
}

// Pending is an approval that waits for the signer at the peer.
type Pending struct {
	SID     string
	URL     string // on the peer's authorisation server
	Expires time.Time
}

// Outcome is what became of an approval at a peer.
type Outcome struct {
	SID        string
	State      string // Approved, Rejected, Expired or Failed
	Signer     string
	Credential string // the handle
	Client     string
	Count      int
	Expires    time.Time
	Reason     string
}

// The final states of an approval.
const (
	Approved = "approved"
	Rejected = "rejected"
	Expired  = "expired"
	Failed   = "failed" // the peer did not do its part; nothing was signed
)

// approvalTime is how long a signer may take at a peer's page.
const approvalTime = 10 * time.Minute

// States of an authorisation at a peer. The first two of the way, RECEIVED and
// ROUTED, are passed in one call and not kept: nothing has left yet.
const (
	stateAuthorizing = "AUTHORIZING" // the peer has the pushed request, the signer decides
	stateReturned    = "RETURNED"    // the browser came back with an answer
	stateAuthorized  = "AUTHORIZED"  // the token is here
	stateEnded       = "ENDED"       // the token's time is over
	stateRejected    = "REJECTED"
	stateExpired     = "EXPIRED"
	stateCancelled   = "CANCELLED" // the peer did not give the token
)

// authorization is an approval at a peer.
type authorization struct {
	sid, org, client, peer, handle string
	state, stateHash, returnHash   string
	hashOID                        string
	digests                        []string // base64, by position
	spent                          string   // one character for each position: '0' or '1'
	rule                           string
	serial                         int64
	created, expires, tokenExpires time.Time
	sealed                         string
	token                          *cscclient.Token // opened, or nil
	unlike                         bool             // every digest is there once
}

// place binds what is sealed to its authorisation.
func (a *authorization) place() string {
	return strings.Join([]string{"authorization", a.org, a.client, a.peer, a.sid}, "\x00")
}

// secrets are what an authorisation keeps sealed: first the way there, then the
// answer, then the token.
type secrets struct {
	Way   *cscclient.Authorization `json:"way,omitempty"`
	Final string                   `json:"final,omitempty"`
	Token *cscclient.Token         `json:"token,omitempty"`
}

// Begin pushes a client's wish to the peer that holds the credential: the same
// digests, names and attributes, in this gateway's own name and with its return
// address for that peer.
func (p *Peers) Begin(ctx context.Context, w Wish) (Pending, error) {
	k, err := p.handle(ctx, w.Org, w.Client, w.Credential)
	if err != nil {
		return Pending{}, err
	}
	e, d, err := p.usable(ctx, w.Org, k.peer, k.level)
	if err != nil {
		return Pending{}, err
	}
	l, err := p.look(ctx, e, k, "")
	if err != nil {
		return Pending{}, err
	}
	if err := p.fits(ctx, e, l, w); err != nil {
		return Pending{}, err
	}
	var way *cscclient.Authorization
	err = e.gate.pass(func() (err error) {
		way, err = e.remote.Authorize(ctx, []csc.AuthorizationDetail{w.detail(k.remote)})
		return err
	})
	if err != nil {
		p.config.Count(e.ID, "push_failed")
		return Pending{}, away(err)
	}
	now := p.now()
	a := &authorization{
		sid: HandlePrefix + store.NewID(), org: w.Org, client: w.Client, peer: e.ID, handle: k.id, state: stateAuthorizing,
		stateHash: digestHex(way.State), hashOID: w.HashOID,
		rule: d.Rule, serial: d.Serial, created: now, expires: now.Add(approvalTime),
	}
	for _, doc := range w.Documents {
		a.digests = append(a.digests, base64.StdEncoding.EncodeToString(doc.DTBSR))
	}
	if a.sealed, err = p.sealer.seal(a.place(), secrets{Way: way}); err != nil {
		return Pending{}, err
	}
	if err := p.insertAuthorization(ctx, a); err != nil {
		return Pending{}, err
	}
	p.config.Count(e.ID, "pushed")
	p.log.InfoContext(ctx, "approval pushed to a peer", "peer", e.ID, "sid", a.sid, "client", w.Client, "rule", d.Rule, "list", d.Serial, "hashes", len(w.Documents))
	return Pending{SID: a.sid, URL: way.URL, Expires: a.expires}, nil
}

// fits holds a wish against the peer's limits and the credential.
func (p *Peers) fits(ctx context.Context, e *entry, l look, w Wish) error {
	switch {
	case len(w.Documents) > e.Limits.Hashes:
		return fault.New(fault.Invalid, "%d signatures were asked for, and at most %d with one approval are agreed for this credential", len(w.Documents), e.Limits.Hashes)
	case len(w.Documents) > max(l.info.Multisign, 1):
		return fault.New(fault.Invalid, "%d signatures were asked for, and the credential makes at most %d with one approval", len(w.Documents), max(l.info.Multisign, 1))
	}
	if w.Qualifier != "" {
		q, known := qualifiers[strings.ToLower(w.Qualifier)]
		if !known {
			return fault.New(fault.Invalid, "signatureQualifier %.40q is not known", w.Qualifier)
		}
		if !l.level.atLeast(q.level) || l.seal != q.seal {
			return fault.New(fault.Invalid, "signatureQualifier %s was asked for, and the credential's certificate is of level %s", w.Qualifier, l.level).WithCode("level_too_low")
		}
	}
	if e.Limits.PerHour == 0 {
		return nil
	}
	var n int64
	err := p.db.QueryRow(ctx, `SELECT COUNT(*) FROM federation_authorization WHERE peer = $1 AND created > $2`, e.ID, store.Micros(p.now().Add(-time.Hour))).Scan(&n)
	if err != nil {
		return fmt.Errorf("count approvals at peer %s: %w", e.ID, err)
	}
	if n >= int64(e.Limits.PerHour) {
		return fault.New(fault.TooMany, "the approvals agreed with this credential's trust service for one hour are used up; try again later")
	}
	return nil
}

// detail is the wish as the peer gets it.
func (w Wish) detail(remote string) csc.AuthorizationDetail {
	d := csc.AuthorizationDetail{
		Type: csc.DetailType20, CredentialID: remote, SignatureQualifier: w.Qualifier, NumSignatures: len(w.Documents), HashAlgorithmOID: w.HashOID,
	}
	for _, doc := range w.Documents {
		d.DocumentDigests = append(d.DocumentDigests, csc.DocumentDigest{
			Hash: base64.StdEncoding.EncodeToString(doc.DTBSR), Label: doc.Label, HashType: "DTBSR", Size: doc.Size,
			SignedAttrs: base64.StdEncoding.EncodeToString(doc.SignedAttrs), DocHash: base64.StdEncoding.EncodeToString(doc.DocHash),
		})
	}
	return d
}

// Outcome takes the handle with which the browser was sent on from the return
// address, and gets the peer's token. A handle is good once, for its sid only; the
// authorisation server has checked before that the browser is the right one.
func (p *Peers) Outcome(ctx context.Context, sid, returned string) (Outcome, error) {
	a, err := p.authorization(ctx, sid)
	if err != nil {
		return Outcome{}, err
	}
	if a == nil || a.state != stateReturned || a.returnHash != digestHex(returned) {
		return Outcome{}, fault.New(fault.Invalid, "this answer was used before, or is not one of this gateway; start again at the application")
	}
	var s secrets
	if err := p.sealer.open(a.place(), a.sealed, &s); err != nil || s.Way == nil {
		return Outcome{}, errors.Join(fmt.Errorf("authorisation %s", sid), err)
	}
	// Spent before the code is sent: an answer is used once, whatever comes back.
	ok, err := p.move(ctx, a, stateReturned, stateCancelled, "", time.Time{})
	if err != nil {
		return Outcome{}, err
	}
	if !ok {
		return Outcome{}, fault.New(fault.Conflict, "this answer was used before; start again at the application")
	}
	k, err := p.handle(ctx, a.org, a.client, a.handle)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{SID: sid, Signer: k.signer, Credential: a.handle, Client: a.client, Count: len(a.digests)}
	e, _, err := p.usable(ctx, a.org, a.peer, k.level)
	if err == nil {
		var token *cscclient.Token
		err = e.gate.pass(func() (err error) {
			token, err = e.remote.Redeem(ctx, s.Way, s.Final)
			return err
		})
		if err == nil {
			return p.granted(ctx, a, token, out)
		}
	}
	return p.refused(ctx, a, out, err)
}

// granted keeps the token and says that the signer approved.
func (p *Peers) granted(ctx context.Context, a *authorization, token *cscclient.Token, out Outcome) (Outcome, error) {
	sealed, err := p.sealer.seal(a.place(), secrets{Token: token})
	if err != nil {
		return Outcome{}, err
	}
	until := token.Expires
	if longest := p.now().Add(maxToken); until.After(longest) {
		until = longest
	}
	if err := p.grant(ctx, a, sealed, until); err != nil {
		return Outcome{}, err
	}
	out.State, out.Expires = Approved, until
	p.config.Count(a.peer, "approved")
	return out, nil
}

// maxToken is the longest that a peer's token is used, whatever it says.
const maxToken = time.Hour

// refused says why there is no token.
func (p *Peers) refused(ctx context.Context, a *authorization, out Outcome, cause error) (Outcome, error) {
	f := fault.Of(cause)
	out.State, out.Reason = Failed, "The trust service that holds the key did not give its permission to sign. Nothing was signed; start again."
	state := stateCancelled
	if f.Code == cscclient.CodeApprovalRefused {
		out.State, out.Reason, state = Rejected, strings.TrimPrefix(f.Detail, "no approval: "), stateRejected
	}
	if _, err := p.move(ctx, a, stateCancelled, state, "", time.Time{}); err != nil {
		return Outcome{}, err
	}
	p.config.Count(a.peer, out.State)
	p.log.InfoContext(ctx, "no approval at a peer", "peer", a.peer, "sid", a.sid, "state", out.State, "error", cause)
	return out, nil
}

// reserve marks the first unspent position of each digest as spent. It is false if
// one of them is not authorised, or not any more.
func (a *authorization) reserve(hashes []string) (spent string, positions []int, ok bool) {
	marks := []byte(a.spent)
	for _, h := range hashes {
		i := 0
		for i = range a.digests {
			if a.digests[i] == h && marks[i] == '0' {
				break
			}
		}
		if len(a.digests) == 0 || a.digests[i] != h || marks[i] != '0' {
			return "", nil, false
		}
		marks[i] = '1'
		positions = append(positions, i)
	}
	return string(marks), positions, true
}

// release makes positions unspent again.
func release(spent string, positions []int) string {
	marks := []byte(spent)
	for _, i := range positions {
		if i >= 0 && i < len(marks) {
			marks[i] = '0'
		}
	}
	return string(marks)
}
