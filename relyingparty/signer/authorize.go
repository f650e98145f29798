package signer

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"sync"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/fonts"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// prepare copies each file, appends a signature field and computes what is to be
// signed. From here on the copy is what is read: an input that changes meanwhile
// changes nothing.
func (r *run) prepare(ctx context.Context) error {
	var chain [][]byte
	for _, c := range r.credential.chain[1:] {
		chain = append(chain, c.Raw)
	}
	for i, f := range r.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.step(StagePrepare, f, i)
		if _, err := pdf.Open(f.in, f.size, pdf.Options{Password: r.password(f)}); err != nil { // before it is copied in vain
			return inFile(f, err)
		}
		if err := f.copyOriginal(); err != nil {
			return err
		}
		var err error
		f.prepared, err = pades.Prepare(f.temp, f.size, pades.Options{
			Algorithm: r.credential.algorithm, Time: r.start, Signer: r.credential.leaf().Raw, Chain: chain, Level: r.job.Level,
			Field: f.Field, Name: r.credential.leaf().Subject.CommonName, Reason: r.job.Reason, Location: r.job.Location,
			Appearance: r.appearance(), Password: r.password(f),
		})
		if err != nil {
			return inFile(f, err)
		}
	}
	return nil
}

// appearance is what the signatures show; nil if they are invisible.
func (r *run) appearance() *pades.Appearance {
	if r.job.Visible == nil {
		return nil
	}
	a := *r.job.Visible
	if len(a.Lines) == 0 {
		a.Lines = pades.Lines(r.credential.leaf().Subject.CommonName, r.start, r.job.Reason, r.job.Location)
	}
	if len(a.Fonts) == 0 {
		a.Fonts = [][]byte{fonts.Regular()}
	}
	return &a
}

// password asks for a file's password, once.
func (r *run) password(f *file) func() ([]byte, error) {
	if r.job.Password != nil && f.password == nil {
		f.password = sync.OnceValues(func() ([]byte, error) { return r.job.Password(f.In) })
	}
	return f.password
}

// inFile names the file in a refusal, which matters when there are several.
func inFile(f *file, err error) error {
	e := fault.Of(err)
	if e.Kind == fault.Internal {
		return unreadable(f.In, err)
	}
	return fault.New(e.Kind, "%s: %s", f.In, e.Detail).WithCode(e.Code).Because(err)
}

// authorize has the digests approved and signed, and verifies the signatures.
func (r *run) authorize(ctx context.Context) error {
	if r.sealed() {
		token, err := r.order(ctx)
		if err != nil {
			return err
		}
		return r.sign(ctx, token)
	}
	a, err := r.config.Service.Authorize(ctx, []csc.AuthorizationDetail{r.detail()})
	if err != nil {
		return ofService(err)
	}
	r.step(StageApproval, nil, 0)
	final, err := r.job.Approve(ctx, a.URL)
	if err != nil {
		return ofApproval(err)
	}
	token, err := r.config.Service.Redeem(ctx, a, final)
	if err != nil {
		return ofService(err)
	}
	return r.sign(ctx, token)
}

// sign has the digests signed with the token of an approval, and verifies.
func (r *run) sign(ctx context.Context, token *cscclient.Token) error {
	r.step(StageSign, nil, 0)
	answer, err := r.config.Service.SignHash(ctx, token, r.request())
	if err != nil {
		return ofService(err)
	}
	return r.accept(answer)
}

// detail says what is to be approved. It is all that the service learns.
func (r *run) detail() csc.AuthorizationDetail { return r.remote().Detail(r.digests()) }

func (r *run) request() *csc.SignHashRequest { return r.remote().Request(r.digests()) }

func (r *run) remote() *Credential {
	c := r.credential
	return &Credential{ID: c.id, Algorithm: c.algorithm, Chain: c.chain, detailType: c.detailType}
}

func (r *run) digests() []Digests {
	list := make([]Digests, 0, len(r.files))
	for _, f := range r.files {
		p := f.prepared
		list = append(list, Digests{Label: f.label(), Size: f.size, DTBSR: p.DTBSR, SignedAttributes: p.SignedAttributes, Document: p.Digest})
	}
	return list
}

// wrongSignature is the answer of a service that erred or lied.
func wrongSignature(f *file, cause error) error {
	return fault.New(fault.Unavailable, "the signing service returned a signature for %s that does not verify with the signer's certificate; nothing was written",
		f.label()).WithCode(CodeSignatureWrong).Because(cause)
}

// accept verifies every signature over its own digest with the certificate that
// the digest names, before any is used.
func (r *run) accept(answer *csc.SignHashResponse) error {
	if len(answer.Signatures) != len(r.files) {
		return fault.New(fault.Unavailable, "the signing service returned %d signatures for %d documents; nothing was written",
			len(answer.Signatures), len(r.files)).WithCode(CodeSignatureWrong)
	}
	for i, f := range r.files {
		value, err := base64.StdEncoding.DecodeString(answer.Signatures[i])
		if err != nil {
			return wrongSignature(f, err)
		}
		if k, ok := r.credential.public.(*ecdsa.PublicKey); ok {
			if value, err = cms.ECDSASignatureDER(value, k.Params().BitSize); err != nil {
				return wrongSignature(f, err)
			}
		}
		if err := signing.Verify(r.credential.public, r.credential.algorithm, f.prepared.DTBSR, value); err != nil {
			return wrongSignature(f, err)
		}
		f.signature = value
	}
	return nil
}
