package pdf

import (
	"slices"
	"strings"
)

// Reference is a signature reference dictionary.
type Reference struct {
	// Method is DocMDP, FieldMDP, UR or UR3.
	Method Name
	// P is the DocMDP level; 2 if it is not stated; 0 for other methods.
	P int
	// FieldMDP's action and fields.
	Lock Lock
}

// Lock says which fields a signature locks (12.7.5.5, 12.8.2.4).
type Lock struct {
	Action Name // All, Include, Exclude
	Fields []string
	P      int // 0 if absent
}

// Locks reports whether the field with that fully qualified name is locked. A
// name in the list stands for the fields below it too.
func (l *Lock) Locks(name string) bool {
	listed := slices.ContainsFunc(l.Fields, func(s string) bool {
		return name == s || strings.HasPrefix(name, s+".")
	})
	switch l.Action {
	case "All":
		return true
	case "Include":
		return listed
	case "Exclude":
		return !listed
	}
	return false
}

func (f *File) references(d *Dict) ([]Reference, error) {
	list, err := f.Array(d.Get("Reference"))
	if err != nil {
		return nil, err
	}
	var out []Reference
	for _, obj := range list {
		ref, err := f.Dict(obj)
		if err != nil {
			return nil, err
		}
		var r Reference
		if r.Method, err = f.Name(ref.Get("TransformMethod")); err != nil {
			return nil, err
		}
		params, err := f.Dict(ref.Get("TransformParams"))
		if err != nil {
			return nil, err
		}
		switch r.Method {
		case "DocMDP":
			p, ok, err := f.Int(params.Get("P"))
			if err != nil {
				return nil, err
			}
			if !ok || p < 1 || p > 3 {
				p = 2
			}
			r.P = int(p)
		case "FieldMDP":
			l, err := f.lock(params)
			if err != nil {
				return nil, err
			}
			if l != nil {
				r.Lock = *l
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// lock reads a signature field lock or FieldMDP parameters; nil if it is neither.
func (f *File) lock(obj Object) (*Lock, error) {
	d, err := f.Dict(obj)
	if err != nil || d == nil {
		return nil, err
	}
	l := &Lock{}
	if l.Action, err = f.Name(d.Get("Action")); err != nil {
		return nil, err
	}
	fields, err := f.Array(d.Get("Fields"))
	if err != nil {
		return nil, err
	}
	for _, x := range fields {
		name, err := f.Text(x)
		if err != nil {
			return nil, err
		}
		l.Fields = append(l.Fields, name)
	}
	p, ok, err := f.Int(d.Get("P"))
	if ok && p >= 1 && p <= 3 {
		l.P = int(p)
	}
	return l, err
}

// Lock returns the signature lock of a field, nil if it has none.
func (f *File) Lock(x *Field) (*Lock, error) { return f.lock(x.Dict.Get("Lock")) }

// Certification returns the DocMDP level that the catalogue's Perms sets, 0 if
// there is none, and the signature dictionary it comes from. Only a signature
// that a field holds certifies.
func (f *File) Certification() (p int, by Ref, err error) {
	c, err := f.Catalog()
	if err != nil {
		return 0, Ref{}, err
	}
	perms, err := f.Dict(c.Get("Perms"))
	if err != nil {
		return 0, Ref{}, err
	}
	by, _ = perms.Get("DocMDP").(Ref)
	d, err := f.Dict(perms.Get("DocMDP"))
	if err != nil || d == nil {
		return 0, Ref{}, err
	}
	refs, err := f.references(d)
	if err != nil {
		return 0, Ref{}, err
	}
	for _, r := range refs {
		if r.Method == "DocMDP" {
			return r.P, by, nil
		}
	}
	return 2, by, nil
}

// UsageRights reports whether the file has usage rights (UR or UR3), which end
// with the first change.
func (f *File) UsageRights() (bool, error) {
	c, err := f.Catalog()
	if err != nil {
		return false, err
	}
	perms, err := f.Dict(c.Get("Perms"))
	if err != nil {
		return false, err
	}
	return perms.Has("UR3") || perms.Has("UR"), nil
}
