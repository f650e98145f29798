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
	before, err := x.old.Fields()
	if err != nil {
		return err
	}
	now, err := x.new.Fields()
	if err != nil {
		return err
	}
	x.oldFields, x.newFields = newFieldSet(before), newFieldSet(now)
	if err := spend(x.visits, len(before)+len(now)+1); err != nil {
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
	x.explainDict(catalog.Get("AcroForm"))
	here := x.root().at("AcroForm").into(catalog.Get("AcroForm"))
	if err := x.formDict(a, b, here); err != nil {
		return err
	}
	return x.fields()
}

func (x *differ) formDict(a, b *pdf.Dict, here spot) error {
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
	x.explain(b.Get("Fields"), isArray, here.at("Fields").place())
	for _, key := range changedKeys(a, b) {
		switch key {
		case "Fields", "SigFlags":
		case "DR":
			// looked at below, also when it is an object of its own
		case "NeedAppearances":
			x.add(formFill, "", "the form's fields are to be drawn anew (/NeedAppearances)")
		default:
			if key != "DA" || a.Has(key) {
				x.add(forbidden, "", "the form's /%s was changed", key)
			}
		}
	}
	if a == nil || (!x.pending(b.Get("DR")) && pdf.Equal(a.Get("DR"), b.Get("DR"))) {
		return nil
	}
	return x.resources(a.Get("DR"), b.Get("DR"), here.at("DR"))
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
func (x *differ) resources(old, now pdf.Object, here spot) error {
	a, err := x.old.Dict(old)
	if err != nil {
		return err
	}
	b, err := x.new.Dict(now)
	if err != nil {
		return err
	}
	x.explain(now, isDict, here.place())
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
		if x.explain(b.Get(e.Key), isDict, here.into(now).at(e.Key).place()) {
			x.hold(now, here.place())
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

// fieldSet finds fields by their objects and by their widgets.
type fieldSet struct {
	list             []pdf.Field
	byRef, byWidgets map[pdf.Ref]*pdf.Field
}

func newFieldSet(list []pdf.Field) *fieldSet {
	s := &fieldSet{list, map[pdf.Ref]*pdf.Field{}, map[pdf.Ref]*pdf.Field{}}
	for i := range list {
		s.byRef[list[i].Ref] = &list[i]
		for _, w := range list[i].Widgets {
			s.byWidgets[w] = &list[i]
		}
	}
	return s
}

// showing returns the field that a widget belongs to, nil if there is none.
func (s *fieldSet) showing(widget pdf.Object) *pdf.Field {
	ref, ok := widget.(pdf.Ref)
	if !ok {
		return nil
	}
	return s.byWidgets[ref]
}

func (x *differ) fields() error {
	for _, old := range x.oldFields.list {
		if x.newFields.byRef[old.Ref] == nil {
			x.add(forbidden, old.Name, "form field %q was removed", old.Name)
		}
	}
	for i := range x.newFields.list {
		now := &x.newFields.list[i]
		old := x.oldFields.byRef[now.Ref]
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
	acts, err := x.acts(now)
	if err != nil {
		return err
	}
	if acts {
		x.add(forbidden, now.Name, "signature field %q was added with an action", now.Name)
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
		visible, err := x.visible(now)
		if err != nil {
			return false, err
		}
		if visible {
			x.add(forbidden, now.Name, "document time-stamp %q was laid over a page", now.Name)
			return true, nil
		}
		x.add(maintenance, "", "document time-stamp %q added", now.Name)
		return true, nil
	}
	x.add(signingChange, now.Name, "signature %q added", now.Name)
	return true, nil
}

// acts reports whether the field or a widget of it has an action.
func (x *differ) acts(f *pdf.Field) (bool, error) {
	for _, ref := range append([]pdf.Ref{f.Ref}, f.Widgets...) {
		d, err := x.new.Dict(ref)
		if err != nil {
			return false, err
		}
		if d.Has("A") || d.Has("AA") {
			return true, nil
		}
	}
	return false, nil
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
		if (d.Has("AP") || d.Has("MK")) && !emptyRect(rect) {
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

// pushButton is the flag of buttons that only show something (12.7.5.2.2).
const pushButton = 1 << 16

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
			keys := changedKeys(a, b)
			changed = append(changed, keys...)
			if err := x.noStreams("form field "+clip(now.Name), b, keys, ""); err != nil {
				return err
			}
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
	if now.Type == "Btn" && now.Flags&pushButton != 0 {
		x.add(forbidden, now.Name, "button %q, which holds no value, was given another look", now.Name)
		return nil
	}
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
		x.explainDict(ref)
		d, err := x.new.Dict(ref)
		if err != nil {
			return err
		}
		x.explainAppearance(spot{num: ref.Num}, d)
	}
	if now.Type == "Sig" {
		signed, err := x.signing(now)
		if err != nil || signed {
			return err
		}
		x.add(forbidden, now.Name, "the unsigned signature field %q was given another look", now.Name)
		return nil
	}
	if err := x.explainValue(now); err != nil {
		return err
	}
	x.add(formFill, now.Name, "form field %q filled in", now.Name)
	return nil
}

// explainValue explains a value that is an object of its own, which the field or
// one above it refers to.
func (x *differ) explainValue(f *pdf.Field) error {
	at := f.Ref
	for range 64 {
		x.explain(f.Value, isValue, spot{num: at.Num}.at("V").place())
		d, err := x.new.Dict(at)
		if err != nil {
			return err
		}
		parent, ok := d.Get("Parent").(pdf.Ref)
		if !ok {
			return nil
		}
		at = parent
	}
	return nil
}

// appearances calls visit for the objects of the appearance dictionary of the
// widget at here: the dictionary itself, and its streams or dictionaries of
// streams, with the kind and the spot that each has.
func (x *differ) appearances(here spot, widget *pdf.Dict, visit func(pdf.Object, kind, spot)) {
	ap := widget.Get("AP")
	here = here.at("AP")
	visit(ap, isDict, here)
	d, err := x.new.Dict(ap)
	if err != nil {
		return
	}
	here = here.into(ap)
	for _, e := range d.Entries() {
		look := here.at(e.Key)
		visit(e.Value, isDrawn, look)
		obj, err := x.new.Resolve(e.Value)
		if err != nil {
			return
		}
		states, ok := obj.(*pdf.Dict)
		if !ok {
			continue
		}
		for _, s := range states.Entries() {
			visit(s.Value, isStream, look.into(e.Value).at(s.Key))
		}
	}
}

func (x *differ) appearanceTouched(widget *pdf.Dict) bool {
	touched := false
	x.appearances(spot{}, widget, func(obj pdf.Object, _ kind, _ spot) { touched = touched || x.pending(obj) })
	return touched
}

func (x *differ) explainAppearance(here spot, widget *pdf.Dict) {
	x.appearances(here, widget, func(obj pdf.Object, is kind, s spot) {
		if !x.explain(obj, is, s.place()) {
			x.hold(obj, s.place())
		}
	})
}
