package pades

import (
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

// parts are what the CMS is made of.
func (p *Prepared) parts(signature []byte) (cms.Parts, error) {
	alg, err := algorithmByName(p.Algorithm)
	if err != nil {
		return cms.Parts{}, err
	}
	if len(p.SignedAttributes) == 0 {
		return cms.Parts{}, fault.New(fault.Invalid, "the signer's certificate is not known yet")
	}
	attrs, err := cms.RestoreSignedAttributes(p.SignedAttributes, alg)
	if err != nil {
		return cms.Parts{}, err
	}
	return cms.Parts{Attributes: attrs, Signature: signature, Signer: p.Signer, Chain: p.Chain}, nil
}

// EmbedVerified completes a signature to B-B with a signature value over the
// DTBS/R that the caller has verified itself: a browser has the cryptography for
// it, and this way its program carries none. All else is checked.
func (p *Prepared) EmbedVerified(signature []byte) (*Patch, error) {
	parts, err := p.parts(signature)
	if err != nil {
		return nil, err
	}
	der, err := cms.AssembleVerified(parts)
	if err != nil {
		return nil, err
	}
	return p.embed(der)
}

func (p *Prepared) embed(der []byte) (*Patch, error) {
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
