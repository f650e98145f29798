package validate

import (
	"crypto"
	"errors"
	"fmt"
	"io"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
)

// Limits that keep a hostile file from taking for ever.
const (
	maxSignatures = 500       // each may be over the whole file
	maxStores     = 32        // revisions whose DSS is read, the newest ones
	maxVisits     = 3_000_000 // objects visited to compare revisions
)

// document is one PDF while it is judged.
type document struct {
	r          io.ReaderAt
	f          *pdf.File
	given      func(crypto.Hash, []int64) ([]byte, error)
	hashes     *hashes
	e          *evidence
	report     *Report
	signatures []pdf.Signature
	revisions  []pdf.Revision
	// stamps holds the document time-stamps, beside their signature's index.
	stamps map[int]*Timestamp
	// dss is the oldest revision with a DSS, 0 if there is none.
	dss   int
	diffs map[int]*revisionDiff
	// opened is the revisions that were opened last.
	opened [2]openedRevision
	// visits is how many objects were visited to compare revisions.
	visits int
	// ioErr is a failure of the reader, which says nothing about the file.
	ioErr error
}

type openedRevision struct {
	number int
	f      *pdf.File
}

const subFilterTimestamp = "ETSI.RFC3161"

func isTimestamp(s *pdf.Signature) bool { return s.SubFilter == subFilterTimestamp }

// gather collects certificates and revocation data: from every CMS, and from the
// DSS of every revision, so that each is known with its age.
func (d *document) gather() error {
	for i := range d.signatures {
		sd, err := cms.ParseSignedData(d.signatures[i].Contents)
		if err != nil {
			continue // judged later
		}
		d.e.addSignedData(sd, source{embedded: true, revision: d.signatures[i].Revision})
	}
	for _, rev := range d.revisions[max(0, len(d.revisions)-maxStores):] {
		old, err := d.f.At(rev)
		if err != nil {
			continue // an unreadable old revision is no source; what needs it says so
		}
		dss, err := old.DSS()
		if err != nil || dss == nil {
			continue
		}
		if d.dss == 0 {
			d.dss = rev.Number
		}
		d.takeDSS(dss, rev.Number)
	}
	dss, err := d.f.DSS()
	switch {
	case errors.Is(err, fault.Invalid):
		d.e.note("the document security store cannot be read")
	case err != nil:
		return fmt.Errorf("read the document security store: %w", err)
	case dss != nil:
		d.takeDSS(dss, len(d.revisions))
	}
	return nil
}

func (d *document) takeDSS(dss *pdf.DSS, revision int) {
	from := source{embedded: true, revision: revision}
	d.e.addCertDER(dss.Certs)
	d.e.addOCSP(dss.OCSPs, from)
	d.e.addCRL(dss.CRLs, from)
	for _, v := range dss.VRI {
		d.e.addCertDER(v.Certs)
		d.e.addOCSP(v.OCSPs, from)
		d.e.addCRL(v.CRLs, from)
	}
}

// digestOf digests what a signature's ByteRange covers.
func (d *document) digestOf(s *pdf.Signature) func(crypto.Hash) ([]byte, error) {
	made := map[crypto.Hash][]byte{}
	return func(h crypto.Hash) ([]byte, error) {
		if sum, ok := made[h]; ok {
			return sum, nil
		}
		if _, err := d.f.Signed(s); err != nil {
			return nil, errors.New("the signed bytes cannot be read: the ByteRange lies outside the file")
		}
		if d.given != nil {
			sum, err := d.given(h, s.ByteRange)
			if err != nil {
				d.ioErr = fmt.Errorf("digest of the signed bytes: %w", err)
			}
			if sum != nil || err != nil {
				return sum, err
			}
		}
		sum, err := d.hashes.sum(h, s.ByteRange)
		if err != nil {
			d.ioErr = fmt.Errorf("read the signed bytes: %w", err)
			return nil, d.ioErr
		}
		made[h] = sum
		return sum, nil
	}
}
