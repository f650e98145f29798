package validate

import (
	"fmt"
	"maps"
	"slices"

	"github.com/countersign/countersign/ades/pdf"
)

// differ compares two neighbouring revisions. Every object of the older one that
// the newer one overrides or frees must be explained by a rule for the place it
// has in the document; what stays unexplained and is still referred to is a
// forbidden change.
type differ struct {
	old, new *pdf.File
	out      *revisionDiff
	visits   *int

	// overridden holds objects that existed and are different now or gone;
	// added those that did not exist.
	overridden map[int]pdf.Change
	added      map[int]bool
	// explained says from which places an overridden object may be referred to:
	// an object with two roles is an old trick.
	explained map[int][]place
	// held is the same for objects that did not change themselves, but through
	// which an explained object is reached.
	held map[int][]place

	oldFields, newFields []pdf.Field
	pages                map[int]int // object number of a page → its number
	// packed is whether objects may be in object streams.
	packed bool
}

func (x *differ) add(c class, field, format string, args ...any) {
	n := change{class: c, field: field, text: fmt.Sprintf(format, args...)}
	if !slices.Contains(x.out.changes, n) {
		x.out.changes = append(x.out.changes, n)
	}
}

// run does the whole comparison.
func (x *differ) run(list []pdf.Change, from, to pdf.Revision) error {
	x.overridden, x.added, x.explained, x.held = map[int]pdf.Change{}, map[int]bool{}, map[int][]place{}, map[int][]place{}
	for _, c := range list {
		if err := x.sort(c); err != nil {
			return err
		}
	}
	if err := x.trailers(from.Trailer, to.Trailer); err != nil {
		return err
	}
	for _, step := range []func() error{x.form, x.catalog, x.pageTree, x.leftovers} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// sort drops objects that were written again with the same value.
func (x *differ) sort(c pdf.Change) error {
	if c.Old == nil {
		x.added[c.Num] = true
		return nil
	}
	if c.New != nil && *c.Old == *c.New {
		a, err := x.old.Load(*c.Old)
		if err != nil {
			return err
		}
		b, err := x.new.Load(*c.New)
		if err != nil {
			return err
		}
		same, err := pdf.Same(x.old, a, x.new, b)
		if err != nil || same {
			return err
		}
	}
	x.overridden[c.Num] = c
	return nil
}

// place recognises the references that an explained object may have.
type place func(reference) bool

// under recognises references below these dictionary keys, the last ones of the path.
func under(keys ...pdf.Name) place {
	return func(r reference) bool {
		n := len(r.path) - len(keys)
		return n >= 0 && slices.Equal(r.path[n:], keys)
	}
}

// exactly recognises references by their whole path from any object.
func exactly(keys ...pdf.Name) place {
	return func(r reference) bool { return slices.Equal(r.path, keys) }
}

// within recognises references from one object, by the whole path.
func within(num int, keys ...pdf.Name) place {
	return func(r reference) bool { return r.from == num && slices.Equal(r.path, keys) }
}

// explain takes an overridden object off the list of those without a reason, as
// far as only those places refer to it. It reports whether the object was overridden.
func (x *differ) explain(obj pdf.Object, places ...place) bool {
	ref, ok := obj.(pdf.Ref)
	if !ok {
		return false
	}
	c, ok := x.overridden[ref.Num]
	if !ok || c.New == nil {
		return false
	}
	x.explained[ref.Num] = append(x.explained[ref.Num], places...)
	return true
}

// explainDict is explain for a dictionary whose keys were compared one by one:
// then it does not matter who refers to it. A stream has data besides, so it is
// never explained this way.
func (x *differ) explainDict(obj pdf.Object) (bool, error) {
	if !x.pending(obj) {
		return false, nil
	}
	for _, f := range []*pdf.File{x.old, x.new} {
		v, err := f.Resolve(obj)
		if err != nil {
			return false, err
		}
		if _, ok := v.(*pdf.Dict); !ok {
			return false, nil
		}
	}
	return x.explain(obj, func(reference) bool { return true }), nil
}

// hold demands that only those places refer to an object.
func (x *differ) hold(obj pdf.Object, places ...place) {
	if ref, ok := obj.(pdf.Ref); ok {
		x.held[ref.Num] = append(x.held[ref.Num], places...)
	}
}

// pending reports whether an object was overridden.
func (x *differ) pending(obj pdf.Object) bool {
	ref, ok := obj.(pdf.Ref)
	if !ok {
		return false
	}
	_, ok = x.overridden[ref.Num]
	return ok
}

func (x *differ) trailers(old, now *pdf.Dict) error {
	if !pdf.Equal(old.Get("Root"), now.Get("Root")) {
		x.add(forbidden, "", "the document catalogue was replaced")
	}
	if !pdf.Equal(old.Get("Encrypt"), now.Get("Encrypt")) {
		x.add(forbidden, "", "the encryption was changed")
	}
	if x.explain(now.Get("Info"), within(0, "Info")) || !pdf.Equal(old.Get("Info"), now.Get("Info")) {
		x.add(maintenance, "", "document information updated")
	}
	return nil
}

// catalog compares the document catalogues.
func (x *differ) catalog() error {
	if _, err := x.explainDict(x.new.Root()); err != nil {
		return err
	}
	a, err := x.old.Catalog()
	if err != nil {
		return err
	}
	b, err := x.new.Catalog()
	if err != nil {
		return err
	}
	if err := x.dss(a.Get("DSS"), b.Get("DSS")); err != nil {
		return err
	}
	if err := x.metadata(a, b); err != nil {
		return err
	}
	if err := x.structTree(a.Get("StructTreeRoot"), b.Get("StructTreeRoot")); err != nil {
		return err
	}
	for _, key := range changedKeys(a, b) {
		switch key {
		case "AcroForm", "DSS", "Metadata", "StructTreeRoot":
		case "Extensions", "Version":
			x.add(maintenance, "", "the document's /%s was changed", key)
		case "Perms":
			x.add(forbidden, "", "the document's permissions were changed")
		default:
			x.add(forbidden, "", "the document catalogue's /%s was changed", key)
		}
	}
	return nil
}

// changedKeys lists the keys whose values differ, comparing references by number.
func changedKeys(a, b *pdf.Dict) []pdf.Name {
	keys := map[pdf.Name]bool{}
	for _, d := range []*pdf.Dict{a, b} {
		for _, e := range d.Entries() {
			if !pdf.Equal(a.Get(e.Key), b.Get(e.Key)) {
				keys[e.Key] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

func (x *differ) metadata(a, b *pdf.Dict) error {
	now := b.Get("Metadata")
	obj, err := x.new.Resolve(now)
	if err != nil {
		return err
	}
	if _, ok := obj.(*pdf.Stream); !ok && now != nil {
		x.add(forbidden, "", "the document's metadata are no stream")
		return nil
	}
	if x.explain(now, under("Metadata")) || !pdf.Equal(a.Get("Metadata"), now) {
		x.add(maintenance, "", "document metadata updated")
	}
	return nil
}

// Keys that a document security store and its parts may have, so that nothing
// else can hide in them.
var (
	dssKeys = []pdf.Name{"Type", "Certs", "CRLs", "OCSPs", "VRI"}
	vriKeys = []pdf.Name{"Type", "Cert", "CRL", "OCSP", "TU", "TS"}
)

// dss compares the document security stores. Entries may be added, and lists
// made longer; streams that were there must stay.
func (x *differ) dss(old, now pdf.Object) error {
	d, err := x.new.Dict(now)
	if err != nil {
		return err
	}
	if d == nil {
		if old != nil {
			x.add(forbidden, "", "the validation data were removed")
		}
		return nil
	}
	touched := x.explain(now, under("DSS")) || !pdf.Equal(old, now)
	for _, e := range d.Entries() {
		if !slices.Contains(dssKeys, e.Key) {
			x.add(forbidden, "", "the document security store has the unknown entry /%s", e.Key)
		}
	}
	if x.dssLists(d, "Certs", "CRLs", "OCSPs") {
		touched = true
	}
	vri, err := x.new.Dict(d.Get("VRI"))
	if err != nil {
		return err
	}
	touched = x.explain(d.Get("VRI"), under("VRI")) || touched
	for _, e := range vri.Entries() {
		entry, err := x.new.Dict(e.Value)
		if err != nil {
			return err
		}
		touched = x.explain(e.Value, under("VRI", e.Key), under(e.Key)) || touched
		for _, k := range entry.Entries() {
			if !slices.Contains(vriKeys, k.Key) && e.Key != "Type" {
				x.add(forbidden, "", "validation data have the unknown entry /%s", k.Key)
			}
		}
		touched = x.dssLists(entry, "Cert", "CRL", "OCSP") || touched
	}
	if touched {
		x.add(maintenance, "", "validation data (DSS) added")
	}
	return nil
}

func (x *differ) dssLists(d *pdf.Dict, keys ...pdf.Name) bool {
	touched := false
	for _, k := range keys {
		touched = x.explain(d.Get(k), under(k)) || touched
	}
	return touched
}
