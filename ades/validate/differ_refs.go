package validate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
)

// reference is a place that refers to an object.
type reference struct {
	from int        // object number; 0 is the trailer
	path []pdf.Name // dictionary keys from that object down
}

// scan walks everything that can be reached from a trailer and collects the
// places that refer to the watched objects. Contents of streams are not read.
type scan struct {
	f     *pdf.File
	watch map[int]bool
	found map[int][]reference
	seen  map[int]bool
	queue []pdf.Ref
	// loaded is told of every object, or that it cannot be read.
	loaded func(ref pdf.Ref, obj pdf.Object, lost bool) error
	// repeated is told of every dictionary with a key twice; it may be nil.
	repeated func(at reference)
}

// scanDepth is how deep objects may nest.
const scanDepth = 200

func (x *differ) referrers(watch map[int]bool) (map[int][]reference, error) {
	s := &scan{f: x.new, watch: watch, found: map[int][]reference{}, seen: map[int]bool{}, loaded: x.unwritten, repeated: x.ambiguous}
	if err := s.walk(x.new.Trailer(), reference{}, 0); err != nil {
		return nil, err
	}
	for len(s.queue) > 0 {
		ref := s.queue[len(s.queue)-1]
		s.queue = s.queue[:len(s.queue)-1]
		if err := spend(x.visits, 1); err != nil {
			return nil, err
		}
		obj, err := x.new.Load(ref)
		if err := s.loaded(ref, obj, err != nil); err != nil {
			return nil, err
		}
		if err != nil {
			continue // what cannot be read shows nothing
		}
		if err := s.walk(obj, reference{from: ref.Num}, 0); err != nil {
			return nil, err
		}
	}
	return s.found, nil
}

// unwritten catches an object that no cross-reference section mentions as
// written, and that is different all the same: because the object stream that
// holds it was replaced, or what says how to decode that stream; or because it
// lies, or ends, behind the end of the older revision.
func (x *differ) unwritten(ref pdf.Ref, now pdf.Object, lost bool) error {
	_, overridden := x.overridden[ref.Num]
	if overridden || x.added[ref.Num] {
		return nil
	}
	if err := spend(x.visits, 1); err != nil {
		return err
	}
	before, errBefore := x.old.Load(ref)
	if lostBefore := errBefore != nil; lost != lostBefore || (!lost && !pdf.Equal(before, now)) {
		x.add(forbidden, "", "object %d was changed through the object stream that holds it, or lies behind what was signed", ref.Num)
	}
	if s, ok := now.(*pdf.Stream); ok && !lost {
		held, err := x.old.Holds(s)
		if err != nil {
			return err
		}
		if !held {
			x.add(forbidden, "", "stream %d ends behind what was signed", ref.Num)
		}
	}
	return nil
}

// repeats reports whether a dictionary in obj has an entry twice.
func repeats(obj pdf.Object) (bool, error) {
	found := false
	s := &scan{seen: map[int]bool{}, repeated: func(reference) { found = true }}
	err := s.walk(obj, reference{from: 1}, 0)
	return found, err
}

// ambiguous catches a dictionary that was written later and that readers may
// understand differently.
func (x *differ) ambiguous(at reference) {
	if _, overridden := x.overridden[at.from]; overridden || at.from == 0 || x.added[at.from] {
		x.add(forbidden, "", "object %d has an entry twice, with different values", at.from)
	}
}

// spend takes from what all comparisons of one file may cost.
func spend(visits *int, n int) error {
	if *visits += n; *visits > maxVisits {
		return fault.New(fault.Invalid, "the PDF's revisions hold too many objects to compare")
	}
	return nil
}

