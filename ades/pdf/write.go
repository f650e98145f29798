package pdf

import (
	"bytes"
	"fmt"
	"strconv"
)

// writer serialises objects. change, if set, encrypts the strings of one object.
type writer struct {
	buf    bytes.Buffer
	origin int64 // where the buffer begins in the file
	change func(String) (String, error)
}

func (w *writer) put(s string) { w.buf.WriteString(s) }

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) { return w.buf.Write(p) }

// here is the offset in the file of what is written next.
func (w *writer) here() int64 { return w.origin + int64(w.buf.Len()) }

func (w *writer) object(obj Object, depth int) error {
	if depth > hardDepth {
		return overLimit("objects nest deeper than %d", hardDepth)
	}
	switch obj := obj.(type) {
	case nil:
		w.put("null")
	case bool:
		w.put(strconv.FormatBool(obj))
	case Integer:
		w.put(strconv.FormatInt(int64(obj), 10))
	case Real:
		w.put(string(obj))
	case Name:
		w.name(obj)
	case String:
		return w.str(obj)
	case Ref:
		fmt.Fprintf(w, "%d %d R", obj.Num, obj.Gen)
	case Array:
		return w.array(obj, depth)
	case *Dict:
		return w.dict(obj, depth)
	case *Stream:
		return w.stream(obj, depth)
	case *Reserved:
		obj.Offset = w.here()
		w.buf.Write(obj.Text)
	default:
		return fmt.Errorf("pdf: cannot write a %T", obj)
	}
	return nil
}

func (w *writer) name(n Name) {
	w.put("/")
	for i := range len(n) {
		if c := n[i]; c > ' ' && c < 0x7f && c != '#' && isRegular(c) {
			w.put(string(n[i : i+1]))
		} else {
			fmt.Fprintf(w, "#%02X", c)
		}
	}
}

// str writes a literal string, or a hexadecimal one if it holds other than
// printable ASCII.
func (w *writer) str(s String) error {
	if w.change != nil {
		var err error
		if s, err = w.change(s); err != nil {
			return err
		}
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			fmt.Fprintf(w, "<%X>", string(s))
			return nil
		}
	}
	w.put("(")
	for i := range len(s) {
		if c := s[i]; c == '(' || c == ')' || c == '\\' {
			w.put("\\")
		}
		w.put(string(s[i : i+1]))
	}
	w.put(")")
	return nil
}

func (w *writer) array(a Array, depth int) error {
	w.put("[")
	for i, v := range a {
		if i > 0 {
			w.space(i)
		}
		if err := w.object(v, depth+1); err != nil {
			return err
		}
	}
	w.put("]")
	return nil
}

// space separates array items and breaks long lines.
func (w *writer) space(i int) {
	if i%16 == 0 {
		w.put("\n")
	} else {
		w.put(" ")
	}
}

func (w *writer) dict(d *Dict, depth int) error {
	w.put("<<")
	signature := isSignature(d)
	for _, e := range d.Entries() {
		w.put("\n")
		w.name(e.Key)
		w.put(" ")
		change := w.change
		if signature && e.Key == "Contents" {
			w.change = nil
		}
		err := w.object(e.Value, depth+1)
		w.change = change
		if err != nil {
			return err
		}
	}
	w.put("\n>>")
	return nil
}

// stream writes a new stream; its data is already encrypted.
func (w *writer) stream(s *Stream, depth int) error {
	if s.fromFile {
		return fmt.Errorf("pdf: stream %d is in the file already", s.ref.Num)
	}
	d := s.Dict.Clone()
	d.Set("Length", Integer(len(s.Data)))
	if err := w.dict(d, depth); err != nil {
		return err
	}
	w.put("\nstream\n")
	w.buf.Write(s.Data)
	w.put("\nendstream")
	return nil
}
