package pdf

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/countersign/countersign/internal/fault"
)

// Revision is one generation of the file: what an incremental update added.
// Number 1 is the oldest.
type Revision struct {
	Number int
	// Start and End are where its bytes lie: a file that ended at End was whole.
	// End is behind the end of line after %%EOF, if there is one.
	Start, End int64
	// Form is the form of its cross-reference section.
	Form Form
	// Trailer is its trailer dictionary.
	Trailer *Dict

	section int // index of its newest section
}

// Revisions lists the revisions, the oldest first. The two sections of a
// linearised file are one revision. End is 0 if the bytes do not show where a
// revision ends.
func (f *File) Revisions() ([]Revision, error) {
	var out []Revision
	for i := 0; i < len(f.sections); i++ {
		s := f.sections[i]
		r := Revision{Form: s.form(), Trailer: s.trailer, section: i}
		if i+2 == len(f.sections) && f.sections[i+1].at > s.at {
			s = f.sections[i+1] // linearised: the first page's section comes first
			i++
		}
		end, err := f.endOfRevision(s.end, f.sections[r.section].at)
		if err != nil {
			return nil, err
		}
		r.End = end
		out = append(out, r)
	}
	slices.Reverse(out)
	for i := range out {
		out[i].Number = i + 1
		if i > 0 {
			out[i].Start = out[i-1].End
		}
	}
	return out, nil
}

// endOfRevision finds the %%EOF that belongs to the section at at, whose text
// ends at off: behind a startxref that follows at once or names the section.
func (f *File) endOfRevision(off, at int64) (int64, error) {
	buf, err := f.readAt(off, 4096)
	if err != nil {
		return 0, err
	}
	word := []byte("startxref")
	for from := 0; ; {
		i := bytes.Index(buf[from:], word)
		if i < 0 {
			return 0, nil
		}
		i += from
		from = i + len(word)
		between := bytes.TrimSpace(bytes.Replace(buf[:i], []byte("endobj"), nil, 1))
		l := lexer{buf: buf, pos: from, final: true}
		t, err := l.token()
		if n, ok := t.(Integer); err != nil || !ok || (len(between) > 0 && int64(n)+f.base != at) {
			continue
		}
		if end := endOfFile(buf, l.pos); end > 0 {
			return off + int64(end), nil
		}
		return 0, nil
	}
}

// endOfFile returns the offset behind %%EOF, which must come next, and its end
// of line.
func endOfFile(buf []byte, from int) int {
	mark := []byte("%%EOF")
	i := bytes.Index(buf[from:], mark)
	if i < 0 || len(bytes.TrimSpace(buf[from:from+i])) > 0 {
		return 0
	}
	end := from + i + len(mark)
	switch rest := buf[end:]; {
	case bytes.HasPrefix(rest, []byte("\r\n")):
		end += 2
	case bytes.HasPrefix(rest, []byte("\n")), bytes.HasPrefix(rest, []byte("\r")):
		end++
	}
	return end
}

// At returns the file as it was at the end of revision r. Objects are read
// through the sections of that time only, and nothing behind End is seen. It
// fails if a reader of that time would have begun at another section: then what
// it showed is not what the sections of today lead to.
func (f *File) At(r Revision) (*File, error) {
	if r.section < 0 || r.section >= len(f.sections) {
		return nil, damaged("there is no such revision")
	}
	size := r.End
	if size == 0 || r.section == 0 {
		size = f.size
	}
	old := newFile(io.NewSectionReader(f.r, 0, size), size, f.limits)
	old.work = f.work
	old.base, old.header, old.crypt = f.base, f.header, f.crypt
	old.sections = f.sections[r.section:]
	old.highest = f.highest
	if _, ok := old.Trailer().Get("Root").(Ref); !ok {
		return nil, damaged("the trailer of revision %d names no catalogue", r.Number)
	}
	if r.End == 0 || r.section == 0 {
		return old, nil
	}
	return old, old.beginsAt(old.sections[0].at, r.Number)
}

