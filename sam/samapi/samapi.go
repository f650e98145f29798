// Package samapi is what the signature activation module says and hears:
// requests, answers, orders of a registration authority and error codes, with no
// behaviour of its own. The gateway, the signer's device and the command line
// speak to the module through these types without linking it.
package samapi

import (
	"time"

	"github.com/countersign/countersign/signing"
)

// Credential is the module's view of a signer's key and certificate.
type Credential struct {
	ID         string          `json:"id"`
	Signer     string          `json:"signer"`
	SignerName string          `json:"signerName"`
	KeyType    signing.KeyType `json:"keyType"`
	SPKI       []byte          `json:"spki"`
	Chain      [][]byte        `json:"chain"` // DER, leaf first; empty until a certificate is bound
	Mechanism  string          `json:"mechanism"`
	SCAL       int             `json:"scal"`
	Multisign  int             `json:"multisign"` // most signatures of one SAD
	State      string          `json:"state"`     // new, active, suspended, destroyed
}

// States of a credential.
const (
	CredentialNew       = "new"       // a key without a certificate
	CredentialActive    = "active"    // it may sign
	CredentialSuspended = "suspended" // it may sign again after an RA's order
	CredentialDestroyed = "destroyed" // the key is gone for good
)

// CredentialQuery selects credentials by their ids, their signers, or both: what
// is listed under either is found. An empty query finds nothing.
type CredentialQuery struct {
	IDs     []string `json:"ids,omitempty"`
	Signers []string `json:"signers,omitempty"`
}

// Mechanisms of signature activation. A key is bound to exactly one.
const (
	DeviceKey = "devicekey"
	WebAuthn  = "webauthn"
)

// Document is one document of an intent: names and digests, never the document.
type Document struct {
	Label       string `json:"label"`
	Size        int64  `json:"size,omitempty"`
	DTBSR       []byte `json:"dtbsr"`                 // the digest to be signed
	DocHash     []byte `json:"docHash,omitempty"`     // digest of the document's signed byte ranges
	SignedAttrs []byte `json:"signedAttrs,omitempty"` // DER CMS signed attributes that hash to DTBSR
}

// Intent is a relying party's wish, as the authorisation server passes it on.
type Intent struct {
	Org        string              `json:"org"`
	Client     string              `json:"client"`     // client_id
	ClientName string              `json:"clientName"` // shown to the signer
	Credential string              `json:"credential"`
	HashOID    string              `json:"hashOID"`
	Algorithms []signing.Algorithm `json:"algorithms,omitempty"` // empty: every algorithm of the key with that hash
	Documents  []Document          `json:"documents"`
	Request    []byte              `json:"request"` // SHA-256 of the pushed or direct authorisation request
	Gateway    string              `json:"gateway"` // issuer; selects the registered return URL
	Lang       string              `json:"lang,omitempty"`
	// Redeem is how long after approval signatures may be asked for; 0 is the module's default.
	Redeem time.Duration `json:"redeem,omitempty"`
}

// Begun is the answer to an intent: a SAD waits for the signer's approval.
type Begun struct {
	SID     string    `json:"sid"`
	URL     string    `json:"url"` // where the signer's browser goes, on the approval origin
	Expires time.Time `json:"expires"`
}

// Outcome is what became of an approval.
type Outcome struct {
	SID        string    `json:"sid"`
	State      string    `json:"state"` // approved, rejected, expired
	Signer     string    `json:"signer,omitempty"`
	Credential string    `json:"credential,omitempty"`
	Client     string    `json:"client,omitempty"`
	Count      int       `json:"count,omitempty"`
	Expires    time.Time `json:"expires"`
	Reason     string    `json:"reason,omitempty"` // why it was rejected, in the signer's words
}

// States of a SAD.
const (
	Pending  = "pending"
	Approved = "approved"
	Rejected = "rejected"
	Expired  = "expired"
	Spent    = "spent" // every authorised hash was signed or burned
)

// SignRequest asks for signatures under an approved SAD.
type SignRequest struct {
	SID        string            `json:"sid"`
	Client     string            `json:"client"`
	Credential string            `json:"credential"`
	Algorithm  signing.Algorithm `json:"algorithm"`
	Hashes     [][]byte          `json:"hashes"`
	// OCSP is a DER OCSP response for the credential's certificate, at most ten
	// minutes old; the module verifies it itself.
	OCSP []byte `json:"ocsp"`
}

// SignResult holds the signatures in the order of the hashes.
type SignResult struct {
	Signatures [][]byte `json:"signatures"`
	// Hashes and Algorithms say what each signature is of. Only stored
	// signatures have them (Result), where the caller may have lost the request.
	Hashes     [][]byte            `json:"hashes,omitempty"`
	Algorithms []signing.Algorithm `json:"algorithms,omitempty"`
}

// Arrival says which signatures of an approval its client has.
type Arrival struct {
	SID        string   `json:"sid"`
	Client     string   `json:"client"`
	Signatures [][]byte `json:"signatures"`
}

// Codes of faults that the module raises and protocols map to their own words.
const (
	CodeUnknownCredential  = "unknown_credential"
	CodeCredentialDisabled = "credential_disabled" //nolint:gosec // a code, no secret
	CodeCertificateExpired = "certificate_expired"
	CodeCertificateRevoked = "certificate_revoked"
	CodeStatusUnknown      = "certificate_status_unknown"
	CodeHashNotAuthorized  = "hash_not_authorized"
	CodeHashLength         = "hash_length"
	CodeAlgorithm          = "algorithm_not_allowed"
	CodeTooMany            = "too_many_signatures"
	CodeSADInvalid         = "sad_invalid"
	CodeSADExpired         = "sad_expired"
	CodeNotApproved        = "not_approved"
	CodeRejected           = "rejected"
	CodeMismatch           = "attributes_mismatch" // signedAttrs do not hash to dtbsr or name another certificate

	CodeUnknownGateway = "unknown_gateway"     // no return URL is registered for it
	CodeUnknownDevice  = "unknown_device"      // no such authenticator, or not one of this signer's
	CodeDeviceRevoked  = "device_revoked"      // the authenticator may no longer approve
	CodeAssertion      = "assertion_invalid"   // the device's signature or statement is wrong
	CodeNumber         = "number_wrong"        // not the number on the other screen
	CodePIN            = "pin_wrong"           // counted by the module
	CodePINLocked      = "pin_locked"          // too many wrong PINs; later it may work
	CodePINBlocked     = "pin_blocked"         // too many wrong PINs; the device must be enrolled again
	CodeActivation     = "activation_invalid"  // enrolment unknown, used up, expired, or wrong code
	CodeOrder          = "order_invalid"       // an RA's order is malformed, expired, for another module, or not signed by a registered RA
	CodeOrderReplayed  = "order_replayed"      // an RA's order was carried out before
	CodeCertificate    = "certificate_refused" // the certificate does not fit key, signer or anchors
	CodeRecordTampered = "record_tampered"     // a stored record is not what the module wrote
	CodeHandle         = "handle_invalid"      // unknown or used handle
	CodeUnfinished     = "unfinished"          // the approval has no final state yet
	CodeTooManyPending = "too_many_pending"    // the signer has requests of this party waiting
)

// Audit checkpoints and bundles.

// Checkpoint is a signed tree head of the module's event log (C2SP tlog-checkpoint).
type Checkpoint struct {
	Size int64  `json:"size"`
	Note string `json:"note"` // the signed note's text
}
