//go:build !assemble

package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SignedData is a parsed CMS SignedData.
type SignedData struct {
	// Raw is the ContentInfo in DER: as it was, or converted if it was BER.
	Raw []byte
	// Version is CMSVersion.
	Version int
	// DigestAlgorithms are the object identifiers listed.
	DigestAlgorithms []string
	// ContentType is eContentType; Content is nil in a detached signature.
	ContentType string
	Content     []byte
	// Certificates are those that could be read, in their order.
	Certificates []*x509.Certificate
	// CRLs and OCSPs are the revocation data carried, in DER.
	CRLs  [][]byte
	OCSPs [][]byte
	// Signers are the SignerInfos; a PAdES signature has exactly one.
	Signers []*SignerInfo
	// Findings are what is wrong with the SignedData as a whole.
	Findings []Finding
}

// SignerInfo is one signature in a SignedData.
type SignerInfo struct {
	Version int
	// Issuer (a DER Name) and Serial, or KeyID, say whose certificate it is.
	Issuer []byte
	Serial *big.Int
	KeyID  []byte
	// Digest is 0 if the digest algorithm DigestOID is unknown here.
	Digest    crypto.Hash
	DigestOID string
	// Scheme is the signature algorithm, Signature its value.
	Scheme    Scheme
	Signature []byte
	// Signed are the signed attributes, nil if there are none.
	Signed *Attributes
	// Timestamps are the signature time-stamp tokens (DER ContentInfo).
	Timestamps [][]byte
	// Unsigned lists the object identifiers of all unsigned attributes.
	Unsigned []string
	// Findings are what is wrong with this SignerInfo.
	Findings []Finding

	schemeErr error
}

// Limits of what one SignedData may carry.
const (
	maxCertificates = 1000
	maxSigners      = 64
)

// ParseSignedData reads a ContentInfo with SignedData. Zero padding behind it is
// ignored. BER is converted and noted as a finding. An error, which wraps
// ErrMalformed, means that nothing could be read.
func ParseSignedData(b []byte) (*SignedData, error) {
	element, rest, err := TrimPadding(b)
	if err != nil {
		return nil, fmt.Errorf("signed data: %w", err)
	}
	sd := &SignedData{Raw: element}
	var found findings
	if !isZero(rest) {
		found.add(TrailingBytes, "%d bytes that are no padding follow the CMS", len(rest))
	}
	if !isDER(element) {
		found.add(NotDER, "the CMS is BER, PAdES wants DER")
		if sd.Raw, err = toDER(element); err != nil {
			return nil, fmt.Errorf("signed data: %w", err)
		}
	}
	if err := sd.parse(&found); err != nil {
		return nil, err
	}
	sd.Findings = found
	return sd, nil
}

func (sd *SignedData) parse(found *findings) error {
	malformed := func(what string) error { return fmt.Errorf("signed data: %s: %w", what, ErrMalformed) }
	in := cryptobyte.String(sd.Raw)
	var info, explicit, body cryptobyte.String
	var contentType string
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !readOID(&info, &contentType) {
		return malformed("not a ContentInfo")
	}
	if contentType != OIDSignedData {
		return malformed("the content is " + contentType + ", not signed data")
	}
	if !info.ReadASN1(&explicit, tagCtx0C) || !info.Empty() || !explicit.ReadASN1(&body, cbasn1.SEQUENCE) || !explicit.Empty() {
		return malformed("no SignedData")
	}
	var algs, encap, signers cryptobyte.String
	if !body.ReadASN1Integer(&sd.Version) || !body.ReadASN1(&algs, cbasn1.SET) || !body.ReadASN1(&encap, cbasn1.SEQUENCE) {
		return malformed("version, digest algorithms or content")
	}
	for !algs.Empty() {
		oid, _, ok := readAlgorithm(&algs)
		if !ok {
			return malformed("digest algorithms")
		}
		sd.DigestAlgorithms = append(sd.DigestAlgorithms, oid)
	}
	if !sd.readContent(&encap) {
		return malformed("encapsulated content")
	}
	var part cryptobyte.String
	var present bool
	if !body.ReadOptionalASN1(&part, &present, tagCtx0C) || (present && !sd.readCertificates(&part, found)) {
		return malformed("certificates")
	}
	if !body.ReadOptionalASN1(&part, &present, tagCtx1C) || (present && !sd.readRevocation(&part, found)) {
		return malformed("revocation data")
	}
	if !body.ReadASN1(&signers, cbasn1.SET) || !body.Empty() {
		return malformed("signer infos")
	}
	for !signers.Empty() {
		var si cryptobyte.String
		if len(sd.Signers) == maxSigners || !signers.ReadASN1(&si, cbasn1.SEQUENCE) {
			return malformed("signer infos")
		}
		s, err := parseSignerInfo(si)
		if err != nil {
			return err
		}
		sd.Signers = append(sd.Signers, s)
	}
	sd.judge(found)
	return nil
}

