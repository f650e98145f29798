package pdf

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Signature is a signature field that has a value: a signature or a document
// time-stamp, as structure. Whether it verifies is not said here.
type Signature struct {
	Field Field
	// Ref is the signature dictionary, the zero Ref if it is direct.
	Ref  Ref
	Dict *Dict
	// Type is Sig or DocTimeStamp; Sig if the dictionary has none.
	Type              Name
	Filter, SubFilter Name
	// ByteRange is the array as it is; nil if it is not one of integers.
	ByteRange []int64
	// Contents is the decoded value, with its padding.
	Contents []byte
	// HoleStart and HoleEnd are where the hexadecimal string of /Contents lies in
	// the file, from its < to behind its >; 0 if it was not found as such.
	HoleStart, HoleEnd int64
	// Problems says what is wrong with ByteRange and /Contents; empty means
	// that the ranges begin at 0, leave out exactly the string and end at the
	// end of a revision.
	Problems []Problem
	// Revision is the number of the revision whose end the ranges reach, or 0.
	Revision int
	// CoversFile is whether the ranges end at the end of the file, or only white
	// space follows.
	CoversFile bool

	Name, Reason, Location, ContactInfo string
	// M is the time that the signer claims, as written; Time is zero if it is
	// absent or malformed.
	M    string
	Time time.Time
	// HasCert is whether the dictionary has /Cert, which PAdES forbids.
	HasCert bool
	// References are the signature reference dictionaries (12.8.2).
	References []Reference
	// Lock is the field's signature lock (12.7.5.5), if it has one.
	Lock *Lock
}

// Exact reports whether the byte range is exactly as it must be.
func (s *Signature) Exact() bool { return len(s.Problems) == 0 }

// Signed returns the bytes that the signature is over, as one stream. It fails
// if the ranges lie outside the file.
func (f *File) Signed(s *Signature) (io.Reader, error) {
	b := s.ByteRange
	if len(b) != 4 || b[0] < 0 || b[1] < 0 || b[2] < 0 || b[3] < 0 ||
		b[0] > f.size-b[1] || b[2] > f.size-b[3] {
		return nil, damaged("%s", ProblemOverlap)
	}
	return io.MultiReader(io.NewSectionReader(f.r, b[0], b[1]), io.NewSectionReader(f.r, b[2], b[3])), nil
}

// Signatures lists the signature fields that have a value, in the order of the
// ends of their ranges.
func (f *File) Signatures() ([]Signature, error) {
	if f.listed {
		return slices.Clone(f.signatures), nil
	}
	fields, err := f.Fields()
	if err != nil {
		return nil, err
	}
	revisions, err := f.Revisions()
	if err != nil {
		return nil, err
	}
	var out []Signature
	for _, x := range fields {
		if x.Type != "Sig" || x.Empty() {
			continue
		}
		s, err := f.signature(x, revisions)
		if err != nil {
			return nil, fmt.Errorf("signature field %q: %w", x.Name, err)
		}
		if s != nil {
			out = append(out, *s)
		}
	}
	slices.SortStableFunc(out, func(a, b Signature) int { return compare(a.end(), b.end()) })
	f.signatures, f.listed = out, true
	return slices.Clone(out), nil
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// end is where the ranges end; 0 if there are none.
func (s *Signature) end() int64 {
	if len(s.ByteRange) != 4 {
		return 0
	}
	return s.ByteRange[2] + s.ByteRange[3]
}

// signature reads one; nil if the value is null.
func (f *File) signature(x Field, revisions []Revision) (*Signature, error) {
	d, err := f.Dict(x.Value)
	if err != nil || d == nil {
		return nil, err
	}
	s := &Signature{Field: x, Dict: d, Type: "Sig", HasCert: d.Has("Cert")}
	s.Ref, _ = x.Value.(Ref)
	if t, err := f.Name(d.Get("Type")); err != nil {
		return nil, err
	} else if t != "" {
		s.Type = t
	}
	if s.Filter, err = f.Name(d.Get("Filter")); err != nil {
		return nil, err
	}
	if s.SubFilter, err = f.Name(d.Get("SubFilter")); err != nil {
		return nil, err
	}
	for key, to := range map[Name]*string{
		"Name": &s.Name, "Reason": &s.Reason, "Location": &s.Location, "ContactInfo": &s.ContactInfo, "M": &s.M,
	} {
		if *to, err = f.Text(d.Get(key)); err != nil {
			return nil, err
		}
	}
	s.Time, _ = ParseDate(s.M)
	if err := f.readRanges(s, d); err != nil {
		return nil, err
	}
	if s.References, err = f.references(d); err != nil {
		return nil, err
	}
	if s.Lock, err = f.lock(x.Dict.Get("Lock")); err != nil {
		return nil, err
	}
	return s, f.judgeRanges(s, revisions)
}
