package oauth

import (
	"context"
	"time"
)

// Approver asks a signer for approval: the activation module, or a peer whose
// credential is meant.
type Approver interface {
	// Begin records what is to be approved and says where the signer's browser
	// has to go. Faults of kind Invalid, NotFound, Forbidden, Conflict, Expired,
	// TooLarge and TooMany are told to the client in their own words.
	Begin(ctx context.Context, req ApprovalRequest) (Approval, error)
	// Outcome takes the handle with which the approval page sent the browser
	// back. A handle is good once and for its sid only.
	Outcome(ctx context.Context, sid, handle string) (Outcome, error)
}

// ApprovalRequest is a client's wish, checked as far as it can be without the key.
type ApprovalRequest struct {
	Org        string
	Client     string // client_id
	ClientName string // shown to the signer
	Credential string
	HashOID    string // digest algorithm of every DTBSR
	Qualifier  string // signatureQualifier that was asked for, or empty
	Documents  []Document
	Request    [32]byte // SHA-256 of the authorization request
	Gateway    string   // our issuer; selects the return URL registered for us
	Lang       string   // RFC 5646, or empty
}

// Document is one document to be signed: names and digests, never the document.
type Document struct {
	Label       string
	Size        int64  // bytes, 0 if the client did not say
	DTBSR       []byte // the digest to be signed
	DocHash     []byte // digest of the document's signed byte ranges, or nil
	SignedAttrs []byte // DER signed attributes that hash to DTBSR, or nil
}

// Approval is a pending approval.
type Approval struct {
	SID     string
	URL     string // absolute, on the approval origin
	Expires time.Time
}

// Outcome is what became of an approval.
type Outcome struct {
	SID        string
	State      string // OutcomeApproved, OutcomeRejected, OutcomeExpired, OutcomeFailed
	Signer     string
	Credential string
	Client     string
	Count      int       // signatures that were approved
	Expires    time.Time // until then they may be asked for
	Reason     string    // why it was rejected, in the signer's words, or why it failed
}

// The final states of an approval.
const (
	OutcomeApproved = "approved"
	OutcomeRejected = "rejected"
	OutcomeExpired  = "expired"
	OutcomeFailed   = "failed" // a service behind the approver did not do its part
)
