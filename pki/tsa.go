package pki

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
)

// Timestamp answers a TimeStampReq in DER with a TimeStampResp (RFC 3161). It
// never fails: refusals are responses, too.
func (a *Authority) Timestamp(ctx context.Context, request []byte) []byte {
	token, err := a.stamp(ctx, request)
	if err == nil {
		return tsaResponse(0, nil, token)
	}
	if no, ok := errors.AsType[*refusal](err); ok {
		return tsaResponse(2, no, nil)
	}
	a.cfg.Logger.ErrorContext(ctx, "make time-stamp", "error", err)
	return tsaResponse(2, refuse(systemFailure, "the service has trouble"), nil)
}

func (a *Authority) stamp(ctx context.Context, request []byte) ([]byte, error) {
	r, no := parseTSARequest(request)
	if no != nil {
		return nil, no
	}
	if r.policy != nil && !r.policy.Equal(a.cfg.tsaPolicy) {
		return nil, refuse(unacceptedPolicy, "this service stamps under policy %s", a.cfg.tsaPolicy)
	}
	h := a.timestamper()
	now := a.cfg.Now().UTC()
	if now.Before(h.cert.NotBefore) || !now.Before(h.cert.NotAfter) {
		return nil, refuse(timeNotAvailable, "the time is outside the validity of the time-stamping certificate")
	}
	if a.cfg.ClockTrusted != nil {
		if err := a.cfg.ClockTrusted(ctx); err != nil {
			a.cfg.Logger.ErrorContext(ctx, "clock is not synchronised", "error", err)
			return nil, refuse(timeNotAvailable, "the clock is not synchronised")
		}
	}
	serial, err := a.numbers.next(ctx, a.cfg.DB, now)
	if err != nil {
		return nil, err
	}
	info, err := a.tstInfo(r, serial, now)
	if err != nil {
		return nil, fmt.Errorf("encode time-stamp: %w", err)
	}
	return a.sealToken(h, info, r.certReq)
}

// tstInfo is the TSTInfo of RFC 3161 §2.4.2.
func (a *Authority) tstInfo(r tsaRequest, serial *big.Int, now time.Time) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1ObjectIdentifier(a.cfg.tsaPolicy)
		b.AddBytes(r.imprint)
		b.AddASN1BigInt(serial)
		addTime(b, now)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(a.cfg.Accuracy / time.Second)) })
		// ordering is FALSE, its default, and so absent in DER.
		if r.nonce != nil {
			b.AddASN1BigInt(r.nonce)
		}
	})
	return b.Bytes()
}

// sealToken puts a TSTInfo into a CMS SignedData (RFC 5652) with the attributes
// that RFC 3161 and RFC 5816 ask for.
func (a *Authority) sealToken(h *holder, info []byte, withCerts bool) ([]byte, error) {
	d := h.alg.Hash().New()
	d.Write(info)
	set, err := h.signedAttributes(d.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("encode signed attributes: %w", err)
	}
	// Signed is the SET OF; sent is the same under [0] (RFC 5652 §5.4).
	sig, err := h.signBytes(set)
	if err != nil {
		return nil, err
	}
	sent := slices.Clone(set)
	sent[0] = byte(explicit(0))

	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // ContentInfo
		b.AddASN1ObjectIdentifier(oidSignedData)
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // SignedData
				b.AddASN1Int64(3)
				b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { addDigestAlgorithm(b, h.alg.Hash()) })
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oidTSTInfo)
					b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(info) })
				})
				if withCerts {
					certs := sortedDER(h.cert.Raw, a.ca.cert.Raw)
					b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddBytes(slices.Concat(certs...)) })
				}
				b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { h.addSignerInfo(b, sent, sig) })
			})
		})
	})
	return b.Bytes()
}

func (h *holder) addSignerInfo(b *cryptobyte.Builder, attributes, sig []byte) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(h.cert.RawIssuer)
			b.AddASN1BigInt(h.cert.SerialNumber)
		})
		addDigestAlgorithm(b, h.alg.Hash())
		b.AddBytes(attributes)
		addSignatureAlgorithm(b, h.alg)
		b.AddASN1OctetString(sig)
	})
}

// signedAttributes is the DER SET OF Attribute that is signed.
func (h *holder) signedAttributes(digest []byte) ([]byte, error) {
	var list [][]byte
	add := func(id asn1.ObjectIdentifier, value func(*cryptobyte.Builder)) error {
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(id)
			b.AddASN1(cbasn1.SET, value)
		})
		der, err := b.Bytes()
		list = append(list, der)
		return err
	}
	err := errors.Join(
		add(oidContentType, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidTSTInfo) }),
		add(oidMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(digest) }),
		add(oidSigningCertV2, h.addSigningCertificate),
	)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(slices.Concat(sortedDER(list...)...)) })
	return b.Bytes()
}

// addSigningCertificate adds SigningCertificateV2 (RFC 5035) with the SHA-256 of
// the certificate, which is the default and so not named, and issuer and serial.
func (h *holder) addSigningCertificate(b *cryptobyte.Builder) {
	sum := sha256.Sum256(h.cert.Raw)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // ESSCertIDv2
				b.AddASN1OctetString(sum[:])
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // IssuerSerial
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // GeneralNames
						b.AddASN1(explicit(4), func(b *cryptobyte.Builder) { b.AddBytes(h.cert.RawIssuer) })
					})
					b.AddASN1BigInt(h.cert.SerialNumber)
				})
			})
		})
	})
}

// sortedDER gives the order of a DER SET OF (X.690 §11.6).
func sortedDER(items ...[]byte) [][]byte {
	slices.SortFunc(items, bytes.Compare)
	return items
}

// tsaResponse is a TimeStampResp: granted (0) with a token, or a rejection (2).
func tsaResponse(status int64, no *refusal, token []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(status)
			if no != nil {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(no.text)) })
				})
				b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) { b.AddBytes(no.info.bits()) })
			}
		})
		b.AddBytes(token)
	})
	return b.BytesOrPanic() // nothing in it can be too long
}

// bits is a named bit list with one bit set: the number of unused bits, then the bits.
func (f failure) bits() []byte {
	out := make([]byte, 2+int(f)/8)
	out[0] = byte(7 - int(f)%8)
	out[len(out)-1] = 0x80 >> (int(f) % 8)
	return out
}
