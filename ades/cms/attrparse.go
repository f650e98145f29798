package cms

import (
	"bytes"
	"crypto"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Attributes are the parsed signed attributes of a SignerInfo.
type Attributes struct {
	// DER is the SET OF in DER order, what RFC 5652 §5.4 hashes; Received is the
	// order found. They differ only if the producer did not sort.
	DER      []byte
	Received []byte
	// OIDs lists what is there, in the order found.
	OIDs []string
	// ContentType and MessageDigest are the two that CMS requires; zero if absent.
	ContentType   string
	MessageDigest []byte
	// SigningTime is nil if absent, as PAdES wants it.
	SigningTime *time.Time
	// CertIDs are the certificates of ESS signing-certificate (v2 first, then
	// v1); the first of the list is the signer's.
	CertIDs []CertID
	// Commitments are object identifiers; Policy is one, or "".
	Commitments []string
	Policy      string
	// ContentTimestamps are time-stamp tokens over the content (DER).
	ContentTimestamps [][]byte
	// CRLs and OCSPs come from Adobe's revocationInfoArchival.
	CRLs  [][]byte
	OCSPs [][]byte
}

// CertID names a certificate by digest (ESSCertID, ESSCertIDv2).
type CertID struct {
	Hash   crypto.Hash // 0 if unknown here
	Digest []byte
	// Issuer (a DER Name) and Serial are nil if the optional issuerSerial is absent.
	Issuer []byte
	Serial *big.Int
}

// attributeSet is Attributes with what is wrong with them.
type attributeSet struct {
	Attributes

	Sorted   bool
	findings findings
}

type rawAttribute struct {
	OID    string
	Values [][]byte
}

func readAttribute(s *cryptobyte.String) (rawAttribute, bool) {
	var a rawAttribute
	var body, set cryptobyte.String
	if !s.ReadASN1(&body, cbasn1.SEQUENCE) || !readOID(&body, &a.OID) || !body.ReadASN1(&set, cbasn1.SET) || !body.Empty() {
		return a, false
	}
	for !set.Empty() {
		var v cryptobyte.String
		var tag cbasn1.Tag
		if !set.ReadAnyASN1Element(&v, &tag) {
			return a, false
		}
		a.Values = append(a.Values, v)
	}
	return a, true
}

// parseAttributes reads a SET OF Attribute (tag 0x31).
func parseAttributes(der []byte) (*attributeSet, error) {
	in := cryptobyte.String(der)
	var body cryptobyte.String
	if !in.ReadASN1(&body, cbasn1.SET) || !in.Empty() {
		return nil, fmt.Errorf("signed attributes: %w", ErrMalformed)
	}
	set := &attributeSet{Sorted: true}
	set.Received = der
	var elements [][]byte
	for !body.Empty() {
		var raw cryptobyte.String
		if !body.ReadASN1Element(&raw, cbasn1.SEQUENCE) {
			return nil, fmt.Errorf("signed attributes: %w", ErrMalformed)
		}
		elements = append(elements, raw)
		a, ok := readAttribute(&raw)
		if !ok {
			return nil, fmt.Errorf("signed attributes: %w", ErrMalformed)
		}
		set.take(a)
	}
	sorted := slices.Clone(elements)
	slices.SortStableFunc(sorted, bytes.Compare)
	set.DER = appendElement(nil, byte(cbasn1.SET), bytes.Join(sorted, nil))
	if !bytes.Equal(set.DER, der) {
		set.Sorted = false
		set.findings.add(AttributesUnsorted, "the signed attributes are not in DER order")
	}
	set.missing()
	return set, nil
}

func (set *attributeSet) missing() {
	f := &set.findings
	if set.ContentType == "" {
		f.add(NoContentType, "the content-type attribute is missing")
	}
	if len(set.MessageDigest) == 0 {
		f.add(NoMessageDigest, "the message-digest attribute is missing")
	}
	if len(set.CertIDs) == 0 {
		f.add(NoSigningCertificate, "the signing-certificate attribute is missing")
	}
}

// take reads one attribute's value.
func (set *attributeSet) take(a rawAttribute) {
	if slices.Contains(set.OIDs, a.OID) {
		set.findings.add(AttributeRepeated, "attribute %s occurs twice", a.OID)
		return
	}
	set.OIDs = append(set.OIDs, a.OID)
	if a.OID == OIDAttrContentTimestamp {
		set.ContentTimestamps = append(set.ContentTimestamps, a.Values...)
		return
	}
	if len(a.Values) != 1 {
		if a.OID != OIDAttrRevocationArchival {
			set.findings.add(AttributeRepeated, "attribute %s has %d values", a.OID, len(a.Values))
		}
		if len(a.Values) == 0 {
			return
		}
	}
	if !set.read(a.OID, a.Values[0]) {
		set.findings.add(AttributeMalformed, "attribute %s cannot be read", a.OID)
	}
	if a.OID == OIDAttrSigningTime {
		set.findings.add(SigningTimePresent, "the signed attributes hold a signing-time")
	}
}

func (set *attributeSet) read(oid string, value cryptobyte.String) bool {
	switch oid {
	case OIDAttrContentType:
		return readOID(&value, &set.ContentType)
	case OIDAttrMessageDigest:
		var d cryptobyte.String
		ok := value.ReadASN1(&d, cbasn1.OCTET_STRING)
		set.MessageDigest = d
		return ok
	case OIDAttrSigningTime:
		t, ok := readTime(&value)
		if ok {
			set.SigningTime = &t
		}
		return ok
	case OIDAttrSigningCertificateV2:
		ids, ok := readCertIDs(value, true)
		set.CertIDs = append(ids, set.CertIDs...)
		return ok
	case OIDAttrSigningCertificate:
		ids, ok := readCertIDs(value, false)
		set.CertIDs = append(set.CertIDs, ids...)
		return ok
	case OIDAttrCommitmentType:
		var body cryptobyte.String
		var c string
		ok := value.ReadASN1(&body, cbasn1.SEQUENCE) && readOID(&body, &c)
		set.Commitments = append(set.Commitments, c)
		return ok
	case OIDAttrSignaturePolicy:
		if value.PeekASN1Tag(cbasn1.NULL) { // implied policy
			return true
		}
		var body cryptobyte.String
		return value.ReadASN1(&body, cbasn1.SEQUENCE) && readOID(&body, &set.Policy)
	case OIDAttrRevocationArchival:
		return set.readArchival(value)
	}
	return true
}

// readArchival reads Adobe's RevocationInfoArchival: [0] CRLs, [1] OCSP
// responses, [2] others.
func (set *attributeSet) readArchival(value cryptobyte.String) bool {
	var body, part, list cryptobyte.String
	var present bool
	if !value.ReadASN1(&body, cbasn1.SEQUENCE) {
		return false
	}
	for _, into := range []struct {
		tag  cbasn1.Tag
		list *[][]byte
	}{{tagCtx0C, &set.CRLs}, {tagCtx1C, &set.OCSPs}} {
		if !body.ReadOptionalASN1(&part, &present, into.tag) {
			return false
		}
		if !present {
			continue
		}
		if !part.ReadASN1(&list, cbasn1.SEQUENCE) {
			return false
		}
		for !list.Empty() {
			var e cryptobyte.String
			if !list.ReadASN1Element(&e, cbasn1.SEQUENCE) {
				return false
			}
			*into.list = append(*into.list, e)
		}
	}
	return true
}

// readCertIDs reads SigningCertificate(V2).
func readCertIDs(value cryptobyte.String, v2 bool) ([]CertID, bool) {
	var body, certs cryptobyte.String
	if !value.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1(&certs, cbasn1.SEQUENCE) {
		return nil, false
	}
	var ids []CertID
	for !certs.Empty() {
		var id, digest cryptobyte.String
		c := CertID{Hash: crypto.SHA1}
		if !certs.ReadASN1(&id, cbasn1.SEQUENCE) {
			return nil, false
		}
		if v2 {
			c.Hash = crypto.SHA256
			if id.PeekASN1Tag(cbasn1.SEQUENCE) {
				oid, _, ok := readAlgorithm(&id)
				if !ok {
					return nil, false
				}
				c.Hash = HashByOID(oid)
			}
		}
		if !id.ReadASN1(&digest, cbasn1.OCTET_STRING) {
			return nil, false
		}
		c.Digest = digest
		if !id.Empty() && !c.readIssuerSerial(&id) {
			return nil, false
		}
		ids = append(ids, c)
	}
	return ids, len(ids) > 0
}

func (id *CertID) readIssuerSerial(s *cryptobyte.String) bool {
	var body, names, name cryptobyte.String
	if !s.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1(&names, cbasn1.SEQUENCE) {
		return false
	}
	serial := new(big.Int)
	if !body.ReadASN1Integer(serial) {
		return false
	}
	if !names.ReadASN1(&name, tagCtx4C) {
		return true // another kind of name: the digest decides
	}
	id.Issuer, id.Serial = name, serial
	return true
}

// readTime reads UTCTime or GeneralizedTime.
func readTime(s *cryptobyte.String) (time.Time, bool) {
	var t time.Time
	if s.PeekASN1Tag(cbasn1.UTCTime) {
		return t, s.ReadASN1UTCTime(&t)
	}
	return readGeneralizedTime(s)
}

// readGeneralizedTime also takes fractions of a second, which RFC 3161 allows.
func readGeneralizedTime(s *cryptobyte.String) (time.Time, bool) {
	var raw cryptobyte.String
	if !s.ReadASN1(&raw, cbasn1.GeneralizedTime) {
		return time.Time{}, false
	}
	for _, layout := range []string{"20060102150405Z", "20060102150405.999999999Z", "20060102150405Z0700", "20060102150405-0700"} {
		if t, err := time.Parse(layout, string(raw)); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
