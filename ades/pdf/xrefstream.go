package pdf

import "fmt"

// readStreamSection reads the cross-reference stream at off (ISO 32000-2, 7.5.8).
func (f *File) readStreamSection(off int64) (*section, error) {
	_, obj, err := f.indirect(off)
	if err != nil {
		return nil, fmt.Errorf("cross-reference stream: %w", err)
	}
	stm, ok := obj.(*Stream)
	if !ok || stm.Dict.Get("Type") != Name("XRef") {
		return nil, damaged("startxref or /Prev does not point at a cross-reference section")
	}
	stm.clear = true
	s := &section{at: off, stream: true, trailer: stm.Dict}
	width, err := widths(stm.Dict)
	if err != nil {
		return nil, err
	}
	data, end, err := f.decode(stm)
	if err != nil {
		return nil, fmt.Errorf("cross-reference stream: %w", err)
	}
	s.end = end
	return s, f.splitRows(s, data, width)
}

func widths(d *Dict) ([3]int, error) {
	var width [3]int
	w, _ := d.Get("W").(Array)
	if len(w) < 3 {
		return width, damaged("a cross-reference stream has no /W")
	}
	sum := 0
	for i := range width {
		n, ok := w[i].(Integer)
		if !ok || n < 0 || n > 8 {
			return width, damaged("/W of a cross-reference stream is out of range")
		}
		width[i] = int(n)
		sum += int(n)
	}
	if len(w) > 3 || sum == 0 {
		return width, damaged("/W of a cross-reference stream is out of range")
	}
	return width, nil
}

// splitRows cuts the decoded data into the subsections that Index names.
func (f *File) splitRows(s *section, data []byte, width [3]int) error {
	size, ok := s.trailer.Get("Size").(Integer)
	if !ok || size < 0 {
		return damaged("a cross-reference stream has no /Size")
	}
	index, ok := s.trailer.Get("Index").(Array)
	if !ok {
		index = Array{Integer(0), size}
	}
	row := width[0] + width[1] + width[2]
	for i := 0; i+1 < len(index); i += 2 {
		first, ok1 := index[i].(Integer)
		count, ok2 := index[i+1].(Integer)
		if !ok1 || !ok2 || first < 0 || count < 0 {
			return damaged("/Index of a cross-reference stream is malformed")
		}
		// Entries that the data does not reach do not exist.
		count = min(count, Integer(len(data)/row))
		if first > Integer(f.limits.Objects) || first+count > Integer(f.limits.Objects)+1 {
			return overLimit("its cross-reference names objects above number %d", f.limits.Objects)
		}
		if count == 0 {
			continue
		}
		n := int(count) * row
		s.subs = append(s.subs, subsection{first: int(first), count: int(count), rows: data[:n:n], width: width})
		data = data[n:]
	}
	return s.order()
}

func streamRow(row []byte, width [3]int) entry {
	var v [3]int64
	for i, w := range width {
		for _, c := range row[:w] {
			v[i] = v[i]<<8 | int64(c)
		}
		row = row[w:]
	}
	if width[0] == 0 {
		v[0] = entryInUse
	}
	if v[0] != entryInUse && v[0] != entryCompressed {
		return entry{} // free, or a kind of the future: null (7.5.8.3)
	}
	return entry{int(v[0]), v[1], v[2]}
}
