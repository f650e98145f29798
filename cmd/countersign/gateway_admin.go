package main

import (
	"context"
	"net/http"

	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/cmd/internal/local"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/oauth"
	"github.com/countersign/countersign/sam/samapi"
)

// administer adds the operator's operations.
func (g *gateway) administer(mux *http.ServeMux) {
	local.Handle(mux, "POST /clients", g.putClient)
	g.administerPeers(mux)
}

// putClient registers or changes a client, and links signers to it.
func (g *gateway) putClient(ctx context.Context, c sockets.Client) (sockets.Secret, error) {
	client := oauth.Client{
		ID: c.ID, Org: c.Org, Name: c.Name, Auth: oauth.Auth(c.Auth), JWKS: c.JWKS, Redirects: c.Redirects,
		Refresh: c.Refresh, DPoP: c.DPoP, PAR: c.PAR,
	}
	if client.Auth != oauth.AuthNone {
		client.Scopes = append(client.Scopes, csc.ScopeService)
	}
	if len(c.Redirects) > 0 {
		client.Scopes = append(client.Scopes, csc.ScopeCredential)
	}
	var answer sockets.Secret
	if c.NewSecret {
		answer.Secret = oauth.NewSecret()
		client.Secrets = []string{answer.Secret}
	}
	if err := g.oauth.PutClient(ctx, client); err != nil {
		return sockets.Secret{}, err
	}
	for _, s := range c.Signers {
		if err := g.oauth.LinkSigner(ctx, c.Org, c.ID, s); err != nil {
			return sockets.Secret{}, err
		}
	}
	return answer, nil
}

// approvals lets the authorisation server ask whoever holds a credential: the
// module here, or a peer.
type approvals struct{ g *gateway }

// Begin implements oauth.Approver.
func (a approvals) Begin(ctx context.Context, r oauth.ApprovalRequest) (oauth.Approval, error) {
	if a.g.peers.peers != nil && isOfPeer(r.Credential) {
		return a.g.peers.begin(ctx, r)
	}
	in := samapi.Intent{
		Org: r.Org, Client: r.Client, ClientName: r.ClientName, Credential: r.Credential, HashOID: r.HashOID,
		Request: r.Request[:], Gateway: r.Gateway, Lang: r.Lang,
	}
	for _, d := range r.Documents {
		in.Documents = append(in.Documents, samapi.Document{Label: d.Label, Size: d.Size, DTBSR: d.DTBSR, DocHash: d.DocHash, SignedAttrs: d.SignedAttrs})
	}
	b, err := a.g.module.Begin(ctx, in)
	return oauth.Approval{SID: b.SID, URL: b.URL, Expires: b.Expires}, err
}

// Outcome implements oauth.Approver.
func (a approvals) Outcome(ctx context.Context, sid, handle string) (oauth.Outcome, error) {
	if a.g.peers.peers != nil && isOfPeer(sid) {
		return a.g.peers.outcome(ctx, sid, handle)
	}
	o, err := a.g.module.Outcome(ctx, sid, handle)
	return oauth.Outcome{
		SID: o.SID, State: o.State, Signer: o.Signer, Credential: o.Credential, Client: o.Client,
		Count: o.Count, Expires: o.Expires, Reason: o.Reason,
	}, err
}
