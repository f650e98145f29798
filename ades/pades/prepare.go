package pades

import (
	"bytes"
	"crypto"
	"fmt"
	"io"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// unknownSigner is what is reserved for a CMS without time-stamp when the
// certificates are not known yet.
const unknownSigner = 12 << 10

// Options say how a document is to be signed.
type Options struct {
	// Algorithm is required; its hash is the digest of the byte range too.
	Algorithm signing.Algorithm
	// Time is the claimed time /M; required.
	Time time.Time
	// Signer is the signer's certificate in DER; without it SetSigner must be
	// called before anything is signed. Chain is further certificates to carry.
	Signer []byte
	Chain  [][]byte
	// Level is what the signature will be augmented to; it decides what is
	// reserved for a time-stamp. The zero value is B-LTA.
	Level Level
	// Field is the fully qualified name of an empty signature field to fill, or
	// of a field to make. Empty makes a field with a free name: an empty field
	// is never taken unless it is named.
	Field string
	// What the signature dictionary says beside the time; all optional. Reason
	// is excluded by Commitment and Policy (EN 319 142-1 §6.3).
	Name, Reason, Location, ContactInfo string
	// Commitment is the object identifier of a commitment type, Policy a
	// signature policy; both optional.
	Commitment string
	Policy     *cms.SignaturePolicy
	// Certify makes it a certification signature with that DocMDP level, 1 to 3.
	// It must be the first signature.
	Certify int
	// Appearance makes the signature visible; nil leaves it without a look.
	Appearance *Appearance
	// Reserve is how many bytes to reserve for the CMS; 0 means an estimate that
	// suffices for the certificates given.
	Reserve int
	// Password is asked if the document is encrypted.
	Password func() ([]byte, error)
	// Limits are the budgets for reading the document.
	Limits pdf.Limits
	// Sum computes digests in place of this package.
	Sum Sum
}

// Prepare appends a signature field to the document, or fills one, and computes
// what is to be signed. The document is read in pieces and hashed once. Refusals
// are faults with a code of this package or of ades/pdf.
func Prepare(doc io.ReaderAt, size int64, o Options) (*Prepared, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return Begin(size, o.Algorithm.Hash()).Prepare(doc, o)
}

// Prepare is the function Prepare for a document that has grown by p.
func (p *Patch) Prepare(doc io.ReaderAt, o Options) (*Prepared, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if p.Hash != o.Algorithm.Hash().String() {
		p = Begin(p.Size, o.Algorithm.Hash()).with(p.Bytes)
	}
	f, err := p.open(doc, o.Password, o.Limits)
	if err != nil {
		return nil, err
	}
	reserve, err := o.reserve()
	if err != nil {
		return nil, err
	}
	look, err := newStamp(o.Appearance)
	if err != nil {
		return nil, err
	}
	d, err := newDraft(f, o.Field, reserve)
	if err != nil {
		return nil, err
	}
	d.look = look
	if err := d.mayServe(&o); err != nil {
		return nil, err
	}
	if err := d.signature(&o); err != nil {
		return nil, err
	}
	out, err := d.finish(p, doc, o.Sum)
	if err != nil {
		return nil, err
	}
	out.Algorithm, out.Commitment, out.Policy = o.Algorithm.String(), o.Commitment, o.Policy
	if o.Signer != nil {
		err = out.SetSigner(o.Signer, o.Chain)
	}
	return out, err
}

func (o *Options) check() error {
	switch {
	case !o.Algorithm.Valid():
		return fault.New(fault.Invalid, "name the signature algorithm")
	case o.Time.IsZero():
		return fault.New(fault.Invalid, "name the time of signing")
	case o.Reason != "" && (o.Commitment != "" || o.Policy != nil):
		return fault.New(fault.Invalid, "a reason cannot stand beside a commitment type or a signature policy (EN 319 142-1 §6.3)")
	case o.Certify < 0 || o.Certify > 3:
		return fault.New(fault.Invalid, "a certification level is 1, 2 or 3")
	case o.Reserve < 0 || o.Reserve > 1<<24:
		return fault.New(fault.Invalid, "the reserve for the CMS is out of range")
	}
	return nil
}

// reserve is how many bytes the CMS may have.
func (o *Options) reserve() (int, error) {
	if o.Reserve > 0 {
		return o.Reserve, nil
	}
	timestamp := 0
	if o.Level.atLeast(T) {
		timestamp = cms.TimestampReserve
	}
	if o.Signer == nil {
		return unknownSigner + timestamp, nil
	}
	zeros := make([]byte, o.Algorithm.Hash().Size())
	attrs, err := cms.BuildSignedAttributes(zeros, o.Signer, o.Algorithm, cms.AttributeOptions{Commitment: o.Commitment, Policy: o.Policy})
	if err != nil {
		return 0, err
	}
	return cms.Estimate(cms.Sizing{Attributes: attrs, Signer: o.Signer, Chain: o.Chain, Timestamp: timestamp})
}

// draft is an update in the making that adds one signature dictionary.
type draft struct {
	f       *pdf.File
	u       *pdf.Update
	fields  []pdf.Field
	signed  []pdf.Signature
	field   string
	target  *pdf.Field // the field to fill; nil to make one
	reserve int

	look  *stamp   // nil for an invisible signature
	drawn *drawing // what looks share, once it is made

	ranges, contents *pdf.Reserved
	timestamp        bool
	warnings         []string
}

// newDraft finds the field, or a free name.
func newDraft(f *pdf.File, field string, reserve int) (*draft, error) {
	d := &draft{f: f, u: f.Update(), field: field, reserve: reserve}
	var err error
	if d.fields, err = f.Fields(); err != nil {
		return nil, err
	}
	if d.signed, err = f.Signatures(); err != nil {
		return nil, err
	}
	if err := d.chooseField(); err != nil {
		return nil, err
	}
	d.ranges = &pdf.Reserved{Text: bytes.Repeat([]byte{' '}, len("[0 ] ")+3*20)}
	hole := bytes.Repeat([]byte{'0'}, 2*reserve+2)
	hole[0], hole[len(hole)-1] = '<', '>'
	d.contents = &pdf.Reserved{Text: hole}
	return d, nil
}

// signature puts the signature dictionary and its field into the update.
func (d *draft) signature(o *Options) error {
	sig := pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("Sig")},
		pdf.Entry{Key: "Filter", Value: pdf.Name("Adobe.PPKLite")},
		pdf.Entry{Key: "SubFilter", Value: pdf.Name("ETSI.CAdES.detached")},
		pdf.Entry{Key: "ByteRange", Value: d.ranges},
		pdf.Entry{Key: "Contents", Value: d.contents},
		pdf.Entry{Key: "M", Value: pdf.String(pdf.FormatDate(o.Time))},
	)
	for _, e := range []struct {
		key  pdf.Name
		text string
	}{{"Name", o.Name}, {"Reason", o.Reason}, {"Location", o.Location}, {"ContactInfo", o.ContactInfo}} {
		if e.text != "" {
			sig.Set(e.key, pdf.EncodeText(e.text))
		}
	}
	refs, err := d.transforms(o)
	if err != nil {
		return err
	}
	if len(refs) > 0 {
		sig.Set("Reference", refs)
	}
	ref := d.u.Add(sig)
	if o.Certify > 0 {
		if err := d.setPerms(ref); err != nil {
			return err
		}
	}
	return d.place(ref)
}

