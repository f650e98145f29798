//go:build cgo

package pkcs11

import (
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// fits refuses what a key of this type does not sign.
func fits(t signing.KeyType, alg signing.Algorithm, digest []byte) error {
	for _, a := range t.Algorithms() {
		if a != alg {
			continue
		}
		if alg.Family() != signing.EdDSA && len(digest) != alg.Hash().Size() {
			return fmt.Errorf("digest of %d bytes, %s takes %d", len(digest), alg, alg.Hash().Size())
		}
		return nil
	}
	return fmt.Errorf("%s with a %s key: %w", alg, t, keystore.ErrMechanism)
}

// digestInfos are the DER prefixes of RFC 8017 §9.2.
var digestInfos = map[crypto.Hash][]byte{
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
	crypto.SHA384: {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30},
	crypto.SHA512: {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
}

// pssOf are hash and mask generation of RSASSA-PSS.
var pssOf = map[crypto.Hash][2]uint{
	crypto.SHA256: {pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256},
	crypto.SHA384: {pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384},
	crypto.SHA512: {pkcs11.CKM_SHA512, pkcs11.CKG_MGF1_SHA512},
}

// request is what the module is asked to sign.
type request struct {
	mechanism []*pkcs11.Mechanism
	input     []byte
	size      int // bytes of r and of s
}

func newRequest(t signing.KeyType, alg signing.Algorithm, digest []byte) request {
	switch {
	case alg.Family() == signing.EdDSA:
		return request{mechanism: mechanism(ckmEDDSA), input: digest}
	case alg.Family() == signing.ECDSA:
		return request{mechanism: mechanism(pkcs11.CKM_ECDSA), input: truncate(t, digest), size: (t.Bits() + 7) / 8}
	case alg.PSS():
		p := pssOf[alg.Hash()]
		params := pkcs11.NewPSSParams(p[0], p[1], uint(alg.Hash().Size()))
		return request{mechanism: []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, params)}, input: digest}
	}
	return request{mechanism: mechanism(pkcs11.CKM_RSA_PKCS), input: slices.Concat(digestInfos[alg.Hash()], digest)}
}

// truncate shortens a digest to the order of the curve, as ECDSA does itself: not
// every module takes a longer one.
func truncate(t signing.KeyType, digest []byte) []byte {
	return digest[:min(len(digest), (t.Bits()+7)/8)]
}

// finish turns the module's answer into what the interface promises.
func (r request) finish(sig []byte) ([]byte, error) {
	if r.size == 0 {
		return sig, nil
	}
	if len(sig) == 0 || len(sig)%2 != 0 || len(sig) > 2*r.size {
		return nil, fmt.Errorf("the module gives an ECDSA signature of %d bytes, not %d", len(sig), 2*r.size)
	}
	half := len(sig) / 2
	rs := struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])}
	if rs.R.Sign() == 0 || rs.S.Sign() == 0 {
		return nil, errors.New("the module gives a zero for a signature")
	}
	return asn1.Marshal(rs)
}

// signOnce signs in a session. begun says whether C_Sign was called: after that
// nobody knows whether there is a signature.
func (s *Store) signOnce(h pkcs11.SessionHandle, o pkcs11.ObjectHandle, r request) (sig []byte, begun bool, err error) {
	if err := s.lib.calls.SignInit(h, r.mechanism, o); err != nil {
		return nil, false, fmt.Errorf("begin to sign: %w", err)
	}
	raw, err := s.lib.calls.Sign(h, r.input)
	if err != nil {
		return nil, true, fmt.Errorf("sign: %w", err)
	}
	sig, err = r.finish(raw)
	return sig, true, err
}
