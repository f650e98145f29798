package pdf

import "fmt"

// objectStream is a decoded object stream (ISO 32000-2, 7.5.7).
type objectStream struct {
	data    []byte
	numbers []int // object number of each index
	offsets []int // where it begins in data
}

// fromObjectStream reads the object at index of object stream stm.
func (f *File) fromObjectStream(stm, index, num int) (Object, error) {
	s, err := f.objectStream(stm)
	if err != nil {
		return nil, fmt.Errorf("object stream %d: %w", stm, err)
	}
	if index < 0 || index >= len(s.numbers) || s.numbers[index] != num {
		return nil, damaged("object %d is not where the cross-reference says in object stream %d", num, stm)
	}
	p := &parser{lexer: lexer{buf: s.data, pos: s.offsets[index], final: true}, limits: f.limits}
	obj, err := p.object()
	if err2 := f.spend(p.cost(s.offsets[index])); err2 != nil {
		return nil, err2
	}
	if err != nil {
		return nil, fmt.Errorf("object %d in object stream %d: %w", num, stm, err)
	}
	return obj, nil
}

func (f *File) objectStream(num int) (*objectStream, error) {
	if s, ok := f.streams[num]; ok {
		return s, nil
	}
	e, err := f.entry(num)
	if err != nil {
		return nil, err
	}
	if e.kind != entryInUse {
		return nil, damaged("it is not an object of the file itself")
	}
	obj, err := f.load(Ref{Num: num, Gen: e.gen()})
	if err != nil {
		return nil, err
	}
	stm, ok := obj.(*Stream)
	if !ok || stm.Dict.Get("Type") != Name("ObjStm") {
		return nil, damaged("it is not an object stream")
	}
	data, err := f.Decode(stm)
	if err != nil {
		return nil, err
	}
	s, err := f.splitObjectStream(stm.Dict, data)
	if err != nil {
		return nil, err
	}
	if len(f.streams) >= 8 || f.streamBytes()+len(data) > 16<<20 {
		clear(f.streams)
	}
	f.streams[num] = s
	return s, nil
}

func (f *File) streamBytes() int {
	n := 0
	for _, s := range f.streams {
		n += len(s.data)
	}
	return n
}

func (f *File) splitObjectStream(d *Dict, data []byte) (*objectStream, error) {
	n, ok1, err := f.Int(d.Get("N"))
	if err != nil {
		return nil, err
	}
	first, ok2, err := f.Int(d.Get("First"))
	if err != nil {
		return nil, err
	}
	if !ok1 || !ok2 || n < 0 || first < 0 || first > int64(len(data)) || n > int64(len(data)) {
		return nil, damaged("/N or /First is out of range")
	}
	s := &objectStream{data: data, numbers: make([]int, n), offsets: make([]int, n)}
	l := lexer{buf: data[:first], final: true}
	for i := range s.numbers {
		num, err1 := l.token()
		off, err2 := l.token()
		a, ok1 := num.(Integer)
		b, ok2 := off.(Integer)
		if err1 != nil || err2 != nil || !ok1 || !ok2 || a < 0 || a > Integer(f.limits.Objects) ||
			b < 0 || b > Integer(len(data))-Integer(first) {
			return nil, damaged("its index is malformed")
		}
		s.numbers[i], s.offsets[i] = int(a), int(first)+int(b)
	}
	return s, f.spend(int(first))
}