// place makes or fills the field whose value is ref.
func (d *draft) place(ref pdf.Ref) error {
	if d.target != nil {
		return d.fill(ref)
	}
	if d.look != nil {
		return d.createVisible(ref)
	}
	return d.create(ref)
}

// finish writes the update, fills ByteRange and computes the digest.
func (d *draft) finish(p *Patch, doc io.ReaderAt, sum Sum) (*Prepared, error) {
	more, err := d.u.Bytes()
	if err != nil {
		return nil, err
	}
	start := p.Len()
	from, to, end := d.contents.Offset, d.contents.Offset+int64(len(d.contents.Text)), start+int64(len(more))
	out := &Prepared{
		Patch:     *p.with(more),
		Field:     d.field,
		Hole:      Hole{from, to - from},
		Reserve:   d.reserve,
		ByteRange: [4]int64{0, from, to, end - to},
		Timestamp: d.timestamp,
		Warnings:  d.warnings,
	}
	text := fmt.Appendf(nil, "[0 %d %d %d]", from, to, end-to)
	copy(out.Bytes[d.ranges.Offset-p.Size:], text)
	out.Digest, err = out.digest(doc, sum, out.Bytes[:from-p.Size], out.Bytes[to-p.Size:])
	return out, err
}

// hashName checks a hash for document time-stamps.
func hashName(h crypto.Hash) (string, error) {
	if signing.HashOID(h) == "" {
		return "", fault.New(fault.Invalid, "digest algorithm %s is not for new signatures", h).Because(signing.ErrAlgorithm)
	}
	return h.String(), nil
}
