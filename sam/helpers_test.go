package sam_test

import (
	"crypto"
	"crypto/x509"
	"testing"

	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// noLimits lets tests begin as many requests as they like.
var noLimits = sam.Limits{Pending: 1 << 20}

// spki is the DER public key of a signer.
func spki(tb testing.TB, key crypto.Signer) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// orderKind is one of an RA's orders.
type orderKind struct {
	domain string
	do     func(signing.Signed) error
}

// orderKinds are all orders; the one that destroys is the last.
func orderKinds(r *samtest.Rig) []orderKind {
	ctx := r.TB.Context()
	return []orderKind{
		{samapi.DomainEnrolSigner, func(s signing.Signed) error { _, err := r.EnrolSigner(ctx, s); return err }},
		{samapi.DomainAssignKey, func(s signing.Signed) error { _, err := r.AssignKey(ctx, s); return err }},
		{samapi.DomainBindCertificate, func(s signing.Signed) error { return r.BindCertificate(ctx, s) }},
		{samapi.DomainCredentialState, func(s signing.Signed) error { return r.SetCredentialState(ctx, s) }},
		{samapi.DomainRevokeDevice, func(s signing.Signed) error { return r.RevokeDevice(ctx, s) }},
		{samapi.DomainLiftBlock, func(s signing.Signed) error { return r.LiftBlock(ctx, s) }},
		{samapi.DomainDestroyKey, func(s signing.Signed) error { return r.DestroyKey(ctx, s) }},
	}
}
