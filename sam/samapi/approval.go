package samapi

import (
	"time"

	"github.com/countersign/countersign/signing"
)

// Approval is a signer's yes: made by a device over the SAD's challenge.
type Approval struct {
	Authenticator string `json:"authenticator"`
	// Signature is an ES256 signature (DER) over sad.Challenge, for devicekey.
	Signature []byte `json:"signature,omitempty"`
	// WebAuthn is an assertion whose challenge is sad.Challenge, for webauthn.
	WebAuthn *Assertion `json:"webauthn,omitempty"`
	PIN      string     `json:"pin,omitempty"` // devicekey only; a passkey verifies its user itself
	Number   string     `json:"number"`        // the number on the screen that started the request
	// View is the token of the browser that started the request. A passkey used
	// there approves with it instead of the number: there is no other screen.
	View string `json:"view,omitempty"`
	// Claim is the secret of the browser that opened the request's page first; it
	// comes beside the approval, in a cookie.
	Claim string `json:"-"`
	// Statement is the device's own word about the documents, under its key. For
	// devicekey.
	Statement *SignedStatement `json:"statement,omitempty"`
	// StatedWysiwys is 2 when the device says that it recomputed every document's
	// digest from the document itself. It is the device's word: it is recorded as
	// such, is not part of what the device signs, and no policy counts it. Statement
	// says the same under the device's key.
	StatedWysiwys int `json:"statedWysiwys,omitempty"`
}

// Decision is what became of a request by an approval.
type Decision struct {
	State string // of the request
	// Return is where the browser that started the request goes, with a handle that
	// is good once. It is empty for whoever does not hold that browser's view token.
	Return string
}

// Assertion is the result of navigator.credentials.get (WebAuthn L2 §7.2).
type Assertion struct {
	ID                []byte `json:"id"`
	ClientDataJSON    []byte `json:"clientDataJSON"`
	AuthenticatorData []byte `json:"authenticatorData"`
	Signature         []byte `json:"signature"`
}

// Registration is the result of navigator.credentials.create (WebAuthn L2 §7.1)
// with attestation "none".
type Registration struct {
	ID                []byte `json:"id"`
	ClientDataJSON    []byte `json:"clientDataJSON"`
	AuthenticatorData []byte `json:"authenticatorData"` // response.getAuthenticatorData()
}

// Enrol is a device's wish to become an authenticator of the person who knows
// the activation code.
type Enrol struct {
	Code      string `json:"code"`
	Mechanism string `json:"mechanism"`
	Name      string `json:"name"` // of the device, for people
	// SPKI is the device's P-256 public key, and Signature its ES256 signature
	// (DER) over EnrolChallenge. For devicekey.
	SPKI      []byte `json:"spki,omitempty"`
	Signature []byte `json:"signature,omitempty"`
	PIN       string `json:"pin,omitempty"` // 6 to 12 digits, for devicekey
	// WebAuthn is for webauthn; its challenge is EnrolChallenge without a key.
	WebAuthn *Registration `json:"webauthn,omitempty"`
}

// Enrolled is the answer to Enrol.
type Enrolled struct {
	Authenticator string `json:"authenticator"`
	Signer        string `json:"signer"`
	SignerName    string `json:"signerName"`
	Module        string `json:"module"`
}

// EnrolStatement is what a device signs to become an authenticator.
type EnrolStatement struct {
	Version   int    `json:"v"` // 1
	Enrolment string `json:"enrolment"`
	Mechanism string `json:"mechanism"`
	SPKI      []byte `json:"spki,omitempty"` // the device's key; a passkey's is not known yet
}

// DomainEnrol separates a device's statement at enrolment from an approval.
const DomainEnrol = "countersign-enrol-v1"

// EnrolChallenge is the SHA-256 that a device key signs, and that a passkey is
// made with (then spki is nil).
func EnrolChallenge(enrolment, mechanism string, spki []byte) ([]byte, error) {
	b, err := signing.EncodeCanonical(EnrolStatement{Version: 1, Enrolment: enrolment, Mechanism: mechanism, SPKI: spki})
	if err != nil {
		return nil, err
	}
	sum := signing.Domain(DomainEnrol, b)
	return sum[:], nil
}

// Request is what the browser that started a request may see of it.
type Request struct {
	SID        string    `json:"sid"`
	State      string    `json:"state"`
	Number     string    `json:"number,omitempty"` // while pending
	Issued     time.Time `json:"issued"`
	Expires    time.Time `json:"expires"`
	Ended      time.Time `json:"ended,omitzero"` // when it was approved or rejected
	Party      string    `json:"party"`          // who asks, in words
	SignerName string    `json:"signerName"`
	Names      []string  `json:"names"` // of the documents
	Reason     string    `json:"reason,omitempty"`
	Lang       string    `json:"lang,omitempty"`
	SAD        []byte    `json:"-"`
	Returned   bool      `json:"returned,omitempty"` // the way back was used
}

// Identity is who the module is.
type Identity struct {
	Module    string   `json:"module"` // its issuer
	SPKI      []byte   `json:"spki"`   // DER public key that seals key records
	Keystore  string   `json:"keystore"`
	Verifier  string   `json:"verifier"` // note verifier key of the event log
	Approval  string   `json:"approval"` // origin of the approval pages
	RPID      string   `json:"rpId"`     // WebAuthn relying party ID
	Mechanism []string `json:"mechanisms"`
}
