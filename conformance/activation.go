package conformance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/webauthn"
	"github.com/countersign/countersign/signing"
)

// Activation is what one signature activation left in the event log, as somebody
// reads it years later with nothing but the log's public key.
type Activation struct {
	SID string `json:"sid"`
	// SAD is what the signer's device signed: who asked, for what, with which key.
	SAD *sad.SAD `json:"sad"`
	// Device approved, with Mechanism, at Approved.
	Device    string    `json:"device"`
	DeviceKey []byte    `json:"deviceKey"` // DER SubjectPublicKeyInfo
	Mechanism string    `json:"mechanism"`
	PIN       bool      `json:"pin"`    // the module checked a PIN
	Number    bool      `json:"number"` // the number of the other screen was typed
	Approved  time.Time `json:"approved"`
	// By names who caused a machine's order; empty where a person approved.
	By string `json:"by,omitempty"`
	// Signed are the signatures by hash, in the order in which they were made.
	Signed []MadeSignature `json:"signed"`
	// Spent is how many hashes were spent; more than were signed were lost.
	Spent int `json:"spent"`
}

// MadeSignature is a signature in the log.
type MadeSignature struct {
	At        time.Time `json:"at"`
	Hash      []byte    `json:"hash"`
	Signature []byte    `json:"signature"`
	Algorithm string    `json:"algorithm"`
}

// ErrActivation says that the events of an activation do not add up.
var ErrActivation = errors.New("the events do not add up")

// activationEvent is the data of the events that are read here.
type activationEvent struct {
	SAD      []byte `json:"sad"`
	Evidence struct {
		Mechanism     string            `json:"mechanism"`
		Authenticator string            `json:"authenticator"`
		SPKI          []byte            `json:"spki"`
		Signature     []byte            `json:"signature"`
		WebAuthn      *samapi.Assertion `json:"webauthn"`
	} `json:"evidence"`
	PIN        bool     `json:"pin"`
	Number     bool     `json:"number"`
	By         string   `json:"by"`
	Hashes     [][]byte `json:"hashes"`
	Signatures [][]byte `json:"signatures"`
	Algorithm  string   `json:"algorithm"`
}

