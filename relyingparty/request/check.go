package request

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/documents"
)

// CodeVerification says that a stored revision does not verify.
const CodeVerification = "verification_failed"

// Checked is what was found in a new revision.
type Checked struct {
	Field   string // of the new signature
	Verdict string
	Level   string
	Subject string // of its certificate
	Covers  string // how many earlier signatures it covers, and how many bytes
}

// check verifies new revisions in the store, before anybody goes on from them: each
// is the earlier revision and something appended, has exactly one new signature over
// all that was there before, and no signature that was good is broken.
func (s *Service) check(ctx context.Context, r Request, made []documents.Document, level pades.Level) ([]Checked, error) {
	var list []Checked
	for i, d := range r.Documents {
		before, err := s.config.Documents.Document(ctx, r.Org, d.Stored)
		if err != nil {
			return nil, err
		}
		c, err := s.checkOne(ctx, before, made[i], level)
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
			return nil, fault.New(fault.Unavailable, "%s: %s", d.Name, f.Detail).WithCode(CodeVerification).Because(err)
		}
		if err != nil {
			return nil, fmt.Errorf("verify %s: %w", d.Name, err)
		}
		list = append(list, c)
	}
	return list, nil
}

func refuse(format string, args ...any) error {
	return fault.New(fault.Unavailable, format, args...).WithCode(CodeVerification)
}

func (s *Service) checkOne(ctx context.Context, before, after documents.Document, level pades.Level) (c Checked, err error) {
	if err := s.config.Documents.Verify(ctx, after); err != nil {
		return c, err
	}
	old, err := os.Open(s.config.Documents.Path(before))
	if err != nil {
		return c, fmt.Errorf("open revision: %w", err)
	}
	defer func() { _ = old.Close() }() // only read
	f, err := os.Open(s.config.Documents.Path(after))
	if err != nil {
		return c, fmt.Errorf("open revision: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	if err := appended(f, before, after); err != nil {
		return c, err
	}
	was, err := signatures(old, before.Size)
	if err != nil {
		return c, err
	}
	is, err := signatures(f, after.Size)
	if err != nil {
		return c, err
	}
	sig, err := added(was, is)
	if err != nil {
		return c, err
	}
	if len(sig.ByteRange) != 4 || !sig.Exact() || sig.ByteRange[2]+sig.ByteRange[3] <= before.Size || sig.HoleStart < before.Size {
		return c, refuse("the new signature does not cover what was there before")
	}
	report, err := validate.File(f, after.Size, validate.Options{Anchors: s.config.Anchors, Now: s.config.Now})
	if err != nil {
		return c, err
	}
	broken, err := s.broken(old, before, was)
	if err != nil {
		return c, err
	}
	name := sig.Field.Name
	if err := report.Require(name, "PAdES-"+level.String(), broken...); err != nil {
		return c, err
	}
	at := slices.IndexFunc(report.Signatures, func(v *validate.Signature) bool { return v.Field == name })
	v := report.Signatures[at]
	return Checked{
		Field: name, Verdict: string(v.Verdict), Level: v.Level, Subject: v.Signer,
		Covers: fmt.Sprintf("%d earlier signatures, all %d bytes of the revision before", len(was), before.Size),
	}, nil
}

// appended checks that the earlier revision is the beginning of the new one.
func appended(f *os.File, before, after documents.Document) error {
	if after.Size <= before.Size {
		return refuse("the new revision is not longer than the one before")
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, before.Size)); err != nil {
		return fmt.Errorf("read revision: %w", err)
	}
	if !bytes.Equal(h.Sum(nil), before.SHA256) {
		return refuse("the new revision changes what was there before")
	}
	return nil
}

// signatures are the signatures of a file, without document time-stamps.
func signatures(f *os.File, size int64) (list []pdf.Signature, err error) {
	doc, err := pdf.Open(f, size, pdf.Options{})
	if err != nil {
		return nil, err
	}
	all, err := doc.Signatures()
	if err != nil {
		return nil, err
	}
	for _, x := range all {
		if x.Type != "DocTimeStamp" {
			list = append(list, x)
		}
	}
	return list, nil
}

// added is the one signature that is new.
func added(was, is []pdf.Signature) (sig pdf.Signature, err error) {
	n := 0
	for _, x := range is {
		if !slices.ContainsFunc(was, func(o pdf.Signature) bool { return o.Field.Name == x.Field.Name }) {
			sig, n = x, n+1
		}
	}
	if n != 1 || len(is) != len(was)+1 {
		return sig, refuse("the new revision has %d signatures more instead of one", len(is)-len(was))
	}
	return sig, nil
}

// broken are the signatures that did not verify before either: they came with the
// document and are not our doing.
func (s *Service) broken(f *os.File, d documents.Document, was []pdf.Signature) ([]string, error) {
	if len(was) == 0 {
		return nil, nil
	}
	report, err := validate.File(f, d.Size, validate.Options{Anchors: s.config.Anchors, Now: s.config.Now})
	if err != nil && !errors.Is(err, fault.Invalid) {
		return nil, err
	}
	var list []string
	for _, v := range report.Signatures {
		if v.Verdict == validate.Failed {
			list = append(list, v.Field)
		}
	}
	return list, nil
}
