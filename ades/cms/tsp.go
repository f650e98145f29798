//go:build !assemble

package cms

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// TimestampRequest is a TimeStampReq.
type TimestampRequest struct {
	Hash    crypto.Hash
	Imprint []byte
	Policy  string   // "" leaves it to the authority
	Nonce   *big.Int // nil for none
}

// NewTimestampRequest asks for a time-stamp over a digest, with a fresh nonce of
// 64 bits. The authority is asked to send its certificate.
func NewTimestampRequest(d signing.Digest) (TimestampRequest, error) {
	if signing.HashOID(d.Hash) == "" || len(d.Sum) != d.Hash.Size() {
		return TimestampRequest{}, fault.New(fault.Invalid, "a time-stamp needs a SHA-256, SHA-384 or SHA-512 digest")
	}
	var n [8]byte
	rand.Read(n[:]) // never fails
	n[0] |= 0x40    // always of the same length
	n[0] &= 0x7f
	return TimestampRequest{Hash: d.Hash, Imprint: d.Sum, Nonce: new(big.Int).SetBytes(n[:])}, nil
}

// Encode makes the DER TimeStampReq, with certReq set.
func (r TimestampRequest) Encode() ([]byte, error) {
	alg, err := digestIdentifier(r.Hash)
	if err != nil {
		return nil, err
	}
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(alg)
			b.AddASN1OctetString(r.Imprint)
		})
		if r.Policy != "" {
			addOID(b, r.Policy)
		}
		if r.Nonce != nil {
			b.AddASN1BigInt(r.Nonce)
		}
		b.AddASN1Boolean(true)
	})
}

// ParseTimestampRequest reads a TimeStampReq, for a time-stamping authority.
// Extensions are refused: RFC 3161 forbids to ignore them.
func ParseTimestampRequest(der []byte) (r TimestampRequest, certReq bool, err error) {
	bad := fault.New(fault.Invalid, "the time-stamp request cannot be read")
	in := cryptobyte.String(der)
	var body, imprint, digest cryptobyte.String
	var version int
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() || !body.ReadASN1Integer(&version) || version != 1 ||
		!body.ReadASN1(&imprint, cbasn1.SEQUENCE) {
		return r, false, bad
	}
	oid, _, ok := readAlgorithm(&imprint)
	if !ok || !imprint.ReadASN1(&digest, cbasn1.OCTET_STRING) || !imprint.Empty() {
		return r, false, bad
	}
	if r.Hash, err = signing.HashByOID(oid); err != nil || len(digest) != r.Hash.Size() {
		return r, false, fault.New(fault.Invalid, "the time-stamp request's digest is not SHA-256, SHA-384 or SHA-512").WithCode("bad_alg")
	}
	r.Imprint = digest
	if body.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) && !readOID(&body, &r.Policy) {
		return r, false, bad
	}
	if body.PeekASN1Tag(cbasn1.INTEGER) {
		r.Nonce = new(big.Int)
		if !body.ReadASN1Integer(r.Nonce) {
			return r, false, bad
		}
	}
	if body.PeekASN1Tag(cbasn1.BOOLEAN) && !body.ReadASN1Boolean(&certReq) {
		return r, false, bad
	}
	if !body.Empty() {
		return r, false, fault.New(fault.Invalid, "the time-stamp request carries extensions").WithCode("unaccepted_extension")
	}
	return r, certReq, nil
}

// TimestampResponse is a TimeStampResp.
type TimestampResponse struct {
	Status int      // PKIStatus; 0 and 1 are granted
	Text   []string // what the authority says
	// Failure is the set bits of PKIFailureInfo.
	Failure []int
	Token   []byte // DER ContentInfo; nil if refused
}

// Granted reports whether the authority gave a token.
func (r *TimestampResponse) Granted() bool {
	return (r.Status == 0 || r.Status == 1) && len(r.Token) > 0
}

// ParseTimestampResponse reads a TimeStampResp. Whether the token answers the
// question is decided by TimestampRequest.Accept.
func ParseTimestampResponse(der []byte) (*TimestampResponse, error) {
	bad := fmt.Errorf("time-stamp response: %w", ErrMalformed)
	in := cryptobyte.String(der)
	var body, status, part cryptobyte.String
	var present bool
	r := &TimestampResponse{}
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() || !body.ReadASN1(&status, cbasn1.SEQUENCE) || !status.ReadASN1Integer(&r.Status) {
		return nil, bad
	}
	if !status.ReadOptionalASN1(&part, &present, cbasn1.SEQUENCE) {
		return nil, bad
	}
	for present && !part.Empty() {
		var text cryptobyte.String
		if !part.ReadASN1(&text, cbasn1.UTF8String) {
			return nil, bad
		}
		r.Text = append(r.Text, string(text))
	}
	if !status.ReadOptionalASN1(&part, &present, cbasn1.BIT_STRING) {
		return nil, bad
	}
	if present && len(part) > 1 {
		for i := range 8 * (len(part) - 1) {
			if part[1+i/8]&(0x80>>(i%8)) != 0 {
				r.Failure = append(r.Failure, i)
			}
		}
	}
	if !body.Empty() {
		r.Token = body
	}
	return r, nil
}

// EncodeTimestampResponse makes a granting TimeStampResp around a token.
func EncodeTimestampResponse(token []byte) ([]byte, error) {
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(0) })
		b.AddBytes(token)
	})
}

// EncodeTimestampRefusal makes a refusing TimeStampResp with one bit of
// PKIFailureInfo (RFC 3161 §2.4.2) and a text.
func EncodeTimestampRefusal(failure int, text string) ([]byte, error) {
	bits := make([]byte, failure/8+1)
	bits[failure/8] = 0x80 >> (failure % 8)
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(2)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
			})
			b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) {
				b.AddUint8(byte(7 - failure%8))
				b.AddBytes(bits)
			})
		})
	})
}

// Accept takes an authority's answer to this request: granted, over the digest
// that was sent, with the nonce and policy that were sent, signed by the
// certificate it names, and that certificate is a time-stamping one. Chain and
// revocation of the certificate remain to be checked.
func (r TimestampRequest) Accept(response []byte) (*TimestampToken, error) {
	resp, err := ParseTimestampResponse(response)
	if err != nil {
		return nil, err
	}
	if !resp.Granted() {
		return nil, fault.New(fault.Unavailable, "the time-stamping authority refused: status %d %q", resp.Status, resp.Text)
	}
	t, err := ParseTimestampToken(resp.Token)
	if err != nil {
		return nil, err
	}
	switch {
	case t.Info.Hash != r.Hash || !bytes.Equal(t.Info.Imprint, r.Imprint):
		return nil, fmt.Errorf("time-stamp token: %w", ErrImprint)
	case r.Nonce != nil && (t.Info.Nonce == nil || t.Info.Nonce.Cmp(r.Nonce) != 0):
		return nil, errors.New("time-stamp token: the nonce is not the one sent")
	case r.Policy != "" && t.Info.Policy != r.Policy:
		return nil, fmt.Errorf("time-stamp token: made under policy %s, asked for %s", t.Info.Policy, r.Policy)
	}
	if _, err := t.Verify(nil); err != nil {
		return nil, err
	}
	return t, nil
}
