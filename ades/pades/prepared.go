package pades

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"slices"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// Hole is where a CMS will stand: from the < of its hexadecimal string to
// behind the >, in the document with the patch.
type Hole struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// Prepared is a signature or document time-stamp that waits for its CMS. Its
// Bytes hold zeros in the hole. It is a plain value that survives as JSON; all
// that decides the signed bytes is fixed in it.
type Prepared struct {
	Patch

	// Field is the fully qualified name of the signature field.
	Field string `json:"field"`
	Hole  Hole   `json:"hole"`
	// Reserve is how many bytes the CMS may have.
	Reserve   int      `json:"reserve"`
	ByteRange [4]int64 `json:"byte_range"`
	// Digest is the digest of the byte range: the messageDigest of a signature,
	// the imprint of a document time-stamp.
	Digest []byte `json:"digest"`
	// Timestamp is whether this is a document time-stamp.
	Timestamp bool `json:"timestamp,omitempty"`

	// Algorithm is the signature algorithm by name; empty for a time-stamp.
	Algorithm string `json:"algorithm,omitempty"`
	// Signer is the signer's certificate, Chain further ones for the CMS.
	Signer []byte   `json:"signer,omitempty"`
	Chain  [][]byte `json:"chain,omitempty"`
	// SignedAttributes is the DER that is hashed to the DTBS/R; empty until the
	// certificate is known.
	SignedAttributes []byte `json:"signed_attributes,omitempty"`
	// DTBSR is the digest of SignedAttributes: what a signature service signs.
	DTBSR []byte `json:"dtbsr,omitempty"`

	Commitment string               `json:"commitment,omitempty"`
	Policy     *cms.SignaturePolicy `json:"policy,omitempty"`

	// Warnings are sentences for the person who signs.
	Warnings []string `json:"warnings,omitempty"`
}

// DTBS returns the digest to be signed, with its algorithm.
func (p *Prepared) DTBS() (signing.Digest, error) {
	if len(p.DTBSR) == 0 {
		return signing.Digest{}, fault.New(fault.Invalid, "the signer's certificate is not known yet")
	}
	h, err := hashByName(p.Hash)
	if err != nil {
		return signing.Digest{}, err
	}
	return signing.NewDigest(h, p.DTBSR)
}

// Imprint returns the digest of the byte range, with its algorithm: what a
// time-stamping authority gets for a document time-stamp.
func (p *Prepared) Imprint() (signing.Digest, error) {
	h, err := hashByName(p.Hash)
	if err != nil {
		return signing.Digest{}, err
	}
	return signing.NewDigest(h, p.Digest)
}

// SetSigner makes the signed attributes for a certificate that was not known
// when the document was prepared. The document's bytes stay as they are.
func (p *Prepared) SetSigner(cert []byte, chain [][]byte) error {
	if p.Timestamp {
		return fault.New(fault.Invalid, "a document time-stamp has no signer")
	}
	alg, err := algorithmByName(p.Algorithm)
	if err != nil {
		return err
	}
	attrs, err := cms.BuildSignedAttributes(p.Digest, cert, alg, p.attributeOptions())
	if err != nil {
		return err
	}
	p.Signer, p.Chain = cert, chain
	p.SignedAttributes, p.DTBSR = attrs.DER, attrs.DTBSR.Sum
	return nil
}

func (p *Prepared) attributeOptions() cms.AttributeOptions {
	return cms.AttributeOptions{Commitment: p.Commitment, Policy: p.Policy}
}

func algorithmByName(name string) (signing.Algorithm, error) {
	for a := signing.ECDSAWithSHA256; a.Valid(); a++ {
		if a.String() == name {
			return a, nil
		}
	}
	return 0, fault.New(fault.Invalid, "the signature algorithm %q is not known", name).Because(signing.ErrAlgorithm)
}

// Assemble makes the CMS from a signature value over the DTBS/R. The value is
// verified first.
func (p *Prepared) Assemble(signature []byte) ([]byte, error) {
	alg, err := algorithmByName(p.Algorithm)
	if err != nil {
		return nil, err
	}
	if len(p.SignedAttributes) == 0 {
		return nil, fault.New(fault.Invalid, "the signer's certificate is not known yet")
	}
	attrs, err := cms.RestoreSignedAttributes(p.SignedAttributes, alg)
	if err != nil {
		return nil, err
	}
	return cms.Assemble(cms.Parts{Attributes: attrs, Signature: signature, Signer: p.Signer, Chain: p.Chain})
}

