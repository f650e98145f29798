package samapi

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/signing"
)

// Domains of the orders of a registration authority. An order is the canonical
// JSON of one of the types below, sealed with the RA's key for its domain, so
// that an order of one kind is never taken for another.
const (
	DomainEnrolSigner     = "countersign-ra-enrol-signer-v1"
	DomainAssignKey       = "countersign-ra-assign-key-v1"
	DomainBindCertificate = "countersign-ra-bind-certificate-v1"
	DomainRevokeDevice    = "countersign-ra-revoke-device-v1"
	DomainCredentialState = "countersign-ra-credential-state-v1"
	DomainDestroyKey      = "countersign-ra-destroy-key-v1"
)

// Order is what every order begins with. The module carries out an order once.
type Order struct {
	Version int       `json:"v"`      // 1
	ID      string    `json:"id"`     // 128 random bits or more, never used again
	Module  string    `json:"module"` // issuer of the module it is for
	Expires time.Time `json:"exp"`    // UTC; at most MaxOrderLife ahead
}

// MaxOrderLife is how far ahead an order may expire.
const MaxOrderLife = 24 * time.Hour

// NewOrder begins an order for that module.
func NewOrder(module string, now time.Time) Order {
	return Order{Version: 1, ID: strings.ToLower(rand.Text()), Module: module, Expires: now.UTC().Truncate(time.Second).Add(time.Hour)}
}

// EnrolSigner registers a signer, or names one that is registered, and lets that
// person enrol one device with an activation code.
type EnrolSigner struct {
	Order
	Signer      string          `json:"signer"` // the RA's id: 1 to 64 of a-z 0-9 . _ -
	Subject     signing.Subject `json:"subject"`
	Assurance   string          `json:"assurance"` // low, substantial or high (CIR 2015/1502)
	Mechanism   string          `json:"mechanism"`
	CodeHash    []byte          `json:"codeHash"`    // ActivationCodeHash(order id, code)
	CodeExpires time.Time       `json:"codeExpires"` // UTC; the device must be enrolled before
}

// Enrolment is the answer to EnrolSigner.
type Enrolment struct {
	ID      string    `json:"id"`
	URL     string    `json:"url"` // where the device enrols, on the approval origin
	Expires time.Time `json:"expires"`
}

// AssignKey has a key made for a signer, bound to one mechanism.
type AssignKey struct {
	Order
	Signer    string          `json:"signer"`
	Mechanism string          `json:"mechanism"`
	KeyType   signing.KeyType `json:"keyType"`
	Multisign int             `json:"multisign"` // most signatures of one SAD, at least 1
	// MinWysiwys is what the module must have checked before it asks the signer:
	// 0 the name only, 1 the signed attributes of every document.
	MinWysiwys int `json:"minWysiwys"`
}

// Assigned is the answer to AssignKey.
type Assigned struct {
	Credential string `json:"credential"`
	// KeyRecord is a signing.KeyRecord, sealed with the module's identity key for
	// signing.DomainKeyRecord.
	KeyRecord signing.Signed `json:"keyRecord"`
}

// BindCertificate gives a credential its certificate, once.
type BindCertificate struct {
	Order
	Credential string   `json:"credential"`
	Chain      [][]byte `json:"chain"` // DER, leaf first, up to an anchor or its child
}

// RevokeDevice ends the use of an authenticator. Credentials that are left
// without a device of their mechanism are suspended.
type RevokeDevice struct {
	Order
	Authenticator string `json:"authenticator"`
	Reason        string `json:"reason"`
}

// CredentialState suspends a credential, or makes a suspended one active again.
type CredentialState struct {
	Order
	Credential string `json:"credential"`
	State      string `json:"state"` // CredentialSuspended or CredentialActive
	Reason     string `json:"reason"`
}

// DestroyKey destroys a credential's key for good.
type DestroyKey struct {
	Order
	Credential string `json:"credential"`
	Reason     string `json:"reason"`
}

// activationAlphabet leaves out letters that are mistaken for others.
const activationAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const activationLength = 20 // 100 bits

// NewActivationCode makes a code with which one device is enrolled: 100 random
// bits, so that its hash may pass through the gateway. It goes to the signer on
// another channel than the enrolment URL.
func NewActivationCode() string {
	var raw [activationLength]byte
	_, _ = rand.Read(raw[:]) // never fails
	var b strings.Builder
	for i, c := range raw {
		if i > 0 && i%5 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(activationAlphabet[c&31])
	}
	return b.String()
}

// ActivationCodeHash is what an EnrolSigner order says about its code. Hyphens,
// spaces and letter case of the code do not matter; a code that is not one of
// NewActivationCode's gives an error.
func ActivationCodeHash(orderID, code string) ([]byte, error) {
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	if len(code) != activationLength || strings.Trim(code, activationAlphabet) != "" {
		return nil, fmt.Errorf("an activation code has %d letters and digits", activationLength)
	}
	sum := signing.Domain("countersign-activation-code-v1", []byte(orderID+"\x00"+code))
	return sum[:sha256.Size], nil
}
