package pki

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/signing"
)

const (
	maxTSARequest  = 4 << 10
	maxTSANonce    = 64 // bytes
	maxTSAPolicyID = 64
)

// failure is a PKIFailureInfo of RFC 3161 §2.4.2, the number of its bit.
type failure int

const (
	badAlg              failure = 0
	badRequest          failure = 2
	badDataFormat       failure = 5
	timeNotAvailable    failure = 14
	unacceptedPolicy    failure = 15
	unacceptedExtension failure = 16
	systemFailure       failure = 25
)

const notARequest = "not a time-stamp request"

// refusal is why there is no time-stamp.
type refusal struct {
	info failure
	text string
}

// Error implements error.
func (r *refusal) Error() string { return r.text }

func refuse(info failure, format string, args ...any) *refusal {
	return &refusal{info: info, text: fmt.Sprintf(format, args...)}
}

// tsaRequest is a TimeStampReq as read.
type tsaRequest struct {
	imprint []byte // MessageImprint as it came, to be repeated
	policy  asn1.ObjectIdentifier
	nonce   *big.Int
	certReq bool
}

// parseTSARequest reads a TimeStampReq (RFC 3161 §2.4.1) in DER.
func parseTSARequest(der []byte) (tsaRequest, *refusal) {
	var (
		r         tsaRequest
		outer     = cryptobyte.String(der)
		seq, raw  cryptobyte.String
		version   int
		malformed = refuse(badDataFormat, notARequest)
	)
	if len(der) > maxTSARequest || !outer.ReadASN1(&seq, cbasn1.SEQUENCE) || !outer.Empty() || !seq.ReadASN1Integer(&version) {
		return r, malformed
	}
	if version != 1 {
		return r, refuse(badRequest, "request of version %d: this service knows version 1", version)
	}
	if !seq.ReadASN1Element(&raw, cbasn1.SEQUENCE) {
		return r, malformed
	}
	r.imprint = bytes.Clone(raw)
	if no := checkImprint(raw); no != nil {
		return r, no
	}
	if seq.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) && (!seq.ReadASN1ObjectIdentifier(&r.policy) || len(r.policy) > maxTSAPolicyID) {
		return r, malformed
	}
	if seq.PeekASN1Tag(cbasn1.INTEGER) {
		r.nonce = new(big.Int)
		if !seq.ReadASN1Integer(r.nonce) || r.nonce.BitLen() > maxTSANonce*8 {
			return r, malformed
		}
	}
	if seq.PeekASN1Tag(cbasn1.BOOLEAN) && !seq.ReadASN1Boolean(&r.certReq) {
		return r, malformed
	}
	if seq.PeekASN1Tag(explicit(0)) {
		return r, refuse(unacceptedExtension, "extensions are not supported")
	}
	if !seq.Empty() {
		return r, malformed
	}
	return r, nil
}

// checkImprint accepts a MessageImprint of a digest algorithm that may be used.
func checkImprint(raw cryptobyte.String) *refusal {
	var seq, sum cryptobyte.String
	if !raw.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return refuse(badDataFormat, notARequest)
	}
	oid, ok := readAlgorithm(&seq)
	if !ok || !seq.ReadASN1(&sum, cbasn1.OCTET_STRING) || !seq.Empty() {
		return refuse(badDataFormat, notARequest)
	}
	h, err := signing.HashByOID(oid.String())
	if err != nil {
		return refuse(badAlg, "digest algorithm not supported: use SHA-256, SHA-384 or SHA-512")
	}
	if len(sum) != h.Size() {
		return refuse(badDataFormat, "the digest does not have the length of its algorithm")
	}
	return nil
}
