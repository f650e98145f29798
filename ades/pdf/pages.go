package pdf

// FirstPage returns the reference and the dictionary of the first page. A page
// tree that is circular is refused; children that are all pages by their number
// are not read behind the first page, so that long documents cost little.
func (f *File) FirstPage() (Ref, *Dict, error) {
	var ref Ref
	var page *Dict
	err := f.walkPages(true, func(r Ref, d *Dict) (bool, error) {
		if page == nil {
			ref, page = r, d
		}
		return true, nil
	})
	if err != nil {
		return Ref{}, nil, err
	}
	if page == nil {
		return Ref{}, nil, damaged("it has no page")
	}
	return ref, page, nil
}

// EachPage calls visit for every page in order until it returns false.
func (f *File) EachPage(visit func(Ref, *Dict) (bool, error)) error {
	return f.walkPages(false, visit)
}

func (f *File) walkPages(lazy bool, visit func(Ref, *Dict) (bool, error)) error {
	catalog, err := f.Catalog()
	if err != nil {
		return err
	}
	root, ok := catalog.Get("Pages").(Ref)
	if !ok {
		return damaged("the catalogue names no page tree")
	}
	w := &pageWalk{f: f, visit: visit, lazy: lazy, seen: map[Ref]bool{}}
	return w.node(root, 0)
}

type pageWalk struct {
	f     *File
	visit func(Ref, *Dict) (bool, error)
	lazy  bool
	seen  map[Ref]bool
	found bool // a page
	done  bool
}

func (w *pageWalk) node(ref Ref, depth int) error {
	if w.seen[ref] {
		return damaged("its page tree is circular or shares nodes (object %d)", ref.Num)
	}
	if depth > 64 {
		return overLimit("its page tree is deeper than 64")
	}
	if len(w.seen) >= w.f.limits.Nodes {
		return overLimit("its page tree has more than %d nodes", w.f.limits.Nodes)
	}
	w.seen[ref] = true
	d, err := w.f.Dict(ref)
	if err != nil || d == nil { // a missing node has no pages
		return err
	}
	if d.Has("Kids") {
		return w.kids(d, depth)
	}
	w.found = true
	on, err := w.visit(ref, d)
	w.done = w.done || !on
	return err
}

func (w *pageWalk) kids(d *Dict, depth int) error {
	kids, err := w.f.Array(d.Get("Kids"))
	if err != nil {
		return err
	}
	count, ok, err := w.f.Int(d.Get("Count"))
	if err != nil {
		return err
	}
	flat := ok && count == int64(len(kids))
	for _, k := range kids {
		if w.done || (w.lazy && flat && w.found) {
			return nil
		}
		ref, ok := k.(Ref)
		if !ok {
			return damaged("a page is not an indirect object")
		}
		if err := w.node(ref, depth+1); err != nil {
			return err
		}
	}
	return nil
}
