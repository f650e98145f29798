package pdf

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"sync"

	"github.com/countersign/countersign/internal/fault"
)

// extent is a part of the file.
type extent struct{ start, end int64 }

var (
	objectHead     *regexp.Regexp
	objectHeadOnce sync.Once
)

// heads reports whether data holds what looks like the head of an object. The
// expression is compiled when it is first needed: programs that only sign do
// without the package regexp.
func heads(data []byte) bool {
	objectHeadOnce.Do(func() { objectHead = regexp.MustCompile(`\d\s+\d+\s*obj\b`) })
	return objectHead.Match(data)
}

// maxGap is how many bytes between two objects are looked at.
const maxGap = 1 << 20

// Strays reports whether the bytes behind revision from hold objects that the
// cross-reference sections since then do not list. Readers that repair files,
// or that look at another one of two entries for an object, would show them.
func (f *File) Strays(from Revision) (bool, error) {
	if from.End == 0 {
		return false, nil
	}
	listed, err := f.listedSince(from)
	if errors.Is(err, fault.Invalid) && !isLimit(err) {
		return true, nil // where a listed object ends cannot be told
	}
	if err != nil {
		return false, err
	}
	at := from.End
	for _, x := range append(listed, extent{f.size, f.size}) {
		if x.start > at {
			if stray, err := f.strayIn(at, x.start); err != nil || stray {
				return stray, err
			}
		}
		at = max(at, x.end)
	}
	return false, nil
}

// listedSince is where the objects and sections behind revision from lie, in
// the order of the file.
func (f *File) listedSince(from Revision) ([]extent, error) {
	var out []extent
	for _, s := range f.sections[:from.section] {
		for _, part := range []*section{s, s.hidden} {
			if part == nil {
				continue
			}
			if part.at >= from.End {
				out = append(out, extent{part.at, part.end})
			}
			list, err := f.objectsOf(part, from.End)
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
		}
	}
	slices.SortFunc(out, func(a, b extent) int { return cmp.Compare(a.start, b.start) })
	return out, nil
}

func (f *File) objectsOf(s *section, from int64) ([]extent, error) {
	var out []extent
	for _, sub := range s.subs {
		for num := sub.first; num < sub.first+sub.count; num++ {
			e, _, err := f.row(s, num)
			if err != nil {
				return nil, err
			}
			if e.kind != entryInUse || e.a < from {
				continue
			}
			x, err := f.extentOf(e.a)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
	}
	return out, nil
}

func (f *File) extentOf(at int64) (extent, error) {
	_, obj, end, err := f.indirectTo(at)
	if err != nil {
		return extent{}, err
	}
	if s, ok := obj.(*Stream); ok {
		if _, end, err = f.raw(s); err != nil {
			return extent{}, err
		}
	}
	return extent{at, end}, nil
}

func (f *File) strayIn(start, end int64) (bool, error) {
	if end-start > maxGap {
		return true, nil
	}
	if err := f.spend(int(end - start)); err != nil {
		return false, err
	}
	gap, err := f.readAt(start, int(end-start))
	return heads(gap), err
}
