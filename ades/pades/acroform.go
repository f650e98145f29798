package pades

import (
	"slices"

	"github.com/countersign/countersign/ades/pdf"
)

// form is the interactive form of a draft: indirect, direct in the catalogue,
// or not there yet. Only what must change is written again.
type form struct {
	d    *draft
	dict *pdf.Dict // as it is; never changed
	ref  pdf.Ref   // zero if direct or new
}

func (d *draft) form() (*form, error) {
	obj, err := d.u.Resolve(d.f.Root())
	if err != nil {
		return nil, err
	}
	catalog, _ := obj.(*pdf.Dict)
	x := &form{d: d}
	x.ref, _ = catalog.Get("AcroForm").(pdf.Ref)
	if obj, err = d.u.Resolve(catalog.Get("AcroForm")); err != nil {
		return nil, err
	}
	if dict, ok := obj.(*pdf.Dict); ok {
		x.dict = dict
		return x, nil
	}
	x.dict = &pdf.Dict{}
	x.ref = d.u.Add(x.dict)
	edited, err := d.u.EditDict(d.f.Root())
	if err != nil {
		return nil, err
	}
	edited.Set("AcroForm", x.ref)
	return x, nil
}

// edit returns the form's dictionary for changing.
func (x *form) edit() (*pdf.Dict, error) {
	if x.ref != (pdf.Ref{}) {
		d, err := x.d.u.EditDict(x.ref)
		x.dict = d
		return d, err
	}
	catalog, err := x.d.u.EditDict(x.d.f.Root())
	if err != nil {
		return nil, err
	}
	x.dict = x.dict.Clone()
	catalog.Set("AcroForm", x.dict)
	return x.dict, nil
}

// add appends a field to Fields, which may be an array of its own.
func (x *form) add(field pdf.Ref) error {
	obj, err := x.d.u.Resolve(x.dict.Get("Fields"))
	if err != nil {
		return err
	}
	fields, ok := obj.(pdf.Array)
	longer := append(slices.Clone(fields), field)
	if at, indirect := x.dict.Get("Fields").(pdf.Ref); indirect && ok {
		x.d.u.Set(at, longer)
		return nil
	}
	dict, err := x.edit()
	if err != nil {
		return err
	}
	dict.Set("Fields", longer)
	return nil
}

// setSigFlags sets SignaturesExist and AppendOnly (12.7.3).
func (x *form) setSigFlags() error {
	n, _, err := x.d.f.Int(x.dict.Get("SigFlags"))
	if err != nil || n&3 == 3 {
		return err
	}
	dict, err := x.edit()
	if err != nil {
		return err
	}
	dict.Set("SigFlags", pdf.Integer(n|3))
	return nil
}
