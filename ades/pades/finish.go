//go:build !assemble

package pades

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// TimeStamp asks a time-stamping authority for a token (DER ContentInfo) over a
// digest. The caller checks nonce and policy; imprint and signature are checked
// here again.
type TimeStamp func(context.Context, signing.Digest) ([]byte, error)

// Collect gathers the validation data that B-LT needs for the leaves, up to
// their anchors: CA, responder and TSA certificates, CRLs and OCSP responses.
// known are all certificates found in the signature and its time-stamps.
type Collect func(ctx context.Context, leaves, known []*x509.Certificate) (Evidence, error)

// Sources are where time-stamps and validation data come from. TimeStamp is
// needed from B-T on, Collect from B-LT on.
type Sources struct {
	TimeStamp TimeStamp
	Collect   Collect
}

// Finish completes a prepared signature with the signature value over its
// DTBS/R and augments it to level. The result holds all that has to be appended
// to the document. Nothing is read of the document but its structure.
func (p *Prepared) Finish(ctx context.Context, doc io.ReaderAt, signature []byte, level Level, s Sources, o AugmentOptions) (*Patch, error) {
	der, err := p.Assemble(signature)
	if err != nil {
		return nil, err
	}
	return p.FinishCMS(ctx, doc, der, level, s, o)
}

// FinishCMS is Finish for a CMS that was made elsewhere.
func (p *Prepared) FinishCMS(ctx context.Context, doc io.ReaderAt, der []byte, level Level, s Sources, o AugmentOptions) (*Patch, error) {
	if p.Timestamp {
		return nil, fault.New(fault.Invalid, "this is a document time-stamp; embed its token")
	}
	if err := p.check(der); err != nil {
		return nil, err
	}
	if err := s.suffice(level); err != nil {
		return nil, err
	}
	var err error
	if level.atLeast(T) {
		if der, err = p.timestamp(ctx, der, s.TimeStamp); err != nil {
			return nil, err
		}
	}
	patch, err := p.Embed(der)
	if err != nil || !level.atLeast(LT) {
		return patch, err
	}
	if patch, err = patch.addEvidence(ctx, doc, der, p.Field, s.Collect, o); err != nil || !level.atLeast(LTA) {
		return patch, err
	}
	return patch.Archive(ctx, doc, s.TimeStamp, o)
}

func (s Sources) suffice(level Level) error {
	if level.atLeast(T) && s.TimeStamp == nil {
		return fault.New(fault.Invalid, "level %s needs a time-stamping authority", level)
	}
	if level.atLeast(LT) && s.Collect == nil {
		return fault.New(fault.Invalid, "level %s needs validation data", level)
	}
	return nil
}

// timestamp adds a signature time-stamp over the signature value (B-T).
func (p *Prepared) timestamp(ctx context.Context, der []byte, ask TimeStamp) ([]byte, error) {
	value, err := cms.SignatureValue(der)
	if err != nil {
		return nil, err
	}
	h, err := hashByName(p.Hash)
	if err != nil {
		return nil, err
	}
	imprint := digestOf(h, value)
	token, err := ask(ctx, imprint)
	if err != nil {
		return nil, fmt.Errorf("signature time-stamp: %w", err)
	}
	if err := verifyToken(token, imprint); err != nil {
		return nil, err
	}
	return cms.AddSignatureTimestamp(der, token)
}

// addEvidence adds validation data for a signature (B-LT).
func (p *Patch) addEvidence(ctx context.Context, doc io.ReaderAt, der []byte, field string, collect Collect, o AugmentOptions) (*Patch, error) {
	leaves, known, err := certificates(der)
	if err != nil {
		return nil, err
	}
	e, err := collect(ctx, leaves, known)
	if err != nil {
		return nil, fmt.Errorf("validation data: %w", err)
	}
	if len(e.CRLs)+len(e.OCSPs) == 0 && !shortLived(leaves) {
		return nil, fault.New(fault.Unavailable, "there is no revocation data for the signer's certificate, so level B-LT cannot be reached")
	}
	e.Field = field
	for _, c := range known {
		e.Certs = append(e.Certs, c.Raw)
	}
	return p.AddDSS(doc, o, e)
}

func shortLived(leaves []*x509.Certificate) bool {
	return len(leaves) > 0 && cms.NoRevocation(leaves[0])
}

// certificates returns the signer's and the time-stamps' own certificates, and
// all that the CMS and its time-stamps carry.
func certificates(der []byte) (leaves, known []*x509.Certificate, err error) {
	sd, err := cms.ParseSignedData(der)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range sd.Signers {
		if c := s.Certificate(sd.Certificates); c != nil {
			leaves = append(leaves, c)
		}
		known = append(known, sd.Certificates...)
		for _, t := range s.Timestamps {
			token, err := cms.ParseTimestampToken(t)
			if err != nil {
				return nil, nil, err
			}
			c, err := token.Verify(nil)
			if err != nil {
				return nil, nil, err
			}
			leaves = append(leaves, c)
			known = append(known, token.SignedData.Certificates...)
		}
	}
	return leaves, known, nil
}

// Archive adds a document time-stamp over all there is (B-LTA), also to renew
// one: then add fresh validation data for the last one first with AddDSS.
func (p *Patch) Archive(ctx context.Context, doc io.ReaderAt, ask TimeStamp, o AugmentOptions) (*Patch, error) {
	d, err := p.DocTimeStamp(doc, o)
	if err != nil {
		return nil, err
	}
	imprint, err := d.Imprint()
	if err != nil {
		return nil, err
	}
	token, err := ask(ctx, imprint)
	if err != nil {
		return nil, fmt.Errorf("document time-stamp: %w", err)
	}
	return d.Embed(token)
}