func (sd *SignedData) readContent(s *cryptobyte.String) bool {
	if !readOID(s, &sd.ContentType) {
		return false
	}
	var explicit cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&explicit, &present, tagCtx0C) || !s.Empty() {
		return false
	}
	if !present {
		return true
	}
	var content cryptobyte.String
	var tag cbasn1.Tag
	if !explicit.ReadAnyASN1(&content, &tag) || !explicit.Empty() {
		return false
	}
	sd.Content = append([]byte{}, content...) // PKCS#7 allowed other types than OCTET STRING: its contents count
	return true
}

func (sd *SignedData) readCertificates(s *cryptobyte.String, found *findings) bool {
	for !s.Empty() {
		var raw cryptobyte.String
		var tag cbasn1.Tag
		if len(sd.Certificates) == maxCertificates || !s.ReadAnyASN1Element(&raw, &tag) {
			return false
		}
		if tag != cbasn1.SEQUENCE { // attribute and other certificates
			continue
		}
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			found.add(CertificateUnreadable, "a certificate in the CMS cannot be read: %v", err)
			continue
		}
		sd.Certificates = append(sd.Certificates, cert)
	}
	return true
}

func (sd *SignedData) readRevocation(s *cryptobyte.String, found *findings) bool {
	for !s.Empty() {
		var raw cryptobyte.String
		var tag cbasn1.Tag
		if !s.ReadAnyASN1Element(&raw, &tag) {
			return false
		}
		switch uint8(tag) {
		case uint8(cbasn1.SEQUENCE):
			sd.CRLs = append(sd.CRLs, raw)
		case uint8(tagCtx1C): // OtherRevocationInfoFormat
			var format string
			var body cryptobyte.String
			if !raw.ReadASN1(&body, tagCtx1C) || !readOID(&body, &format) {
				return false
			}
			if format == oidRIOCSP {
				sd.OCSPs = append(sd.OCSPs, body)
				continue
			}
			found.add(RevocationUnreadable, "revocation data of unknown format %s", format)
		default:
			found.add(RevocationUnreadable, "revocation data of an unknown kind")
		}
	}
	return true
}

// judge notes what the fields contradict in one another.
func (sd *SignedData) judge(found *findings) {
	if len(sd.Signers) != 1 {
		found.add(NotOneSigner, "the CMS holds %d signatures instead of one", len(sd.Signers))
	}
	if sd.Version < 1 || sd.Version > 5 || (sd.ContentType != OIDData && sd.Version < 3) {
		found.add(BadVersion, "SignedData version %d does not fit its content", sd.Version)
	}
	for _, s := range sd.Signers {
		f := findings(s.Findings)
		listed := false
		for _, oid := range sd.DigestAlgorithms {
			listed = listed || oid == s.DigestOID
		}
		if !listed {
			f.add(DigestAlgorithmUnlisted, "the signer's digest algorithm is not among those the CMS announces")
		}
		if s.Signed != nil && s.Signed.ContentType != "" && s.Signed.ContentType != sd.ContentType {
			f.add(BadContentType, "the content-type attribute names another type than the content has")
		}
		if s.Certificate(sd.Certificates) == nil {
			f.add(SignerCertificateMissing, "the signer's certificate is not in the CMS")
		}
		s.Findings = f
	}
}

// Certificate finds the signer's certificate among candidates: by issuer and
// serial number, or by subject key identifier. It proves nothing yet.
func (s *SignerInfo) Certificate(candidates []*x509.Certificate) *x509.Certificate {
	for _, c := range candidates {
		if s.KeyID != nil {
			if bytes.Equal(c.SubjectKeyId, s.KeyID) {
				return c
			}
			continue
		}
		if s.Serial != nil && c.SerialNumber.Cmp(s.Serial) == 0 && sameName(c.RawIssuer, s.Issuer) {
			return c
		}
	}
	return nil
}
