package pdf

import (
	"bytes"
	"errors"
	"io"
)

// Problem is one thing wrong with the byte range of a signature.
type Problem string

// The problems of byte ranges.
const (
	ProblemNoByteRange  Problem = "no /ByteRange of four whole numbers"
	ProblemNoContents   Problem = "no /Contents"
	ProblemZeroContents Problem = "/Contents is empty or all zeros"
	ProblemStart        Problem = "/ByteRange does not begin at byte 0"
	ProblemOverlap      Problem = "/ByteRange is out of order, overlaps or reaches outside the file"
	ProblemGap          Problem = "/ByteRange leaves out other bytes than the /Contents string"
	ProblemEnd          Problem = "/ByteRange does not end where a revision ends"
)

func (f *File) readRanges(s *Signature, d *Dict) error {
	ranges, err := f.Array(d.Get("ByteRange"))
	if err != nil {
		return err
	}
	for _, r := range ranges {
		n, ok, err := f.Int(r)
		if err != nil {
			return err
		}
		if !ok {
			s.ByteRange = nil
			break
		}
		s.ByteRange = append(s.ByteRange, n)
	}
	contents, err := f.Resolve(d.Get("Contents"))
	if err != nil {
		return err
	}
	str, _ := contents.(String)
	s.Contents = []byte(str)
	return nil
}

// judgeRanges compares ByteRange with the /Contents string as it lies in the
// file and with the revisions.
func (f *File) judgeRanges(s *Signature, revisions []Revision) error {
	problem := func(p Problem) { s.Problems = append(s.Problems, p) }
	if !s.Dict.Has("Contents") {
		problem(ProblemNoContents)
	} else if len(bytes.Trim(s.Contents, "\x00")) == 0 {
		problem(ProblemZeroContents)
	}
	if err := f.findHole(s); err != nil {
		return err
	}
	b := s.ByteRange
	if len(b) != 4 {
		problem(ProblemNoByteRange)
		return nil
	}
	if b[0] != 0 {
		problem(ProblemStart)
	}
	if b[0] < 0 || b[1] <= 0 || b[3] < 0 || b[1] > f.size-b[0] || b[2] <= b[0]+b[1] || b[2] > f.size || b[3] > f.size-b[2] {
		problem(ProblemOverlap)
		return nil
	}
	if s.HoleStart == 0 || b[0]+b[1] != s.HoleStart || b[2] != s.HoleEnd {
		problem(ProblemGap)
	}
	return f.judgeEnd(s, revisions)
}

func (f *File) judgeEnd(s *Signature, revisions []Revision) error {
	end := s.end()
	for _, r := range revisions {
		if end == r.End || (r.End > 0 && end < r.End && end >= r.End-2 && end > r.Start) {
			// The end of line behind %%EOF may be left out or be half in.
			s.Revision = r.Number
		}
	}
	rest, err := f.readAt(end, int(min(f.size-end, 4096)))
	if err != nil {
		return err
	}
	s.CoversFile = int64(len(rest)) == f.size-end && len(bytes.Trim(rest, " \t\r\n\f\x00")) == 0
	if s.CoversFile && s.Revision == 0 && len(revisions) > 0 && end >= revisions[len(revisions)-1].End {
		s.Revision = len(revisions)
	}
	if s.Revision == 0 {
		s.Problems = append(s.Problems, ProblemEnd)
	}
	return nil
}

// findHole finds the /Contents string where the signature dictionary lies in
// the file. It stays unknown if the dictionary is in an object stream, or its
// /Contents is indirect or not hexadecimal.
func (f *File) findHole(s *Signature) error {
	ref := s.Ref
	if ref == (Ref{}) {
		ref = s.Field.Ref
	}
	e, err := f.entry(ref.Num)
	if err != nil || e.kind != entryInUse {
		return err
	}
	_, err = f.parseAt(e.a, func(p *parser) error {
		s.HoleStart, s.HoleEnd = 0, 0
		if _, err := p.header(); err != nil {
			return err
		}
		h := holeFinder{parser: p}
		if err := h.find(s.Ref == (Ref{})); err != nil {
			return err
		}
		if h.end > 0 {
			s.HoleStart, s.HoleEnd = e.a+int64(h.start), e.a+int64(h.end)
		}
		return nil
	})
	if isLimit(err) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return nil // a malformed one has no hole
}

// holeFinder reads tokens up to the last /Contents of the right dictionary.
type holeFinder struct {
	*parser

	start, end int
}

// find looks for /Contents in the dictionary that follows, or, for a signature
// that is direct in its field, in the value of its V.
func (h *holeFinder) find(inField bool) error {
	if t, err := h.token(); err != nil || t != keyword("<<") {
		return err
	}
	for {
		t, err := h.token()
		if err != nil {
			return err
		}
		key, ok := t.(Name)
		if !ok {
			return nil
		}
		if inField && key == "V" {
			if err := h.find(false); err != nil {
				return err
			}
			continue
		}
		if err := h.skipSpace(); err != nil {
			return err
		}
		start := h.pos
		value, err := h.object()
		if err != nil {
			return err
		}
		if _, ok := value.(String); ok && !inField && key == "Contents" && h.buf[start] == '<' {
			h.start, h.end = start, h.pos
		}
	}
}
