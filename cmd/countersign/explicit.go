package main

import (
	"context"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/oauth"
	"github.com/countersign/countersign/sam/samapi"
)

// explicitTokens joins the module's word for an approval to the authorisation
// server's.
type explicitTokens struct{ server *oauth.Server }

// IssueCredentialToken implements cscsam.Tokens.
func (t explicitTokens) IssueCredentialToken(ctx context.Context, by csc.Caller, o samapi.Outcome) (string, error) {
	return t.server.IssueCredentialToken(ctx, by, oauth.Outcome{
		SID: o.SID, State: o.State, Signer: o.Signer, Credential: o.Credential, Client: o.Client, Count: o.Count, Expires: o.Expires, Reason: o.Reason,
	})
}
