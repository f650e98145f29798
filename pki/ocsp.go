package pki

import (
	"context"
	"crypto/sha1" //nolint:gosec // the responder is named by the SHA-1 of its key (RFC 6960 §4.2.1); it protects nothing
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Status values of OCSPResponse (RFC 6960 §4.2.1).
const (
	ocspMalformed    = 1
	ocspInternal     = 2
	ocspUnauthorized = 6
)

var (
	oidOCSPBasic     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidArchiveCutoff = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 6}
)

// status is what the responder knows about one certificate.
type status struct {
	known    bool
	revoked  time.Time // zero: it is not
	reason   Reason
	notAfter time.Time
}

// answer is a signed response and how long it may be used.
type answer struct {
	der        []byte
	made       time.Time
	nextUpdate time.Time
}

// answerOCSP answers a request in DER. It never fails: trouble is an answer, too.
func (a *Authority) answerOCSP(ctx context.Context, der []byte) answer {
	r, err := parseOCSPRequest(der)
	if err != nil {
		return answer{der: ocspError(ocspMalformed)}
	}
	statuses, err := a.statuses(ctx, r.certs)
	if err != nil {
		a.cfg.Logger.ErrorContext(ctx, "answer ocsp request", "error", err)
		return answer{der: ocspError(ocspInternal)}
	}
	if statuses == nil {
		return answer{der: ocspError(ocspUnauthorized)}
	}
	now, h := a.cfg.Now().UTC().Truncate(time.Second), a.responder()
	key := cacheKey(h, r, statuses)
	if got, ok := a.answers.get(key, now); ok {
		return got
	}
	out, err := a.signOCSP(h, r, statuses, now)
	if err != nil {
		a.cfg.Logger.ErrorContext(ctx, "sign ocsp answer", "error", err)
		return answer{der: ocspError(ocspInternal)}
	}
	a.answers.put(key, out)
	return out
}

// statuses looks up what was asked for; nil when nothing of it is ours to answer.
func (a *Authority) statuses(ctx context.Context, ids []certID) ([]status, error) {
	list := make([]status, len(ids))
	ours := false
	for i, id := range ids {
		if !id.names(a.ca) {
			continue
		}
		ours = true
		row, err := certificateBySerial(ctx, a.cfg.DB, serialText(id.serial))
		if noRows(err) || err == nil && row.Issuer != string(RoleCA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for a certificate: %w", err)
		}
		list[i] = status{known: true, revoked: row.Revoked, reason: row.Reason, notAfter: row.NotAfter}
	}
	if !ours {
		return nil, nil
	}
	return list, nil
}

// signOCSP makes a response. thisUpdate is now; nextUpdate is days ahead and
// never after the end of the certificate, or validators find no proof that a
// short-lived certificate was good until then. It is left out for certificates
// that ended already.
func (a *Authority) signOCSP(h *holder, r ocspRequest, statuses []status, now time.Time) (answer, error) {
	out := answer{made: now, nextUpdate: earlier(now.Add(a.cfg.StatusLife), h.cert.NotAfter)}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // ResponseData
		b.AddASN1(explicit(2), func(b *cryptobyte.Builder) { // ResponderID byKey
			sum := sha1.Sum(publicKeyBits(h.cert.RawSubjectPublicKeyInfo)) //nolint:gosec // see the import
			b.AddASN1OctetString(sum[:])
		})
		addTime(b, now)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for i, id := range r.certs {
				next := out.nextUpdate
				if statuses[i].known {
					next = earlier(next, statuses[i].notAfter)
				}
				out.nextUpdate = earlier(out.nextUpdate, next)
				a.addSingle(b, id, statuses[i], now, next)
			}
		})
		if r.nonce != nil {
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addExtension(b, oidOCSPNonce, r.nonce) })
			})
		}
	})
	tbs, err := b.Bytes()
	if err != nil {
		return answer{}, fmt.Errorf("encode response data: %w", err)
	}
	sig, err := h.signBytes(tbs)
	if err != nil {
		return answer{}, err
	}
	out.der, err = wrapOCSP(tbs, h, sig)
	return out, err
}

func (a *Authority) addSingle(b *cryptobyte.Builder, id certID, s status, now, next time.Time) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(id.raw)
		switch {
		case !s.known:
			b.AddASN1(implicit(2), func(*cryptobyte.Builder) {})
		case s.revoked.IsZero():
			b.AddASN1(implicit(0), func(*cryptobyte.Builder) {})
		default:
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { // [1] IMPLICIT SEQUENCE
				addTime(b, s.revoked)
				if s.reason != Unspecified { // RFC 5280 §5.3.1: then it is absent
					b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(s.reason)) })
				}
			})
		}
		addTime(b, now)
		if next.After(now) {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { addTime(b, next) })
		}
		if s.known {
			// Revocations are kept for ever: the answer also speaks about certificates
			// that ended (RFC 6960 §4.4.4).
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					var cutoff cryptobyte.Builder
					addTime(&cutoff, a.ca.cert.NotBefore)
					addExtension(b, oidArchiveCutoff, cutoff.BytesOrPanic())
				})
			})
		}
	})
}

func addExtension(b *cryptobyte.Builder, id asn1.ObjectIdentifier, value []byte) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		b.AddASN1OctetString(value)
	})
}

// wrapOCSP puts signed response data into a successful response, with the
// responder's certificate.
func wrapOCSP(tbs []byte, h *holder, sig []byte) ([]byte, error) {
	var basic cryptobyte.Builder
	basic.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		addSignatureAlgorithm(b, h.alg)
		b.AddASN1BitString(sig)
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(h.cert.Raw) })
		})
	})
	inner, err := basic.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(0)
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidOCSPBasic)
				b.AddASN1OctetString(inner)
			})
		})
	})
	return b.Bytes()
}

// ocspError is a response without an answer.
func ocspError(code int64) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Enum(code) })
	return b.BytesOrPanic() // a constant
}
