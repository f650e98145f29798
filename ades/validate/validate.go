package validate

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
)

// Options are what a judgement rests on besides the file.
type Options struct {
	// Anchors are the trusted certificates. Without any, nothing passes.
	Anchors []*x509.Certificate
	// Certificates are further ones that may be needed for a chain.
	Certificates []*x509.Certificate
	// ExtraCRLs and ExtraOCSPs are revocation data (DER) besides the file's own.
	ExtraCRLs, ExtraOCSPs [][]byte
	// Now is when to judge; nil is time.Now.
	Now func() time.Time
	// Password is asked if the file is encrypted and the empty password does not fit.
	Password func() ([]byte, error)
	// Limits are the reader's budgets; zero fields mean its defaults.
	Limits pdf.Limits
	// Digest gives the digest of a ByteRange of the file, for a caller who has read
	// it already and would have to read it again; nil leaves it to this package, and
	// so does a nil digest. The ranges lie inside the file.
	Digest func(h crypto.Hash, byteRange []int64) ([]byte, error)
}

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// limits gives large files the work that comparing their revisions takes: every
// object is read once for each.
func (o Options) limits(size int64) pdf.Limits {
	l := o.Limits
	if l.Work == 0 {
		l.Work = 512<<20 + 40*size
	}
	return l
}

func (o Options) evidence() *evidence {
	e := newEvidence(o.Anchors, o.now())
	e.addCerts(o.Certificates)
	e.addCRL(o.ExtraCRLs, source{})
	e.addOCSP(o.ExtraOCSPs, source{})
	return e
}

// ErrNoSignature is in the chain of the error that File returns for a readable
// PDF without a signature.
var ErrNoSignature = errors.New("no signature")

// File judges every signature of a PDF. The report is never nil: if the file
// cannot be read or holds no signature, the error, a fault of kind Invalid,
// stands in Report.Error too. An error of reading r itself is passed on.
func File(r io.ReaderAt, size int64, o Options) (*Report, error) {
	report := &Report{Now: o.now(), Trusted: len(o.Anchors) > 0}
	err := judgeFile(report, r, size, o)
	if err != nil {
		report.Signatures, report.Timestamps = nil, nil
		report.Error = fault.Of(err).Detail
	}
	return report, err
}

func judgeFile(report *Report, r io.ReaderAt, size int64, o Options) error {
	f, err := pdf.Open(r, size, pdf.Options{Password: o.Password, Limits: o.limits(size)})
	if err != nil {
		return err
	}
	d := &document{r: r, f: f, e: o.evidence(), report: report, given: o.Digest}
	if d.signatures, err = f.Signatures(); err != nil {
		return err
	}
	d.hashes = newHashes(r, d.signatures)
	if d.revisions, err = f.Revisions(); err != nil {
		return err
	}
	report.Revisions = len(d.revisions)
	if len(d.signatures) > maxSignatures {
		return fault.New(fault.Invalid, "the PDF holds %d signatures, more than %d are not judged", len(d.signatures), maxSignatures)
	}
	if len(d.signatures) == 0 {
		return fault.New(fault.Invalid, "the PDF holds no signature").WithCode("no_signature").Because(ErrNoSignature)
	}
	if err := d.gather(); err != nil {
		return err
	}
	d.judgeDocumentTimestamps()
	if err := d.judgeSignatures(); err != nil {
		return err
	}
	if d.ioErr != nil {
		return d.ioErr
	}
	if len(report.Signatures) == 0 {
		report.Error = "the PDF holds a document time-stamp but no signature"
	}
	return nil
}

// judgeDocumentTimestamps goes from the newest to the oldest, because a newer one
// proves that an older one existed.
func (d *document) judgeDocumentTimestamps() {
	d.stamps = map[int]*Timestamp{}
	for i := len(d.signatures) - 1; i >= 0; i-- {
		s := &d.signatures[i]
		if !isTimestamp(s) {
			continue
		}
		control, proved := d.e.now, false
		if t := d.proof(s.Revision + 1); !t.IsZero() {
			control, proved = t, true
		}
		t := d.e.judgeToken(DocumentTimestamp, s.Contents, d.digestOf(s), control, proved)
		t.Field, t.Revision = s.Field.Name, s.Revision
		if broken := rangeProblems(s); len(broken) > 0 {
			t.Verdict, t.Subindication, t.intact = Failed, FormatFailure, false
			t.Errors = append(broken, t.Errors...)
		}
		d.stamps[i] = t
		d.report.Timestamps = append([]*Timestamp{t}, d.report.Timestamps...)
	}
}

