package request

import (
	"context"
	"encoding/json"

	"github.com/countersign/countersign/ades/pades"
)

// File is one file of a signing: it is read at In, and its signed revision is
// written to Out, whole or not at all.
type File struct {
	In, Out string
	// Label is how the document is called on the signer's device.
	Label string
}

// Outcome says with what files were signed.
type Outcome struct {
	Credential string
	Subject    string   // of the certificate
	Fields     []string // of the signatures, in the order of the files
}

// Terms are what a signature says beside the documents.
type Terms struct {
	Level  pades.Level
	Reason string
	// By names the person or machine that causes a use of the seal, for the log of
	// the service that holds it.
	By string
}

// Seal signs with the organisation's seal, without a person. Errors are faults;
// those of kind Unavailable and Internal may pass, unless their code is
// CodeSignatureWrong or CodeNotValid.
type Seal interface {
	Seal(ctx context.Context, files []File, t Terms) (Outcome, error)
}

// Codes of faults that mean that a service made a signature that is none: the
// request is stopped.
const (
	CodeSignatureWrong = "signature_wrong"
	CodeNotValid       = "output_not_valid"
)

// Begun is a personal signature that waits for its approval.
type Begun struct {
	// Progress is what the next step needs, with secrets in it.
	Progress json.RawMessage
	// State is the state parameter with which the browser comes back (RFC 6749 §4.1.2).
	State string
	// URL is where the browser goes.
	URL string
}

// PersonalKeys signs with a signer's own key, in steps between which the process
// may end: all that the next step needs is in the progress.
type PersonalKeys interface {
	// Begin prepares the signatures and asks for the approval.
	Begin(ctx context.Context, credential string, files []File, t Terms) (Begun, error)
	// Redeem takes the URL on which the browser came back and gets what allows
	// signing. It works once.
	Redeem(ctx context.Context, progress json.RawMessage, returned string) (json.RawMessage, error)
	// Finish has the digests signed, verifies, and writes the signed revisions. It
	// calls save with new progress as soon as it has signatures, and can be repeated
	// with what was saved last until it succeeds.
	Finish(ctx context.Context, progress json.RawMessage, files []File, save func(json.RawMessage) error) (Outcome, error)
}
