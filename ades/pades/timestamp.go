package pades

import (
	"crypto"
	"io"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pdf"
)

// AugmentOptions say how a document is read that is augmented.
type AugmentOptions struct {
	// Password is asked if the document is encrypted.
	Password func() ([]byte, error)
	// Limits are the budgets for reading the document.
	Limits pdf.Limits
	// Sum computes digests in place of this package.
	Sum Sum
	// Reserve is how many bytes to reserve for the token of a document
	// time-stamp; 0 means enough for common authorities.
	Reserve int
	// Hash is the digest algorithm of a document time-stamp; 0 means the
	// patch's, so that the document is not read again.
	Hash crypto.Hash
}

// DocTimeStamp prepares a document time-stamp in a field of its own
// (EN 319 142-1 §5.4.3). ISO 32000-2 allows it after any certification. Send
// Imprint to an authority and Embed the token.
func (p *Patch) DocTimeStamp(doc io.ReaderAt, o AugmentOptions) (*Prepared, error) {
	if o.Hash != 0 {
		name, err := hashName(o.Hash)
		if err != nil {
			return nil, err
		}
		if name != p.Hash {
			p = Begin(p.Size, o.Hash).with(p.Bytes)
		}
	}
	f, err := p.open(doc, o.Password, o.Limits)
	if err != nil {
		return nil, err
	}
	reserve := o.Reserve
	if reserve <= 0 {
		reserve = cms.TimestampReserve
	}
	d, err := newDraft(f, "", reserve)
	if err != nil {
		return nil, err
	}
	if err := d.freeName("Timestamp"); err != nil {
		return nil, err
	}
	if err := d.encrypted(); err != nil {
		return nil, err
	}
	d.timestamp = true
	sig := d.u.Add(pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("DocTimeStamp")},
		pdf.Entry{Key: "Filter", Value: pdf.Name("Adobe.PPKLite")},
		pdf.Entry{Key: "SubFilter", Value: pdf.Name("ETSI.RFC3161")},
		pdf.Entry{Key: "ByteRange", Value: d.ranges},
		pdf.Entry{Key: "Contents", Value: d.contents},
	))
	if err := d.create(sig); err != nil {
		return nil, err
	}
	return d.finish(p, doc, o.Sum)
}
