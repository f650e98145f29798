package pdf

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/countersign/countersign/internal/fault"
)

// Update collects the objects of one incremental update (ISO 32000-2, 7.5.6).
// Nothing is written but what was Set; the bytes depend on nothing but the file
// and what was Set.
type Update struct {
	f       *File
	next    int
	objects map[Ref]Object
}

// Update begins an update of the file.
func (f *File) Update() *Update {
	return &Update{f: f, next: f.highest + 1, objects: map[Ref]Object{}}
}

// New returns the reference of an object that does not exist yet.
func (u *Update) New() Ref {
	u.next++
	return Ref{Num: u.next - 1}
}

// Add sets a new object and returns its reference.
func (u *Update) Add(obj Object) Ref {
	ref := u.New()
	u.Set(ref, obj)
	return ref
}

// Set makes obj the object with that reference. A reference to an object of
// the file overrides it, also one in an object stream.
func (u *Update) Set(ref Ref, obj Object) { u.objects[ref] = obj }

// Changed reports whether ref was set in this update.
func (u *Update) Changed(ref Ref) bool {
	_, ok := u.objects[ref]
	return ok
}

// Resolve follows obj if it is a reference, to what the update says or, if it
// says nothing, the file.
func (u *Update) Resolve(obj Object) (Object, error) {
	ref, ok := obj.(Ref)
	if !ok {
		return obj, nil
	}
	if v, ok := u.objects[ref]; ok {
		return v, nil
	}
	return u.f.Load(ref)
}

// EditDict returns a dictionary that may be changed and will be written in
// place of the one with that reference.
func (u *Update) EditDict(ref Ref) (*Dict, error) {
	obj, err := u.Resolve(ref)
	if err != nil {
		return nil, err
	}
	d, ok := obj.(*Dict)
	if !ok {
		return nil, damaged("object %d is not a dictionary", ref.Num)
	}
	if !u.Changed(ref) {
		d = d.Clone()
		u.Set(ref, d)
	}
	return d, nil
}

// Bytes returns the text that must follow the file: the objects, a
// cross-reference section of the form of the last one, and the trailer.
func (u *Update) Bytes() ([]byte, error) {
	f := u.f
	if u.next-1 > f.limits.Objects {
		return nil, overLimit("it would have more than %d objects", f.limits.Objects)
	}
	w := &writer{origin: f.size}
	if err := u.startOfLine(w); err != nil {
		return nil, err
	}
	refs := slices.SortedFunc(maps.Keys(u.objects), func(a, b Ref) int { return a.Num - b.Num })
	rows := make([]row, 0, len(refs)+1)
	for _, ref := range refs {
		rows = append(rows, row{ref, w.here() - f.base})
		if err := u.write(w, ref); err != nil {
			return nil, fmt.Errorf("write object %d: %w", ref.Num, err)
		}
	}
	if err := u.finish(w, rows); err != nil {
		return nil, err
	}
	return w.buf.Bytes(), nil
}

// startOfLine ends the last line of the file if it does not end itself.
func (u *Update) startOfLine(w *writer) error {
	last, err := u.f.readAt(max(0, u.f.size-1), 1)
	if err != nil {
		return err
	}
	if len(last) == 1 && last[0] != '\n' && last[0] != '\r' {
		w.put("\n")
	}
	return nil
}

// write writes one object, encrypted if the file is.
func (u *Update) write(w *writer, ref Ref) error {
	obj := u.objects[ref]
	if c := u.f.crypt; c != nil && ref != c.dict {
		if s, ok := obj.(*Stream); ok {
			names, params, err := u.f.filters(s.Dict)
			if err != nil {
				return err
			}
			m, err := u.f.streamMethod(s, names, params)
			if err != nil {
				return err
			}
			data, err := c.encrypt(m, ref, s.Data)
			if err != nil {
				return err
			}
			obj = &Stream{Dict: s.Dict, Data: data}
		}
		w.change = func(s String) (String, error) {
			b, err := c.encrypt(c.strings, ref, []byte(s))
			return String(b), err
		}
		defer func() { w.change = nil }()
	}
	fmt.Fprintf(w, "%d %d obj\n", ref.Num, ref.Gen)
	if err := w.object(obj, 0); err != nil {
		return err
	}
	w.put("\nendobj\n")
	return nil
}

// row is an entry of the new cross-reference section.
type row struct {
	ref Ref
	at  int64
}

// finish writes the cross-reference section and the trailer.
func (u *Update) finish(w *writer, rows []row) error {
	at := w.here() - u.f.base
	trailer, err := u.trailer(w)
	if err != nil {
		return err
	}
	if u.f.sections[0].stream {
		err = u.writeStream(w, trailer, rows, at)
	} else {
		err = u.writeTable(w, trailer, rows, at)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "startxref\n%d\n%%%%EOF\n", at)
	return nil
}

