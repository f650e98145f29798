package validate

import (
	"slices"

	"github.com/countersign/countersign/ades/pdf"
)

// form compares the interactive forms.
func (x *differ) form() error {
	a, err := x.old.AcroForm()
	if err != nil {
		return err
	}
	b, err := x.new.AcroForm()
	if err != nil {
		return err
	}
	if x.oldFields, err = x.old.Fields(); err != nil {
		return err
	}
	if x.newFields, err = x.new.Fields(); err != nil {
		return err
	}
	if err := spend(x.visits, len(x.oldFields)+len(x.newFields)+1); err != nil {
		return err
	}
	if b == nil {
		if a != nil {
			x.add(forbidden, "", "the document's form was removed")
		}
		return nil
	}
	catalog, err := x.new.Catalog()
	if err != nil {
		return err
	}
	if _, err := x.explainDict(catalog.Get("AcroForm")); err != nil {
		return err
	}
	if err := x.formDict(a, b); err != nil {
		return err
	}
	return x.fields()
}

func (x *differ) formDict(a, b *pdf.Dict) error {
	before, err := x.old.Array(a.Get("Fields"))
	if err != nil {
		return err
	}
	now, err := x.new.Array(b.Get("Fields"))
	if err != nil {
		return err
	}
	if !keepsAll(before, now) {
		x.add(forbidden, "", "form fields were removed or put in another order")
	}
	x.explain(b.Get("Fields"), under("Fields"))
	for _, key := range changedKeys(a, b) {
		switch key {
		case "Fields", "SigFlags", "NeedAppearances":
		case "DR":
			// looked at below, also when it is an object of its own
		default:
			if a != nil && (key != "DA" || a.Has(key)) {
				x.add(forbidden, "", "the form's /%s was changed", key)
			}
		}
	}
	if a == nil || (!x.pending(b.Get("DR")) && pdf.Equal(a.Get("DR"), b.Get("DR"))) {
		return nil
	}
	return x.resources(a.Get("DR"), b.Get("DR"))
}

// keepsAll reports whether every element of old is in now, in the same order.
func keepsAll(old, now pdf.Array) bool {
	i := 0
	for _, o := range now {
		if i < len(old) && pdf.Equal(old[i], o) {
			i++
		}
	}
	return i == len(old)
}

// resources compares the form's default resources: entries may be added.
func (x *differ) resources(old, now pdf.Object) error {
	a, err := x.old.Dict(old)
	if err != nil {
		return err
	}
	b, err := x.new.Dict(now)
	if err != nil {
		return err
	}
	x.explain(now, under("DR"))
	for _, e := range a.Entries() {
		kind, err := x.old.Dict(e.Value)
		if err != nil {
			return err
		}
		after, err := x.new.Dict(b.Get(e.Key))
		if err != nil {
			return err
		}
		if kind == nil {
			if !pdf.Equal(e.Value, b.Get(e.Key)) {
				x.add(forbidden, "", "the form's resources were changed")
			}
			continue
		}
		if x.explain(b.Get(e.Key), under("DR", e.Key), inside(now, e.Key)) {
			x.hold(now, under("DR"))
		}
		for _, r := range kind.Entries() {
			if !pdf.Equal(r.Value, after.Get(r.Key)) {
				x.add(forbidden, "", "the form's resource %s was replaced", r.Key)
			}
		}
	}
	x.add(formFill, "", "the form's resources were extended")
	return nil
}

func findField(list []pdf.Field, ref pdf.Ref) *pdf.Field {
	for i := range list {
		if list[i].Ref == ref {
			return &list[i]
		}
	}
	return nil
}

