//go:build !assemble

package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// TSTInfo is what a time-stamp token states (RFC 3161 §2.4.2).
type TSTInfo struct {
	Policy  string      // dotted object identifier
	HashOID string      // of the imprint
	Hash    crypto.Hash // 0 if HashOID is unknown here
	Imprint []byte
	Serial  *big.Int
	Time    time.Time
	// Accuracy is how far Time may be off; 0 if not stated.
	Accuracy time.Duration
	Ordering bool
	Nonce    *big.Int // nil if there is none
}

// Encode makes the DER of a TSTInfo, for a time-stamping authority.
func (t TSTInfo) Encode() ([]byte, error) {
	alg, err := digestIdentifier(t.Hash)
	if err != nil {
		return nil, err
	}
	if t.Serial == nil {
		return nil, errors.New("encode TSTInfo: no serial number")
	}
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		addOID(b, t.Policy)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(alg)
			b.AddASN1OctetString(t.Imprint)
		})
		b.AddASN1BigInt(t.Serial)
		b.AddASN1GeneralizedTime(t.Time.UTC().Truncate(time.Second))
		if t.Accuracy > 0 {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addAccuracy(b, t.Accuracy) })
		}
		if t.Ordering {
			b.AddASN1Boolean(true)
		}
		if t.Nonce != nil {
			b.AddASN1BigInt(t.Nonce)
		}
	})
}

func addAccuracy(b *cryptobyte.Builder, d time.Duration) {
	parts := []struct {
		tag cbasn1.Tag
		n   int64
	}{{cbasn1.INTEGER, int64(d / time.Second)}, {tagCtx0, int64(d % time.Second / time.Millisecond)}, {tagCtx1, int64(d % time.Millisecond / time.Microsecond)}}
	for _, p := range parts {
		if p.n > 0 {
			b.AddASN1Int64WithTag(p.n, p.tag)
		}
	}
}

func (t *TSTInfo) parse(der []byte) bool {
	in := cryptobyte.String(der)
	var body, imprint, part cryptobyte.String
	var version int
	var present, ok bool
	t.Serial = new(big.Int)
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1Integer(&version) || version != 1 || !readOID(&body, &t.Policy) ||
		!body.ReadASN1(&imprint, cbasn1.SEQUENCE) {
		return false
	}
	if t.HashOID, _, ok = readAlgorithm(&imprint); !ok || !imprint.ReadASN1(&part, cbasn1.OCTET_STRING) || !imprint.Empty() {
		return false
	}
	t.Hash, t.Imprint = HashByOID(t.HashOID), part
	if !body.ReadASN1Integer(t.Serial) {
		return false
	}
	if t.Time, ok = readGeneralizedTime(&body); !ok {
		return false
	}
	if !body.ReadOptionalASN1(&part, &present, cbasn1.SEQUENCE) || (present && !t.readAccuracy(&part)) {
		return false
	}
	if body.PeekASN1Tag(cbasn1.BOOLEAN) && !body.ReadASN1Boolean(&t.Ordering) {
		return false
	}
	if body.PeekASN1Tag(cbasn1.INTEGER) {
		t.Nonce = new(big.Int)
		if !body.ReadASN1Integer(t.Nonce) {
			return false
		}
	}
	return true
}

func (t *TSTInfo) readAccuracy(s *cryptobyte.String) bool {
	for _, p := range []struct {
		tag  cbasn1.Tag
		unit time.Duration
	}{{cbasn1.INTEGER, time.Second}, {tagCtx0, time.Millisecond}, {tagCtx1, time.Microsecond}} {
		if !s.PeekASN1Tag(p.tag) {
			continue
		}
		var n int64
		if !s.ReadASN1Int64WithTag(&n, p.tag) || n < 0 || n > 1<<31 {
			return false
		}
		t.Accuracy += time.Duration(n) * p.unit
	}
	return s.Empty()
}

// TimestampToken is a parsed RFC 3161 TimeStampToken.
type TimestampToken struct {
	Info       TSTInfo
	SignedData *SignedData
}

