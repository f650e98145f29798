// Package keystore keeps signing keys behind a small interface: a software
// store is the embedded default, a PKCS#11 module the other driver. It knows
// keys and digests, never who may use them: that is the sam package's part.
//
// A signer's key is made inside the module and leaves it only wrapped under a
// key-encryption key (KEK) that never leaves; the wrapped key is stored by the
// caller and opened for the few signatures of one activation. Service keys
// (CA, time-stamping, audit, identity) are resident and are found by name.
package keystore

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"

	"github.com/countersign/countersign/signing"
)

// Errors that callers branch on.
var (
	// ErrNoKey says that there is no key of that name or generation.
	ErrNoKey = errors.New("no such key")
	// ErrTampered says that a wrapped key is not what the store once returned.
	ErrTampered = errors.New("wrapped key is damaged or not from this store")
	// ErrMechanism says that the module cannot do what was asked of it.
	ErrMechanism = errors.New("mechanism not supported by this keystore")
	// ErrExists says that a service key of that name is there already.
	ErrExists = errors.New("a key of that name exists")
	// ErrClosed says that the handle or store was closed.
	ErrClosed = errors.New("keystore closed")
	// ErrUnavailable says that the module does not answer: it was removed, or the
	// way to it is cut. It comes back without a restart of this process.
	ErrUnavailable = errors.New("the keystore's module does not answer")
)

// WrappedKey is a signer's key outside the module: nobody but the module that
// made it can use it.
type WrappedKey struct {
	Blob []byte          `json:"blob"` // the private key, wrapped with AES-KWP (RFC 5649)
	KEK  int             `json:"kek"`  // generation of the key-encryption key, from 1
	Type signing.KeyType `json:"type"`
	SPKI []byte          `json:"spki"` // DER SubjectPublicKeyInfo
}

// PublicKey parses the SPKI.
func (k WrappedKey) PublicKey() (crypto.PublicKey, error) { return x509.ParsePKIXPublicKey(k.SPKI) }

// Store is a module that holds keys. All methods may be called at once.
type Store interface {
	// Generate makes a signer's key and returns it wrapped under the current KEK.
	Generate(ctx context.Context, t signing.KeyType) (WrappedKey, error)
	// Open unwraps a key for use. The caller closes the handle. A blob that was
	// changed, or belongs to another public key, gives ErrTampered.
	Open(ctx context.Context, k WrappedKey) (Handle, error)
	// Rewrap returns the key wrapped under the current KEK.
	Rewrap(ctx context.Context, k WrappedKey) (WrappedKey, error)
	// MAC returns HMAC-SHA-256 over the domain and data under a key that never
	// leaves the module. Different domains never give related values.
	MAC(ctx context.Context, domain string, data []byte) ([]byte, error)
	// Service returns the resident key of that name, or ErrNoKey.
	Service(ctx context.Context, name string) (crypto.Signer, error)
	// NewService makes a resident key. A name that is taken gives ErrExists.
	NewService(ctx context.Context, name string, t signing.KeyType) (crypto.Signer, error)
	// RotateKEK makes a new KEK generation current and returns its number.
	RotateKEK(ctx context.Context) (int, error)
	// DestroyKEK destroys a generation that is not current: every key still
	// wrapped under it is gone for good.
	DestroyKEK(ctx context.Context, generation int) error
	// Probe exercises the module and says what it really does.
	Probe(ctx context.Context) (Capabilities, error)
	// Close ends the use of the module. Handles still open give ErrClosed.
	Close() error
}

// Handle is a signer's key while it is in use.
type Handle interface {
	// Sign signs a digest. ECDSA signatures are DER SEQUENCE{r,s}. For Ed25519
	// the digest is the message.
	Sign(ctx context.Context, alg signing.Algorithm, d []byte) ([]byte, error)
	// Public returns the public key.
	Public() crypto.PublicKey
	// Close destroys the unwrapped key.
	Close() error
}

// Capabilities is what a probe found. A false value that the driver claims
// otherwise is a finding, not an error.
type Capabilities struct {
	Driver         string            `json:"driver"` // "soft", "pkcs11"
	Module         string            `json:"module"` // name and version of the module
	Hardware       bool              `json:"hardware"`
	KeyTypes       []signing.KeyType `json:"keyTypes"`
	WrapsKeys      bool              `json:"wrapsKeys"`      // generate, wrap, unwrap, sign, verify went through
	RefusesTamper  bool              `json:"refusesTamper"`  // a changed blob was refused
	NonExtractable bool              `json:"nonExtractable"` // private keys cannot be read from the module
	Findings       []string          `json:"findings"`       // in words, for operators and auditors
	Checks         []Check           `json:"checks,omitempty"`
}

// Keystore is what key records call the module: the driver's name, with
// "-software" behind it when PKCS#11 leads to no hardware. A qualified certificate
// is refused to a key that is in no device, whatever the driver.
func (c Capabilities) Keystore() string {
	if c.Driver == "pkcs11" && !c.Hardware {
		return c.Driver + "-software"
	}
	return c.Driver
}

// Check is one thing that a probe tried.
type Check struct {
	Name  string `json:"name"` // what was to be shown, as a short sentence
	OK    bool   `json:"ok"`
	Words string `json:"words,omitempty"` // what the module answered
}