// ReadActivation reads the events of one activation, which audit.VerifyBundle
// showed to be in the log, and checks what they say: that the device's key signed
// exactly the SAD, that every hash that was spent stands in it and none more often
// than there, and that only spent hashes were signed. It is nil when the activation
// was never approved.
func ReadActivation(events []audit.Record) (*Activation, error) {
	var a *Activation
	left, spent := map[string]int{}, map[string]int{}
	for _, e := range events {
		var d activationEvent
		switch e.Type {
		case "sad.approved", "sad.consumed", "signature.created":
			if err := json.Unmarshal(e.Data, &d); err != nil {
				return nil, fmt.Errorf("%w: event %d cannot be read: %w", ErrActivation, e.Pos, err)
			}
		default:
			continue
		}
		if (a == nil) != (e.Type == "sad.approved") {
			return nil, fmt.Errorf("%w: event %d, %s, comes before the approval or after another", ErrActivation, e.Pos, e.Type)
		}
		switch e.Type {
		case "sad.approved":
			var err error
			if a, err = approvedBy(e, d); err != nil {
				return nil, err
			}
			for _, doc := range a.SAD.Documents {
				left[string(doc.DTBSR)]++
			}
		case "sad.consumed":
			for _, h := range d.Hashes {
				if left[string(h)]--; left[string(h)] < 0 {
					return nil, fmt.Errorf("%w: event %d spends hash %s, which was not approved or was spent before", ErrActivation, e.Pos, hex.EncodeToString(h))
				}
				spent[string(h)]++
				a.Spent++
			}
		case "signature.created":
			if err := a.made(e, d, spent); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func (a *Activation) made(e audit.Record, d activationEvent, spent map[string]int) error {
	if len(d.Hashes) != len(d.Signatures) {
		return fmt.Errorf("%w: event %d has %d signatures of %d hashes", ErrActivation, e.Pos, len(d.Signatures), len(d.Hashes))
	}
	for i, h := range d.Hashes {
		if spent[string(h)]--; spent[string(h)] < 0 {
			return fmt.Errorf("%w: event %d signs hash %s, which was not spent", ErrActivation, e.Pos, hex.EncodeToString(h))
		}
		a.Signed = append(a.Signed, MadeSignature{At: e.At, Hash: h, Signature: d.Signatures[i], Algorithm: d.Algorithm})
	}
	return nil
}

// approvedBy checks the approval: the device signed this very SAD.
func approvedBy(e audit.Record, d activationEvent) (*Activation, error) {
	s, err := sad.Parse(d.SAD)
	if err != nil {
		return nil, fmt.Errorf("%w: the SAD of event %d: %w", ErrActivation, e.Pos, err)
	}
	ev := d.Evidence
	a := &Activation{
		SID: e.SID, SAD: s, Device: ev.Authenticator, DeviceKey: ev.SPKI, Mechanism: ev.Mechanism,
		PIN: d.PIN, Number: d.Number, Approved: e.At, Signed: []MadeSignature{},
	}
	if s.SID != e.SID {
		return nil, fmt.Errorf("%w: the SAD of event %d is of another activation", ErrActivation, e.Pos)
	}
	if !slices.Contains(s.Authenticators, ev.Authenticator) {
		return nil, fmt.Errorf("%w: the SAD of event %d does not name the device %q", ErrActivation, e.Pos, ev.Authenticator)
	}
	pub, err := x509.ParsePKIXPublicKey(ev.SPKI)
	key, ok := pub.(*ecdsa.PublicKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%w: the device's key in event %d", ErrActivation, e.Pos)
	}
	challenge := sad.Challenge(d.SAD)
	switch ev.Mechanism {
	case samapi.DeviceKey:
		if !ecdsa.VerifyASN1(key, challenge[:], ev.Signature) {
			return nil, fmt.Errorf("%w: the device's signature in event %d is not over this SAD", ErrActivation, e.Pos)
		}
	case samapi.WebAuthn:
		u, err := url.Parse(s.Issuer)
		if err != nil || ev.WebAuthn == nil {
			return nil, fmt.Errorf("%w: event %d has no assertion of a passkey", ErrActivation, e.Pos)
		}
		p, w := webauthn.Party{Origin: s.Issuer, RPID: u.Hostname()}, ev.WebAuthn
		if _, err := p.VerifyAssertion(challenge[:], key, w.ClientDataJSON, w.AuthenticatorData, w.Signature); err != nil {
			return nil, fmt.Errorf("%w: the passkey's assertion in event %d is not over this SAD: %w", ErrActivation, e.Pos, err)
		}
	case samapi.Delegation:
		if err := delegatedBy(key, s, d, e.At); err != nil {
			return nil, fmt.Errorf("%w: the machine's order in event %d: %w", ErrActivation, e.Pos, err)
		}
		a.By = d.By
	default:
		return nil, fmt.Errorf("%w: event %d was approved by %q, which this version cannot check", ErrActivation, e.Pos, ev.Mechanism)
	}
	return a, nil
}

// orderSkew is how far the machine's clock and the log's may differ.
const orderSkew = time.Minute

// delegatedBy checks that a machine's order is signed with its key, was good at that
// time, and is for this client, this key and these hashes.
func delegatedBy(key *ecdsa.PublicKey, s *sad.SAD, d activationEvent, at time.Time) error {
	sealed, err := signing.ParseDelegation(string(d.Evidence.Signature))
	if err != nil {
		return err
	}
	order, err := sealed.Open(key)
	if err != nil {
		return err
	}
	if at.Before(time.Unix(order.Issued, 0).Add(-orderSkew)) || at.After(time.Unix(order.Expires, 0).Add(orderSkew)) {
		return errors.New("it was not good at that time")
	}
	if order.Client != s.Party.Client || order.HashOID != s.HashOID || order.Credential != s.Credential || order.By != d.By || len(order.Hashes) != len(s.Documents) {
		return errors.New("it is for something else")
	}
	for i, doc := range s.Documents {
		if !bytes.Equal(doc.DTBSR, order.Hashes[i]) {
			return errors.New("it is for other hashes")
		}
	}
	return nil
}

// Of returns the signatures of one hash.
func (a *Activation) Of(hash []byte) []MadeSignature {
	var list []MadeSignature
	for _, s := range a.Signed {
		if bytes.Equal(s.Hash, hash) {
			list = append(list, s)
		}
	}
	return list
}