// Results of checking a token.
var (
	// ErrImprint says that a token is over other bytes.
	ErrImprint = errors.New("the time-stamp is over other bytes")
	// ErrTSACertificate says that the signer's certificate may not make time-stamps,
	// or is not the one the token names.
	ErrTSACertificate = errors.New("the certificate is not a time-stamping certificate")
	// ErrNoCertificate says that the signer's certificate is not at hand.
	ErrNoCertificate = errors.New("the signer's certificate is not there")
)

// ParseTimestampToken reads a token: a SignedData over a TSTInfo. Zero padding
// behind it is ignored.
func ParseTimestampToken(b []byte) (*TimestampToken, error) {
	sd, err := ParseSignedData(b)
	if err != nil {
		return nil, fmt.Errorf("time-stamp token: %w", err)
	}
	t := &TimestampToken{SignedData: sd}
	if sd.ContentType != OIDTSTInfo || len(sd.Signers) != 1 || !t.Info.parse(sd.Content) {
		return nil, fmt.Errorf("time-stamp token: not one signature over a TSTInfo: %w", ErrMalformed)
	}
	return t, nil
}

// VerifyImprint checks that the token is over data.
func (t *TimestampToken) VerifyImprint(data []byte) error {
	if t.Info.Hash == 0 || !t.Info.Hash.Available() {
		return fmt.Errorf("imprint algorithm %s: %w", t.Info.HashOID, ErrUnknownAlgorithm)
	}
	return t.VerifyDigest(sum(t.Info.Hash, data))
}

// VerifyDigest checks that the token is over data with this digest under Info.Hash.
func (t *TimestampToken) VerifyDigest(digest []byte) error {
	if !bytes.Equal(t.Info.Imprint, digest) {
		return ErrImprint
	}
	return nil
}

// Verify checks the token's signature and that its certificate, found in the
// token or among others, is the one the ESS attribute names and is critically
// restricted to time-stamping (RFC 3161 §2.3). It returns that certificate.
func (t *TimestampToken) Verify(others []*x509.Certificate) (*x509.Certificate, error) {
	s := t.SignedData.Signers[0]
	cert := s.Certificate(t.SignedData.Certificates)
	if cert == nil {
		cert = s.Certificate(others)
	}
	if cert == nil {
		return nil, fmt.Errorf("time-stamp token: %w", ErrNoCertificate)
	}
	if s.Signed == nil || s.Digest == 0 {
		return cert, fmt.Errorf("time-stamp token: no signed attributes, or an unknown digest: %w", ErrUnknownAlgorithm)
	}
	if err := s.VerifyContent(sum(s.Digest, t.SignedData.Content)); err != nil {
		return cert, fmt.Errorf("time-stamp token: %w", err)
	}
	if s.Signed.ContentType != OIDTSTInfo {
		return cert, fmt.Errorf("time-stamp token: content-type attribute is %q: %w", s.Signed.ContentType, ErrMalformed)
	}
	if err := s.Verify(cert, nil); err != nil {
		return cert, fmt.Errorf("time-stamp token: %w", err)
	}
	if len(s.Signed.CertIDs) == 0 || !s.Signed.CertIDs[0].Matches(cert) {
		return cert, fmt.Errorf("time-stamp token names another certificate: %w", ErrTSACertificate)
	}
	if err := timeStamping(cert); err != nil {
		return cert, err
	}
	return cert, nil
}

// timeStamping demands the one extended key usage, critical and alone.
func timeStamping(cert *x509.Certificate) error {
	if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(cert.UnknownExtKeyUsage) > 0 {
		return fmt.Errorf("extended key usage is not timeStamping alone: %w", ErrTSACertificate)
	}
	for _, e := range cert.Extensions {
		if e.Id.String() == oidExtKeyUsage && !e.Critical {
			return fmt.Errorf("extended key usage is not critical: %w", ErrTSACertificate)
		}
	}
	return nil
}
