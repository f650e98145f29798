//go:build !assemble

package signing

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// EncodeCanonical writes v as the one JSON text that DecodeCanonical accepts.
func EncodeCanonical(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ErrNotCanonical says that a JSON text is not the one encoding of its value:
// unknown or duplicate members, other letter case, other spelling, spaces.
var ErrNotCanonical = errors.New("not in canonical form")

// DecodeCanonical parses JSON made by EncodeCanonical and nothing else. What it
// accepts has exactly one reading: encoding the value again gives the same bytes.
func DecodeCanonical(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrNotCanonical, err)
	}
	again, err := EncodeCanonical(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return ErrNotCanonical
	}
	return nil
}

// Signed is a statement with its signature: exactly the bytes that were signed.
type Signed struct {
	Payload   []byte `json:"payload"`
	Signature []byte `json:"signature"`
	// Key is the KeyID of the key that signed, to find it; it proves nothing.
	Key string `json:"key"`
}

// KeyID is the hex SHA-256 of the public key's SubjectPublicKeyInfo.
func KeyID(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// Seal signs payload for one domain, so that a statement of one kind can never
// be taken for another. key is ECDSA or RSA.
func Seal(domain string, payload []byte, key crypto.Signer) (Signed, error) {
	id, err := KeyID(key.Public())
	if err != nil {
		return Signed{}, err
	}
	sum := Domain(domain, payload)
	sig, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return Signed{}, fmt.Errorf("sign %s: %w", domain, err)
	}
	return Signed{Payload: payload, Signature: sig, Key: id}, nil
}

// Open verifies the signature for the domain and returns the payload.
func (s Signed) Open(domain string, pub crypto.PublicKey) ([]byte, error) {
	t, err := KeyTypeOf(pub)
	if err != nil {
		return nil, err
	}
	alg := ECDSAWithSHA256
	switch t {
	case RSA3072, RSA4096:
		alg = RSAPKCS1WithSHA256
	case P256, P384, P521:
	case KeyEd25519:
		return nil, fmt.Errorf("record key: %w", ErrAlgorithm)
	}
	sum := Domain(domain, s.Payload)
	if err := Verify(pub, alg, sum[:], s.Signature); err != nil {
		return nil, fmt.Errorf("%s: %w", domain, err)
	}
	return s.Payload, nil
}

// Domains of the records below.
const (
	DomainKeyRecord = "countersign-key-record-v1"
	DomainProofing  = "countersign-proofing-v1"
)

// KeyRecord is the activation module's statement that it made a key, for whom,
// and how the key is activated. Sealed with the module's identity key it is
// half of what the CA needs (EN 319 411-2 SDP-6.5.1-04).
type KeyRecord struct {
	Version    int       `json:"v"` // 1
	Module     string    `json:"module"`
	Credential string    `json:"credential"`
	Signer     string    `json:"signer"`
	KeyType    KeyType   `json:"keyType"`
	SPKI       []byte    `json:"spki"` // DER SubjectPublicKeyInfo
	Mechanism  string    `json:"mechanism"`
	SCAL       int       `json:"scal"`
	Keystore   string    `json:"keystore"` // what holds the key: "soft", "pkcs11", "pkcs11-software"
	Made       time.Time `json:"made"`
}

// ProofingRecord is a registration authority's statement that it proved a
// person's identity, bound to one key. Sealed with the RA's key it is the other
// half of what the CA needs.
type ProofingRecord struct {
	Version    int       `json:"v"` // 1
	ID         string    `json:"id"`
	Authority  string    `json:"authority"`
	Signer     string    `json:"signer"`
	Credential string    `json:"credential"`
	KeyHash    []byte    `json:"keyHash"` // SHA-256 of the SubjectPublicKeyInfo
	Subject    Subject   `json:"subject"`
	Assurance  string    `json:"assurance"` // low, substantial or high (CIR 2015/1502)
	Method     string    `json:"method"`    // how identity was proved, in words
	Proved     time.Time `json:"proved"`
	Expires    time.Time `json:"expires"` // the record must be used before
}

// Subject is the person as proved, and as the certificate will name them
// (ETSI EN 319 412-2).
type Subject struct {
	CommonName   string `json:"commonName"`
	GivenName    string `json:"givenName,omitempty"`
	Surname      string `json:"surname,omitempty"`
	Organization string `json:"organization,omitempty"`
	SerialNumber string `json:"serialNumber,omitempty"`
	Country      string `json:"country"` // ISO 3166-1 alpha-2
	Email        string `json:"email,omitempty"`
}
