package signer

import (
	"context"
	"crypto"
	"crypto/rand"
	"slices"
	"strings"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// Machine authorises the use of a seal: a credential whose key a machine may use
// without a person. Its key was enrolled at the service by a registration authority.
type Machine struct {
	Key crypto.Signer // P-256
}

// explicit is what is needed of a service for credentials that a machine
// authorises. *cscclient.Client has it.
type explicit interface {
	CredentialsAuthorize(ctx context.Context, q *csc.AuthorizeRequest) (*csc.AuthorizeResponse, error)
	Issuer(ctx context.Context) (string, error)
	ClientID() string
}

// takesDelegation says whether a machine's order is all that authorises the
// credential.
func takesDelegation(info *csc.CredentialInfo) bool {
	return info.Auth.Mode == "explicit" && info.Auth.Expression == csc.DelegationObject &&
		slices.ContainsFunc(info.Auth.Objects, func(o csc.AuthObject) bool { return o.ID == csc.DelegationObject })
}

// sealed says whether the credential of this run is authorised by the machine.
func (r *run) sealed() bool { return r.credential.info != nil && takesDelegation(r.credential.info) }

// order has the digests authorised by the machine, which names exactly these, once.
func (r *run) order(ctx context.Context) (*cscclient.Token, error) {
	service, ok := r.config.Service.(explicit)
	if !ok || r.config.Machine == nil {
		return nil, unusable("credential %s is authorised by a machine's order, which cannot be given here", r.credential.id)
	}
	issuer, err := service.Issuer(ctx)
	if err != nil {
		return nil, ofService(err)
	}
	q := r.request()
	now := r.now()
	d := signing.Delegation{
		Audience: issuer, Client: service.ClientID(), Credential: r.credential.id, HashOID: q.HashAlgorithmOID, By: r.job.By,
		ID: strings.ToLower(rand.Text()), Issued: now.Unix(), Expires: now.Add(signing.MaxDelegationLife / 2).Unix(),
	}
	if d.By == "" {
		d.By = "machine"
	}
	for _, f := range r.files {
		d.Hashes = append(d.Hashes, f.prepared.DTBSR)
	}
	object, err := signing.SealDelegation(d, r.config.Machine.Key)
	if err != nil {
		return nil, fault.New(fault.Internal, "this installation's machine key cannot be used").Because(err)
	}
	answer, err := service.CredentialsAuthorize(ctx, &csc.AuthorizeRequest{
		CredentialID: r.credential.id, NumSignatures: len(q.Hashes), Hashes: q.Hashes, HashAlgorithmOID: q.HashAlgorithmOID,
		AuthData: []csc.AuthData{{ID: csc.DelegationObject, Value: object}},
	})
	if err != nil {
		return nil, ofService(err)
	}
	return &cscclient.Token{Value: answer.SAD}, nil
}
