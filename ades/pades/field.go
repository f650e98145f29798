package pades

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
)

// The flags of annotations that matter here (12.5.3).
const (
	flagHidden = 1 << 1
	flagPrint  = 1 << 2
	flagNoView = 1 << 5
	flagLocked = 1 << 7
	// widgetFlags are those of a signature widget, also of an invisible one: Hidden
	// and NoView would break PDF/A.
	widgetFlags = flagPrint | flagLocked
)

func fieldRefusal(format string, args ...any) error {
	return fault.New(fault.Invalid, format, args...).WithCode(CodeField)
}

// chooseField finds the field of that name, or a free name.
func (d *draft) chooseField() error {
	if d.field == "" {
		return d.freeName("Signature")
	}
	for i := range d.fields {
		x := &d.fields[i]
		if x.Name != d.field {
			if strings.HasPrefix(x.Name, d.field+".") {
				return fieldRefusal("field %q is not a signature field", d.field)
			}
			continue
		}
		if d.target != nil {
			return fieldRefusal("the document has several fields with the name %q", d.field)
		}
		d.target = x
	}
	if d.target == nil {
		if strings.Contains(d.field, ".") {
			return fieldRefusal("the document has no field %q, and the name of a new one must not hold a full stop", d.field)
		}
		return nil
	}
	if d.target.Type != "Sig" {
		return fieldRefusal("field %q is not a signature field", d.field)
	}
	value, err := d.f.Resolve(d.target.Value)
	if err != nil {
		return err
	}
	if value != nil {
		return fieldRefusal("field %q is signed already", d.field)
	}
	return nil
}

// freeName takes the first free name of that kind.
func (d *draft) freeName(kind string) error {
	taken := map[string]bool{}
	for _, x := range d.fields {
		top, _, _ := strings.Cut(x.Name, ".")
		taken[top] = true
	}
	for i := 1; ; i++ {
		if name := fmt.Sprintf("%s%d", kind, i); !taken[name] {
			d.field = name
			return nil
		}
	}
}

// fill makes sig the value of the field that is there.
func (d *draft) fill(sig pdf.Ref) error {
	field, err := d.u.EditDict(d.target.Ref)
	if err != nil {
		return err
	}
	field.Set("V", sig)
	dress := d.appearance
	if d.look != nil {
		if len(d.target.Widgets) == 0 {
			return fieldRefusal("field %q has no place on a page; sign in it without a visible signature", d.field)
		}
		dress = d.show
	}
	for _, w := range d.target.Widgets {
		if err := dress(w); err != nil {
			return err
		}
	}
	form, err := d.form()
	if err != nil {
		return err
	}
	return form.setSigFlags()
}

// appearance gives a widget an empty appearance if it has none (PDF/A).
func (d *draft) appearance(widget pdf.Ref) error {
	obj, err := d.u.Resolve(widget)
	if err != nil {
		return err
	}
	w, ok := obj.(*pdf.Dict)
	if !ok || (w.Has("AP") && w.Has("F")) {
		return nil
	}
	rect, err := d.f.Array(w.Get("Rect"))
	if err != nil {
		return err
	}
	if w, err = d.u.EditDict(widget); err != nil {
		return err
	}
	if !w.Has("AP") {
		width, height := side(rect, 0), side(rect, 1)
		w.Set("AP", pdf.NewDict(pdf.Entry{Key: "N", Value: d.u.Add(emptyForm(width, height))}))
	}
	if !w.Has("F") {
		w.Set("F", pdf.Integer(widgetFlags))
	}
	return nil
}

// side is a rectangle's width or height if it is whole numbers, else 0.
func side(rect pdf.Array, i int) pdf.Integer {
	if len(rect) != 4 {
		return 0
	}
	a, ok1 := rect[i].(pdf.Integer)
	b, ok2 := rect[i+2].(pdf.Integer)
	if !ok1 || !ok2 || b < a || b-a > 1<<20 {
		return 0
	}
	return b - a
}

// emptyForm is a form XObject that draws nothing.
func emptyForm(width, height pdf.Integer) *pdf.Stream {
	return &pdf.Stream{Dict: pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("XObject")},
		pdf.Entry{Key: "Subtype", Value: pdf.Name("Form")},
		pdf.Entry{Key: "BBox", Value: pdf.Array{pdf.Integer(0), pdf.Integer(0), width, height}},
	), Data: []byte{}}
}

// create makes an invisible field, merged with its widget, on the first page.
func (d *draft) create(sig pdf.Ref) error {
	pageRef, page, err := d.f.FirstPage()
	if err != nil {
		return err
	}
	rect, err := d.corner(page)
	if err != nil {
		return err
	}
	field := pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("Annot")},
		pdf.Entry{Key: "Subtype", Value: pdf.Name("Widget")},
		pdf.Entry{Key: "FT", Value: pdf.Name("Sig")},
		pdf.Entry{Key: "T", Value: pdf.EncodeText(d.field)},
		pdf.Entry{Key: "F", Value: pdf.Integer(widgetFlags)},
		pdf.Entry{Key: "Rect", Value: rect},
		pdf.Entry{Key: "P", Value: pageRef},
		pdf.Entry{Key: "AP", Value: pdf.NewDict(pdf.Entry{Key: "N", Value: d.u.Add(emptyForm(0, 0))})},
		pdf.Entry{Key: "V", Value: sig},
	)
	return d.enlist(d.u.Add(field), pageRef, page)
}

// enlist makes a new field one of the page and of the form.
func (d *draft) enlist(ref, pageRef pdf.Ref, page *pdf.Dict) error {
	if err := d.annotate(pageRef, page, ref); err != nil {
		return err
	}
	form, err := d.form()
	if err != nil {
		return err
	}
	if err := form.add(ref); err != nil {
		return err
	}
	return form.setSigFlags()
}

// annotate adds the widget to the page's annotations. An indirect array is
// changed in its place unless another page uses it too.
func (d *draft) annotate(pageRef pdf.Ref, page *pdf.Dict, widget pdf.Ref) error {
	annots, err := d.f.Array(page.Get("Annots"))
	if err != nil {
		return err
	}
	longer := append(slices.Clone(annots), widget)
	if at, ok := page.Get("Annots").(pdf.Ref); ok && annots != nil {
		shared, err := d.shared(at, pageRef)
		if err != nil {
			return err
		}
		if !shared {
			d.u.Set(at, longer)
			return nil
		}
	}
	edited, err := d.u.EditDict(pageRef)
	if err != nil {
		return err
	}
	edited.Set("Annots", longer)
	return nil
}

// shared reports whether another page has the same array of annotations.
func (d *draft) shared(annots, pageRef pdf.Ref) (bool, error) {
	found := false
	err := d.f.EachPage(func(ref pdf.Ref, page *pdf.Dict) (bool, error) {
		found = ref != pageRef && page.Get("Annots") == pdf.Object(annots)
		return !found, nil
	})
	return found, err
}