func (x *differ) fields() error {
	for i := range x.oldFields {
		if findField(x.newFields, x.oldFields[i].Ref) == nil {
			x.add(forbidden, x.oldFields[i].Name, "form field %q was removed", x.oldFields[i].Name)
		}
	}
	for i := range x.newFields {
		now := &x.newFields[i]
		old := findField(x.oldFields, now.Ref)
		var err error
		switch {
		case old != nil:
			err = x.field(old, now)
		case now.Type == "Sig":
			err = x.newSignatureField(now)
		default:
			x.add(forbidden, now.Name, "form field %q was added", now.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newSignatureField judges a field that was not there.
func (x *differ) newSignatureField(now *pdf.Field) error {
	if !x.added[now.Ref.Num] {
		x.add(forbidden, now.Name, "an object that was there before became signature field %q", now.Name)
		return nil
	}
	signed, err := x.signing(now)
	if err != nil || signed {
		return err
	}
	visible, err := x.visible(now)
	if err != nil {
		return err
	}
	if visible {
		x.add(forbidden, now.Name, "an unsigned signature field %q with an appearance was laid over a page", now.Name)
		return nil
	}
	x.add(signingChange, now.Name, "empty signature field %q added", now.Name)
	return nil
}

// signing notes a field's new signature or time-stamp; false if there is none.
func (x *differ) signing(now *pdf.Field) (bool, error) {
	d, err := x.new.Dict(now.Value)
	if err != nil || d == nil {
		return false, err
	}
	if ref, ok := now.Value.(pdf.Ref); ok && !x.added[ref.Num] {
		x.add(forbidden, now.Name, "field %q was given a signature that was there before", now.Name)
		return true, nil
	}
	sub, err := x.new.Name(d.Get("SubFilter"))
	if err != nil {
		return false, err
	}
	if sub == subFilterTimestamp {
		x.add(maintenance, "", "document time-stamp %q added", now.Name)
		return true, nil
	}
	x.add(signingChange, now.Name, "signature %q added", now.Name)
	return true, nil
}

// visible reports whether a widget of the field shows something.
func (x *differ) visible(f *pdf.Field) (bool, error) {
	for _, w := range f.Widgets {
		d, err := x.new.Dict(w)
		if err != nil {
			return false, err
		}
		rect, err := x.new.Array(d.Get("Rect"))
		if err != nil {
			return false, err
		}
		if d.Has("AP") && !emptyRect(rect) {
			return true, nil
		}
	}
	return false, nil
}

func emptyRect(r pdf.Array) bool {
	return len(r) == 4 && (pdf.Equal(r[0], r[2]) || pdf.Equal(r[1], r[3]))
}

// Keys of a field or widget that filling it in, or signing it, may change.
var (
	fillKeys = []pdf.Name{"V", "AS", "AP", "RV", "I", "M", "MK"}
	signKeys = []pdf.Name{"V", "AP", "AS", "M", "F", "P", "StructParent"}
)

// field compares a field that was there, with its widgets.
func (x *differ) field(old, now *pdf.Field) error {
	if old.Name != now.Name || old.Type != now.Type {
		x.add(forbidden, old.Name, "form field %q was renamed or made another kind", old.Name)
	}
	if !slices.Equal(old.Widgets, now.Widgets) {
		x.add(forbidden, old.Name, "the places where form field %q stands were changed", old.Name)
	}
	var changed []pdf.Name
	refs := append([]pdf.Ref{now.Ref}, now.Widgets...)
	for _, ref := range slices.Compact(refs) {
		a, err := x.old.Dict(ref)
		if err != nil {
			return err
		}
		b, err := x.new.Dict(ref)
		if err != nil {
			return err
		}
		if x.pending(ref) {
			changed = append(changed, changedKeys(a, b)...)
		}
		if x.appearanceTouched(b) {
			changed = append(changed, "AP")
		}
	}
	if now.Type != "Sig" && x.pending(now.Value) {
		changed = append(changed, "V")
	}
	if len(changed) == 0 {
		return nil
	}
	return x.fieldChanged(old, now, refs, changed)
}

func (x *differ) fieldChanged(old, now *pdf.Field, refs []pdf.Ref, changed []pdf.Name) error {
	allowed := fillKeys
	if now.Type == "Sig" {
		before, err := x.old.Resolve(old.Value)
		if err != nil {
			return err
		}
		if before != nil {
			x.add(forbidden, now.Name, "signature field %q was changed after it was signed", now.Name)
			return nil
		}
		allowed = signKeys
	}
	for _, key := range changed {
		if !slices.Contains(allowed, key) {
			x.add(forbidden, now.Name, "form field %q: /%s was changed", now.Name, key)
			return nil
		}
	}
	for _, ref := range refs {
		if _, err := x.explainDict(ref); err != nil {
			return err
		}
		d, err := x.new.Dict(ref)
		if err != nil {
			return err
		}
		x.explainAppearance(d)
	}
	if now.Type == "Sig" {
		signed, err := x.signing(now)
		if err != nil || signed {
			return err
		}
		x.add(forbidden, now.Name, "the unsigned signature field %q was given another look", now.Name)
		return nil
	}
	x.explain(now.Value, under("V"))
	x.add(formFill, now.Name, "form field %q filled in", now.Name)
	return nil
}

// appearances calls visit for the objects of an appearance dictionary: the
// dictionary itself, and its streams or dictionaries of streams, with the places
// where each belongs.
func (x *differ) appearances(widget *pdf.Dict, visit func(obj pdf.Object, places ...place)) {
	ap := widget.Get("AP")
	visit(ap, under("AP"))
	d, err := x.new.Dict(ap)
	if err != nil {
		return
	}
	for _, e := range d.Entries() {
		visit(e.Value, under("AP", e.Key), inside(ap, e.Key))
		obj, err := x.new.Resolve(e.Value)
		if err != nil {
			return
		}
		states, ok := obj.(*pdf.Dict)
		if !ok {
			continue
		}
		for _, s := range states.Entries() {
			visit(s.Value, under("AP", e.Key, s.Key), inside(ap, e.Key, s.Key), inside(e.Value, s.Key))
		}
	}
}

// inside is within for an object that may be direct: then it matches nothing.
func inside(obj pdf.Object, keys ...pdf.Name) place {
	ref, ok := obj.(pdf.Ref)
	if !ok {
		return func(reference) bool { return false }
	}
	return within(ref.Num, keys...)
}

func (x *differ) appearanceTouched(widget *pdf.Dict) bool {
	touched := false
	x.appearances(widget, func(obj pdf.Object, _ ...place) { touched = touched || x.pending(obj) })
	return touched
}

func (x *differ) explainAppearance(widget *pdf.Dict) {
	x.appearances(widget, func(obj pdf.Object, places ...place) {
		if !x.explain(obj, places...) {
			x.hold(obj, places...)
		}
	})
}
