//go:build !assemble

package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
)

// Verify checks sig over digest. ECDSA signatures are DER SEQUENCE{r,s}. For
// Ed25519 digest is the message itself. The error says only that the signature
// does not verify, or that key and algorithm do not fit.
func Verify(pub crypto.PublicKey, alg Algorithm, digest, sig []byte) error {
	if !alg.Valid() {
		return ErrAlgorithm
	}
	var ok bool
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if alg.Family() != ECDSA || len(digest) != alg.Hash().Size() {
			return fmt.Errorf("%s with an EC key: %w", alg, ErrAlgorithm)
		}
		ok = ecdsa.VerifyASN1(k, digest, sig)
	case *rsa.PublicKey:
		if alg.Family() != RSA || len(digest) != alg.Hash().Size() {
			return fmt.Errorf("%s with an RSA key: %w", alg, ErrAlgorithm)
		}
		if alg.PSS() {
			ok = rsa.VerifyPSS(k, alg.Hash(), digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(k, alg.Hash(), digest, sig) == nil
		}
	case ed25519.PublicKey:
		if alg != Ed25519 {
			return fmt.Errorf("%s with an Ed25519 key: %w", alg, ErrAlgorithm)
		}
		ok = ed25519.Verify(k, digest, sig)
	default:
		return fmt.Errorf("key of type %T: %w", pub, ErrAlgorithm)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// ErrSignature says that a signature does not verify.
var ErrSignature = errors.New("signature does not verify")

// SignerOpts returns what crypto.Signer.Sign needs to make a signature of a.
func (a Algorithm) SignerOpts() crypto.SignerOpts {
	switch {
	case a.PSS():
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.Hash()}
	case a == Ed25519:
		return crypto.Hash(0)
	}
	return a.Hash()
}

// KeyTypeOf returns the type of a public key, or ErrAlgorithm if it is not one
// that may be used for a new certificate.
func KeyTypeOf(pub crypto.PublicKey) (KeyType, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return P256, nil
		case elliptic.P384():
			return P384, nil
		case elliptic.P521():
			return P521, nil
		}
	case *rsa.PublicKey:
		switch k.N.BitLen() {
		case 3072:
			return RSA3072, nil
		case 4096:
			return RSA4096, nil
		}
		return "", fmt.Errorf("RSA key of %d bits: %w", k.N.BitLen(), ErrAlgorithm)
	case ed25519.PublicKey:
		return KeyEd25519, nil
	}
	return "", fmt.Errorf("key of type %T: %w", pub, ErrAlgorithm)
}
