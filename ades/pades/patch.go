package pades

import (
	"crypto"
	"fmt"
	"io"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
)

// The codes of the faults that this package makes beside those of ades/pdf.
const (
	// CodeCertified says that a signature forbids this change (DocMDP).
	CodeCertified = "pdf_certified"
	// CodeLocked says that a signature locked the field (FieldMDP).
	CodeLocked = "pdf_field_locked"
	// CodeField says that the field is missing, filled, ambiguous or none for signatures.
	CodeField = "pdf_field"
	// CodeSeedValue says that the field's seed value asks for something else.
	CodeSeedValue = "pdf_seed_value"
	// CodePermission says that the encryption does not permit the change.
	CodePermission = "pdf_permission"
	// CodeReserve says that the CMS is larger than what was reserved for it.
	CodeReserve = "cms_too_large"
	// CodeCMS says that the CMS or the token does not fit the document.
	CodeCMS = "cms_unfit"
	// CodeOriginal says that the document is not the one that was prepared.
	CodeOriginal = "pdf_other_document"
)

// Patch is what has to be appended to a document. It is a plain value that
// survives as JSON.
type Patch struct {
	// Size is the length of the original document.
	Size int64 `json:"size"`
	// Bytes follow the original.
	Bytes []byte `json:"bytes"`
	// Hash is the digest algorithm of State: SHA-256, SHA-384 or SHA-512.
	Hash string `json:"hash"`
	// State is the state of the hash after the original, so that later steps
	// need not read it again; empty if Options.Sum made the digests.
	State []byte `json:"state,omitempty"`
}

// Begin returns the empty patch of a document that is to be augmented without
// signing it: renewal, or a document time-stamp alone.
func Begin(size int64, hash crypto.Hash) *Patch {
	return &Patch{Size: size, Hash: hash.String()}
}

// Len returns the length of the document with the patch.
func (p *Patch) Len() int64 { return p.Size + int64(len(p.Bytes)) }

// Reader reads the document with the patch; doc is the original.
func (p *Patch) Reader(doc io.ReaderAt) io.ReaderAt { return pdf.Concat(doc, p.Size, p.Bytes) }

// WriteTo copies the original and the patch to w and returns the number of bytes.
func (p *Patch) WriteTo(w io.Writer, doc io.ReaderAt) (int64, error) {
	n, err := io.CopyBuffer(plain{w}, io.NewSectionReader(doc, 0, p.Size), make([]byte, 256<<10))
	if err != nil {
		return n, fmt.Errorf("copy the document: %w", err)
	}
	if n != p.Size {
		return n, fault.New(fault.Invalid, "the document is shorter than the one that was prepared").WithCode(CodeOriginal)
	}
	m, err := w.Write(p.Bytes)
	return n + int64(m), err
}

// plain hides ReadFrom, which would copy with a buffer of its own choice.
type plain struct{ io.Writer }

func (p *Patch) open(doc io.ReaderAt, password func() ([]byte, error), l pdf.Limits) (*pdf.File, error) {
	return pdf.Open(p.Reader(doc), p.Len(), pdf.Options{Password: password, Limits: l})
}

// with returns a copy of the patch with more bytes.
func (p *Patch) with(more []byte) *Patch {
	q := *p
	q.Bytes = append(append(make([]byte, 0, len(p.Bytes)+len(more)), p.Bytes...), more...)
	return &q
}
