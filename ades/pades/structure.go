package pades

import (
	"slices"

	"github.com/countersign/countersign/ades/pdf"
)

// tag makes a new visible widget part of the document's tags (14.7), which
// PDF/UA demands and screen readers need: an element of type Form, its entry in
// the parent tree, and the page's order of tabs. A document without tags stays
// without; one whose tags are not as they must be is left alone, with a warning.
func (d *draft) tag(widget pdf.Ref, field *pdf.Dict, at *place) error {
	if tagged, err := d.tagged(); err != nil || !tagged {
		return err
	}
	if len(d.signed) > 0 {
		return d.untagged()
	}
	t, err := d.readTags()
	if err != nil {
		return err
	}
	if t == nil {
		d.warnings = append(d.warnings, "the document's tags are not in order, so screen readers may not find the visible signature")
		return nil
	}
	element := d.u.Add(pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("StructElem")},
		pdf.Entry{Key: "S", Value: pdf.Name("Form")},
		pdf.Entry{Key: "P", Value: t.parent},
		pdf.Entry{Key: "Pg", Value: at.ref},
		pdf.Entry{Key: "K", Value: pdf.NewDict(
			pdf.Entry{Key: "Type", Value: pdf.Name("OBJR")},
			pdf.Entry{Key: "Obj", Value: widget},
			pdf.Entry{Key: "Pg", Value: at.ref},
		)},
	))
	field.Set("StructParent", pdf.Integer(t.key))
	if err := d.addKid(t.parent, element); err != nil {
		return err
	}
	if err := d.addNumber(t, element); err != nil {
		return err
	}
	if at.page.Has("Tabs") {
		return nil
	}
	page, err := d.u.EditDict(at.ref)
	if err != nil {
		return err
	}
	page.Set("Tabs", pdf.Name("S"))
	at.page = page
	return nil
}

// untagged leaves the tags of a document as they were signed: validators take a
// change of them for one of the content. What claims PDF/UA would then be none.
func (d *draft) untagged() error {
	xmp, err := d.metadata()
	if err != nil {
		return err
	}
	if claim(xmp, claimPDFUA) != 0 {
		return unseemly("the document claims PDF/UA and is signed already: tags for a new visible signature would put the earlier one in doubt; sign in a field that is there, or without a visible signature")
	}
	d.warnings = append(d.warnings, "the document is signed already, so its tags stay as they are: screen readers may not find the visible signature")
	return nil
}

// tagged reports whether the document says that it is tagged.
func (d *draft) tagged() (bool, error) {
	catalog, err := d.f.Catalog()
	if err != nil {
		return false, err
	}
	info, err := d.f.Dict(catalog.Get("MarkInfo"))
	if err != nil {
		return false, err
	}
	marked, err := d.f.Resolve(info.Get("Marked"))
	return marked == true, err
}

// tags is where a new element goes.
type tags struct {
	root   pdf.Ref
	parent pdf.Ref // of the element
	key    int64   // in the parent tree
	// nodes are those of the parent tree from its root to its last leaf; the root
	// may be direct, then its reference is zero.
	nodes []node
}

type node struct {
	ref  pdf.Ref
	dict *pdf.Dict
}

// readTags looks at everything that will be changed, before anything is; nil if
// it is not as it must be.
func (d *draft) readTags() (*tags, error) {
	catalog, err := d.f.Catalog()
	if err != nil {
		return nil, err
	}
	t := &tags{}
	t.root, _ = catalog.Get("StructTreeRoot").(pdf.Ref)
	root, err := d.dict(t.root)
	if err != nil || root == nil {
		return nil, err
	}
	if t.parent, err = d.parentOf(t.root, root); err != nil {
		return nil, err
	}
	if next, ok, err := d.f.Int(root.Get("ParentTreeNextKey")); err != nil {
		return nil, err
	} else if ok {
		t.key = max(0, next)
	}
	ok, err := d.lastLeaf(t, root)
	if err != nil || !ok || t.key > 1<<30 {
		return nil, err
	}
	return t, nil
}

// dict loads a dictionary by its reference; nil if it is none.
func (d *draft) dict(ref pdf.Ref) (*pdf.Dict, error) {
	obj, err := d.f.Resolve(ref)
	out, _ := obj.(*pdf.Dict)
	if ref == (pdf.Ref{}) {
		return nil, err
	}
	return out, err
}

