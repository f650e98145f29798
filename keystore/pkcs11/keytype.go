//go:build cgo

package pkcs11

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// Of PKCS#11 3.0, which the binding does not know yet.
const (
	ckkECEdwards           = 0x00000040
	ckmECEdwardsKeyPairGen = 0x00001055
	ckmEDDSA               = 0x00001057
)

// family is how keys of one kind are made.
type family struct {
	generate uint // mechanism
	keyType  uint // CKK_
	params   []byte
	curve    elliptic.Curve
	bits     int // RSA
}

func object(arcs ...int) []byte {
	der, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		panic(err) // constant input
	}
	return der
}

func familyOf(t signing.KeyType) (family, error) {
	switch t {
	case signing.P256:
		return family{pkcs11.CKM_EC_KEY_PAIR_GEN, pkcs11.CKK_EC, object(1, 2, 840, 10045, 3, 1, 7), elliptic.P256(), 0}, nil
	case signing.P384:
		return family{pkcs11.CKM_EC_KEY_PAIR_GEN, pkcs11.CKK_EC, object(1, 3, 132, 0, 34), elliptic.P384(), 0}, nil
	case signing.P521:
		return family{pkcs11.CKM_EC_KEY_PAIR_GEN, pkcs11.CKK_EC, object(1, 3, 132, 0, 35), elliptic.P521(), 0}, nil
	case signing.KeyEd25519:
		return family{ckmECEdwardsKeyPairGen, ckkECEdwards, object(1, 3, 101, 112), nil, 0}, nil
	case signing.RSA3072, signing.RSA4096:
		return family{pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, pkcs11.CKK_RSA, nil, nil, t.Bits()}, nil
	}
	return family{}, fmt.Errorf("key type %q: %w", t, keystore.ErrMechanism)
}

// public is the template of the public half.
func (f family) public(more ...*pkcs11.Attribute) []*pkcs11.Attribute {
	if f.bits > 0 {
		return append(more, pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, f.bits), pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}))
	}
	return append(more, pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, f.params))
}

// purpose is what a private key may do: sign, and nothing else.
func purpose(more ...*pkcs11.Attribute) []*pkcs11.Attribute {
	return append([]*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, false),
		pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN_RECOVER, false),
		pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
	}, more...)
}

// readPublic reads the public half of a key.
func (s *Store) readPublic(h pkcs11.SessionHandle, o pkcs11.ObjectHandle, f family) (crypto.PublicKey, error) {
	if f.bits > 0 {
		return s.readRSA(h, o)
	}
	point, err := s.bytes(h, o, pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, err
	}
	return parsePoint(point, f)
}

// parsePoint reads CKA_EC_POINT. The standard wants an OCTET STRING; some modules
// give the bare point.
func parsePoint(point []byte, f family) (crypto.PublicKey, error) {
	size := ed25519.PublicKeySize
	if f.curve != nil {
		size = 1 + 2*((f.curve.Params().BitSize+7)/8)
	}
	// One bare point in 256 looks like an OCTET STRING too, of another length.
	var inner []byte
	if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 && len(inner) == size {
		point = inner
	}
	if f.curve == nil {
		if len(point) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("the module gives an Ed25519 key of %d bytes", len(point))
		}
		return ed25519.PublicKey(point), nil
	}
	k, err := ecdsa.ParseUncompressedPublicKey(f.curve, point)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	return k, nil
}

// readRSA reads modulus and exponent, which the private half has too.
func (s *Store) readRSA(h pkcs11.SessionHandle, o pkcs11.ObjectHandle) (*rsa.PublicKey, error) {
	n, err := s.bytes(h, o, pkcs11.CKA_MODULUS)
	if err != nil {
		return nil, err
	}
	e, err := s.bytes(h, o, pkcs11.CKA_PUBLIC_EXPONENT)
	if err != nil {
		return nil, err
	}
	exponent := new(big.Int).SetBytes(e)
	if !exponent.IsInt64() || exponent.Int64() > 1<<31-1 {
		return nil, errors.New("read public key: the exponent is too large")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}