// beginsAt checks that the file, opened by itself, has its newest section at at
// and counts its offsets like f.
func (f *File) beginsAt(at int64, revision int) error {
	alone := newFile(f.r, f.size, f.limits)
	alone.work = f.work
	if err := alone.readHeader(); err != nil {
		return err
	}
	start, err := alone.startxref()
	if err != nil {
		return err
	}
	s, err := alone.newestSection(start)
	if isLimit(err) || (err != nil && !errors.Is(err, fault.Invalid)) {
		return err
	}
	if err != nil || s.at != at || alone.base != f.base {
		return damaged("revision %d by itself begins with another cross-reference section", revision)
	}
	return nil
}

// Change is an object that revisions in a range wrote or freed.
type Change struct {
	Num int
	// Old and New are the references before and after; nil if the object did
	// not exist, or exists no longer.
	Old, New *Ref
}

// Changes lists the objects that the revisions after from, up to and including
// to, mention in their cross-reference sections and that another place in the
// file holds since then, by number. An object that was written again with the
// same value is listed too: compare with Same.
func (f *File) Changes(from, to Revision) ([]Change, error) {
	if from.section < to.section {
		return nil, damaged("revisions are the wrong way round")
	}
	before, after := f.sections[from.section:], f.sections[to.section:]
	numbers := map[int]bool{}
	for _, s := range f.sections[to.section:from.section] {
		for _, part := range []*section{s, s.hidden} {
			if part == nil {
				continue
			}
			for _, sub := range part.subs {
				if err := f.spend(sub.count); err != nil {
					return nil, err
				}
				for i := range sub.count {
					numbers[sub.first+i] = true
				}
			}
		}
	}
	var out []Change
	for num := range numbers {
		a, err := f.entryIn(before, num)
		if err != nil {
			return nil, err
		}
		b, err := f.entryIn(after, num)
		if err != nil {
			return nil, err
		}
		if a == b || (a.kind == entryFree && b.kind == entryFree) {
			continue
		}
		out = append(out, Change{num, refOf(num, a), refOf(num, b)})
	}
	slices.SortFunc(out, func(a, b Change) int { return a.Num - b.Num })
	return out, nil
}

func refOf(num int, e entry) *Ref {
	if e.kind == entryFree {
		return nil
	}
	return &Ref{Num: num, Gen: e.gen()}
}

// Same reports whether objects of two files, such as two revisions of one, have
// the same value; streams are compared as they are encoded.
func Same(f *File, a Object, g *File, b Object) (bool, error) {
	if !Equal(a, b) {
		return false, nil
	}
	x, ok := a.(*Stream)
	if !ok {
		return true, nil
	}
	y, _ := b.(*Stream)
	p, err := f.Encoded(x)
	if err != nil {
		return false, err
	}
	q, err := g.Encoded(y)
	if err != nil {
		return false, err
	}
	return bytes.Equal(p, q), nil
}

// Holds reports whether the data of a stream end within the file, as its Length
// says or, where that is wrong, at the next endstream, which is where readers
// that repair files look. The stream may be one of a later revision, if its
// dictionary is the same.
func (f *File) Holds(s *Stream) (bool, error) {
	if !s.fromFile {
		return true, nil
	}
	const word = "endstream"
	n, ok, err := f.Int(s.Dict.Get("Length"))
	if err != nil {
		return false, err
	}
	if ok && n >= 0 && n <= f.size-s.at {
		tail, err := f.readAt(s.at+n, 16)
		if err != nil {
			return false, err
		}
		if bytes.HasPrefix(bytes.TrimLeft(tail, " \t\r\n\f\x00"), []byte(word)) {
			return true, nil
		}
	}
	for at := s.at; at < f.size; {
		window, err := f.readAt(at, 64<<10)
		if err != nil {
			return false, err
		}
		if err := f.spend(len(window)); err != nil {
			return false, err
		}
		if bytes.Contains(window, []byte(word)) {
			return true, nil
		}
		if at += int64(len(window)); at < f.size {
			at -= int64(len(word))
		}
	}
	return false, nil
}

// Encoded returns the data of a stream as its filters left it, decrypted.
func (f *File) Encoded(s *Stream) ([]byte, error) {
	if !s.fromFile {
		return s.Data, nil
	}
	data, _, err := f.raw(s)
	if err != nil {
		return nil, err
	}
	names, params, err := f.filters(s.Dict)
	if err != nil || s.clear {
		return data, err
	}
	return f.decryptStream(s, names, params, data)
}
