package validate

import (
	"fmt"
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
	if x.explainDict(ref) {
		changed := changedKeys(old, now)
		if err := x.noStreams(fmt.Sprintf("page %d", n), now, changed, ""); err != nil {
			return err
		}
		for _, key := range changed {
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
	if ref, ok := now.(pdf.Ref); ok {
		x.annots[ref.Num] = true
	}
	x.explain(now, isArray, x.annotsOfPages)
	before := newMembers(a)
	for _, obj := range b {
		has, err := before.has(obj, x.visits)
		if err != nil {
			return err
		}
		if has {
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

// annotsOfPages recognises references from a page to its array of annotations.
func (x *differ) annotsOfPages(r reference) bool {
	_, page := x.pages[r.from]
	return page && slices.Equal(r.path, []pdf.Name{"Annots"})
}

// annotOfPages recognises references from such an array to an annotation.
func (x *differ) annotOfPages(r reference) bool {
	return x.annotsOfPages(r) || (x.annots[r.from] && len(r.path) == 0)
}

// members finds the elements of an array.
type members struct {
	refs   map[pdf.Ref]bool
	direct pdf.Array
}

func newMembers(a pdf.Array) members {
	m := members{refs: map[pdf.Ref]bool{}}
	for _, obj := range a {
		if ref, ok := obj.(pdf.Ref); ok {
			m.refs[ref] = true
		} else {
			m.direct = append(m.direct, obj)
		}
	}
	return m
}

func (m members) has(obj pdf.Object, visits *int) (bool, error) {
	if ref, ok := obj.(pdf.Ref); ok {
		return m.refs[ref], nil
	}
	return slices.ContainsFunc(m.direct, func(o pdf.Object) bool { return pdf.Equal(o, obj) }), spend(visits, len(m.direct))
}

func (x *differ) annotationAdded(n int, obj pdf.Object) error {
	if f := x.newFields.showing(obj); f != nil {
		return x.widgetAdded(n, f)
	}
	return x.judgeAnnotation(n, obj, "added")
}

// judgeAnnotation says what of an annotation that is no field's: what was done to
// it is "added" or "changed".
func (x *differ) judgeAnnotation(n int, obj pdf.Object, done string) error {
	d, err := x.new.Dict(obj)
	if err != nil {
		return err
	}
	kind, err := x.new.Name(d.Get("Subtype"))
	if err != nil {
		return err
	}
	acts, err := x.actsByItself(d)
	switch {
	case kind == "Widget":
		x.add(forbidden, "", "a form element that belongs to no field was %s on page %d", done, n)
		return nil
	case err != nil:
		return err
	case acts:
		x.add(forbidden, "", "annotation (%s) with an action was %s on page %d", kind, done, n)
	default:
		x.add(annotation, "", "annotation (%s) %s on page %d", kind, done, n)
	}
	return nil
}

// actsByItself reports whether an annotation does more than lead to a place: a
// script can hide fields or write into them.
func (x *differ) actsByItself(annot *pdf.Dict) (bool, error) {
	action, err := x.new.Dict(annot.Get("A"))
	if err != nil || annot.Has("AA") || action.Has("Next") {
		return true, err
	}
	kind, err := x.new.Name(action.Get("S"))
	return action != nil && !slices.Contains([]pdf.Name{"URI", "GoTo", "GoToR"}, kind), err
}

// widgetAdded judges a widget that a page shows only now. A new field was judged
// with the form. One that was there was hidden when it was signed: it may show
// itself only with its own signature.
func (x *differ) widgetAdded(n int, f *pdf.Field) error {
	old := x.oldFields.byRef[f.Ref]
	if old == nil {
		return nil
	}
	before, err := x.old.Resolve(old.Value)
	if err != nil {
		return err
	}
	now, err := x.new.Resolve(f.Value)
	if err != nil {
		return err
	}
	visible, err := x.visible(f)
	if err != nil {
		return err
	}
	if signed := before == nil && now != nil; f.Type == "Sig" && (signed || !visible) {
		return nil
	}
	x.add(forbidden, f.Name, "form field %q was made visible on page %d", f.Name, n)
	return nil
}

func (x *differ) annotationChanged(n int, obj pdf.Object) error {
	if x.newFields.showing(obj) != nil || !x.pending(obj) {
		return nil
	}
	x.explain(obj, isDict, x.annotOfPages, exactly("Parent"), exactly("Popup"), exactly("IRT"), exactly("Obj"), exactly("K", "Obj"))
	return x.judgeAnnotation(n, obj, "changed")
}
