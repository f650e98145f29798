// Package signer signs PDF files with a remote signing service: it prepares each
// file where it lies, has the digests approved by the signer and signed by the
// service, verifies what comes back, and writes finished PAdES files.
//
// A document never leaves: what goes to the service is a csc.AuthorizationDetail
// and a csc.SignHashRequest, made here from digests, names and sizes, and no
// type on the way there can hold a document. An output file appears whole, after
// it was validated, or not at all; input files are only read.
package signer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// Service is what is needed of a remote signing service. *cscclient.Client is one.
type Service interface {
	Info(ctx context.Context) (*csc.Info, error)
	CredentialsList(ctx context.Context, q *csc.CredentialsListRequest) (*csc.CredentialsListResponse, error)
	CredentialsInfo(ctx context.Context, q *csc.CredentialsInfoRequest) (*csc.CredentialInfo, error)
	Authorize(ctx context.Context, details []csc.AuthorizationDetail) (*cscclient.Authorization, error)
	Redeem(ctx context.Context, a *cscclient.Authorization, final string) (*cscclient.Token, error)
	SignHash(ctx context.Context, t *cscclient.Token, q *csc.SignHashRequest) (*csc.SignHashResponse, error)
	Timestamp(ctx context.Context, q *csc.TimestampRequest) (*csc.TimestampResponse, error)
	Counter() *cscclient.Counter
}

// Fetcher gets OCSP answers, CRLs, issuers' certificates and time-stamps.
// *cscclient.Fetcher is one.
type Fetcher interface {
	OCSP(ctx context.Context, url string, request []byte) ([]byte, error)
	CRL(ctx context.Context, url string) ([]byte, error)
	Certificate(ctx context.Context, url string) ([]byte, error)
	Timestamp(ctx context.Context, url string, query []byte) ([]byte, error)
}

// Config says with what to sign. Service and Fetcher are required.
type Config struct {
	Service Service
	Fetcher Fetcher
	// Credential is the credential's id; empty takes the only one there is.
	Credential string
	// Machine authorises credentials that a machine may use, such as an
	// organisation's seal; nil: none can be used.
	Machine *Machine
	// TSA is the URL of a time-stamping authority; empty uses the service's
	// signatures/timestamp.
	TSA string
	// Anchors are the trust anchors that outputs must validate with before they
	// are delivered. Without any, everything but trust is validated.
	Anchors []*x509.Certificate
	// MaxSkew is how far this computer's clock may be off; the default is 5 minutes.
	MaxSkew time.Duration
	Now     func() time.Time
}

// Signer signs files. All methods may be called at once.
type Signer struct {
	config Config
	now    func() time.Time
}

