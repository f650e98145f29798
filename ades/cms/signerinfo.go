//go:build !assemble

package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/signing"
)

func parseSignerInfo(in cryptobyte.String) (*SignerInfo, error) {
	malformed := func(what string) error { return fmt.Errorf("signer info: %s: %w", what, ErrMalformed) }
	s := &SignerInfo{}
	var found findings
	if !in.ReadASN1Integer(&s.Version) || !s.readIdentifier(&in) {
		return nil, malformed("version or signer identifier")
	}
	if want := map[bool]int{true: 3, false: 1}[s.KeyID != nil]; s.Version != want {
		found.add(BadVersion, "SignerInfo version is %d, must be %d", s.Version, want)
	}
	digest, _, ok := readAlgorithm(&in)
	if !ok {
		return nil, malformed("digest algorithm")
	}
	s.DigestOID, s.Digest = digest, HashByOID(digest)
	var signed cryptobyte.String
	var present bool
	if !readOptionalElement(&in, &signed, &present, tagCtx0C) {
		return nil, malformed("signed attributes")
	}
	if present {
		set, err := parseAttributes(append([]byte{byte(cbasn1.SET)}, signed[1:]...))
		if err != nil {
			return nil, fmt.Errorf("signer info: %w", err)
		}
		s.Signed = &set.Attributes
		found = append(found, set.findings...)
	} else {
		found.add(NoSignedAttributes, "there are no signed attributes")
	}
	oid, params, ok := readAlgorithm(&in)
	var value cryptobyte.String
	if !ok || !in.ReadASN1(&value, cbasn1.OCTET_STRING) {
		return nil, malformed("signature")
	}
	s.Signature = value
	s.Scheme, s.schemeErr = schemeOf(oid, params, s.Digest)
	if s.schemeErr != nil {
		found.add(AlgorithmUnknown, "%v", s.schemeErr)
	}
	if s.Digest == 0 {
		found.add(AlgorithmUnknown, "digest algorithm %s is unknown here", s.DigestOID)
	} else if s.Scheme.Hash != 0 && s.Scheme.Hash != s.Digest {
		found.add(AlgorithmMismatch, "the digest algorithm is %s, the signature is %s", HashName(s.Digest), s.Scheme)
	}
	if s.Scheme.Family == signing.EdDSA && s.Digest != crypto.SHA512 {
		found.add(AlgorithmMismatch, "Ed25519 needs SHA-512 as digest algorithm (RFC 8419), not %s", HashName(s.Digest))
	}
	if err := s.readUnsigned(&in, &found); err != nil {
		return nil, err
	}
	if !in.Empty() {
		return nil, malformed("bytes behind its fields")
	}
	s.Findings = found
	return s, nil
}

func (s *SignerInfo) readIdentifier(in *cryptobyte.String) bool {
	if in.PeekASN1Tag(tagCtx0) {
		var id cryptobyte.String
		ok := in.ReadASN1(&id, tagCtx0)
		s.KeyID = id
		return ok
	}
	var body, name cryptobyte.String
	s.Serial = new(big.Int)
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1Element(&name, cbasn1.SEQUENCE) || !body.ReadASN1Integer(s.Serial) {
		return false
	}
	s.Issuer = name
	return body.Empty()
}

func (s *SignerInfo) readUnsigned(in *cryptobyte.String, found *findings) error {
	var unsigned cryptobyte.String
	var present bool
	if !in.ReadOptionalASN1(&unsigned, &present, tagCtx1C) {
		return fmt.Errorf("signer info: unsigned attributes: %w", ErrMalformed)
	}
	for !unsigned.Empty() {
		a, ok := readAttribute(&unsigned)
		if !ok {
			return fmt.Errorf("signer info: unsigned attributes: %w", ErrMalformed)
		}
		s.Unsigned = append(s.Unsigned, a.OID)
		if a.OID != OIDAttrSignatureTimestamp {
			continue
		}
		if len(a.Values) == 0 {
			found.add(AttributeMalformed, "a signature time-stamp attribute without a token")
		}
		s.Timestamps = append(s.Timestamps, a.Values...)
	}
	return nil
}

// readOptionalElement is ReadOptionalASN1 that keeps the header.
func readOptionalElement(s, out *cryptobyte.String, present *bool, tag cbasn1.Tag) bool {
	*present = s.PeekASN1Tag(tag)
	if !*present {
		return true
	}
	return s.ReadASN1Element(out, tag)
}

// Results of verification that a validator tells apart.
var (
	// ErrDigest says that the content is not what was signed.
	ErrDigest = errors.New("the content's digest is not the signed one")
	// ErrUnsortedAttributes says that the signature verifies only over signed
	// attributes in an order that DER does not allow (RFC 5652 §5.4).
	ErrUnsortedAttributes = errors.New("the signature is over attributes that are not in DER order")
)

// VerifyContent compares the digest of the content, made with s.Digest, with the
// signed message-digest attribute. It returns ErrDigest if they differ. A
// signature without signed attributes is over the content itself: then there is
// nothing to compare and Verify decides.
func (s *SignerInfo) VerifyContent(digest []byte) error {
	if s.Digest == 0 {
		return fmt.Errorf("digest algorithm %s: %w", s.DigestOID, ErrUnknownAlgorithm)
	}
	if s.Signed == nil {
		return nil
	}
	if len(s.Signed.MessageDigest) == 0 || !bytes.Equal(s.Signed.MessageDigest, digest) {
		return ErrDigest
	}
	return nil
}

// Verify checks the signature value with the certificate's key: over the DER
// encoding of the signed attributes, or, if there are none, over the content
// whose digest is given. Whether the certificate may be trusted is not its concern.
func (s *SignerInfo) Verify(cert *x509.Certificate, digest []byte) error {
	pub, err := PublicKey(cert)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownAlgorithm, err)
	}
	if s.schemeErr != nil {
		return s.schemeErr
	}
	if s.Signed == nil {
		return s.Scheme.VerifyDigest(pub, digest, s.Signature)
	}
	err = s.Scheme.Verify(pub, s.Signed.DER, s.Signature)
	if errors.Is(err, signing.ErrSignature) && !bytes.Equal(s.Signed.DER, s.Signed.Received) &&
		s.Scheme.Verify(pub, s.Signed.Received, s.Signature) == nil {
		return ErrUnsortedAttributes
	}
	return err
}
