package pdf

import "fmt"

// DSS is the document security store (ISO 32000-2, 12.8.4.3) with the contents
// of its streams.
type DSS struct {
	Dict               *Dict
	Certs, CRLs, OCSPs [][]byte
	// VRI is the validation information per signature, by its key: the
	// upper-case hexadecimal SHA-1 of /Contents.
	VRI map[string]VRI
}

// VRI is the validation information of one signature.
type VRI struct {
	Certs, CRLs, OCSPs [][]byte
	TU                 string
	HasTS              bool
}

// DSS reads the document security store; nil if there is none. A stream that is
// named several times is decoded once and shared.
func (f *File) DSS() (*DSS, error) {
	c, err := f.Catalog()
	if err != nil {
		return nil, err
	}
	d, err := f.Dict(c.Get("DSS"))
	if err != nil || d == nil {
		return nil, err
	}
	r := &dssReader{f: f, seen: map[Ref][]byte{}}
	out := &DSS{Dict: d, VRI: map[string]VRI{}}
	for key, to := range map[Name]*[][]byte{"Certs": &out.Certs, "CRLs": &out.CRLs, "OCSPs": &out.OCSPs} {
		if *to, err = r.list(d.Get(key)); err != nil {
			return nil, fmt.Errorf("DSS %s: %w", key, err)
		}
	}
	vri, err := f.Dict(d.Get("VRI"))
	if err != nil {
		return nil, err
	}
	for _, e := range vri.Entries() {
		x, err := f.Dict(e.Value)
		if err != nil {
			return nil, err
		}
		if x == nil {
			continue
		}
		if out.VRI[string(e.Key)], err = r.vri(x); err != nil {
			return nil, fmt.Errorf("DSS VRI %s: %w", clip(string(e.Key)), err)
		}
	}
	return out, nil
}

// dssReader remembers the streams it decoded.
type dssReader struct {
	f     *File
	seen  map[Ref][]byte
	total int
}

func (r *dssReader) vri(d *Dict) (VRI, error) {
	v := VRI{HasTS: d.Has("TS")}
	var err error
	for key, to := range map[Name]*[][]byte{"Cert": &v.Certs, "CRL": &v.CRLs, "OCSP": &v.OCSPs} {
		if *to, err = r.list(d.Get(key)); err != nil {
			return v, err
		}
	}
	v.TU, err = r.f.Text(d.Get("TU"))
	return v, err
}

// list decodes every stream of an array.
func (r *dssReader) list(obj Object) ([][]byte, error) {
	refs, err := r.f.Array(obj)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, x := range refs {
		ref, ok := x.(Ref)
		if !ok {
			continue // a stream is always indirect
		}
		data, ok, err := r.stream(ref)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, data)
		}
	}
	return out, nil
}

func (r *dssReader) stream(ref Ref) ([]byte, bool, error) {
	if data, ok := r.seen[ref]; ok {
		return data, true, nil
	}
	obj, err := r.f.Load(ref)
	if err != nil {
		return nil, false, err
	}
	s, ok := obj.(*Stream)
	if !ok {
		return nil, false, nil
	}
	data, err := r.f.Decode(s)
	if err != nil {
		return nil, false, err
	}
	if r.total += len(data); r.total > 2*r.f.limits.StreamBytes {
		return nil, false, overLimit("its validation data is larger than %d bytes", 2*r.f.limits.StreamBytes)
	}
	r.seen[ref] = data
	return data, true, nil
}
