package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/countersign/countersign/internal/fault"
)

// Options say how a file is opened. The zero value opens what needs no password.
type Options struct {
	// Password is asked once, and only if the file is encrypted and does not
	// open with the empty password. Either the user's or the owner's will do.
	Password func() ([]byte, error)
	// Limits are the budgets; zero fields mean the defaults.
	Limits Limits
}

// File is an open PDF. It reads lazily and keeps what it read, so it is not for
// use by several goroutines at once.
type File struct {
	r      io.ReaderAt
	size   int64
	limits Limits
	work   *int64 // shared with the revisions of At

	base     int64 // added to every offset the file states: junk before the header
	header   string
	sections []*section // newest first
	highest  int        // highest object number of any section
	crypt    *crypt

	objects map[int]Object
	weight  int // of objects, in values
	streams map[int]*objectStream
	loading map[int]bool

	signatures []Signature // after Signatures
	listed     bool
}

// Open reads the header, the cross-reference sections and the encryption
// dictionary of the size bytes in r. The error is a fault of kind Invalid with
// one of this package's codes if the file is at fault; an error of r is passed on.
func Open(r io.ReaderAt, size int64, o Options) (*File, error) {
	f := newFile(r, size, o.Limits.withDefaults())
	if err := f.readHeader(); err != nil {
		return nil, err
	}
	start, err := f.startxref()
	if err != nil {
		return nil, err
	}
	if err := f.readSections(start); err != nil {
		return nil, err
	}
	if _, ok := f.Trailer().Get("Root").(Ref); !ok {
		return nil, damaged("the trailer names no catalogue")
	}
	if err := f.openEncryption(o.Password); err != nil {
		return nil, err
	}
	if _, err := f.Catalog(); err != nil {
		return nil, err
	}
	return f, nil
}

func newFile(r io.ReaderAt, size int64, l Limits) *File {
	return &File{
		r: r, size: size, limits: l, work: &l.Work,
		objects: map[int]Object{}, streams: map[int]*objectStream{}, loading: map[int]bool{},
	}
}

// Size returns the length of the file in bytes.
func (f *File) Size() int64 { return f.size }

// Version returns the version of the header, such as "1.7".
func (f *File) Version() string { return f.header }

// Trailer returns the newest trailer dictionary.
func (f *File) Trailer() *Dict { return f.sections[0].trailer }

// Root returns the reference of the document catalogue.
func (f *File) Root() Ref {
	ref, _ := f.Trailer().Get("Root").(Ref)
	return ref
}

// Catalog returns the document catalogue.
func (f *File) Catalog() (*Dict, error) {
	d, err := f.Dict(f.Root())
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, damaged("the document catalogue is missing")
	}
	return d, nil
}

