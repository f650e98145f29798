package samapi

import (
	"time"

	"github.com/countersign/countersign/signing"
)

// Domains of what a device signs besides SADs and its enrolment.
const (
	DomainSession   = "countersign-device-session-v1"
	DomainStatement = "countersign-device-statement-v1"
)

// SessionStatement is what a device signs to see the requests that wait for it.
type SessionStatement struct {
	Version       int    `json:"v"` // 1
	Module        string `json:"module"`
	Authenticator string `json:"authenticator"`
	Nonce         string `json:"nonce"`
}

// SessionChallenge is the SHA-256 that a device key signs to open a session.
func SessionChallenge(module, authenticator, nonce string) ([]byte, error) {
	return challenge(DomainSession, SessionStatement{Version: 1, Module: module, Authenticator: authenticator, Nonce: nonce})
}

// Nonce is a module's question to a device; it is good once.
type Nonce struct {
	Module  string    `json:"module"`
	Nonce   string    `json:"nonce"` // 256 random bits
	Expires time.Time `json:"expires"`
}

// OpenSession is a device's answer: its ES256 signature (DER) over
// SessionChallenge.
type OpenSession struct {
	Authenticator string `json:"authenticator"`
	Nonce         string `json:"nonce"`
	Signature     []byte `json:"signature"`
}

// Session lets a device see and reject its requests. It approves nothing.
type Session struct {
	Token   string    `json:"-"`
	Expires time.Time `json:"expires"`
}

// DeviceStatement is what a device says, in its own name, of the documents it
// approved: it computed the digest of each from the document itself.
type DeviceStatement struct {
	Version int    `json:"v"`       // 1
	SADHash []byte `json:"sadHash"` // SHA-256 of the SAD's bytes
	Wysiwys int    `json:"wysiwys"` // 2
}

// SignedStatement is a device's statement, canonical JSON of DeviceStatement, with
// the device key's ES256 signature (DER) over StatementChallenge of it.
type SignedStatement struct {
	Statement []byte `json:"statement"`
	Signature []byte `json:"signature"`
}

// StatementChallenge is the SHA-256 that a device key signs for a statement.
func StatementChallenge(statement []byte) []byte {
	sum := signing.Domain(DomainStatement, statement)
	return sum[:]
}

func challenge(domain string, v any) ([]byte, error) {
	b, err := signing.EncodeCanonical(v)
	if err != nil {
		return nil, err
	}
	sum := signing.Domain(domain, b)
	return sum[:], nil
}

// Inbox is what a device may see of its signer's requests.
type Inbox struct {
	Device     Device `json:"device"`
	SignerName string `json:"signerName"`
	Pending    []Item `json:"pending"`  // the oldest first
	Finished   []Item `json:"finished"` // of the last 30 days, the newest first
}

// Item is a request in a list.
type Item struct {
	SID     string    `json:"sid"`
	State   string    `json:"state"`
	Party   string    `json:"party"` // who asks, in words
	Client  string    `json:"client"`
	Names   []string  `json:"names"` // of the documents
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	Ended   time.Time `json:"ended,omitzero"`
	Reason  string    `json:"reason,omitempty"`
}

// Shown is a request with all that a page shows of it.
type Shown struct {
	Request

	Client  string    `json:"client"`
	Gateway string    `json:"gateway"` // through which it came; it is registered here
	Key     KeyFacts  `json:"key"`
	Passkey []Passkey `json:"passkeys,omitempty"` // that may approve
}

// KeyFacts are what a signer should know of the key.
type KeyFacts struct {
	Mechanism string    `json:"mechanism"`
	Assurance string    `json:"assurance"` // of the signer's identity
	SCAL      int       `json:"scal"`
	Holder    string    `json:"holder"`    // common name in the certificate
	NotAfter  time.Time `json:"notAfter"`  // end of the certificate
	Qualified bool      `json:"qualified"` // the certificate says that it is (ETSI EN 319 412-5 §4.2.1)
}

// Passkey is an authenticator of mechanism webauthn.
type Passkey struct {
	Authenticator string `json:"authenticator"`
	Handle        []byte `json:"handle"` // the WebAuthn credential id
	Name          string `json:"name"`
}

// OpenEnrolment is what a page may show of an enrolment that can still be used.
type OpenEnrolment struct {
	ID        string    `json:"id"`
	Mechanism string    `json:"mechanism"`
	Expires   time.Time `json:"expires"`
}

// DomainLiftBlock is of LiftBlock orders.
const DomainLiftBlock = "countersign-ra-lift-block-v1"

// LiftBlock lets a client ask a signer again, who had said of one of its requests
// that it was not theirs.
type LiftBlock struct {
	Order
	Signer string `json:"signer"`
	Client string `json:"client"`
	Reason string `json:"reason"`
}

// Codes of faults about devices and blocks.
const (
	CodeSession       = "session_invalid" // unknown or expired; sign a new nonce
	CodeClientBlocked = "client_blocked"  // the signer said "this was not me"; an RA lifts it
	CodeBackOff       = "back_off"        // the signer rejected a request of this client a short while ago
	CodeStatement     = "statement_invalid"
	CodeOtherBrowser  = "other_browser" // the request's page was opened in another browser first
)
