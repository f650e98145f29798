package pdf

import "strings"

// Field is a terminal field of the interactive form, with what it inherits.
type Field struct {
	// Name is the fully qualified name (ISO 32000-2, 12.7.4.2).
	Name string
	// Ref is the field's object.
	Ref Ref
	// Dict is its dictionary.
	Dict *Dict
	// Type is the inherited FT: Btn, Tx, Ch, Sig.
	Type Name
	// Flags are the inherited Ff.
	Flags int64
	// Value is the inherited V, not resolved.
	Value Object
	// Widgets are its annotations: the field itself if they are merged.
	Widgets []Ref
}

// Empty reports whether the field has no value.
func (x *Field) Empty() bool { return x.Value == nil }

// AcroForm returns the interactive form dictionary, nil if there is none.
func (f *File) AcroForm() (*Dict, error) {
	c, err := f.Catalog()
	if err != nil {
		return nil, err
	}
	return f.Dict(c.Get("AcroForm"))
}

// Fields lists the terminal fields in the order of the form.
func (f *File) Fields() ([]Field, error) {
	form, err := f.AcroForm()
	if err != nil || form == nil {
		return nil, err
	}
	roots, err := f.Array(form.Get("Fields"))
	if err != nil {
		return nil, err
	}
	w := &fieldWalk{f: f, seen: map[Ref]bool{}}
	for _, r := range roots {
		if err := w.field(r, Field{}, 0); err != nil {
			return nil, err
		}
	}
	return w.fields, nil
}

type fieldWalk struct {
	f      *File
	seen   map[Ref]bool
	fields []Field
}

// field walks one node. above carries the name and the inherited values.
func (w *fieldWalk) field(obj Object, above Field, depth int) error {
	ref, ok := obj.(Ref)
	if !ok {
		return nil // a field must be an indirect object; others see none here either
	}
	if w.seen[ref] {
		return damaged("its form is circular or shares fields (object %d)", ref.Num)
	}
	if depth > 64 {
		return overLimit("its form is deeper than 64")
	}
	if len(w.seen) >= w.f.limits.Nodes {
		return overLimit("its form has more than %d nodes", w.f.limits.Nodes)
	}
	w.seen[ref] = true
	d, err := w.f.Dict(ref)
	if err != nil || d == nil {
		return err
	}
	x, err := w.inherit(ref, d, above)
	if err != nil {
		return err
	}
	kids, err := w.f.Array(d.Get("Kids"))
	if err != nil {
		return err
	}
	if len(kids) == 0 {
		if d.Get("Subtype") == Name("Widget") || d.Has("Rect") {
			x.Widgets = []Ref{ref}
		}
		w.fields = append(w.fields, x)
		return nil
	}
	return w.children(x, kids, depth)
}

// inherit fills in what d adds to what is above it.
func (w *fieldWalk) inherit(ref Ref, d *Dict, above Field) (Field, error) {
	x := Field{Name: above.Name, Ref: ref, Dict: d, Type: above.Type, Flags: above.Flags, Value: above.Value}
	if d.Has("T") {
		t, err := w.f.Text(d.Get("T"))
		if err != nil {
			return x, err
		}
		x.Name = strings.TrimPrefix(above.Name+"."+t, ".")
	}
	if d.Has("FT") {
		var err error
		if x.Type, err = w.f.Name(d.Get("FT")); err != nil {
			return x, err
		}
	}
	if n, ok, err := w.f.Int(d.Get("Ff")); err != nil {
		return x, err
	} else if ok {
		x.Flags = n
	}
	if d.Has("V") {
		x.Value = d.Get("V")
	}
	return x, nil
}

// children tells the widgets of a terminal field, which have no name, from
// fields below it.
func (w *fieldWalk) children(x Field, kids Array, depth int) error {
	for _, k := range kids {
		ref, ok := k.(Ref)
		if !ok {
			continue
		}
		d, err := w.f.Dict(ref)
		if err != nil {
			return err
		}
		if d == nil {
			continue
		}
		if d.Has("T") || d.Has("Kids") {
			if err := w.field(ref, x, depth+1); err != nil {
				return err
			}
			continue
		}
		if w.seen[ref] {
			return damaged("its form is circular or shares fields (object %d)", ref.Num)
		}
		w.seen[ref] = true
		x.Widgets = append(x.Widgets, ref)
	}
	if len(x.Widgets) > 0 {
		w.fields = append(w.fields, x)
	}
	return nil
}
