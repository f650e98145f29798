//go:build !assemble

package cms

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/internal/fault"
)

// SignatureValue returns the signature of the only SignerInfo in a SignedData:
// what a signature time-stamp is made over.
func SignatureValue(signedData []byte) ([]byte, error) {
	sd, err := ParseSignedData(signedData)
	if err != nil {
		return nil, err
	}
	if len(sd.Signers) != 1 {
		return nil, fault.New(fault.Invalid, "the CMS holds %d signatures instead of one", len(sd.Signers))
	}
	return sd.Signers[0].Signature, nil
}

// AddSignatureTimestamp returns the SignedData with the RFC 3161 token as an
// unsigned attribute of its only SignerInfo. The token must be over the
// signature value, and is refused otherwise. Everything that was there keeps its bytes.
func AddSignatureTimestamp(signedData, token []byte) ([]byte, error) {
	value, err := SignatureValue(signedData)
	if err != nil {
		return nil, err
	}
	tst, err := ParseTimestampToken(token)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the time-stamp token cannot be read").Because(err)
	}
	if err := tst.VerifyImprint(value); err != nil {
		return nil, fault.New(fault.Invalid, "the time-stamp token is not over this signature").Because(err)
	}
	attr, err := attribute(OIDAttrSignatureTimestamp, tst.SignedData.Raw)
	if err != nil {
		return nil, fmt.Errorf("encode time-stamp attribute: %w", err)
	}
	if !isDER(signedData) {
		return nil, fault.New(fault.Invalid, "the CMS is not DER")
	}
	out, err := addUnsigned(signedData, attr)
	if err != nil {
		return nil, fmt.Errorf("add time-stamp: %w", err)
	}
	return out, nil
}

// addUnsigned rewrites ContentInfo, SignedData and SignerInfo around their parts.
func addUnsigned(der, attr []byte) ([]byte, error) {
	in := cryptobyte.String(der)
	var info, contentType, explicit, body cryptobyte.String
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1Element(&contentType, cbasn1.OBJECT_IDENTIFIER) ||
		!info.ReadASN1(&explicit, tagCtx0C) || !explicit.ReadASN1(&body, cbasn1.SEQUENCE) {
		return nil, ErrMalformed
	}
	var head [][]byte
	for !body.PeekASN1Tag(cbasn1.SET) || len(head) < 3 { // the second SET is signerInfos
		var e cryptobyte.String
		var tag cbasn1.Tag
		if !body.ReadAnyASN1Element(&e, &tag) {
			return nil, ErrMalformed
		}
		head = append(head, e)
	}
	var signers, signer cryptobyte.String
	if !body.ReadASN1(&signers, cbasn1.SET) || !signers.ReadASN1(&signer, cbasn1.SEQUENCE) || !signers.Empty() {
		return nil, ErrMalformed
	}
	var fields [][]byte
	attrs := [][]byte{attr}
	for !signer.Empty() {
		var e cryptobyte.String
		var tag cbasn1.Tag
		if !signer.ReadAnyASN1Element(&e, &tag) {
			return nil, ErrMalformed
		}
		if tag != tagCtx1C {
			fields = append(fields, e)
			continue
		}
		var old cryptobyte.String
		if !e.ReadASN1(&old, tagCtx1C) {
			return nil, ErrMalformed
		}
		for !old.Empty() {
			var a cryptobyte.String
			if !old.ReadASN1Element(&a, cbasn1.SEQUENCE) {
				return nil, ErrMalformed
			}
			attrs = append(attrs, a)
		}
	}
	return sequence(func(b *cryptobyte.Builder) {
		b.AddBytes(contentType)
		b.AddASN1(tagCtx0C, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, e := range head {
					b.AddBytes(e)
				}
				b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						for _, e := range fields {
							b.AddBytes(e)
						}
						addSet(b, tagCtx1C, attrs)
					})
				})
			})
		})
	})
}
