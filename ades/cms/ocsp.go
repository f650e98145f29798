//go:build !assemble

package cms

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CertStatus is what revocation data says about a certificate.
type CertStatus int

// The statuses.
const (
	StatusUnknown CertStatus = iota // the responder does not know it
	StatusGood
	StatusRevoked
)

// String names the status.
func (s CertStatus) String() string {
	switch s {
	case StatusGood:
		return "good"
	case StatusRevoked:
		return "revoked"
	case StatusUnknown:
	}
	return "unknown"
}

// OCSPResponse is a parsed BasicOCSPResponse (RFC 6960).
type OCSPResponse struct {
	// Raw is the OCSPResponse as a DSS holds it, Basic what it wraps.
	Raw   []byte
	Basic []byte
	// ResponderName (a DER Name) or ResponderKeyHash (SHA-1) says who answered.
	ResponderName    []byte
	ResponderKeyHash []byte
	ProducedAt       time.Time
	Nonce            []byte
	Answers          []OCSPAnswer
	Certificates     []*x509.Certificate

	signed SignedObject
}

// OCSPAnswer is the status of one certificate.
type OCSPAnswer struct {
	Hash       crypto.Hash // of the two below; 0 if unknown here
	NameHash   []byte
	KeyHash    []byte
	Serial     *big.Int
	Status     CertStatus
	RevokedAt  time.Time // zero unless revoked
	Reason     int       // CRLReason, -1 if not stated
	ThisUpdate time.Time
	NextUpdate time.Time // zero if not stated
	// Critical lists critical extensions, none of which is known here.
	Critical []string
}

// ErrOCSPStatus says that a responder answered with an error instead of a status.
var ErrOCSPStatus = errors.New("the OCSP responder answered with an error")

// ParseOCSP reads an OCSPResponse, or a bare BasicOCSPResponse as CMS carries it
// at times.
func ParseOCSP(der []byte) (*OCSPResponse, error) {
	malformed := func(what string) error { return fmt.Errorf("OCSP response: %s: %w", what, ErrMalformed) }
	in := cryptobyte.String(der)
	var body, outer, explicit, basic cryptobyte.String
	if !in.ReadASN1Element(&body, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, malformed("not one SEQUENCE")
	}
	element := body
	if !body.ReadASN1(&outer, cbasn1.SEQUENCE) {
		return nil, malformed("outer SEQUENCE")
	}
	if !outer.PeekASN1Tag(cbasn1.ENUM) {
		raw, err := wrapBasic(element)
		if err != nil {
			return nil, malformed("basic response")
		}
		return parseBasic(raw, element)
	}
	var status int
	if !outer.ReadASN1Enum(&status) {
		return nil, malformed("status")
	}
	if status != 0 {
		return nil, fmt.Errorf("status %d: %w", status, ErrOCSPStatus)
	}
	var kind string
	if !outer.ReadASN1(&explicit, tagCtx0C) || !explicit.ReadASN1(&body, cbasn1.SEQUENCE) || !readOID(&body, &kind) ||
		kind != oidOCSPBasic || !body.ReadASN1(&basic, cbasn1.OCTET_STRING) {
		return nil, malformed("no basic response")
	}
	return parseBasic(der, basic)
}

// wrapBasic makes an OCSPResponse around a BasicOCSPResponse.
func wrapBasic(basic []byte) ([]byte, error) {
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1Enum(0)
		b.AddASN1(tagCtx0C, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, oidOCSPBasic)
				b.AddASN1OctetString(basic)
			})
		})
	})
}

func parseBasic(raw, basic []byte) (*OCSPResponse, error) {
	malformed := func(what string) error { return fmt.Errorf("OCSP response: %s: %w", what, ErrMalformed) }
	signed, err := ParseSignedObject(basic)
	if err != nil {
		return nil, fmt.Errorf("OCSP response: %w", err)
	}
	r := &OCSPResponse{Raw: raw, Basic: basic, signed: signed}
	in, tbs := cryptobyte.String(basic), cryptobyte.String(signed.TBS)
	var body, data, certs, part cryptobyte.String
	var present, ok bool
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() || !body.SkipASN1(cbasn1.SEQUENCE) || !body.SkipASN1(cbasn1.SEQUENCE) ||
		!body.SkipASN1(cbasn1.BIT_STRING) || !body.ReadOptionalASN1(&part, &present, tagCtx0C) {
		return nil, malformed("outer fields")
	}
	if present && (!part.ReadASN1(&certs, cbasn1.SEQUENCE) || !r.readCertificates(&certs)) {
		return nil, malformed("certificates")
	}
	if !tbs.ReadASN1(&data, cbasn1.SEQUENCE) || !data.SkipOptionalASN1(tagCtx0C) || !r.readResponder(&data) {
		return nil, malformed("responder")
	}
	if r.ProducedAt, ok = readGeneralizedTime(&data); !ok {
		return nil, malformed("producedAt")
	}
	var answers cryptobyte.String
	if !data.ReadASN1(&answers, cbasn1.SEQUENCE) {
		return nil, malformed("answers")
	}
	for !answers.Empty() {
		var a OCSPAnswer
		if len(r.Answers) == 1000 || !a.read(&answers) {
			return nil, malformed("answer")
		}
		r.Answers = append(r.Answers, a)
	}
	if !r.readExtensions(&data) {
		return nil, malformed("extensions")
	}
	return r, nil
}

