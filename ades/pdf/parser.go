package pdf

import (
	"errors"
	"slices"
)

// parser builds objects from tokens, within the limits.
type parser struct {
	lexer
	limits Limits
	values int
}

// cost is what parsing from offset start on takes from the work budget.
func (p *parser) cost(start int) int { return 32 + p.pos - start + 24*p.values }

// object reads one object. Two integers followed by R are a reference.
func (p *parser) object() (Object, error) { return p.objectAt(0) }

func (p *parser) objectAt(depth int) (Object, error) {
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	return p.from(t, depth)
}

// from completes the object that begins with token t.
func (p *parser) from(t any, depth int) (Object, error) {
	if depth > p.limits.Depth {
		return nil, overLimit("objects nest deeper than %d", p.limits.Depth)
	}
	if p.values++; p.values > p.limits.Values {
		return nil, overLimit("one object holds more than %d values", p.limits.Values)
	}
	switch t := t.(type) {
	case Integer:
		return p.integerOrRef(t)
	case Real:
		return t, nil
	case Name:
		return t, nil
	case String:
		return t, nil
	case keyword:
		switch t {
		case "<<":
			return p.dict(depth)
		case "[":
			return p.array(depth)
		case "true":
			return true, nil
		case "false":
			return false, nil
		case "null":
			return nil, nil
		case endOfData:
			return nil, damaged("the file ends inside an object")
		}
		return nil, damaged("%q stands where a value belongs", clip(string(t)))
	}
	return nil, damaged("unreadable object")
}

// integerOrRef looks whether a generation and R follow the integer. It looks at
// bytes, not tokens: arrays of numbers are common and long.
func (p *parser) integerOrRef(n Integer) (Object, error) {
	if n < 0 {
		return n, nil
	}
	back := p.pos
	gen, ok, err := p.generation()
	if err != nil {
		return nil, err
	}
	if !ok {
		p.pos = back
		return n, nil
	}
	if int64(n) > int64(p.limits.Objects) || gen > 65535 {
		return nil, nil // no such object: null (7.3.10)
	}
	return Ref{Num: int(n), Gen: gen}, nil
}

// generation reads "gen R"; ok is false, and pos anywhere, if that is not next.
func (p *parser) generation() (gen int, ok bool, err error) {
	if err := p.skipSpace(); err != nil {
		return 0, false, err
	}
	digits := 0
	for ; ; digits++ {
		more, err := p.more()
		if err != nil || !more {
			return 0, false, err
		}
		c := p.buf[p.pos]
		if c < '0' || c > '9' || digits > 9 {
			break
		}
		gen = gen*10 + int(c-'0')
		p.pos++
	}
	if c := p.buf[p.pos]; digits == 0 || digits > 9 || (!isSpace(c) && c != '%') {
		return 0, false, nil
	}
	if err := p.skipSpace(); err != nil {
		return 0, false, err
	}
	if r, err := p.at(0, 'R'); err != nil || !r {
		return 0, false, err
	}
	p.pos++
	more, err := p.more()
	if err != nil {
		return 0, false, err
	}
	return gen, !more || !isRegular(p.buf[p.pos]), nil
}

func (p *parser) array(depth int) (Object, error) {
	out := Array{}
	for {
		t, err := p.token()
		if err != nil {
			return nil, err
		}
		if t == keyword("]") {
			return out, nil
		}
		v, err := p.from(t, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
}

func (p *parser) dict(depth int) (Object, error) {
	d := &Dict{}
	var index map[Name]int // made when a scan would be slow
	for {
		t, err := p.token()
		if err != nil {
			return nil, err
		}
		if t == keyword(">>") {
			return d, nil
		}
		key, ok := t.(Name)
		if !ok {
			return nil, damaged("a dictionary key is not a name")
		}
		v, err := p.objectAt(depth + 1)
		if err != nil {
			return nil, err
		}
		if index == nil && len(d.entries) >= 32 {
			index = make(map[Name]int, 64)
			for i, e := range d.entries {
				index[e.Key] = i
			}
		}
		i, there := index[key]
		if index == nil {
			i = slices.IndexFunc(d.entries, func(e Entry) bool { return e.Key == key })
			there = i >= 0
		}
		if there {
			d.repeated = d.repeated || !Equal(d.entries[i].Value, v)
			d.entries[i].Value = v
			continue
		}
		if index != nil {
			index[key] = len(d.entries)
		}
		d.entries = append(d.entries, Entry{key, v})
	}
}

// header reads "num gen obj".
func (p *parser) header() (Ref, error) {
	var n [2]Integer
	for i := range n {
		t, err := p.token()
		if err != nil {
			return Ref{}, err
		}
		v, ok := t.(Integer)
		if !ok || v < 0 || int64(v) > int64(p.limits.Objects) {
			return Ref{}, damaged("no object begins where the cross-reference says so")
		}
		n[i] = v
	}
	t, err := p.token()
	if err != nil {
		return Ref{}, err
	}
	if t != keyword("obj") {
		return Ref{}, damaged("no object begins where the cross-reference says so")
	}
	return Ref{Num: int(n[0]), Gen: int(n[1])}, nil
}

// streamStart is called after a dictionary. It reports whether a stream
// follows and leaves pos at its first byte.
func (p *parser) streamStart() (bool, error) {
	back := p.pos
	t, err := p.token()
	if err != nil {
		if errors.Is(err, errShort) {
			return false, err
		}
		p.pos = back
		return false, nil
	}
	if t != keyword("stream") {
		p.pos = back
		return false, nil
	}
	cr, err := p.at(0, '\r')
	if err != nil {
		return false, err
	}
	if cr {
		p.pos++
	}
	lf, err := p.at(0, '\n')
	if err != nil {
		return false, err
	}
	if lf {
		p.pos++
	}
	if !cr && !lf {
		return false, damaged("no end of line after the word stream")
	}
	return true, nil
}

// clip shortens text from a file for a message.
func clip(s string) string {
	if len(s) > 24 {
		return s[:24] + "…"
	}
	return s
}
