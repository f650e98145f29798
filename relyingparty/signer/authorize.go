package signer

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"path/filepath"
	"sync"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/csc"
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
			Password: r.password(f),
		})
		if err != nil {
			return inFile(f, err)
		}
	}
	return nil
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
	r.step(StageSign, nil, 0)
	answer, err := r.config.Service.SignHash(ctx, token, r.request())
	if err != nil {
		return ofService(err)
	}
	return r.accept(answer)
}

// detail says what is to be approved. It is all that the service learns.
func (r *run) detail() csc.AuthorizationDetail {
	d := csc.AuthorizationDetail{
		Type: r.credential.detailType, CredentialID: r.credential.id, NumSignatures: len(r.files),
		HashAlgorithmOID: signing.HashOID(r.credential.algorithm.Hash()),
	}
	for _, f := range r.files {
		d.DocumentDigests = append(d.DocumentDigests, csc.DocumentDigest{
			Hash:        base64.StdEncoding.EncodeToString(f.prepared.DTBSR),
			Label:       filepath.Base(f.In),
			HashType:    "DTBSR",
			SignedAttrs: base64.StdEncoding.EncodeToString(f.prepared.SignedAttributes),
			DocHash:     base64.StdEncoding.EncodeToString(f.prepared.Digest),
			Size:        f.size,
		})
	}
	return d
}

func (r *run) request() *csc.SignHashRequest {
	alg := r.credential.algorithm
	q := &csc.SignHashRequest{
		CredentialID: r.credential.id, SignAlgo: alg.OID(), HashAlgorithmOID: signing.HashOID(alg.Hash()), OperationMode: "S",
	}
	if alg.PSS() {
		q.SignAlgoParams = base64.StdEncoding.EncodeToString(alg.PSSParameters())
	}
	for _, f := range r.files {
		q.Hashes = append(q.Hashes, base64.StdEncoding.EncodeToString(f.prepared.DTBSR))
	}
	return q
}

// wrongSignature is the answer of a service that erred or lied.
func wrongSignature(f *file, cause error) error {
	return fault.New(fault.Unavailable, "the signing service returned a signature for %s that does not verify with the signer's certificate; nothing was written",
		filepath.Base(f.In)).WithCode(CodeSignatureWrong).Because(cause)
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
