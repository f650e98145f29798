package validate

import (
	"slices"

	"github.com/countersign/countersign/ades/pdf"
)

// structTree allows what tagging a new signature field needs (PDF/UA): elements
// of type Form added to the structure tree, and their entries in the parent tree.
// What was there must stay as it was.
func (x *differ) structTree(old, now pdf.Object) error {
	if !pdf.Equal(old, now) {
		if old != nil {
			x.add(forbidden, "", "the document's structure tree was replaced")
		}
		return nil
	}
	if now == nil || x.quiet() {
		return nil
	}
	a, err := x.old.Dict(old)
	if err != nil {
		return err
	}
	b, err := x.new.Dict(now)
	if err != nil {
		return err
	}
	touched := x.explainDict(now)
	for _, key := range changedKeys(a, b) {
		if !slices.Contains([]pdf.Name{"K", "ParentTree", "ParentTreeNextKey"}, key) {
			x.add(forbidden, "", "the structure tree's /%s was changed", key)
		}
	}
	t := &tagDiff{x: x, seen: map[int]bool{}, touched: touched}
	here := x.root().at("StructTreeRoot").into(now)
	if err := t.kids(a.Get("K"), b.Get("K"), here.at("K"), 0); err != nil {
		return err
	}
	if err := t.numbers(a.Get("ParentTree"), b.Get("ParentTree"), here.at("ParentTree"), 0); err != nil {
		return err
	}
	if t.touched {
		x.add(signingChange, "", "structure elements for form fields added")
	}
	return nil
}

type tagDiff struct {
	x       *differ
	seen    map[int]bool
	touched bool
}

func (t *tagDiff) bad(what string) {
	t.x.add(forbidden, "", "the structure tree was changed: %s", what)
}

// list reads a value that is an array or a single element.
func list(f *pdf.File, obj pdf.Object) (pdf.Array, error) {
	v, err := f.Resolve(obj)
	if err != nil || v == nil {
		return nil, err
	}
	if a, ok := v.(pdf.Array); ok {
		return a, nil
	}
	return pdf.Array{obj}, nil
}

// kids compares the children of an element.
func (t *tagDiff) kids(old, now pdf.Object, here spot, depth int) error {
	if depth > scanDepth {
		t.bad("it nests too deeply")
		return nil
	}
	a, err := list(t.x.old, old)
	if err != nil {
		return err
	}
	b, err := list(t.x.new, now)
	if err != nil {
		return err
	}
	t.touched = t.x.explain(now, isArray, here.place()) || t.touched
	if !keepsAll(a, b) {
		t.bad("elements were removed or put in another order")
	}
	before := newMembers(a)
	for _, k := range b {
		has, err := before.has(k, t.x.visits)
		if err != nil {
			return err
		}
		if has {
			if err := t.element(k, depth); err != nil {
				return err
			}
			continue
		}
		if ok, err := t.fieldElement(k); err != nil || !ok {
			t.bad("an element that is not for a new form field was added")
			return err
		}
		t.touched = true
	}
	return nil
}

// fieldElement reports whether an element is of type Form, says nothing of its
// own, and stands for a widget of a new form field.
func (t *tagDiff) fieldElement(k pdf.Object) (bool, error) {
	d, err := t.x.new.Dict(k)
	if err != nil {
		return false, err
	}
	for _, e := range d.Entries() {
		if !slices.Contains([]pdf.Name{"Type", "S", "P", "Pg", "K"}, e.Key) {
			return false, nil
		}
	}
	kind, err := t.x.new.Name(d.Get("S"))
	if err != nil || kind != "Form" {
		return false, err
	}
	kids, err := list(t.x.new, d.Get("K"))
	if err != nil || len(kids) != 1 {
		return false, err
	}
	objr, err := t.x.new.Dict(kids[0])
	if err != nil {
		return false, err
	}
	f := t.x.newFields.showing(objr.Get("Obj"))
	return f != nil && t.x.added[f.Ref.Num], nil
}

// element compares one that was there: only its children may have become more.
func (t *tagDiff) element(k pdf.Object, depth int) error {
	ref, ok := k.(pdf.Ref)
	if !ok || t.seen[ref.Num] {
		return nil
	}
	t.seen[ref.Num] = true
	a, err := t.x.old.Dict(ref)
	if err != nil {
		return err
	}
	b, err := t.x.new.Dict(ref)
	if err != nil || b == nil || b.Get("S") == nil {
		return err
	}
	if t.x.explainDict(ref) {
		t.touched = true
		for _, key := range changedKeys(a, b) {
			if key != "K" {
				t.bad("an element's /" + string(key))
			}
		}
	}
	return t.kids(a.Get("K"), b.Get("K"), spot{num: ref.Num}.at("K"), depth+1)
}

// numbers compares number trees: entries may be added.
func (t *tagDiff) numbers(old, now pdf.Object, here spot, depth int) error {
	if depth > 32 {
		t.bad("the parent tree nests too deeply")
		return nil
	}
	a, err := t.x.old.Dict(old)
	if err != nil {
		return err
	}
	b, err := t.x.new.Dict(now)
	if err != nil {
		return err
	}
	if t.x.explain(now, isDict, here.place()) {
		t.touched = true
	}
	here = here.into(now)
	for _, key := range changedKeys(a, b) {
		if key != "Nums" && key != "Kids" && key != "Limits" {
			t.bad("the parent tree's /" + string(key))
		}
	}
	for _, key := range []pdf.Name{"Nums", "Kids"} {
		x, err := t.x.old.Array(a.Get(key))
		if err != nil {
			return err
		}
		y, err := t.x.new.Array(b.Get(key))
		if err != nil {
			return err
		}
		t.x.explain(b.Get(key), isArray, here.at(key).place())
		if !keepsAll(x, y) {
			t.bad("entries of the parent tree were removed")
		}
		if key == "Nums" {
			continue
		}
		before, kids := newMembers(x), here.at(key).into(b.Get(key))
		for _, k := range y {
			if has, err := before.has(k, t.x.visits); err != nil {
				return err
			} else if !has {
				continue
			}
			if err := t.numbers(k, k, kids, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
