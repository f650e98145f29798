package pdf

import (
	"bytes"
	"slices"
	"sort"
)

// The kinds of cross-reference entries, numbered as in cross-reference streams.
const (
	entryFree       = 0
	entryInUse      = 1 // a is the offset in the file, b the generation
	entryCompressed = 2 // a is the object stream's number, b the index in it
)

type entry struct {
	kind int
	a    int64
	b    int64
}

func (e entry) gen() int {
	if e.kind == entryCompressed {
		return 0
	}
	return int(e.b)
}

// section is one cross-reference section. Its entries stay in the file, or in
// the bytes of the decoded stream, until they are looked up.
type section struct {
	at      int64 // where it begins in the file
	end     int64 // behind its trailer or stream
	stream  bool  // a cross-reference stream
	trailer *Dict
	subs    []subsection
	mixed   bool     // subs are not in ascending order, or overlap
	hidden  *section // the stream that XRefStm names, in a hybrid file
}

// maxMixed is how many subsections may be out of order; they are searched one
// after the other.
const maxMixed = 64

// order looks whether the subsections ascend, as writers that sort have them.
// Where two list the same object, the first one counts.
func (s *section) order() error {
	for i := 1; i < len(s.subs); i++ {
		s.mixed = s.mixed || s.subs[i].first < s.subs[i-1].first+s.subs[i-1].count
	}
	if s.mixed && len(s.subs) > maxMixed {
		return overLimit("a cross-reference section has %d parts in no order", len(s.subs))
	}
	return nil
}

// find returns the subsection that lists num, nil if none does.
func (s *section) find(num int) *subsection {
	if s.mixed {
		i := slices.IndexFunc(s.subs, func(sub subsection) bool { return sub.lists(num) })
		if i < 0 {
			return nil
		}
		return &s.subs[i]
	}
	i := sort.Search(len(s.subs), func(i int) bool { return s.subs[i].first+s.subs[i].count > num })
	if i == len(s.subs) || !s.subs[i].lists(num) {
		return nil
	}
	return &s.subs[i]
}

// subsection is count entries from object number first on. They are at offset
// at of the file, 20 bytes each; or in rows; or in table, where the file does
// not keep to 20 bytes.
type subsection struct {
	first, count int
	at           int64
	rows         []byte
	width        [3]int
	table        []entry
}

func (sub *subsection) lists(num int) bool { return num >= sub.first && num-sub.first < sub.count }

// Form is the form of a cross-reference section.
type Form int

// The forms of cross-reference sections.
const (
	Table   Form = iota + 1 // a classic table
	XStream                 // a cross-reference stream
	Hybrid                  // a table whose trailer has XRefStm
)

func (s *section) form() Form {
	switch {
	case s.stream:
		return XStream
	case s.hidden != nil:
		return Hybrid
	}
	return Table
}

// sectionCost is what looking into one section is worth, in bytes of parsing.
const sectionCost = 4

// entry looks num up in all sections, the newest first.
func (f *File) entry(num int) (entry, error) { return f.entryIn(f.sections, num) }

func (f *File) entryIn(sections []*section, num int) (entry, error) {
	for i, s := range sections {
		e, ok, err := f.lookup(s, num)
		if err != nil || ok {
			if err == nil {
				err = f.spend(sectionCost * i)
			}
			return e, err
		}
	}
	return entry{}, f.spend(sectionCost * len(sections))
}

// lookup looks num up in one section. In a hybrid one an entry of XRefStm comes
// before a free one of the table (ISO 32000-2, 7.5.8.4).
func (f *File) lookup(s *section, num int) (entry, bool, error) {
	e, ok, err := f.row(s, num)
	if err != nil || (ok && e.kind != entryFree) || s.hidden == nil {
		return e, ok, err
	}
	if h, found, err := f.row(s.hidden, num); err != nil || found {
		return h, found, err
	}
	return e, ok, nil
}

func (f *File) row(s *section, num int) (entry, bool, error) {
	sub := s.find(num)
	if sub == nil {
		return entry{}, false, nil
	}
	e, err := f.subRow(sub, num-sub.first)
	if err != nil {
		return entry{}, false, err
	}
	if e.kind == entryInUse {
		if e.a == 0 {
			return entry{}, true, nil // some writers mark free entries so
		}
		e.a += f.base
	}
	return e, true, nil
}

func (f *File) subRow(sub *subsection, i int) (entry, error) {
	switch {
	case sub.table != nil:
		return sub.table[i], nil
	case sub.rows != nil:
		n := sub.width[0] + sub.width[1] + sub.width[2]
		return streamRow(sub.rows[i*n:(i+1)*n], sub.width), nil
	}
	line, err := f.readAt(sub.at+int64(i)*20, 20)
	if err != nil {
		return entry{}, err
	}
	e, ok := tableRow(line)
	if !ok {
		return entry{}, damaged("a cross-reference entry is malformed")
	}
	return e, nil
}

