package pades

import (
	"slices"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
)

// mayServe refuses what earlier signatures, the field or the encryption forbid
// to a signature.
func (d *draft) mayServe(o *Options) error {
	if d.look != nil && d.target != nil && d.look.Page != 0 {
		return unseemly("field %q has its place already: name no page and rectangle with it", d.field)
	}
	if err := d.certified(); err != nil {
		return err
	}
	if err := d.locked(); err != nil {
		return err
	}
	if err := d.encrypted(); err != nil {
		return err
	}
	if o.Certify > 0 && len(d.signed) > 0 {
		return fault.New(fault.Invalid, "only the first signature can certify a document, and this one is signed already").WithCode(CodeCertified)
	}
	if d.target != nil {
		if err := d.seedValue(o); err != nil {
			return err
		}
	}
	rights, err := d.f.UsageRights()
	if err != nil {
		return err
	}
	if rights {
		d.warnings = append(d.warnings, "the document's usage rights for Adobe Reader end with this change")
	}
	if slices.ContainsFunc(d.signed, func(s pdf.Signature) bool { return !s.Exact() }) {
		d.warnings = append(d.warnings, "the document holds an earlier signature that does not cover what it should")
	}
	return d.xfa()
}

// certified refuses a signature where a certification, or a signature with a
// lock of the same meaning, allows no change (ISO 32000-2, 12.8.2.2).
func (d *draft) certified() error {
	p, _, err := d.f.Certification()
	if err != nil {
		return err
	}
	for _, s := range d.signed {
		if s.Lock != nil && s.Lock.P == 1 {
			p = 1
		}
		for _, r := range s.References {
			if r.Method == "DocMDP" && r.P == 1 {
				p = 1
			}
		}
	}
	if p == 1 {
		return fault.New(fault.Invalid, "the document is certified against any change (DocMDP level 1), so no signature can be added").WithCode(CodeCertified)
	}
	if p != 0 && d.look != nil && d.target == nil {
		// Level 3 allows it, by the letter; pyHanko calls the certification broken.
		return fault.New(fault.Invalid, "the document is certified (DocMDP level %d), so a visible signature can only stand in a field that is there", p).WithCode(CodeCertified)
	}
	return nil
}

// locked refuses to touch a field that an earlier signature locked, by FieldMDP
// or by the lock of its field, which some writers do not repeat in FieldMDP.
func (d *draft) locked() error {
	for _, s := range d.signed {
		var locks []pdf.Lock
		if s.Lock != nil {
			locks = append(locks, *s.Lock)
		}
		for _, r := range s.References {
			if r.Method == "FieldMDP" {
				locks = append(locks, r.Lock)
			}
		}
		for i := range locks {
			if locks[i].Locks(d.field) {
				return fault.New(fault.Invalid, "the signature in field %q locks field %q", s.Field.Name, d.field).WithCode(CodeLocked)
			}
		}
	}
	return nil
}

// encrypted refuses what the encryption's permissions do not allow.
func (d *draft) encrypted() error {
	p := d.f.Permissions()
	if d.target != nil && !p.SignField {
		return fault.New(fault.Invalid, "the document's encryption does not permit signing; open it with the owner's password").WithCode(CodePermission)
	}
	if d.target == nil && !p.AddField {
		return fault.New(fault.Invalid, "the document's encryption does not permit adding a signature field; open it with the owner's password").WithCode(CodePermission)
	}
	return nil
}

// xfa warns of forms that some readers show instead of the pages.
func (d *draft) xfa() error {
	form, err := d.f.AcroForm()
	if err == nil && form.Has("XFA") {
		d.warnings = append(d.warnings, "the document has an XFA form; readers that show it instead of the pages may not show the signature")
	}
	return err
}

// transforms are the signature reference dictionaries: DocMDP for a
// certification, FieldMDP for a field with a lock (12.8.2). They name no digest
// method, which PDF/A forbids.
func (d *draft) transforms(o *Options) (pdf.Array, error) {
	var refs pdf.Array
	if o.Certify > 0 {
		refs = append(refs, sigRef("DocMDP", pdf.NewDict(
			pdf.Entry{Key: "Type", Value: pdf.Name("TransformParams")},
			pdf.Entry{Key: "P", Value: pdf.Integer(o.Certify)},
			pdf.Entry{Key: "V", Value: pdf.Name("1.2")},
		)))
	}
	if d.target == nil {
		return refs, nil
	}
	lock, err := d.f.Lock(d.target)
	if err != nil || lock == nil {
		return refs, err
	}
	params := pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("TransformParams")},
		pdf.Entry{Key: "Action", Value: lock.Action},
	)
	if lock.Action != "All" {
		names := pdf.Array{}
		for _, n := range lock.Fields {
			names = append(names, pdf.EncodeText(n))
		}
		params.Set("Fields", names)
	}
	params.Set("V", pdf.Name("1.2"))
	return append(refs, sigRef("FieldMDP", params, pdf.Entry{Key: "Data", Value: d.f.Root()})), nil
}

func sigRef(method pdf.Name, params *pdf.Dict, more ...pdf.Entry) *pdf.Dict {
	return pdf.NewDict(append([]pdf.Entry{
		{Key: "Type", Value: pdf.Name("SigRef")},
		{Key: "TransformMethod", Value: method},
		{Key: "TransformParams", Value: params},
	}, more...)...)
}

// setPerms makes the signature the document's certification.
func (d *draft) setPerms(sig pdf.Ref) error {
	catalog, err := d.u.EditDict(d.f.Root())
	if err != nil {
		return err
	}
	obj, err := d.u.Resolve(catalog.Get("Perms"))
	if err != nil {
		return err
	}
	old, _ := obj.(*pdf.Dict)
	perms := old.Clone()
	perms.Set("DocMDP", sig)
	catalog.Set("Perms", perms)
	return nil
}