func (r *OCSPResponse) readCertificates(s *cryptobyte.String) bool {
	for !s.Empty() {
		var der cryptobyte.String
		if len(r.Certificates) == maxCertificates || !s.ReadASN1Element(&der, cbasn1.SEQUENCE) {
			return false
		}
		if c, err := x509.ParseCertificate(der); err == nil {
			r.Certificates = append(r.Certificates, c)
		}
	}
	return true
}

func (r *OCSPResponse) readResponder(s *cryptobyte.String) bool {
	var part, inner cryptobyte.String
	if s.PeekASN1Tag(tagCtx1C) {
		ok := s.ReadASN1(&part, tagCtx1C) && part.ReadASN1Element(&inner, cbasn1.SEQUENCE)
		r.ResponderName = inner
		return ok
	}
	ok := s.ReadASN1(&part, tagCtx2C) && part.ReadASN1(&inner, cbasn1.OCTET_STRING)
	r.ResponderKeyHash = inner
	return ok
}

func (r *OCSPResponse) readExtensions(s *cryptobyte.String) bool {
	return readExtensions(s, tagCtx1C, func(oid string, _ bool, value []byte) {
		if oid == oidOCSPNonce {
			r.Nonce = value
		}
	})
}

// readExtensions reads an optional, explicitly tagged Extensions.
func readExtensions(s *cryptobyte.String, tag cbasn1.Tag, each func(oid string, critical bool, value []byte)) bool {
	var part, list cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&part, &present, tag) {
		return false
	}
	if !present {
		return true
	}
	if !part.ReadASN1(&list, cbasn1.SEQUENCE) {
		return false
	}
	for !list.Empty() {
		var ext, value cryptobyte.String
		var oid string
		var critical bool
		if !list.ReadASN1(&ext, cbasn1.SEQUENCE) || !readOID(&ext, &oid) ||
			(ext.PeekASN1Tag(cbasn1.BOOLEAN) && !ext.ReadASN1Boolean(&critical)) || !ext.ReadASN1(&value, cbasn1.OCTET_STRING) {
			return false
		}
		each(oid, critical, value)
	}
	return true
}

func (a *OCSPAnswer) read(s *cryptobyte.String) bool {
	var body, id, nameHash, keyHash, part cryptobyte.String
	var present, ok bool
	a.Serial, a.Reason = new(big.Int), -1
	if !s.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1(&id, cbasn1.SEQUENCE) {
		return false
	}
	oid, _, ok := readAlgorithm(&id)
	if !ok || !id.ReadASN1(&nameHash, cbasn1.OCTET_STRING) || !id.ReadASN1(&keyHash, cbasn1.OCTET_STRING) || !id.ReadASN1Integer(a.Serial) {
		return false
	}
	a.Hash, a.NameHash, a.KeyHash = HashByOID(oid), nameHash, keyHash
	if !a.readStatus(&body) {
		return false
	}
	if a.ThisUpdate, ok = readGeneralizedTime(&body); !ok {
		return false
	}
	if !body.ReadOptionalASN1(&part, &present, tagCtx0C) {
		return false
	}
	if present {
		if a.NextUpdate, ok = readGeneralizedTime(&part); !ok {
			return false
		}
	}
	return readExtensions(&body, tagCtx1C, func(oid string, critical bool, _ []byte) {
		if critical {
			a.Critical = append(a.Critical, oid)
		}
	})
}

func (a *OCSPAnswer) readStatus(s *cryptobyte.String) bool {
	var tag cbasn1.Tag
	var part, reason cryptobyte.String
	if !s.ReadAnyASN1(&part, &tag) {
		return false
	}
	switch uint8(tag) {
	case uint8(tagCtx0):
		a.Status = StatusGood
	case uint8(tagCtx1C):
		a.Status = StatusRevoked
		var ok, present bool
		if a.RevokedAt, ok = readGeneralizedTime(&part); !ok || !part.ReadOptionalASN1(&reason, &present, tagCtx0C) {
			return false
		}
		if present && !reason.ReadASN1Enum(&a.Reason) {
			return false
		}
	case uint8(tagCtx2):
		a.Status = StatusUnknown
	default:
		return false
	}
	return true
}