// proof is the earliest time at which passed document time-stamps prove that
// revision n existed, or zero.
func (d *document) proof(n int) time.Time {
	var best time.Time
	for _, t := range d.stamps {
		if p := t.stampTime(); n > 0 && t.Revision >= n && !p.IsZero() && (best.IsZero() || p.Before(best)) {
			best = p
		}
	}
	return best
}

func rangeProblems(s *pdf.Signature) []string {
	var out []string
	for _, p := range s.Problems {
		out = append(out, "the signed byte range is wrong: "+string(p))
	}
	return out
}

func (d *document) judgeSignatures() error {
	for i := range d.signatures {
		s := &d.signatures[i]
		if isTimestamp(s) {
			continue
		}
		out, err := d.judgeSignature(s)
		if err != nil {
			return err
		}
		d.report.Signatures = append(d.report.Signatures, out)
	}
	return nil
}

func (d *document) judgeSignature(s *pdf.Signature) (*Signature, error) {
	out := &Signature{
		Field: s.Field.Name, ClaimedTime: s.Time, Revision: s.Revision, Reason: s.Reason, Location: s.Location,
		Level: "PDF-NOT-ETSI",
	}
	j := &subject{Signature: out, e: d.e, digest: d.digestOf(s)}
	for _, text := range rangeProblems(s) {
		j.p.fail(FormatFailure, text)
	}
	d.cover(out, s)
	sd := readCMS(j, s)
	if sd == nil {
		j.conclude()
		return out, nil
	}
	j.sd, j.info = sd, sd.Signers[0]
	d.judgeForm(j, s)
	if sha1Detached(s) {
		j.digest = sha1Digest(j.digest, sd)
	}
	intact := j.verifyBytes()
	for i, t := range d.stamps {
		if s.Revision > 0 && t.Revision > s.Revision && d.signatures[i].Field.Name != s.Field.Name {
			out.Timestamps = append(out.Timestamps, t)
		}
	}
	sortStamps(out.Timestamps)
	if intact {
		j.later = d.proof(s.Revision + 1)
	}
	j.verifyTimestamps()
	j.verifyTrust()
	if s.Revision > 0 && len(s.Problems) == 0 {
		if err := d.judgeChanges(j, s); errors.Is(err, fault.Invalid) {
			j.p.doubt(SigConstraintsFailure, "what was changed after signing cannot be told: "+fault.Of(err).Detail)
		} else if err != nil {
			return nil, err
		}
	}
	d.level(j, s)
	j.conclude()
	return out, nil
}

// readCMS parses the signature's contents; nil if they hold no signature.
func readCMS(j *subject, s *pdf.Signature) *cms.SignedData {
	if s.SubFilter == "adbe.x509.rsa_sha1" {
		j.p.doubt(Generic, "the signature is of the old kind adbe.x509.rsa_sha1 over SHA-1, which is not judged here")
		return nil
	}
	sd, err := cms.ParseSignedData(s.Contents)
	if err != nil {
		j.p.fail(FormatFailure, "the signature's contents are no readable CMS")
		return nil
	}
	if len(sd.Signers) == 0 {
		j.p.fail(FormatFailure, "the signature's contents hold no signature")
		return nil
	}
	return sd
}

// cover says what of the file the signature is over.
func (d *document) cover(out *Signature, s *pdf.Signature) {
	n := len(d.revisions)
	switch {
	case s.Revision == 0:
		out.Covers = "unclear: the signed range does not end where a revision ends"
	case s.Revision == n && s.CoversFile:
		out.Covers, out.WholeDocument = "whole document", true
	case s.Revision == n:
		out.Covers = fmt.Sprintf("revision %d of %d, but bytes that belong to no revision follow", n, n)
	default:
		out.Covers = fmt.Sprintf("revision %d of %d", s.Revision, n)
	}
}

// sha1Detached is the old SubFilter whose CMS encapsulates SHA-1 of the bytes.
func sha1Detached(s *pdf.Signature) bool { return s.SubFilter == "adbe.pkcs7.sha1" }

// sha1Digest digests the encapsulated SHA-1 once it is compared with the bytes.
func sha1Digest(bytes func(crypto.Hash) ([]byte, error), sd *cms.SignedData) func(crypto.Hash) ([]byte, error) {
	return func(h crypto.Hash) ([]byte, error) {
		sum, err := bytes(crypto.SHA1)
		if err != nil {
			return nil, err
		}
		w := h.New()
		if string(sum) != string(sd.Content) {
			w.Write(sum) // differs from what was signed: the digest will not fit
			return w.Sum(nil), nil
		}
		w.Write(sd.Content)
		return w.Sum(nil), nil
	}
}