// trailer carries over the keys of the last trailer and nothing of the form of
// its section. The second half of ID changes with the content.
func (u *Update) trailer(w *writer) (*Dict, error) {
	old := u.f.Trailer()
	d := &Dict{}
	d.Set("Size", Integer(u.next))
	for _, key := range []Name{"Root", "Info", "Encrypt"} {
		if v := old.Get(key); v != nil {
			d.Set(key, v)
		}
	}
	first, err := u.firstID(w)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(w.buf.Bytes())
	second := sha256.Sum256(slices.Concat([]byte(first), fmt.Append(nil, u.f.size), sum[:]))
	d.Set("ID", Array{hexString(string(first)), hexString(second[:16])})
	d.Set("Prev", Integer(u.f.sections[0].at-u.f.base))
	for _, e := range old.Entries() {
		if !d.Has(e.Key) && !slices.Contains(sectionKeys, e.Key) {
			d.Set(e.Key, e.Value)
		}
	}
	return d, nil
}

// sectionKeys belong to one cross-reference section and are never carried over.
var sectionKeys = []Name{
	"XRefStm", "Type", "W", "Index", "Length", "Filter", "DecodeParms", "F", "FFilter", "FDecodeParms", "DL", "Crypt",
}

// firstID returns the first half of ID, made from the content if the file has none.
func (u *Update) firstID(w *writer) (String, error) {
	id, err := u.f.Array(u.f.Trailer().Get("ID"))
	if err != nil {
		return "", err
	}
	if len(id) > 0 {
		obj, err := u.f.Resolve(id[0])
		if err != nil {
			return "", err
		}
		if s, ok := obj.(String); ok {
			return s, nil
		}
	}
	head, err := u.f.readAt(0, int(min(u.f.size, 64<<10)))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(slices.Concat(head, w.buf.Bytes()))
	return String(sum[:16]), nil
}

// hexString is a string in hexadecimal, never encrypted, as file identifiers are.
func hexString[T ~string | ~[]byte](s T) *Reserved {
	return &Reserved{Text: fmt.Appendf(nil, "<%X>", []byte(s))}
}

// writeTable writes a classic table; trailer strings are never encrypted.
func (u *Update) writeTable(w *writer, trailer *Dict, rows []row, at int64) error {
	w.put("xref\n")
	for len(rows) > 0 {
		run := 1
		for run < len(rows) && rows[run].ref.Num == rows[run-1].ref.Num+1 {
			run++
		}
		fmt.Fprintf(w, "%d %d\n", rows[0].ref.Num, run)
		for _, r := range rows[:run] {
			if r.at > 9_999_999_999 {
				return tooLong(r.at)
			}
			fmt.Fprintf(w, "%010d %05d n \n", r.at, r.ref.Gen)
		}
		rows = rows[run:]
	}
	w.put("trailer\n")
	if err := w.object(trailer, 0); err != nil {
		return err
	}
	w.put("\n")
	if at > 9_999_999_999 {
		return tooLong(at)
	}
	return nil
}

func tooLong(at int64) error {
	return fault.New(fault.Invalid, "the PDF's classic cross-reference table cannot point at byte %d; it ends at 10 digits", at).WithCode(CodeTooLong)
}

// writeStream writes a cross-reference stream that lists itself. It is not
// compressed: there is little of it, and its bytes depend on no library.
func (u *Update) writeStream(w *writer, trailer *Dict, rows []row, at int64) error {
	ref := u.New()
	trailer.Set("Size", Integer(u.next))
	rows = append(rows, row{ref, at})
	width := 4
	for width < 8 && at>>(8*width) > 0 {
		width++
	}
	var data []byte
	var index Array
	for i, r := range rows {
		data = append(data, entryInUse)
		for shift := 8 * (width - 1); shift >= 0; shift -= 8 {
			data = append(data, byte(r.at>>shift&0xff))
		}
		data = append(data, byte(r.ref.Gen>>8&0xff), byte(r.ref.Gen&0xff))
		if i > 0 && r.ref.Num == rows[i-1].ref.Num+1 {
			n, _ := index[len(index)-1].(Integer)
			index[len(index)-1] = n + 1
		} else {
			index = append(index, Integer(r.ref.Num), Integer(1))
		}
	}
	d := NewDict(Entry{"Type", Name("XRef")}, Entry{"W", Array{Integer(1), Integer(width), Integer(2)}}, Entry{"Index", index})
	for _, e := range trailer.Entries() {
		d.Set(e.Key, e.Value)
	}
	fmt.Fprintf(w, "%d 0 obj\n", ref.Num)
	if err := w.object(&Stream{Dict: d, Data: data}, 0); err != nil {
		return err
	}
	w.put("\nendobj\n")
	return nil
}

// Concat reads a file followed by tail as one: what an update makes of it.
func Concat(r io.ReaderAt, size int64, tail []byte) io.ReaderAt {
	return &concat{r, size, tail}
}

type concat struct {
	r    io.ReaderAt
	size int64
	tail []byte
}

// ReadAt implements io.ReaderAt.
func (c *concat) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fault.New(fault.Invalid, "negative offset")
	}
	n := 0
	if off < c.size {
		want := p[:min(int64(len(p)), c.size-off)]
		got, err := c.r.ReadAt(want, off)
		n = got
		if got < len(want) {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	if n < len(p) {
		if at := off + int64(n) - c.size; at < int64(len(c.tail)) {
			n += copy(p[n:], c.tail[at:])
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
