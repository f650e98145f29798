package csc

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/countersign/countersign/signing"
)

// Order is what a signHash request asks for, decoded.
type Order struct {
	Credential string
	Algorithm  signing.Algorithm
	Digests    signing.DigestSet // one at least
}

// Order decodes the request: the algorithm must be one, the hashes standard base64.
// Errors are *Error.
func (q *SignHashRequest) Order() (*Order, error) {
	params, err := base64.StdEncoding.DecodeString(q.SignAlgoParams)
	if err != nil {
		return nil, InvalidParameter("signAlgoParams")
	}
	alg, err := signing.Resolve(q.SignAlgo, q.HashAlgorithmOID, params)
	if err != nil {
		return nil, InvalidParameter("signAlgo").Because(err)
	}
	if len(q.Hashes) == 0 {
		return nil, ErrEmptyHashes
	}
	o := &Order{Credential: q.CredentialID, Algorithm: alg, Digests: make(signing.DigestSet, len(q.Hashes))}
	for i, text := range q.Hashes {
		h, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, ErrHashBase64
		}
		o.Digests[i] = signing.Digest{Hash: alg.Hash(), Sum: h}
	}
	return o, nil
}

// Verified is signatures that fit an order: as many as it has digests, each
// verified over its digest with a certificate's key. [Order.Verify] makes them and
// nothing else does, so whoever holds one need not verify again, and whoever passes
// signatures on has one.
type Verified struct {
	order      *Order
	cert       *x509.Certificate
	signatures [][]byte
}

// Verify holds signatures against the order and the certificate.
func (o *Order) Verify(cert *x509.Certificate, signatures [][]byte) (*Verified, error) {
	if len(o.Digests) == 0 || len(signatures) != len(o.Digests) {
		return nil, fmt.Errorf("%d signatures for %d hashes", len(signatures), len(o.Digests))
	}
	v := &Verified{order: o, cert: cert, signatures: make([][]byte, len(signatures))}
	for i, sig := range signatures {
		if err := signing.Verify(cert.PublicKey, o.Algorithm, o.Digests[i].Sum, sig); err != nil {
			return nil, fmt.Errorf("signature %d of %d: %w", i+1, len(signatures), err)
		}
		v.signatures[i] = bytes.Clone(sig) // nobody can change what was verified
	}
	return v, nil
}

// For fails unless the signatures were verified for this very order.
func (v *Verified) For(o *Order) error {
	if v == nil || o == nil || v.order != o {
		return errors.New("the signatures were not verified for this request")
	}
	return nil
}

// Certificate is the one that the signatures verify with.
func (v *Verified) Certificate() *x509.Certificate { return v.cert }

// Each calls do for every signature, in the order of the digests. They are to be
// read only.
func (v *Verified) Each(do func(i int, signature []byte)) {
	for i, sig := range v.signatures {
		do(i, sig)
	}
}

// Response is the signatures as signHash answers them.
func (v *Verified) Response() *SignHashResponse {
	out := &SignHashResponse{Signatures: make([]string, len(v.signatures))}
	for i, sig := range v.signatures {
		out.Signatures[i] = base64.StdEncoding.EncodeToString(sig)
	}
	return out
}

// Signer is a Service of this process that gives its signatures in a form that says
// that they were verified. A router in front of it need not verify them again.
type Signer interface {
	Service
	// Sign is SignHash for a decoded request. What it returns is for that order.
	Sign(ctx context.Context, by Caller, order *Order) (*Verified, error)
}

// Rereader is a Service that keeps signatures until they have arrived and can give
// them out again.
type Rereader interface {
	// Again returns what was signed for this order before. It never signs: a fault of
	// kind NotFound says that nothing is kept.
	Again(ctx context.Context, by Caller, order *Order) (*Verified, error)
}

// Decode gives the signatures of an answer as bytes. Nothing is verified.
func (a *SignHashResponse) Decode() ([][]byte, error) {
	out := make([][]byte, len(a.Signatures))
	for i, text := range a.Signatures {
		sig, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", i+1, err)
		}
		out[i] = sig
	}
	return out, nil
}