// readAt reads up to n bytes at off, fewer only at the end of the file.
func (f *File) readAt(off int64, n int) ([]byte, error) {
	if off < 0 || off > f.size {
		return nil, damaged("an offset points outside the file")
	}
	if rest := f.size - off; int64(n) > rest {
		n = int(rest)
	}
	buf := make([]byte, n)
	got, err := f.r.ReadAt(buf, off)
	if got == n {
		return buf, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("read PDF: %w", err)
}

func (f *File) readHeader() error {
	head, err := f.readAt(0, 1024)
	if err != nil {
		return err
	}
	i := bytes.Index(head, []byte("%PDF-"))
	if i < 0 {
		return fault.New(fault.Invalid, "this is not a PDF: it has no %%PDF header").WithCode(CodeNotPDF)
	}
	f.base = int64(i) // until startxref shows how this file counts
	v := head[i+5:]
	if end := bytes.IndexFunc(v, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); end >= 0 {
		v = v[:end]
	}
	f.header = string(v)
	return nil
}

// startxref finds the last startxref and returns its number.
func (f *File) startxref() (int64, error) {
	const tail = 64 << 10
	from := max(0, f.size-tail)
	buf, err := f.readAt(from, tail)
	if err != nil {
		return 0, err
	}
	for end := len(buf); ; {
		i := bytes.LastIndex(buf[:end], []byte("startxref"))
		if i < 0 {
			return 0, damaged("it has no startxref near its end")
		}
		l := lexer{buf: buf, pos: i + len("startxref"), final: true}
		if t, err := l.token(); err == nil {
			if n, ok := t.(Integer); ok && n >= 0 {
				return int64(n), nil
			}
		}
		if end != len(buf) {
			return 0, damaged("startxref is not followed by a number")
		}
		end = i
	}
}

// parseAt runs parse over a window of the file that begins at off and grows
// until parse is satisfied. It returns the offset behind what was parsed.
func (f *File) parseAt(off int64, parse func(*parser) error) (int64, error) {
	for window := 2048; ; window *= 4 {
		window = min(window, f.limits.ObjectBytes)
		buf, err := f.readAt(off, window)
		if err != nil {
			return 0, err
		}
		p := &parser{lexer: lexer{buf: buf, final: off+int64(len(buf)) >= f.size}, limits: f.limits}
		err = parse(p)
		if err2 := f.spend(p.cost(0)); err2 != nil {
			return 0, err2
		}
		if err == nil {
			return off + int64(p.pos), nil
		}
		if !errors.Is(err, errShort) {
			return 0, err
		}
		if window >= f.limits.ObjectBytes {
			return 0, overLimit("one object is longer than %d bytes", f.limits.ObjectBytes)
		}
	}
}

// indirect reads the object "num gen obj …" at off, not decrypted.
func (f *File) indirect(off int64) (ref Ref, obj Object, err error) {
	ref, obj, _, err = f.indirectTo(off)
	return ref, obj, err
}

// indirectTo is indirect; end is the offset behind the object, or where the data
// of a stream begin.
func (f *File) indirectTo(off int64) (ref Ref, obj Object, end int64, err error) {
	end, err = f.parseAt(off, func(p *parser) error {
		var err error
		if ref, err = p.header(); err != nil {
			return err
		}
		if obj, err = p.object(); err != nil {
			return err
		}
		d, ok := obj.(*Dict)
		if !ok {
			return nil
		}
		if ok, err = p.streamStart(); err != nil || !ok {
			return err
		}
		obj = &Stream{Dict: d, ref: ref, at: off + int64(p.pos), fromFile: true}
		return nil
	})
	return ref, obj, end, err
}

// Load returns the object with that reference, null if there is none. It never
// returns a Ref.
func (f *File) Load(ref Ref) (Object, error) {
	seen := 0
	var obj Object = ref
	for {
		r, ok := obj.(Ref)
		if !ok {
			return obj, nil
		}
		if seen++; seen > 32 {
			return nil, damaged("references lead in a circle")
		}
		var err error
		if obj, err = f.load(r); err != nil {
			return nil, err
		}
	}
}

func (f *File) load(ref Ref) (Object, error) {
	e, err := f.entry(ref.Num)
	if err != nil {
		return nil, err
	}
	if e.kind == entryFree || e.gen() != ref.Gen {
		return nil, nil
	}
	if obj, ok := f.objects[ref.Num]; ok {
		return obj, nil
	}
	if f.loading[ref.Num] {
		return nil, damaged("object %d contains itself", ref.Num)
	}
	f.loading[ref.Num] = true
	defer delete(f.loading, ref.Num)
	obj, err := f.fetch(ref, e)
	if err != nil {
		return nil, err
	}
	f.keep(ref.Num, obj)
	return obj, nil
}

// keep caches an object. The cache is emptied when it has grown to some
// megabytes.
func (f *File) keep(num int, obj Object) {
	w := weigh(obj)
	if f.weight += w; f.weight > 100_000 {
		clear(f.objects)
		f.weight = w
	}
	f.objects[num] = obj
}

// weigh counts the values in an object, a long string as many.
func weigh(obj Object) int {
	n := 1
	switch obj := obj.(type) {
	case String:
		n += len(obj) / 32
	case Array:
		for _, v := range obj {
			n += weigh(v)
		}
	case *Dict:
		for _, e := range obj.Entries() {
			n += 2 + weigh(e.Value)
		}
	case *Stream:
		n += weigh(obj.Dict)
	}
	return n
}

func (f *File) fetch(ref Ref, e entry) (Object, error) {
	if e.kind == entryCompressed {
		return f.fromObjectStream(int(e.a), int(e.b), ref.Num)
	}
	at, obj, err := f.indirect(e.a)
	if err != nil {
		return nil, fmt.Errorf("object %d: %w", ref.Num, err)
	}
	if at != ref {
		return nil, damaged("object %d %d is not where the cross-reference says", ref.Num, ref.Gen)
	}
	return f.decryptObject(obj, ref)
}

// Resolve follows obj if it is a reference.
func (f *File) Resolve(obj Object) (Object, error) {
	if ref, ok := obj.(Ref); ok {
		return f.Load(ref)
	}
	return obj, nil
}

// Dict resolves obj; nil if it is no dictionary. Of a stream it returns the
// stream's dictionary.
func (f *File) Dict(obj Object) (*Dict, error) {
	obj, err := f.Resolve(obj)
	if err != nil {
		return nil, err
	}
	switch d := obj.(type) {
	case *Dict:
		return d, nil
	case *Stream:
		return d.Dict, nil
	}
	return nil, nil
}

// Array resolves obj; nil if it is no array.
func (f *File) Array(obj Object) (Array, error) {
	obj, err := f.Resolve(obj)
	if err != nil {
		return nil, err
	}
	a, _ := obj.(Array)
	return a, nil
}

// Int resolves obj; ok is false if it is no integer.
func (f *File) Int(obj Object) (n int64, ok bool, err error) {
	obj, err = f.Resolve(obj)
	if err != nil {
		return 0, false, err
	}
	i, ok := obj.(Integer)
	return int64(i), ok, nil
}

// Name resolves obj; "" if it is no name.
func (f *File) Name(obj Object) (Name, error) {
	obj, err := f.Resolve(obj)
	if err != nil {
		return "", err
	}
	n, _ := obj.(Name)
	return n, nil
}

// Text resolves obj and decodes it as a text string; "" if it is no string.
func (f *File) Text(obj Object) (string, error) {
	obj, err := f.Resolve(obj)
	if err != nil {
		return "", err
	}
	s, _ := obj.(String)
	return DecodeText(s), nil
}
