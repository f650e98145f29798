package pades

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the standard names VRI entries by it
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"github.com/countersign/countersign/ades/pdf"
)

// Evidence is validation data: certificates, CRLs and OCSP responses in DER.
type Evidence struct {
	Certs, CRLs, OCSPs [][]byte
	// Field is the name of the signature field that the data is for; it gets an
	// entry in VRI. Empty adds the data for the document as a whole.
	Field string
}

// AddDSS adds validation data to the document security store (ISO 32000-2,
// 12.8.4.3). What is there stays; what is there already is not added again. The
// patch is returned as it is if nothing is new.
func (p *Patch) AddDSS(doc io.ReaderAt, o AugmentOptions, evidence ...Evidence) (*Patch, error) {
	f, err := p.open(doc, o.Password, o.Limits)
	if err != nil {
		return nil, err
	}
	s, err := openStore(f)
	if err != nil {
		return nil, err
	}
	for _, e := range evidence {
		if err := s.addEvidence(e); err != nil {
			return nil, err
		}
	}
	if !s.changed {
		return p, nil
	}
	more, err := s.u.Bytes()
	if err != nil {
		return nil, err
	}
	return p.with(more), nil
}

// store is the document security store in the making.
type store struct {
	f       *pdf.File
	u       *pdf.Update
	ref     pdf.Ref
	dict    *pdf.Dict // as it is
	known   map[[32]byte]pdf.Ref
	changed bool
}

