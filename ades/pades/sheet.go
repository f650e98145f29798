package pades

import (
	"math"
	"strconv"
	"strings"

	"github.com/countersign/countersign/ades/pdf"
)

// milli is a length in thousandths: of a point, or of a page's user unit. What is
// drawn is computed in whole numbers, so that every machine makes the same bytes.
type milli int64

// toMilli rounds a length.
func toMilli(v float64) milli { return milli(math.Round(v * 1000)) }

// object is the number as it is written.
func (m milli) object() pdf.Object {
	if m%1000 == 0 {
		return pdf.Integer(m / 1000)
	}
	return pdf.Real(m.String())
}

// String is the number with up to three decimals.
func (m milli) String() string {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	s := sign + strconv.FormatInt(int64(m/1000), 10)
	if m%1000 == 0 {
		return s
	}
	return s + "." + strings.TrimRight(strconv.FormatInt(int64(1000+m%1000), 10)[1:], "0")
}

// Sanity of pages: no edge is further away, in user units, and no user unit larger.
const (
	maxEdge     = 1e7
	maxUserUnit = 1e6
)

// sheet is a page as viewers show it.
type sheet struct {
	box    [4]milli // what is shown, in user space: left, bottom, right, top
	rotate int      // clockwise: 0, 90, 180 or 270
	unit   milli    // points in a user unit
}

// sheet reads how a page is shown: the crop box as far as it is on the media box,
// turned by Rotate (7.7.3.3). What is malformed counts as absent, as in viewers.
func (d *draft) sheet(page *pdf.Dict) (*sheet, error) {
	s := &sheet{unit: 1000}
	media, err := d.boxOf(page, "MediaBox")
	if err != nil {
		return nil, err
	}
	if media == nil {
		media = &[4]milli{0, 0, 612_000, 792_000}
	}
	crop, err := d.boxOf(page, "CropBox")
	if err != nil {
		return nil, err
	}
	s.box = *media
	if crop != nil {
		both := [4]milli{max(crop[0], media[0]), max(crop[1], media[1]), min(crop[2], media[2]), min(crop[3], media[3])}
		if both[0] >= both[2] || both[1] >= both[3] {
			return nil, unseemly("the page's crop box lies outside its media box, and viewers differ in what they show of it")
		}
		s.box = both
	}
	obj, err := d.inherited(page, "Rotate")
	if err != nil {
		return nil, err
	}
	if n, ok := obj.(pdf.Integer); ok && n%90 == 0 {
		s.rotate = int((n%360 + 360) % 360)
	}
	obj, err = d.f.Resolve(page.Get("UserUnit"))
	if err != nil {
		return nil, err
	}
	if v := number(obj); v >= 0.001 && v <= maxUserUnit {
		s.unit = toMilli(v)
	}
	return s, nil
}

// boxOf returns a box, also inherited, with its corners in order; nil if there
// is none or it is empty.
func (d *draft) boxOf(page *pdf.Dict, key pdf.Name) (*[4]milli, error) {
	obj, err := d.inherited(page, key)
	if err != nil {
		return nil, err
	}
	list, _ := obj.(pdf.Array)
	return d.ordered(list)
}

// ordered reads a rectangle; nil if it is none, or empty.
func (d *draft) ordered(list pdf.Array) (*[4]milli, error) {
	list, err := d.numbers(list)
	if err != nil || list == nil {
		return nil, err
	}
	var v [4]milli
	for i, obj := range list {
		n := number(obj)
		if math.IsNaN(n) || math.Abs(n) > maxEdge {
			return nil, nil //nolint:nilnil // none
		}
		v[i] = toMilli(n)
	}
	v = [4]milli{min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3])}
	if v[0] == v[2] || v[1] == v[3] {
		return nil, nil //nolint:nilnil // none
	}
	return &v, nil
}

// inherited is a page's attribute, its own or that of a node above it.
func (d *draft) inherited(node *pdf.Dict, key pdf.Name) (pdf.Object, error) {
	for depth := 0; node != nil && depth < 64; depth++ {
		obj, err := d.f.Resolve(node.Get(key))
		if err != nil || obj != nil {
			return obj, err
		}
		if node, err = d.f.Dict(node.Get("Parent")); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// size is how large the sheet is for its reader, in points.
func (s *sheet) size() (width, height milli) {
	width, height = (s.box[2]-s.box[0])*s.unit/1000, (s.box[3]-s.box[1])*s.unit/1000
	if s.rotate%180 != 0 {
		width, height = height, width
	}
	return width, height
}

// point is where a point before the reader, from the upper left, lies in user space.
func (s *sheet) point(x, y milli) (milli, milli) {
	x, y = x*1000/s.unit, y*1000/s.unit
	switch s.rotate {
	case 90:
		return s.box[0] + y, s.box[1] + x
	case 180:
		return s.box[2] - x, s.box[1] + y
	case 270:
		return s.box[2] - y, s.box[3] - x
	}
	return s.box[0] + x, s.box[3] - y
}
