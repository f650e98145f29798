package signer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// CodeProgress says that what was kept of a job does not fit the job or cannot be
// read.
const CodeProgress = "progress_unusable"

// Pending is a job between its steps: Prepare, Redeem, Resume. It survives as JSON,
// so that the process may end between any two of them. It holds secrets (the PKCE
// verifier, later the token) and no documents.
type Pending struct {
	Credential string      `json:"credential"`
	Chain      [][]byte    `json:"chain"` // of the credential, DER, leaf first
	Algorithm  string      `json:"algorithm"`
	Level      pades.Level `json:"level"`
	Start      time.Time   `json:"start"`
	Files      []Waiting   `json:"files"`
	// Authorization is the way to the signer; URL is where the browser goes.
	Authorization *cscclient.Authorization `json:"authorization,omitempty"`
	// Token is there after Redeem.
	Token *cscclient.Token `json:"token,omitempty"`
}

// Waiting is a file of a Pending job.
type Waiting struct {
	Size      int64           `json:"size"` // of the original
	Prepared  *pades.Prepared `json:"prepared"`
	Signature []byte          `json:"signature,omitempty"` // verified
}

// Prepare prepares every file and asks for the signer's approval, as Sign does, and
// returns what Redeem and Resume go on with. Nothing is written. Of the job,
// Approve is not used.
func (s *Signer) Prepare(ctx context.Context, job Job) (*Pending, error) {
	r, err := s.resumed(job)
	if err != nil {
		return nil, err
	}
	defer r.discard()
	for _, step := range []func(context.Context) error{r.openFiles, r.chooseCredential, r.prepare} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	a, err := s.config.Service.Authorize(ctx, []csc.AuthorizationDetail{r.detail()})
	if err != nil {
		return nil, ofService(err)
	}
	p := &Pending{
		Credential: r.credential.id, Algorithm: r.credential.algorithm.String(), Level: job.Level, Start: r.start, Authorization: a,
	}
	for _, c := range r.credential.chain {
		p.Chain = append(p.Chain, c.Raw)
	}
	for _, f := range r.files {
		p.Files = append(p.Files, Waiting{Size: f.size, Prepared: f.prepared})
	}
	return p, nil
}

// resumed is a run without its approval.
func (s *Signer) resumed(job Job) (*run, error) {
	job.Approve = func(context.Context, string) (string, error) {
		return "", errors.New("the approval has a step of its own")
	}
	if err := job.check(); err != nil {
		return nil, err
	}
	return &run{Signer: s, job: job, start: s.now()}, nil
}

// Redeem takes the URL on which the signer's browser came back and gets the token
// that signs. It works once: keep p before anything else is done.
func (s *Signer) Redeem(ctx context.Context, p *Pending, final string) error {
	if p.Token != nil {
		return nil
	}
	if p.Authorization == nil {
		return unfit("it waits for no approval")
	}
	token, err := s.config.Service.Redeem(ctx, p.Authorization, final)
	if err != nil {
		return ofApprovalStep(err)
	}
	p.Token, p.Authorization = token, nil
	return nil
}

// ofApprovalStep keeps what the signer or the service decided for good apart from
// what may pass: a code is good once.
func ofApprovalStep(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind == fault.Internal || f.Kind == fault.Forbidden {
		return err
	}
	if f.Code == cscclient.CodeRefused {
		return fault.New(fault.Expired, "the approval is used up or too old; nothing was signed, ask for another").WithCode(CodeApproval).Because(err)
	}
	return ofService(err)
}

func unfit(format string, args ...any) error {
	return fault.New(fault.Conflict, "the signature cannot go on: "+format, args...).WithCode(CodeProgress)
}

// Resume has the digests signed, verifies the signatures, finishes, validates and
// delivers every file. The files of the job are those of Prepare, in the same order.
// save is called with p as soon as it holds the signatures. Resume can be repeated
// with what was saved last: a service that answers the same request with the same
// signatures signs once, and once they are saved it is not asked again.
func (s *Signer) Resume(ctx context.Context, p *Pending, job Job, save func(*Pending) error) (*Result, error) {
	job.Level = p.Level
	r, err := s.resumed(job)
	if err != nil {
		return nil, err
	}
	defer r.discard()
	before := r.traffic()
	if err := r.resume(ctx, p); err != nil {
		return nil, err
	}
	if err := r.signPending(ctx, p, save); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{r.finish, r.deliver} {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return r.outcome(before), nil
}

func (r *run) outcome(before [2]int64) *Result {
	after := r.traffic()
	out := &Result{
		Credential: r.credential.id, Signer: r.credential.leaf().Subject.String(), Algorithm: r.credential.algorithm,
		Sent: after[0] - before[0], Received: after[1] - before[1],
	}
	for _, f := range r.files {
		out.Files = append(out.Files, f.result)
	}
	return out
}

// resume puts a run where Prepare left it.
func (r *run) resume(ctx context.Context, p *Pending) error {
	if err := r.openFiles(ctx); err != nil {
		return err
	}
	if len(r.files) != len(p.Files) {
		return unfit("it was begun with %d files and goes on with %d", len(p.Files), len(r.files))
	}
	c := &credential{id: p.Credential}
	for _, der := range p.Chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("certificate of a pending job: %w", err)
		}
		c.chain = append(c.chain, cert)
	}
	if len(c.chain) == 0 {
		return unfit("it has no certificate")
	}
	var err error
	if c.public, err = cms.PublicKey(c.leaf()); err != nil {
		return fmt.Errorf("key of a pending job: %w", err)
	}
	at := slices.IndexFunc(candidates(c.public), func(a signing.Algorithm) bool { return a.String() == p.Algorithm })
	if at < 0 {
		return unfit("%q is not an algorithm of its key", p.Algorithm)
	}
	c.algorithm = candidates(c.public)[at]
	r.credential, r.start, r.stampTSA = c, p.Start, r.config.TSA != ""
	r.evidence = newCollector(r.config.Fetcher, r.config.Anchors, r.now)
	r.evidence.add(c.chain...)
	r.leaves = c.chain[:1:1]
	for i, f := range r.files {
		if f.size != p.Files[i].Size || p.Files[i].Prepared == nil {
			return unfit("%s is another file than the one that was approved", f.In)
		}
		f.prepared, f.signature = p.Files[i].Prepared, p.Files[i].Signature
		if err := f.copyOriginal(); err != nil {
			return err
		}
	}
	return nil
}

// signPending gets the signatures, unless they are there.
func (r *run) signPending(ctx context.Context, p *Pending, save func(*Pending) error) error {
	if !slices.ContainsFunc(r.files, func(f *file) bool { return len(f.signature) == 0 }) {
		return nil
	}
	if p.Token == nil {
		return unfit("it was not approved")
	}
	if err := r.sign(ctx, p.Token); err != nil {
		return err
	}
	for i, f := range r.files {
		p.Files[i].Signature = f.signature
	}
	if save == nil {
		return nil
	}
	return save(p)
}
