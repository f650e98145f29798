package webauthn

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
)

// Party is who asks for a ceremony: one origin, and the relying party ID that is
// its host.
type Party struct {
	Origin string // e.g. https://approve.example
	RPID   string // e.g. approve.example
}

// VerifyRegistration checks a registration for the challenge and returns the new
// passkey's id and key.
func (p Party) VerifyRegistration(challenge, id, clientData, authData []byte) (*AuthenticatorData, error) {
	if err := CheckClientData(clientData, create, challenge, p.Origin); err != nil {
		return nil, err
	}
	a, err := p.parse(authData)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Key == nil:
		return nil, errors.New("the registration has no key")
	case !bytes.Equal(a.CredentialID, id):
		return nil, errors.New("the registration is for another passkey than it names")
	}
	return a, nil
}

// VerifyAssertion checks an assertion over the challenge by the passkey with that
// key. The counter is not looked at: what may be used once must be made sure of by
// the challenge.
func (p Party) VerifyAssertion(challenge []byte, key *ecdsa.PublicKey, clientData, authData, signature []byte) (*AuthenticatorData, error) {
	if err := CheckClientData(clientData, get, challenge, p.Origin); err != nil {
		return nil, err
	}
	a, err := p.parse(authData)
	if err != nil {
		return nil, err
	}
	if a.Key != nil {
		return nil, errors.New("the assertion carries a key of its own")
	}
	client := sha256.Sum256(clientData)
	signed := sha256.Sum256(append(bytes.Clone(authData), client[:]...))
	if !ecdsa.VerifyASN1(key, signed[:], signature) {
		return nil, errors.New("the passkey's signature does not verify")
	}
	return a, nil
}

func (p Party) parse(authData []byte) (*AuthenticatorData, error) {
	a, err := ParseAuthenticatorData(authData)
	if err != nil {
		return nil, err
	}
	want := sha256.Sum256([]byte(p.RPID))
	if subtle.ConstantTimeCompare(want[:], a.RPIDHash[:]) != 1 {
		return nil, errors.New("the passkey is of another relying party")
	}
	return a, nil
}
