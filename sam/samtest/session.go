package samtest

import (
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// Opening is the device's answer to a nonce.
func (r *Rig) Opening(d *Device, nonce string) samapi.OpenSession {
	r.TB.Helper()
	challenge, err := samapi.SessionChallenge(r.Config.ApprovalURL, d.ID, nonce)
	if err != nil {
		r.TB.Fatal(err)
	}
	return samapi.OpenSession{Authenticator: d.ID, Nonce: nonce, Signature: d.Sign(challenge)}
}

// Fresh is a nonce of the module.
func (r *Rig) Fresh() string {
	r.TB.Helper()
	n, err := r.Nonce(r.TB.Context())
	if err != nil {
		r.TB.Fatalf("nonce: %v", err)
	}
	return n.Nonce
}

// Session opens a session for the device and returns its token.
func (r *Rig) Session(d *Device) string {
	r.TB.Helper()
	s, err := r.OpenSession(r.TB.Context(), r.Opening(d, r.Fresh()))
	if err != nil {
		r.TB.Fatalf("session: %v", err)
	}
	return s.Token
}

// State is a device's word that it computed the digests of the request itself.
func (d *Device) State(s samapi.DeviceStatement) *samapi.SignedStatement {
	b, err := signing.EncodeCanonical(s)
	if err != nil {
		panic(err)
	}
	return &samapi.SignedStatement{Statement: b, Signature: d.Sign(samapi.StatementChallenge(b))}
}
