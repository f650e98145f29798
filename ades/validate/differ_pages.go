package validate

import (
	"slices"

	"github.com/countersign/countersign/ades/pdf"
)

// pageTree compares the pages, if anything is left to explain.
func (x *differ) pageTree() error {
	x.pages = map[int]int{}
	if x.quiet() {
		return nil
	}
	var before []pdf.Ref
	err := x.old.EachPage(func(ref pdf.Ref, _ *pdf.Dict) (bool, error) {
		before = append(before, ref)
		return true, spend(x.visits, 2)
	})
	if err != nil {
		return err
	}
	n := 0
	same := true
	err = x.new.EachPage(func(ref pdf.Ref, now *pdf.Dict) (bool, error) {
		same = same && n < len(before) && before[n] == ref
		n++
		x.pages[ref.Num] = n
		if !same {
			return true, nil
		}
		return true, x.page(n, ref, now)
	})
	if err != nil {
		return err
	}
	if !same || n != len(before) {
		x.add(forbidden, "", "pages were added, removed or put in another order")
	}
	return nil
}

// quiet reports whether every overridden object is explained and nothing was
// added that a page could show.
func (x *differ) quiet() bool {
	for num := range x.overridden {
		if _, ok := x.explained[num]; !ok {
			return false
		}
	}
	return true
}

func (x *differ) page(n int, ref pdf.Ref, now *pdf.Dict) error {
	old, err := x.old.Dict(ref)
	if err != nil {
		return err
	}
	changed, err := x.explainDict(ref)
	if err != nil {
		return err
	}
	if changed {
		for _, key := range changedKeys(old, now) {
			switch key {
			case "Annots", "Tabs", "LastModified":
			case "Contents":
				x.add(forbidden, "", "the content of page %d was replaced", n)
			default:
				x.add(forbidden, "", "page %d: /%s was changed", n, key)
			}
		}
	}
	return x.annotations(n, old.Get("Annots"), now.Get("Annots"))
}

func (x *differ) annotations(n int, old, now pdf.Object) error {
	a, err := x.old.Array(old)
	if err != nil {
		return err
	}
	b, err := x.new.Array(now)
	if err != nil {
		return err
	}
	x.explain(now, under("Annots"))
	for _, obj := range b {
		if slices.ContainsFunc(a, func(o pdf.Object) bool { return pdf.Equal(o, obj) }) {
			if err := x.annotationChanged(n, obj); err != nil {
				return err
			}
			continue
		}
		if err := x.annotationAdded(n, obj); err != nil {
			return err
		}
	}
	if !keepsAll(a, b) {
		x.add(annotation, "", "annotations on page %d were removed or put in another order", n)
	}
	return nil
}

// widgetOf finds the form field that a widget belongs to.
func widgetOf(fields []pdf.Field, obj pdf.Object) *pdf.Field {
	ref, ok := obj.(pdf.Ref)
	if !ok {
		return nil
	}
	for i := range fields {
		if slices.Contains(fields[i].Widgets, ref) {
			return &fields[i]
		}
	}
	return nil
}

func (x *differ) annotationAdded(n int, obj pdf.Object) error {
	if f := widgetOf(x.newFields, obj); f != nil {
		// A new field was judged with the form. A widget that a page shows only
		// now, though its field was there, was hidden when it was signed.
		if old := findField(x.oldFields, f.Ref); old != nil && old.Type != "Sig" {
			x.add(forbidden, f.Name, "form field %q was made visible on page %d", f.Name, n)
		}
		return nil
	}
	d, err := x.new.Dict(obj)
	if err != nil {
		return err
	}
	kind, err := x.new.Name(d.Get("Subtype"))
	if err != nil {
		return err
	}
	if kind == "Widget" {
		x.add(forbidden, "", "a form element that belongs to no field was added on page %d", n)
		return nil
	}
	x.add(annotation, "", "annotation (%s) added on page %d", kind, n)
	return nil
}

func (x *differ) annotationChanged(n int, obj pdf.Object) error {
	if widgetOf(x.newFields, obj) != nil || !x.pending(obj) {
		return nil
	}
	d, err := x.new.Dict(obj)
	if err != nil {
		return err
	}
	kind, err := x.new.Name(d.Get("Subtype"))
	if err != nil {
		return err
	}
	x.explain(obj, under("Annots"), exactly("Parent"), exactly("Popup"), exactly("IRT"), exactly("Obj"), exactly("K", "Obj"))
	if kind == "Widget" {
		x.add(forbidden, "", "a form element that belongs to no field was changed on page %d", n)
		return nil
	}
	x.add(annotation, "", "annotation (%s) changed on page %d", kind, n)
	return nil
}
