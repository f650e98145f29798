// Package sad is the format of signature activation data: the bytes that the
// module makes, the signer's device shows and signs, and the module verifies.
// Nobody canonicalises: the device signs the bytes it was given, after parsing
// them strictly and showing what it parsed.
package sad

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/signing"
)

// Domain separates the challenge from every other hash.
const Domain = "countersign-sad-v1"

// MaxSize is the most bytes a SAD may have.
const MaxSize = 64 << 10

// Types of signature activation data. The type is inside the signed bytes, so
// that an approval of one kind is never taken for another.
const (
	TypeSign  = "sign"
	TypeEnrol = "enrol"
)

// SAD is signature activation data (EN 419 241-1 SRA_SAP.2.3: it binds the
// DTBS/Rs, the signer and the key). Members are never added silently: a parser
// that does not know a member refuses.
type SAD struct {
	Version    int       `json:"v"` // 1
	Type       string    `json:"typ"`
	Issuer     string    `json:"iss"`   // the module
	SID        string    `json:"sid"`   // 128 random bits
	Nonce      string    `json:"nonce"` // 256 random bits
	IssuedAt   time.Time `json:"iat"`
	Expires    time.Time `json:"exp"` // approval must be given before
	Signer     string    `json:"signer"`
	SignerName string    `json:"signerName"`
	// Authenticators are the ids of the devices that may approve.
	Authenticators []string `json:"auth"`
	SCAL           int      `json:"scal"`
	Assurance      string   `json:"loa"`
	Credential     string   `json:"cred"`
	Key            []byte   `json:"key"`  // SHA-256 of the SubjectPublicKeyInfo
	Cert           []byte   `json:"cert"` // SHA-256 of the certificate
	HashOID        string   `json:"hash"`
	SignAlgos      []string `json:"algs"` // names of the signature algorithms allowed (signing.Algorithm.String)
	Documents      []Doc    `json:"docs"`
	Party          Party    `json:"rp"`
	Path           []string `json:"path,omitempty"` // gateways in between, outermost first
	Request        []byte   `json:"req"`            // SHA-256 of the authorisation request
	Wysiwys        int      `json:"wysiwys"`        // 1: digest and name shown and checked against the signed attributes; 0: name only
}

// Doc is one document to be signed.
type Doc struct {
	Name        string `json:"name"`
	Size        int64  `json:"size,omitempty"`
	DocHash     []byte `json:"docHash,omitempty"`
	SignedAttrs []byte `json:"signedAttrs,omitempty"`
	DTBSR       []byte `json:"dtbsr"`
}

// Party is the relying party that asks.
type Party struct {
	Client string `json:"client"`
	Name   string `json:"name"`
}

// ErrMalformed says that bytes are not signature activation data of this version.
var ErrMalformed = errors.New("not signature activation data")

// Encode returns the one encoding of s.
func (s *SAD) Encode() ([]byte, error) {
	b, err := signing.EncodeCanonical(s)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxSize {
		return nil, fmt.Errorf("signature activation data of %d bytes, most is %d", len(b), MaxSize)
	}
	return b, nil
}

// Parse reads signature activation data strictly: what it accepts has exactly
// one reading.
func Parse(b []byte) (*SAD, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	var s SAD
	if err := signing.DecodeCanonical(b, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if s.Version != 1 {
		return nil, fmt.Errorf("%w: version %d", ErrMalformed, s.Version)
	}
	if s.Type != TypeSign && s.Type != TypeEnrol {
		return nil, fmt.Errorf("%w: type %q", ErrMalformed, s.Type)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return &s, nil
}

// check refuses what nobody could show or sign.
func (s *SAD) check() error {
	h, err := signing.HashByOID(s.HashOID)
	if err != nil {
		return err
	}
	switch {
	case s.Issuer == "" || len(s.SID) < 22 || len(s.Nonce) < 43 || s.Signer == "" || s.Credential == "" || s.Party.Client == "":
		return errors.New("a name or number is missing")
	case len(s.Key) != sha256.Size || len(s.Cert) != sha256.Size || len(s.Request) != sha256.Size:
		return errors.New("a hash has the wrong length")
	case s.IssuedAt.Location() != time.UTC || s.Expires.Location() != time.UTC || !s.Expires.After(s.IssuedAt):
		return errors.New("the times are wrong")
	case len(s.Authenticators) == 0 || len(s.SignAlgos) == 0 || len(s.Documents) == 0:
		return errors.New("there is no device, no algorithm or no document")
	case s.Wysiwys < 0 || s.Wysiwys > 1:
		return errors.New("wysiwys is neither 0 nor 1")
	}
	for _, d := range s.Documents {
		if d.Name == "" || d.Size < 0 || len(d.DTBSR) != h.Size() {
			return errors.New("a document has no name or a digest of the wrong length")
		}
		if s.Wysiwys == 1 && (len(d.SignedAttrs) == 0 || len(d.DocHash) == 0) {
			return errors.New("wysiwys is 1 and the signed attributes of a document are missing")
		}
	}
	return nil
}

// Challenge is what a device signs: SHA-256("countersign-sad-v1" ‖ 0x00 ‖ SAD).
func Challenge(sadBytes []byte) [sha256.Size]byte { return signing.Domain(Domain, sadBytes) }