// parentOf is the document's one element of type Document, or else the root.
func (d *draft) parentOf(rootRef pdf.Ref, root *pdf.Dict) (pdf.Ref, error) {
	kid := root.Get("K")
	obj, err := d.f.Resolve(kid)
	if err != nil {
		return rootRef, err
	}
	if list, ok := obj.(pdf.Array); ok {
		if len(list) != 1 {
			return rootRef, nil
		}
		kid = list[0]
	}
	ref, _ := kid.(pdf.Ref)
	element, err := d.dict(ref)
	if err != nil || element == nil {
		return rootRef, err
	}
	if kind, err := d.f.Name(element.Get("S")); err != nil || kind != "Document" {
		return rootRef, err
	}
	return ref, nil
}

// lastLeaf goes down the parent tree (7.9.7) to its last leaf, and finds a free key
// above all others. Not ok means that the tree is not as it must be.
func (d *draft) lastLeaf(t *tags, root *pdf.Dict) (bool, error) {
	obj := root.Get("ParentTree")
	for depth := range 32 {
		n := node{}
		n.ref, _ = obj.(pdf.Ref)
		v, err := d.f.Resolve(obj)
		if err != nil {
			return false, err
		}
		var ok bool
		if n.dict, ok = v.(*pdf.Dict); !ok {
			return v == nil && depth == 0, nil // there is no tree yet
		}
		if n.ref == (pdf.Ref{}) && depth > 0 {
			return false, nil // a kid must be indirect
		}
		t.nodes = append(t.nodes, n)
		kids, err := d.f.Array(n.dict.Get("Kids"))
		if err != nil {
			return false, err
		}
		if len(kids) == 0 {
			return d.lastKey(t, n.dict)
		}
		obj = kids[len(kids)-1]
	}
	return false, nil
}

func (d *draft) lastKey(t *tags, leaf *pdf.Dict) (bool, error) {
	nums, err := d.f.Array(leaf.Get("Nums"))
	if err != nil || len(nums)%2 != 0 {
		return false, err
	}
	for i := 0; i < len(nums); i += 2 {
		n, ok, err := d.f.Int(nums[i])
		if err != nil || !ok {
			return false, err
		}
		t.key = max(t.key, n+1)
	}
	return true, nil
}

// addKid appends a child to an element, or to the root.
func (d *draft) addKid(parent, kid pdf.Ref) error {
	obj, err := d.u.Resolve(parent)
	if err != nil {
		return err
	}
	p, _ := obj.(*pdf.Dict)
	old := p.Get("K")
	v, err := d.u.Resolve(old)
	if err != nil {
		return err
	}
	list, isList := v.(pdf.Array)
	longer := append(slices.Clone(list), kid)
	if !isList && v != nil {
		longer = pdf.Array{old, kid}
	}
	if at, ok := old.(pdf.Ref); ok && isList {
		d.u.Set(at, longer)
		return nil
	}
	edited, err := d.u.EditDict(parent)
	if err != nil {
		return err
	}
	edited.Set("K", longer)
	return nil
}

// addNumber enters the element into the parent tree.
func (d *draft) addNumber(t *tags, element pdf.Ref) error {
	root, err := d.u.EditDict(t.root)
	if err != nil {
		return err
	}
	root.Set("ParentTreeNextKey", pdf.Integer(t.key+1))
	if len(t.nodes) == 0 {
		root.Set("ParentTree", d.u.Add(pdf.NewDict(pdf.Entry{Key: "Nums", Value: pdf.Array{pdf.Integer(t.key), element}})))
		return nil
	}
	for _, n := range t.nodes[:len(t.nodes)-1] {
		if err := d.widen(n, root, t.key, nil); err != nil {
			return err
		}
	}
	leaf := t.nodes[len(t.nodes)-1]
	nums, err := d.f.Array(leaf.dict.Get("Nums"))
	if err != nil {
		return err
	}
	longer := append(slices.Clone(nums), pdf.Integer(t.key), element)
	if at, ok := leaf.dict.Get("Nums").(pdf.Ref); ok && nums != nil {
		d.u.Set(at, longer)
		longer = nil
	}
	return d.widen(leaf, root, t.key, longer)
}

// widen writes a node anew if its limits do not reach to key, or it gets numbers.
func (d *draft) widen(n node, root *pdf.Dict, key int64, nums pdf.Array) error {
	limits, err := d.f.Array(n.dict.Get("Limits"))
	if err != nil || len(limits) != 2 && nums == nil {
		return err
	}
	edited := n.dict.Clone()
	if n.ref == (pdf.Ref{}) {
		root.Set("ParentTree", edited)
	} else if edited, err = d.u.EditDict(n.ref); err != nil {
		return err
	}
	if len(limits) == 2 {
		edited.Set("Limits", pdf.Array{limits[0], pdf.Integer(key)})
	}
	if nums != nil {
		edited.Set("Nums", nums)
	}
	return nil
}
