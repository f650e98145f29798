package sad

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/countersign/countersign/signing"
)

// Object identifiers of signed attributes (RFC 5652, RFC 5035).
const (
	OIDData          = "1.2.840.113549.1.7.1"
	oidContentType   = "1.2.840.113549.1.9.3"
	oidMessageDigest = "1.2.840.113549.1.9.4"
	oidSigningCertV2 = "1.2.840.113549.1.9.16.2.47"
)

// Bounds of signed attributes.
const (
	maxAttributesSize = 16 << 10
	maxAttributes     = 32
)

const tagSetOf = 0x31

// Attributes is what CMS signed attributes say of the document and the signer.
// Only with them can "sign this document" be said of a bare hash.
type Attributes struct {
	ContentType   string // object identifier
	MessageDigest []byte
	// The first ESSCertIDv2: digest algorithm and digest of the signing
	// certificate, and, if they are there, its issuer's DER name and its serial
	// number.
	CertHash   crypto.Hash
	CertDigest []byte
	Issuer     []byte
	Serial     *big.Int
}

// ParseAttributes reads the DER of a SET OF Attribute (RFC 5652 §5.3) strictly:
// sorted, no type twice. Content type, message digest and ESS
// signing-certificate-v2 must be there, with one value each.
func ParseAttributes(der []byte) (*Attributes, error) {
	if len(der) > maxAttributesSize {
		return nil, fmt.Errorf("signed attributes have %d bytes, at most %d are taken", len(der), maxAttributesSize)
	}
	values, err := attributeValues(der)
	if err != nil {
		return nil, err
	}
	var (
		a   Attributes
		oid asn1.ObjectIdentifier
	)
	if err := unmarshal(values[oidContentType], &oid); err != nil {
		return nil, errors.New("the signed attributes have no content type")
	}
	a.ContentType = oid.String()
	if err := unmarshal(values[oidMessageDigest], &a.MessageDigest); err != nil {
		return nil, errors.New("the signed attributes have no message digest")
	}
	return &a, a.signingCertificate(values[oidSigningCertV2])
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue
}

// attributeValues returns the value of each attribute that has exactly one, by type.
func attributeValues(der []byte) (map[string][]byte, error) {
	var set asn1.RawValue
	rest, err := asn1.Unmarshal(der, &set)
	if err != nil || len(rest) > 0 || der[0] != tagSetOf {
		return nil, errors.New("the signed attributes are not the DER of a SET")
	}
	out := map[string][]byte{}
	var before []byte
	for body := set.Bytes; len(body) > 0; {
		var a attribute
		next, err := asn1.Unmarshal(body, &a)
		if err != nil || len(out) >= maxAttributes {
			return nil, errors.New("a signed attribute is malformed, or there are too many")
		}
		raw := body[:len(body)-len(next)]
		if bytes.Compare(before, raw) >= 0 {
			return nil, errors.New("the signed attributes are not sorted as DER demands")
		}
		if _, twice := out[a.Type.String()]; twice {
			return nil, fmt.Errorf("the signed attribute %s occurs twice", a.Type)
		}
		if out[a.Type.String()], err = onlyValue(a.Values); err != nil {
			return nil, fmt.Errorf("signed attribute %s: %w", a.Type, err)
		}
		before, body = raw, next
	}
	return out, nil
}

// onlyValue returns the value of a SET OF with one member, and nil for more.
func onlyValue(set asn1.RawValue) ([]byte, error) {
	if len(set.FullBytes) == 0 || set.FullBytes[0] != tagSetOf || len(set.Bytes) == 0 {
		return nil, errors.New("no value")
	}
	var first asn1.RawValue
	rest, err := asn1.Unmarshal(set.Bytes, &first)
	if err != nil {
		return nil, errors.New("malformed value")
	}
	if len(rest) > 0 {
		return nil, nil
	}
	return first.FullBytes, nil
}

// signingCertificate reads SigningCertificateV2 (RFC 5035 §3).
func (a *Attributes) signingCertificate(der []byte) error {
	malformed := errors.New("the signed attributes do not name the signing certificate (ESS signing-certificate-v2)")
	var sc struct {
		Certs    []asn1.RawValue
		Policies []asn1.RawValue `asn1:"optional"`
	}
	if unmarshal(der, &sc) != nil || len(sc.Certs) == 0 {
		return malformed
	}
	id := sc.Certs[0]
	if id.Class != asn1.ClassUniversal || id.Tag != asn1.TagSequence || !id.IsCompound {
		return malformed
	}
	var next asn1.RawValue
	body := id.Bytes
	if _, err := asn1.Unmarshal(body, &next); err != nil {
		return malformed
	}
	a.CertHash = crypto.SHA256
	if next.Tag == asn1.TagSequence { // hashAlgorithm, DEFAULT SHA-256
		var alg struct {
			Algorithm  asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		rest, err := asn1.Unmarshal(body, &alg)
		if err != nil {
			return malformed
		}
		if a.CertHash, err = signing.HashByOID(alg.Algorithm.String()); err != nil {
			return errors.New("the ESS certificate id uses a digest algorithm that is not allowed")
		}
		body = rest
	}
	rest, err := asn1.Unmarshal(body, &a.CertDigest)
	if err != nil || len(a.CertDigest) != a.CertHash.Size() {
		return malformed
	}
	return a.issuerSerial(rest)
}

// issuerSerial reads the optional IssuerSerial: one directoryName and the serial
// number.
func (a *Attributes) issuerSerial(der []byte) error {
	if len(der) == 0 {
		return nil
	}
	var is struct {
		Issuer []asn1.RawValue
		Serial *big.Int
	}
	const directoryName = 4
	if unmarshal(der, &is) != nil || len(is.Issuer) != 1 ||
		is.Issuer[0].Class != asn1.ClassContextSpecific || is.Issuer[0].Tag != directoryName {
		return errors.New("the ESS issuer and serial number are malformed")
	}
	a.Issuer, a.Serial = is.Issuer[0].Bytes, is.Serial
	return nil
}

// unmarshal reads one DER value to its last byte.
func unmarshal(der []byte, v any) error {
	if len(der) == 0 {
		return errors.New("missing")
	}
	rest, err := asn1.Unmarshal(der, v)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errors.New("bytes after the end")
	}
	return nil
}