// readSections reads the section that startxref names and all it follows.
func (f *File) readSections(start int64) error {
	newest, err := f.newestSection(start)
	if err != nil {
		return err
	}
	seen := map[int64]bool{newest.at: true}
	for s := newest; ; {
		f.sections = append(f.sections, s)
		if prev := s.trailer.Get("Prev"); prev == nil || prev == Integer(0) {
			break // some writers say 0 for none
		}
		if len(f.sections) >= f.limits.Sections {
			return overLimit("it has more than %d cross-reference sections", f.limits.Sections)
		}
		at, err := f.offset(s.trailer, "Prev")
		if err != nil {
			return err
		}
		if s, err = f.readSection(at); err != nil {
			return err
		}
		if seen[s.at] {
			return damaged("its cross-reference sections lead in a circle")
		}
		seen[s.at] = true
	}
	for _, s := range f.sections {
		for _, part := range []*section{s, s.hidden} {
			if part == nil {
				continue
			}
			for _, sub := range part.subs {
				f.highest = max(f.highest, sub.first+sub.count-1)
			}
			if n, ok := part.trailer.Get("Size").(Integer); ok && n > 0 && int64(n) <= int64(f.limits.Objects) {
				f.highest = max(f.highest, int(n)-1)
			}
		}
	}
	return nil
}

// newestSection finds how the file counts its offsets: from its first byte or
// from the header, and whether startxref is off by a few bytes.
func (f *File) newestSection(start int64) (*section, error) {
	junk := f.base
	f.base = 0
	s, err := f.readSection(start)
	if err == nil {
		// With junk before the header both countings may find a section here
		// only if the objects decide; the first byte is tried first.
		if junk == 0 || f.rootIsThere(s) {
			return s, nil
		}
	}
	if isLimit(err) {
		return nil, err
	}
	if junk > 0 {
		f.base = junk
		if s, err2 := f.readSection(start + junk); err2 == nil {
			return s, nil
		}
		f.base = 0
	}
	if err == nil {
		return s, nil
	}
	if at, ok := f.nearbySection(start); ok {
		return f.readSection(at)
	}
	return nil, err
}

// rootIsThere reports whether s lists the catalogue at an offset that holds it.
func (f *File) rootIsThere(s *section) bool {
	root, ok := s.trailer.Get("Root").(Ref)
	if !ok {
		return false
	}
	e, ok, err := f.lookup(s, root.Num)
	if err != nil || !ok || e.kind != entryInUse {
		return err == nil
	}
	at, _, err := f.indirect(e.a)
	return err == nil && at == root
}

// nearbySection looks a few bytes around a wrong startxref for the one place
// where a section begins.
func (f *File) nearbySection(start int64) (int64, bool) {
	const reach = 32
	from := max(0, start-reach)
	if from >= f.size {
		return 0, false
	}
	buf, err := f.readAt(from, 2*reach+32)
	if err != nil {
		return 0, false
	}
	found, at := 0, int64(0)
	for i := range min(len(buf), 2*reach) {
		if i > 0 && !isSpace(buf[i-1]) && !bytes.HasSuffix(buf[:i], []byte("endobj")) {
			continue
		}
		if isSpace(buf[i]) || !sectionBegins(buf[i:]) {
			continue
		}
		found, at = found+1, from+int64(i)
	}
	return at, found == 1
}

func sectionBegins(b []byte) bool {
	if bytes.HasPrefix(b, []byte("xref")) {
		return true
	}
	p := &parser{lexer: lexer{buf: b, final: true}, limits: Limits{}.withDefaults()}
	_, err := p.header()
	return err == nil
}

// offset returns an offset that a trailer states, counted from the first byte.
func (f *File) offset(d *Dict, key Name) (int64, error) {
	n, ok := d.Get(key).(Integer)
	if !ok || n <= 0 || int64(n) >= f.size {
		return 0, damaged("/%s in its trailer points nowhere", key)
	}
	return int64(n) + f.base, nil
}

// readSection reads the table or stream at off.
func (f *File) readSection(off int64) (*section, error) {
	if off < 0 || off >= f.size {
		return nil, damaged("startxref or /Prev points outside the file")
	}
	head, err := f.readAt(off, 64)
	if err != nil {
		return nil, err
	}
	for len(head) > 0 && isSpace(head[0]) {
		head, off = head[1:], off+1
	}
	if !bytes.HasPrefix(head, []byte("xref")) {
		return f.readStreamSection(off)
	}
	s := &section{at: off}
	if err := f.readTable(s); err != nil {
		return nil, err
	}
	if s.trailer.Get("XRefStm") == nil {
		return s, nil
	}
	at, err := f.offset(s.trailer, "XRefStm")
	if err != nil {
		return nil, err
	}
	if s.hidden, err = f.readStreamSection(at); err != nil {
		return nil, err
	}
	return s, nil
}
