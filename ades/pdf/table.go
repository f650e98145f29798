package pdf

import (
	"errors"
	"fmt"
)

// readTable reads the subsections and the trailer of a classic table.
func (f *File) readTable(s *section) error {
	off := s.at + int64(len("xref"))
	for range 1 << 16 {
		var first, count Integer
		var trailer bool
		end, err := f.parseAt(off, func(p *parser) (err error) {
			first, count, trailer, err = subsectionHead(p)
			return err
		})
		if err != nil {
			return err
		}
		if trailer {
			if err := s.order(); err != nil {
				return err
			}
			return f.readTrailer(s, end)
		}
		if count == 0 {
			off = end
			continue
		}
		if first+count > Integer(f.limits.Objects)+1 {
			return overLimit("its cross-reference names objects above number %d", f.limits.Objects)
		}
		sub := subsection{first: int(first), count: int(count)}
		if off, err = f.readRows(&sub, end); err != nil {
			return err
		}
		s.subs = append(s.subs, sub)
	}
	return overLimit("its cross-reference table has more than %d parts", 1<<16)
}

func subsectionHead(p *parser) (first, count Integer, trailer bool, err error) {
	t, err := p.token()
	if err != nil {
		return 0, 0, false, err
	}
	if t == keyword("trailer") {
		return 0, 0, true, nil
	}
	first, ok := t.(Integer)
	if t, err = p.token(); err != nil {
		return 0, 0, false, err
	}
	count, ok2 := t.(Integer)
	limit := Integer(p.limits.Objects) + 1
	if !ok || !ok2 || first < 0 || count < 0 {
		return 0, 0, false, damaged("its cross-reference table is malformed")
	}
	if first > limit || count > limit {
		return 0, 0, false, overLimit("its cross-reference names objects above number %d", p.limits.Objects)
	}
	return first, count, false, nil
}

// readRows finds the entries of a subsection whose head ends at off, and
// returns the offset behind them. Entries of exactly 20 bytes stay in the file.
func (f *File) readRows(sub *subsection, off int64) (int64, error) {
	head, err := f.readAt(off, 32)
	if err != nil {
		return 0, err
	}
	skip := 0
	for skip < len(head) && isSpace(head[skip]) {
		skip++
	}
	sub.at = off + int64(skip)
	end := sub.at + int64(sub.count)*20
	if end > f.size+2 { // the last entry may lack its end of line
		return f.readLooseRows(sub, off)
	}
	first, err := f.readAt(sub.at, 20)
	if err != nil {
		return 0, err
	}
	last, err := f.readAt(end-20, 24)
	if err != nil {
		return 0, err
	}
	_, ok1 := tableRow(first)
	_, ok2 := tableRow(last)
	if ok1 && ok2 && len(last) >= 20 && isSpace(last[18]) && isSpace(last[19]) && (len(last) == 20 || !isSpace(last[20]) || last[20] == ' ' || last[20] == '\r' || last[20] == '\n') {
		return end, nil
	}
	return f.readLooseRows(sub, off)
}

// readLooseRows reads entries that are not 20 bytes wide.
func (f *File) readLooseRows(sub *subsection, off int64) (int64, error) {
	if sub.count > 200_000 {
		return 0, damaged("its cross-reference table is malformed")
	}
	sub.table = make([]entry, 0, min(sub.count, 4096))
	for len(sub.table) < sub.count {
		// A window holds many entries; what is cut off at its end is read again.
		buf, err := f.readAt(off, 4096)
		if err != nil {
			return 0, err
		}
		if err := f.spend(len(buf)); err != nil {
			return 0, err
		}
		final := off+int64(len(buf)) >= f.size
		n, err := sub.looseRows(buf, final)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, damaged("its cross-reference table is malformed")
		}
		off += int64(n)
	}
	return off, nil
}

func (sub *subsection) looseRows(buf []byte, final bool) (int, error) {
	l := lexer{buf: buf, final: final}
	used := 0
	for len(sub.table) < sub.count {
		var t [3]any
		for i := range t {
			var err error
			if t[i], err = l.token(); err != nil {
				if errors.Is(err, errShort) {
					return used, nil
				}
				return 0, err
			}
		}
		a, ok1 := t[0].(Integer)
		b, ok2 := t[1].(Integer)
		e := entry{entryInUse, int64(a), int64(b)}
		if t[2] == keyword("f") {
			e.kind = entryFree
		} else if t[2] != keyword("n") {
			ok1 = false
		}
		if !ok1 || !ok2 || a < 0 || b < 0 || b > 65536 {
			return 0, damaged("its cross-reference table is malformed")
		}
		sub.table = append(sub.table, e)
		used = l.pos
	}
	return used, nil
}

func (f *File) readTrailer(s *section, off int64) error {
	end, err := f.parseAt(off, func(p *parser) error {
		obj, err := p.object()
		if err != nil {
			return err
		}
		d, ok := obj.(*Dict)
		if !ok {
			return damaged("its trailer is not a dictionary")
		}
		s.trailer = d
		return nil
	})
	if err != nil {
		return fmt.Errorf("trailer: %w", err)
	}
	s.end = end
	return nil
}

// tableRow reads "nnnnnnnnnn ggggg n" and its end of line.
func tableRow(line []byte) (entry, bool) {
	if len(line) < 18 || line[10] != ' ' || line[16] != ' ' {
		return entry{}, false
	}
	a, ok1 := decimal(line[:10])
	b, ok2 := decimal(line[11:16])
	if !ok1 || !ok2 {
		return entry{}, false
	}
	switch line[17] {
	case 'n':
		return entry{entryInUse, a, b}, true
	case 'f':
		return entry{entryFree, a, b}, true
	}
	return entry{}, false
}

func decimal(digits []byte) (int64, bool) {
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
