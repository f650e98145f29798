package cscsam

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
)

// Delegator takes machines' orders; the module is one.
type Delegator interface {
	Delegate(ctx context.Context, in samapi.Delegated) (samapi.Outcome, error)
}

// Tokens makes what stands for an approval towards clients: a token of scope
// credential that is bound to client, credential and SAD.
type Tokens interface {
	IssueCredentialToken(ctx context.Context, by csc.Caller, o samapi.Outcome) (string, error)
}

// Explicit offers credentials/authorize for keys that machines use. All fields are
// required.
type Explicit struct {
	Service *Service
	Module  Delegator
	Tokens  Tokens
	Issuer  string // of this gateway, to which the order must be addressed
	Now     func() time.Time
}

// CredentialsAuthorize implements csc.Authorizer. The module itself verifies the
// machine's order; nothing here could make one.
func (e Explicit) CredentialsAuthorize(ctx context.Context, by csc.Caller, q *csc.AuthorizeRequest) (*csc.AuthorizeResponse, error) {
	c, err := e.Service.find(ctx, by, q.CredentialID)
	if err != nil {
		return nil, err
	}
	if c.Mechanism != samapi.Delegation {
		return nil, csc.InvalidParameter("credentialID").Because(fmt.Errorf("the key is bound to %s", c.Mechanism))
	}
	if len(q.AuthData) != 1 {
		return nil, csc.ErrAuthenticationData
	}
	request, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	sum := sha256.Sum256(request)
	in := samapi.Delegated{Object: q.AuthData[0].Value, Intent: samapi.Intent{
		Org: by.Org, Client: by.Client, ClientName: by.ClientName, Credential: q.CredentialID, HashOID: q.HashAlgorithmOID,
		Request: sum[:], Gateway: e.Issuer,
	}}
	for _, text := range q.Hashes {
		h, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, csc.ErrHashBase64
		}
		in.Documents = append(in.Documents, samapi.Document{DTBSR: h})
	}
	o, err := e.Module.Delegate(ctx, in)
	if err != nil {
		return nil, ofDelegation(err)
	}
	token, err := e.Tokens.IssueCredentialToken(ctx, by, o)
	if err != nil {
		return nil, err
	}
	return &csc.AuthorizeResponse{SAD: token, ExpiresIn: int(o.Expires.Sub(e.Now()).Seconds())}, nil
}

// ofDelegation puts the module's refusals of an order into the specification's words.
func ofDelegation(err error) error {
	switch fault.Of(err).Code {
	case samapi.CodeAssertion, samapi.CodeOrderReplayed, samapi.CodeUnknownDevice:
		return csc.ErrAuthenticationData.Because(err)
	case samapi.CodeTooMany:
		return csc.InvalidParameter("numSignatures").Because(err)
	case samapi.CodeAlgorithm:
		return csc.InvalidParameter("hashAlgorithmOID").Because(err)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return translate(err)
}

// authorisedBy says in CSC's words how a key is authorised.
func authorisedBy(mechanism string) csc.AuthInfo {
	if mechanism == samapi.Delegation {
		return csc.AuthInfo{
			Mode: "explicit", Expression: csc.DelegationObject,
			Objects: []csc.AuthObject{{Type: "Password", ID: csc.DelegationObject, Label: "Order of a machine (compact JWS)"}},
		}
	}
	return csc.AuthInfo{Mode: "oauth2code", Objects: []csc.AuthObject{}}
}