// New checks the configuration and returns the signer.
func New(c Config) (*Signer, error) {
	if c.Service == nil || c.Fetcher == nil {
		return nil, errors.New("signer: Service and Fetcher are required")
	}
	if c.MaxSkew == 0 {
		c.MaxSkew = 5 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Signer{c, c.Now}, nil
}

// File is one file to sign.
type File struct {
	In  string
	Out string // replaced if it is there
	// Field is the signature field to fill or make; empty makes a new one.
	Field string
	// Label is how the signer's device and messages call the file; empty is the last
	// part of In.
	Label string
}

// Job is what to sign, once.
type Job struct {
	Files []File
	Level pades.Level // the zero value is B-LTA
	// Algorithm is the signature algorithm; 0 takes the best that key and
	// service have in common.
	Algorithm signing.Algorithm
	// Reason and Location stand in the signature; both may be empty.
	Reason, Location string
	// Visible makes the signatures visible, at the same place in every file; nil
	// leaves them invisible. Without Lines they say what pades.Lines does, with the
	// name in the certificate; without Fonts they are set in fonts.Regular.
	Visible *pades.Appearance
	// By names the person or machine that causes the use of a seal, for the log of
	// the service that holds it; see Machine.
	By string
	// Password is asked for encrypted input files; nil refuses them.
	Password func(in string) ([]byte, error)
	// Approve brings the signer to the authorisation URL and returns the URL on
	// which the browser came back. It is called once, for all files.
	Approve func(ctx context.Context, authorizationURL string) (finalURL string, err error)
	// Progress is told what begins; it may be nil.
	Progress func(Step)
}

// Stage is a part of the work.
type Stage string

// The stages, in the order in which they happen.
const (
	StageCredential Stage = "credential" // asking the service for key and certificate
	StagePrepare    Stage = "prepare"    // reading, hashing and copying a file
	StageApproval   Stage = "approval"   // waiting for the signer
	StageSign       Stage = "sign"       // the service signs the digests
	StageFinish     Stage = "finish"     // time-stamps and validation data for a file
	StageValidate   Stage = "validate"   // checking a finished file
)

// Step says what begins. File is empty for what concerns all files.
type Step struct {
	Stage Stage
	File  string
	N, Of int // this is the Nth of so many files
	// Digests are what the signer's device shows of each file, in the order of the
	// job: at StageApproval, else none. Whoever waits can compare them with it.
	Digests [][]byte
}

// Result is what was done.
type Result struct {
	Files      []FileResult
	Credential string
	Signer     string // the subject of the certificate
	Algorithm  signing.Algorithm
	// Sent and Received are the bytes on the wire to and from the signing
	// service, with headers and TLS; 0 if nobody counted. DocumentBytes is how
	// many of those sent were of a document: none, by construction.
	Sent, Received, DocumentBytes int64
}

// FileResult is a signed file.
type FileResult struct {
	In, Out  string
	Size     int64 // of the output
	Field    string
	Level    string    // e.g. PAdES-B-LTA, as validated
	Verdict  string    // as validated, e.g. TOTAL-PASSED
	Time     time.Time // proved time of the signature, or the claimed one at B-B
	Warnings []string
}

// Sign signs all files with one approval. Either every output is there and was
// validated, or the error says why not: see ExitCode for its kinds. When the
// error comes before the first output is put in its place, none is; only local
// trouble while they are put there can leave some of several.
func (s *Signer) Sign(ctx context.Context, job Job) (*Result, error) {
	if err := job.check(); err != nil {
		return nil, err
	}
	r := &run{Signer: s, job: job, start: s.now()}
	defer r.discard()
	before := r.traffic()
	for _, step := range []func(context.Context) error{r.openFiles, r.chooseCredential, r.prepare, r.authorize, r.finish, r.deliver} {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return r.outcome(before), nil
}

func (j *Job) check() error {
	if len(j.Files) == 0 {
		return fault.New(fault.Invalid, "name at least one file to sign")
	}
	if j.Approve == nil {
		return errors.New("sign: Approve is required")
	}
	if j.Level < pades.LTA || j.Level > pades.B {
		return fault.New(fault.Invalid, "unknown level %d", j.Level)
	}
	return nil
}

// run is one job under way.
type run struct {
	*Signer
	job        Job
	start      time.Time
	files      []*file
	credential *credential
	evidence   *collector
	leaves     []*x509.Certificate // whose status matters: the signer's, and those of time-stamps
	latest     time.Time           // of all time-stamps so far
	stampTSA   bool                // time-stamps come from Config.TSA
}

func (r *run) step(s Stage, f *file, n int) {
	if r.job.Progress == nil {
		return
	}
	step := Step{Stage: s, Of: len(r.files)}
	if f != nil {
		step.File, step.N = f.In, n+1
	}
	if s == StageApproval {
		for _, f := range r.files {
			step.Digests = append(step.Digests, slices.Clone(f.prepared.Digest))
		}
	}
	r.job.Progress(step)
}

func (r *run) traffic() [2]int64 {
	if c := r.config.Service.Counter(); c != nil {
		return [2]int64{c.Sent(), c.Received()}
	}
	return [2]int64{}
}
