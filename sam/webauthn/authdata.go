package webauthn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Flags of authenticator data (WebAuthn L2 §6.1, L3 for the backup flags).
const (
	flagUP = 1 << 0 // user present
	flagUV = 1 << 2 // user verified
	flagBE = 1 << 3 // the passkey may be copied to other devices
	flagBS = 1 << 4 // it is
	flagAT = 1 << 6 // attested credential data follows
	flagED = 1 << 7 // extension data follows

	flagReserved = 1<<1 | 1<<5
)

// MaxAuthenticatorData is the most bytes of authenticator data.
const MaxAuthenticatorData = 4 << 10

// AuthenticatorData is what an authenticator says in a ceremony.
type AuthenticatorData struct {
	RPIDHash [sha256.Size]byte
	Counter  uint32 // 0 for many passkeys; it proves nothing
	// Synced says that the passkey may live on several devices (flag BE).
	Synced bool
	// CredentialID and Key are there in registrations only.
	CredentialID []byte
	Key          *ecdsa.PublicKey
}

// ParseAuthenticatorData reads authenticator data to its last byte. User presence
// and user verification are demanded.
func ParseAuthenticatorData(b []byte) (*AuthenticatorData, error) {
	if len(b) < sha256.Size+5 || len(b) > MaxAuthenticatorData {
		return nil, fmt.Errorf("authenticator data of %d bytes", len(b))
	}
	flags := b[sha256.Size]
	a := &AuthenticatorData{
		RPIDHash: [sha256.Size]byte(b[:sha256.Size]),
		Counter:  binary.BigEndian.Uint32(b[sha256.Size+1:]),
		Synced:   flags&flagBE != 0,
	}
	switch {
	case flags&flagReserved != 0:
		return nil, errors.New("authenticator data has reserved flags")
	case flags&flagUP == 0:
		return nil, errors.New("the user was not present")
	case flags&flagUV == 0:
		return nil, errors.New("the user was not verified")
	case flags&flagBS != 0 && flags&flagBE == 0:
		return nil, errors.New("authenticator data contradicts itself: backed up, but not eligible")
	}
	rest := b[sha256.Size+5:]
	var err error
	if flags&flagAT != 0 {
		if rest, err = a.credential(rest); err != nil {
			return nil, err
		}
	}
	if flags&flagED != 0 {
		if len(rest) == 0 || rest[0]>>5 != 5 {
			return nil, errors.New("authenticator data without its extensions")
		}
		if rest, err = skip(rest, maxNesting); err != nil {
			return nil, fmt.Errorf("extensions: %w", err)
		}
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("authenticator data has %d bytes too many", len(rest))
	}
	return a, nil
}

// credential reads attested credential data (WebAuthn L2 §6.5.1).
func (a *AuthenticatorData) credential(b []byte) (rest []byte, err error) {
	const aaguid = 16
	if len(b) < aaguid+2 {
		return nil, errors.New("attested credential data is cut short")
	}
	n := int(binary.BigEndian.Uint16(b[aaguid:]))
	b = b[aaguid+2:]
	if n < 16 || n > 1023 || n > len(b) {
		return nil, fmt.Errorf("credential id of %d bytes", n)
	}
	a.CredentialID = b[:n:n]
	point, rest, err := coseES256(b[n:])
	if err != nil {
		return nil, fmt.Errorf("credential public key: %w", err)
	}
	if a.Key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err != nil {
		return nil, fmt.Errorf("credential public key: %w", err)
	}
	return rest, nil
}
