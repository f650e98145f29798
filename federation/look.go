package federation

import (
	"context"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
)

// look is what a peer said of a credential, examined, at a time.
type look struct {
	*holding

	info *csc.CredentialInfo
	at   time.Time
}

// maxLooks bounds those in memory.
const maxLooks = 4096

// look asks the peer about a credential, unless it was asked moments ago, holds the
// answer against what it was when it was chosen, and asks the certificate's
// responder. A lie quarantines the peer.
func (p *Peers) look(ctx context.Context, e *entry, k *handle, sid string) (look, error) {
	p.mu.Lock()
	have, ok := p.looks[k.id]
	p.mu.Unlock()
	now := p.now()
	if !ok || !now.Before(have.at.Add(p.config.InfoAge)) || have.at.After(now) {
		var err error
		if have, err = p.ask(ctx, e, k); err != nil {
			return look{}, p.judge(ctx, finding{org: k.org, peer: e.ID, sid: sid}, err)
		}
		p.mu.Lock()
		if p.looks == nil || len(p.looks) >= maxLooks {
			p.looks = map[string]look{}
		}
		p.looks[k.id] = have
		p.mu.Unlock()
	}
	if err := p.authorities(ctx, e, have.holding); err != nil {
		return look{}, err
	}
	s, err := p.statuses.get(ctx, e.ocsp, have.leaf(), have.issuer())
	if err != nil {
		return look{}, errStatus().Because(err)
	}
	switch {
	case s.good:
		return have, nil
	case have.info.Cert.Status == "valid" && s.revoked.Before(now.Add(-revocationGrace)):
		return look{}, p.judge(ctx, finding{org: k.org, peer: e.ID, sid: sid},
			lied(LieRevoked, "it calls a certificate valid that its authority revoked at %s", s.revoked.UTC().Format(time.RFC3339)))
	}
	return look{}, unfit("its certificate was revoked at %s", s.revoked.UTC().Format(time.RFC3339)).WithCode(codeRevoked)
}

func errStatus() *fault.Error {
	return fault.New(fault.Unavailable, "the status of the signer's certificate cannot be had at the moment; try again later").WithCode("status_unknown")
}

// authorities looks at the authorities between the signer and the anchor, as far as
// they name a responder. The anchor is trusted by the list.
func (p *Peers) authorities(ctx context.Context, e *entry, h *holding) error {
	for i := 1; i+1 < len(h.chain); i++ {
		if len(h.chain[i].OCSPServer) == 0 {
			continue
		}
		s, err := p.statuses.get(ctx, e.ocsp, h.chain[i], h.chain[i+1])
		if err != nil {
			return errStatus().Because(err)
		}
		if !s.good {
			return unfit("an authority of its certificate was revoked at %s", s.revoked.UTC().Format(time.RFC3339)).WithCode(codeRevoked)
		}
	}
	return nil
}

func (p *Peers) ask(ctx context.Context, e *entry, k *handle) (look, error) {
	var info *csc.CredentialInfo
	err := e.gate.pass(func() (err error) {
		info, err = e.remote.CredentialsInfo(ctx, &csc.CredentialsInfoRequest{CredentialID: k.remote, Certificates: "chain", CertInfo: true, AuthInfo: true})
		return err
	})
	if err != nil {
		return look{}, away(err)
	}
	now := p.now()
	h, err := e.examine(info, now, k)
	return look{h, info, now}, err
}

// forget makes the next look ask.
func (p *Peers) forget(k *handle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.looks, k.id)
}

// away says of a read that failed whose fault it is, in words for a relying party.
func away(err error) error {
	f := fault.Of(err)
	if f == errClosed || asLie(err) != nil {
		return err
	}
	if answered(err) {
		return fault.New(fault.Invalid, "the trust service that holds this credential refused: %s", f.Detail).WithCode("peer_refused").Because(err)
	}
	return fault.New(fault.Unavailable, "the trust service that holds this credential does not answer; try again later").WithCode("peer_unavailable").Because(err)
}

// judge quarantines a peer that lied, and returns what the caller is told.
func (p *Peers) judge(ctx context.Context, f finding, err error) error {
	if l := asLie(err); l != nil {
		f.lie = l
		return p.quarantine(ctx, f)
	}
	return err
}