// openStore finds the store and the streams it holds.
func openStore(f *pdf.File) (*store, error) {
	s := &store{f: f, u: f.Update(), known: map[[32]byte]pdf.Ref{}}
	catalog, err := f.Catalog()
	if err != nil {
		return nil, err
	}
	s.ref, _ = catalog.Get("DSS").(pdf.Ref)
	if s.dict, err = f.Dict(catalog.Get("DSS")); err != nil {
		return nil, err
	}
	if s.dict == nil {
		s.ref, s.dict = pdf.Ref{}, &pdf.Dict{}
	}
	lists := []pdf.Object{s.dict.Get("Certs"), s.dict.Get("CRLs"), s.dict.Get("OCSPs")}
	vri, err := f.Dict(s.dict.Get("VRI"))
	if err != nil {
		return nil, err
	}
	for _, e := range vri.Entries() {
		x, err := f.Dict(e.Value)
		if err != nil {
			return nil, err
		}
		lists = append(lists, x.Get("Cert"), x.Get("CRL"), x.Get("OCSP"))
	}
	for _, l := range lists {
		if err := s.learn(l); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// learn remembers the streams of an array by their content.
func (s *store) learn(obj pdf.Object) error {
	list, err := s.f.Array(obj)
	if err != nil {
		return err
	}
	for _, x := range list {
		ref, ok := x.(pdf.Ref)
		if !ok {
			continue
		}
		obj, err := s.f.Load(ref)
		if err != nil {
			return err
		}
		stm, ok := obj.(*pdf.Stream)
		if !ok {
			continue
		}
		data, err := s.f.Decode(stm)
		if err != nil {
			return fmt.Errorf("document security store: %w", err)
		}
		if sum := sha256.Sum256(data); s.known[sum] == (pdf.Ref{}) {
			s.known[sum] = ref
		}
	}
	return nil
}

// streams returns references to streams with that content, new ones as needed.
func (s *store) streams(contents [][]byte) []pdf.Ref {
	var refs []pdf.Ref
	for _, c := range contents {
		sum := sha256.Sum256(c)
		ref, ok := s.known[sum]
		if !ok {
			ref = s.u.Add(&pdf.Stream{Dict: &pdf.Dict{}, Data: bytes.Clone(c)})
			s.known[sum] = ref
			s.changed = true
		}
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs
}

func (s *store) addEvidence(e Evidence) error {
	lists := []struct {
		all, one pdf.Name
		refs     []pdf.Ref
	}{
		{"Certs", "Cert", s.streams(e.Certs)},
		{"CRLs", "CRL", s.streams(e.CRLs)},
		{"OCSPs", "OCSP", s.streams(e.OCSPs)},
	}
	for _, l := range lists {
		if err := s.extend(s.dict, l.all, l.refs, s.edit); err != nil {
			return err
		}
	}
	if e.Field == "" {
		return nil
	}
	key, err := s.vriKey(e.Field)
	if err != nil {
		return err
	}
	entry, edit, err := s.vri(key)
	if err != nil {
		return err
	}
	for _, l := range lists {
		if err := s.extend(entry, l.one, l.refs, edit); err != nil {
			return err
		}
		if entry, edit, err = s.vri(key); err != nil {
			return err
		}
	}
	return nil
}

// extend adds refs to the array under key, in its place if it is indirect.
func (s *store) extend(d *pdf.Dict, key pdf.Name, refs []pdf.Ref, edit func() (*pdf.Dict, error)) error {
	obj, err := s.u.Resolve(d.Get(key))
	if err != nil {
		return err
	}
	list, ok := obj.(pdf.Array)
	longer := slices.Clone(list)
	for _, r := range refs {
		if !slices.Contains(longer, pdf.Object(r)) {
			longer = append(longer, r)
		}
	}
	if len(longer) == len(list) {
		return nil
	}
	s.changed = true
	if at, indirect := d.Get(key).(pdf.Ref); indirect && ok {
		s.u.Set(at, longer)
		return nil
	}
	e, err := edit()
	if err != nil {
		return err
	}
	e.Set(key, longer)
	return nil
}

// edit returns the store's dictionary for changing: indirect, direct in the
// catalogue, or new.
func (s *store) edit() (*pdf.Dict, error) {
	if s.ref != (pdf.Ref{}) {
		d, err := s.u.EditDict(s.ref)
		s.dict = d
		return d, err
	}
	catalog, err := s.u.EditDict(s.f.Root())
	if err != nil {
		return nil, err
	}
	if catalog.Get("DSS") == nil {
		s.dict = pdf.NewDict(pdf.Entry{Key: "Type", Value: pdf.Name("DSS")})
		s.ref = s.u.Add(s.dict)
		catalog.Set("DSS", s.ref)
		return s.dict, nil
	}
	s.dict = s.dict.Clone()
	catalog.Set("DSS", s.dict)
	return s.dict, nil
}

// vriKey is the name of a signature's entry: the SHA-1 of its /Contents, with
// the padding.
func (s *store) vriKey(field string) (pdf.Name, error) {
	signatures, err := s.f.Signatures()
	if err != nil {
		return "", err
	}
	for _, x := range signatures {
		if x.Field.Name == field {
			return VRIKey(x.Contents), nil
		}
	}
	return "", fieldRefusal("the document has no signature in field %q", field)
}

// VRIKey returns the name of a signature's entry in VRI: the upper-case
// hexadecimal SHA-1 of its decoded /Contents, padding included.
func VRIKey(contents []byte) pdf.Name {
	return pdf.Name(fmt.Sprintf("%X", sha1.Sum(contents))) //nolint:gosec // see the import
}

// vri returns a signature's entry and how to change it.
func (s *store) vri(key pdf.Name) (*pdf.Dict, func() (*pdf.Dict, error), error) {
	obj, err := s.u.Resolve(s.dict.Get("VRI"))
	if err != nil {
		return nil, nil, err
	}
	all, _ := obj.(*pdf.Dict)
	if obj, err = s.u.Resolve(all.Get(key)); err != nil {
		return nil, nil, err
	}
	entry, _ := obj.(*pdf.Dict)
	edit := func() (*pdf.Dict, error) {
		if ref, ok := all.Get(key).(pdf.Ref); ok && entry != nil {
			return s.u.EditDict(ref)
		}
		container, err := s.editVRI(all)
		if err != nil {
			return nil, err
		}
		fresh := entry.Clone()
		container.Set(key, fresh)
		return fresh, nil
	}
	return entry, edit, nil
}

// editVRI returns the dictionary of all entries for changing.
func (s *store) editVRI(all *pdf.Dict) (*pdf.Dict, error) {
	if ref, ok := s.dict.Get("VRI").(pdf.Ref); ok && all != nil {
		return s.u.EditDict(ref)
	}
	d, err := s.edit()
	if err != nil {
		return nil, err
	}
	fresh := all.Clone()
	d.Set("VRI", fresh)
	return fresh, nil
}
