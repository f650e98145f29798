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
	said     map[change]bool // the changes in out
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
	// dangling holds the references to added objects in the older text of
	// overridden ones.
	dangling map[int]map[int][]reference

	oldFields, newFields *fieldSet
	pages                map[int]int  // object number of a page → its number
	annots               map[int]bool // objects that are a page's array of annotations
}

func (x *differ) add(c class, field, format string, args ...any) {
	n := change{class: c, field: field, text: fmt.Sprintf(format, args...)}
	if !x.said[n] {
		x.said[n] = true
		x.out.changes = append(x.out.changes, n)
	}
}

// run does the whole comparison.
func (x *differ) run(list []pdf.Change, from, to pdf.Revision) error {
	x.overridden, x.added, x.explained, x.held = map[int]pdf.Change{}, map[int]bool{}, map[int][]place{}, map[int][]place{}
	x.annots, x.dangling = map[int]bool{}, map[int]map[int][]reference{}
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
		if err != nil {
			return err
		}
		twice, err := repeats(b)
		if err != nil || (same && !twice) {
			return err
		}
	}
	x.overridden[c.Num] = c
	return nil
}

// place recognises the references that an explained object may have.
type place func(reference) bool

// exactly recognises references by their whole path from any object.
func exactly(keys ...pdf.Name) place {
	return func(r reference) bool { return slices.Equal(r.path, keys) }
}

// within recognises references from one object, by the whole path.
func within(num int, keys ...pdf.Name) place {
	return func(r reference) bool { return r.from == num && slices.Equal(r.path, keys) }
}

// spot is where a value stands: in which object, below which keys. Rules name
// whole spots, because the names of resources are the author's to choose.
type spot struct {
	num  int
	path []pdf.Name
}

// at is the spot of an entry of the dictionary that stands at s.
func (s spot) at(keys ...pdf.Name) spot { return spot{s.num, slices.Concat(s.path, keys)} }

// into is where the entries of obj stand, which itself stands at s.
func (s spot) into(obj pdf.Object) spot {
	if ref, ok := obj.(pdf.Ref); ok {
		return spot{num: ref.Num}
	}
	return s
}

func (s spot) place() place { return within(s.num, s.path...) }

// root is the spot of the document catalogue.
func (x *differ) root() spot { return spot{num: x.new.Root().Num} }

// kind tells objects apart by what they can be used for.
type kind func(pdf.Object) bool

func isArray(obj pdf.Object) bool { _, ok := obj.(pdf.Array); return ok }

func isDict(obj pdf.Object) bool { _, ok := obj.(*pdf.Dict); return ok }

func isStream(obj pdf.Object) bool { _, ok := obj.(*pdf.Stream); return ok }

// isXML is for metadata, which no reader takes for a form or an image.
func isXML(obj pdf.Object) bool {
	s, ok := obj.(*pdf.Stream)
	return ok && s.Dict.Get("Subtype") == pdf.Name("XML")
}

// isValue is for values of fields: what no page can show by itself.
func isValue(obj pdf.Object) bool { return !isDict(obj) && !isStream(obj) }

func isDrawn(obj pdf.Object) bool { return isDict(obj) || isStream(obj) }

// explain takes an overridden object, which is and was of a kind, off the list
// of those without a reason, as far as only those places refer to it. It reports
// whether there was something to explain.
func (x *differ) explain(obj pdf.Object, is kind, places ...place) bool {
	if !x.pending(obj) {
		return false
	}
	ref, _ := obj.(pdf.Ref)
	for _, f := range []*pdf.File{x.old, x.new} {
		if v, err := f.Resolve(obj); err != nil || !is(v) {
			return false
		}
	}
	x.explained[ref.Num] = append(x.explained[ref.Num], places...)
	return true
}

// explainDict is explain for a dictionary whose keys were compared one by one:
// then it does not matter who refers to it. A stream has data besides, so it is
// never explained this way.
func (x *differ) explainDict(obj pdf.Object) bool {
	return x.explain(obj, isDict, func(reference) bool { return true })
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
	if x.explain(now.Get("Info"), isDict, within(0, "Info")) || !pdf.Equal(old.Get("Info"), now.Get("Info")) {
		x.add(maintenance, "", "document information updated")
	}
	return nil
}

// catalog compares the document catalogues.
func (x *differ) catalog() error {
	x.explainDict(x.new.Root())
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
	changed := changedKeys(a, b)
	if err := x.noStreams("the document catalogue", b, changed, "Metadata"); err != nil {
		return err
	}
	for _, key := range changed {
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
	values := [2]map[pdf.Name]pdf.Object{{}, {}}
	for i, d := range []*pdf.Dict{a, b} {
		for _, e := range d.Entries() {
			values[i][e.Key] = e.Value
		}
	}
	keys := map[pdf.Name]bool{}
	for i := range values {
		for key, v := range values[i] {
			if !pdf.Equal(v, values[1-i][key]) {
				keys[key] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// noStreams demands that changed entries, sorted, are no streams: a dictionary may be the
// list of a font's glyphs or of a page's images besides what it seems to be.
func (x *differ) noStreams(what string, d *pdf.Dict, changed []pdf.Name, except pdf.Name) error {
	for _, e := range d.Entries() {
		if _, ok := slices.BinarySearch(changed, e.Key); !ok || e.Key == except {
			continue
		}
		v, err := x.new.Resolve(e.Value)
		if err != nil {
			return err
		}
		if isStream(v) {
			x.add(forbidden, "", "%s: /%s is now a stream", what, e.Key)
		}
	}
	return nil
}

func (x *differ) metadata(a, b *pdf.Dict) error {
	now := b.Get("Metadata")
	obj, err := x.new.Resolve(now)
	if err != nil {
		return err
	}
	if !isXML(obj) && now != nil && !pdf.Equal(a.Get("Metadata"), now) {
		x.add(forbidden, "", "the document's metadata are no stream of XML")
		return nil
	}
	if x.explain(now, isXML, x.root().at("Metadata").place()) || !pdf.Equal(a.Get("Metadata"), now) {
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
	here := x.root().at("DSS")
	touched := x.explain(now, isDict, here.place()) || !pdf.Equal(old, now)
	here = here.into(now)
	for _, e := range d.Entries() {
		if !slices.Contains(dssKeys, e.Key) {
			x.add(forbidden, "", "the document security store has the unknown entry /%s", e.Key)
		}
	}
	if x.dssLists(here, d, "Certs", "CRLs", "OCSPs") {
		touched = true
	}
	vri, err := x.new.Dict(d.Get("VRI"))
	if err != nil {
		return err
	}
	touched = x.explain(d.Get("VRI"), isDict, here.at("VRI").place()) || touched
	here = here.at("VRI").into(d.Get("VRI"))
	for _, e := range vri.Entries() {
		entry, err := x.new.Dict(e.Value)
		if err != nil {
			return err
		}
		touched = x.explain(e.Value, isDict, here.at(e.Key).place()) || touched
		for _, k := range entry.Entries() {
			if !slices.Contains(vriKeys, k.Key) && e.Key != "Type" {
				x.add(forbidden, "", "validation data have the unknown entry /%s", k.Key)
			}
		}
		touched = x.dssLists(here.at(e.Key).into(e.Value), entry, "Cert", "CRL", "OCSP") || touched
	}
	if touched {
		x.add(maintenance, "", "validation data (DSS) added")
	}
	return nil
}

func (x *differ) dssLists(here spot, d *pdf.Dict, keys ...pdf.Name) bool {
	touched := false
	for _, k := range keys {
		touched = x.explain(d.Get(k), isArray, here.at(k).place()) || touched
	}
	return touched
}
