package oauth

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// IssueCredentialToken makes an access token of scope credential for an approval
// that the client got without a browser (CSC API v2, credentials/authorize): what
// signHash takes as SAD. It is bound to the client, the credential and the approval,
// and ends with it; no other token comes with it.
func (s *Server) IssueCredentialToken(ctx context.Context, by csc.Caller, o Outcome) (string, error) {
	switch {
	case by.Client == "" || o.Client != by.Client:
		return "", errors.New("issue token: the approval is another client's")
	case o.State != OutcomeApproved || o.SID == "" || o.Credential == "" || o.Signer == "" || !o.Expires.After(s.now()):
		return "", fmt.Errorf("issue token: approval %s is not complete, or over", o.SID)
	}
	c, err := s.client(ctx, by.Client)
	if err != nil {
		return "", err
	}
	if c == nil || c.Disabled || c.Org != by.Org {
		return "", errToken()
	}
	if c.DPoP { // a SAD in a body comes without a proof
		return "", fault.New(fault.Forbidden, "this client takes tokens that are bound to a key only; explicit authorisation gives none")
	}
	text, hash, err := s.strategy.generate(ctx, prefixAccess)
	if err != nil {
		return "", fmt.Errorf("issue token: %w", err)
	}
	t := &token{
		hash: hash, kind: kindAccess, state: tokenActive, org: by.Org, client: by.Client, grant: store.NewID(),
		scope: csc.ScopeCredential, signer: o.Signer, credential: o.Credential, sid: o.SID, issued: s.now(), expires: o.Expires,
	}
	return text, s.rows.insertToken(ctx, s.db, t)
}
