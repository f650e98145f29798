package pades

import (
	"crypto"
	"encoding"
	"fmt"
	"hash"
	"io"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// Sum returns the digest of the whole original document followed by tail. A
// browser gives one that hashes with WebCrypto; otherwise the document is
// hashed here, once.
type Sum func(h crypto.Hash, tail ...[]byte) ([]byte, error)

func hashByName(name string) (crypto.Hash, error) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		if h.String() == name {
			return h, nil
		}
	}
	return 0, fmt.Errorf("digest algorithm %q: %w", name, signing.ErrAlgorithm)
}

// digest returns the digest of the original followed by tail, and keeps the
// state after the original.
func (p *Patch) digest(doc io.ReaderAt, sum Sum, tail ...[]byte) ([]byte, error) {
	h, err := hashByName(p.Hash)
	if err != nil {
		return nil, err
	}
	if sum != nil {
		d, err := sum(h, tail...)
		if err == nil && len(d) != h.Size() {
			err = fmt.Errorf("the host's digest has %d bytes", len(d))
		}
		return d, err
	}
	d, err := p.resume(doc, h)
	if err != nil {
		return nil, err
	}
	for _, t := range tail {
		d.Write(t)
	}
	return d.Sum(nil), nil
}

// resume returns a hash that has read the original.
func (p *Patch) resume(doc io.ReaderAt, h crypto.Hash) (hash.Hash, error) {
	d := h.New()
	if len(p.State) > 0 {
		u, ok := d.(encoding.BinaryUnmarshaler)
		if !ok {
			return nil, fmt.Errorf("%s cannot be resumed", h)
		}
		if err := u.UnmarshalBinary(p.State); err != nil {
			return nil, fault.New(fault.Invalid, "the saved state of the hash is damaged; prepare the document again").Because(err)
		}
		return d, nil
	}
	n, err := io.CopyBuffer(d, io.NewSectionReader(doc, 0, p.Size), make([]byte, 256<<10))
	if err != nil {
		return nil, fmt.Errorf("hash the document: %w", err)
	}
	if n != p.Size {
		return nil, fault.New(fault.Invalid, "the document is shorter than the one that was prepared").WithCode(CodeOriginal)
	}
	m, ok := d.(encoding.BinaryMarshaler)
	if !ok {
		return nil, fmt.Errorf("%s cannot be saved", h)
	}
	p.State, err = m.MarshalBinary()
	return d, err
}

// Original returns the digest of the original document, for an authorisation
// that names it (docHash). It costs nothing once the document was hashed here;
// with Options.Sum the host knows it itself.
func (p *Patch) Original() (signing.Digest, error) {
	h, err := hashByName(p.Hash)
	if err != nil {
		return signing.Digest{}, err
	}
	if len(p.State) == 0 {
		return signing.Digest{}, fault.New(fault.Invalid, "the document was not hashed here")
	}
	d, err := p.resume(nil, h)
	if err != nil {
		return signing.Digest{}, err
	}
	return signing.NewDigest(h, d.Sum(nil))
}