// Embed puts the CMS, or the token of a document time-stamp, into the hole. It
// is checked first: that it is over this document, and has the form that the
// baseline demands. A CMS larger than Reserve is a fault with CodeReserve; the
// document must then be prepared again with a larger one, and signed again.
func (p *Prepared) Embed(der []byte) (*Patch, error) {
	if err := p.check(der); err != nil {
		return nil, err
	}
	if len(der) > p.Reserve {
		return nil, fault.New(fault.TooLarge, "the signature has %d bytes and %d were reserved; prepare the document again with a reserve of at least %d",
			len(der), p.Reserve, len(der)).WithCode(CodeReserve)
	}
	at := p.Hole.Offset - p.Size
	if at < 0 || p.Hole.Length != 2*int64(p.Reserve)+2 || at+p.Hole.Length > int64(len(p.Bytes)) {
		return nil, fault.New(fault.Invalid, "the prepared state is damaged")
	}
	q := p.Patch
	q.Bytes = slices.Clone(p.Bytes)
	hex.Encode(q.Bytes[at+1:], der)
	return &q, nil
}

func unfit(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, format, args...).WithCode(CodeCMS)
}

// check holds what came back against what was asked.
func (p *Prepared) check(der []byte) error {
	if p.Timestamp {
		return p.checkToken(der)
	}
	sd, err := cms.ParseSignedData(der)
	if err != nil {
		return unfit("the CMS cannot be read").Because(err)
	}
	if len(sd.Findings) > 0 {
		return unfit("the CMS is not as PAdES demands: %s", sd.Findings[0])
	}
	if len(sd.Signers) != 1 {
		return unfit("the CMS holds %d signatures instead of one", len(sd.Signers))
	}
	if sd.Content != nil || sd.ContentType != cms.OIDData {
		return unfit("the CMS holds content, and a signature in a PDF must be detached")
	}
	s := sd.Signers[0]
	if len(s.Findings) > 0 {
		return unfit("the CMS is not as PAdES demands: %s", s.Findings[0])
	}
	if h, err := hashByName(p.Hash); err != nil || s.Digest != h {
		return unfit("the CMS uses another digest algorithm than %s", p.Hash)
	}
	if err := s.VerifyContent(p.Digest); err != nil {
		return unfit("the CMS is over another document").Because(err)
	}
	cert := s.Certificate(sd.Certificates)
	if cert == nil {
		return unfit("the CMS lacks the signer's certificate")
	}
	if len(p.Signer) > 0 && !bytes.Equal(cert.Raw, p.Signer) {
		return unfit("the CMS is by another signer than the one it was prepared for")
	}
	if s.Signed == nil || len(s.Signed.CertIDs) == 0 || !s.Signed.CertIDs[0].Matches(cert) {
		return unfit("the CMS does not name the signer's certificate in its signed attributes")
	}
	if err := s.Verify(cert, p.Digest); err != nil {
		return unfit("the signature in the CMS does not verify").Because(err)
	}
	return nil
}

func (p *Prepared) checkToken(der []byte) error {
	imprint, err := p.Imprint()
	if err != nil {
		return err
	}
	return verifyToken(der, imprint)
}

// verifyToken checks that a token is over the digest and signed by the
// time-stamping certificate it carries, as far as that shows without trust.
func verifyToken(der []byte, d signing.Digest) error {
	token, err := cms.ParseTimestampToken(der)
	if err != nil {
		return unfit("the time-stamp cannot be read").Because(err)
	}
	if token.Info.Hash != d.Hash {
		return unfit("the time-stamp uses another digest algorithm than %s", d.Hash)
	}
	if err := token.VerifyDigest(d.Sum); err != nil {
		return unfit("the time-stamp is over other bytes").Because(err)
	}
	if _, err := token.Verify(nil); err != nil {
		return unfit("the time-stamp does not verify").Because(err)
	}
	return nil
}

// digestOf is the digest of data with the algorithm of that name.
func digestOf(h crypto.Hash, data []byte) signing.Digest {
	d := h.New()
	d.Write(data)
	return signing.Digest{Hash: h, Sum: d.Sum(nil)}
}