func (s *scan) walk(obj pdf.Object, at reference, depth int) error {
	if depth > scanDepth {
		return fault.New(fault.Invalid, "object %d nests too deeply", at.from)
	}
	switch o := obj.(type) {
	case pdf.Ref:
		if s.watch[o.Num] {
			s.found[o.Num] = append(s.found[o.Num], reference{at.from, slices.Clone(at.path)})
		}
		if !s.seen[o.Num] {
			s.seen[o.Num] = true
			s.queue = append(s.queue, o)
		}
	case pdf.Array:
		for _, e := range o {
			if err := s.walk(e, at, depth+1); err != nil {
				return err
			}
		}
	case *pdf.Stream:
		return s.walk(o.Dict, at, depth+1)
	case *pdf.Dict:
		if o.Repeated() && s.repeated != nil {
			s.repeated(at)
		}
		for _, e := range o.Entries() {
			if at.from == 0 && depth == 0 && (e.Key == "Prev" || e.Key == "XRefStm") {
				continue
			}
			if err := s.walk(e.Value, reference{at.from, append(at.path, e.Key)}, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// leftovers judges what no rule explained, and objects in places where they
// must not be.
func (x *differ) leftovers() error {
	watch := map[int]bool{}
	for num := range x.overridden {
		watch[num] = true
	}
	for num := range x.added {
		watch[num] = true
	}
	for num := range x.held {
		watch[num] = true
	}
	if len(watch) == 0 {
		return nil
	}
	found, err := x.referrers(watch)
	if err != nil {
		return err
	}
	for _, num := range slices.Sorted(maps.Keys(found)) {
		refs := found[num]
		_, overridden := x.overridden[num]
		places, explained := x.explained[num]
		switch {
		case x.added[num]:
			if err := x.judgeAdded(num, refs); err != nil {
				return err
			}
		case overridden && !explained:
			x.unexplained(num, refs[0])
		case explained && !onlyAt(refs, places):
			x.add(forbidden, "", "object %d, which has two roles in the document, was replaced", num)
		case !overridden && !onlyAt(refs, x.held[num]):
			x.add(forbidden, "", "what object %d refers to was replaced, and it has two roles in the document", num)
		}
	}
	return nil
}

func onlyAt(refs []reference, places []place) bool {
	return !slices.ContainsFunc(refs, func(r reference) bool {
		return !slices.ContainsFunc(places, func(p place) bool { return p(r) })
	})
}

// judgeAdded catches an object that the signed revision referred to but did not
// have: its appearance later changes what unchanged objects show.
func (x *differ) judgeAdded(num int, refs []reference) error {
	for _, r := range refs {
		if r.from == 0 || x.added[r.from] {
			continue
		}
		named := true
		if c, changed := x.overridden[r.from]; changed {
			var err error
			if named, err = x.named(*c.Old, num); err != nil {
				return err
			}
		}
		if named {
			x.add(forbidden, "", "object %d, which the signed revision left undefined, was supplied (%s)", num, x.where(r))
			return nil
		}
	}
	return nil
}

// named reports whether an object of the older revision refers to the added
// object num.
func (x *differ) named(by pdf.Ref, num int) (bool, error) {
	found, ok := x.dangling[by.Num]
	if !ok {
		obj, err := x.old.Load(by)
		if err != nil {
			return false, err
		}
		s := &scan{watch: x.added, found: map[int][]reference{}, seen: map[int]bool{}}
		if err := s.walk(obj, reference{from: by.Num}, 0); err != nil {
			return false, err
		}
		found = s.found
		x.dangling[by.Num] = found
	}
	return len(found[num]) > 0, nil
}

func (x *differ) unexplained(num int, r reference) {
	what := "replaced"
	if x.overridden[num].New == nil {
		what = "removed"
	}
	if n, ok := x.pages[r.from]; ok && len(r.path) > 0 && r.path[0] == "Contents" {
		x.add(forbidden, "", "the content of page %d was %s", n, what)
		return
	}
	x.add(forbidden, "", "object %d (%s) was %s", num, x.where(r), what)
}

// where says where an object is used.
func (x *differ) where(r reference) string {
	path := make([]string, len(r.path))
	for i, k := range r.path {
		path[i] = clip(string(k))
	}
	where := strings.Join(path, "/")
	if n, ok := x.pages[r.from]; ok {
		return fmt.Sprintf("%s of page %d", where, n)
	}
	return fmt.Sprintf("%s of object %d", where, r.from)
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
