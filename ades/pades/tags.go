package pades

import (
	"strconv"

	"github.com/countersign/countersign/ades/pdf"
)

// corner is the empty rectangle of an invisible widget: at the origin, as
// everybody expects it. In a tagged document whose first page has the origin
// inside, it is at the page's corner instead: PDF/UA (ISO 14289-1, 7.18.1) asks
// for tags of every annotation that is not outside the page, and an empty
// rectangle on its edge is outside.
func (d *draft) corner(page *pdf.Dict) (pdf.Array, error) {
	origin := pdf.Array{pdf.Integer(0), pdf.Integer(0), pdf.Integer(0), pdf.Integer(0)}
	if tagged, err := d.tagged(); err != nil || !tagged {
		return origin, err
	}
	box, err := d.box(page)
	if err != nil || box == nil {
		return origin, err
	}
	x0, y0, x1, y1 := number(box[0]), number(box[1]), number(box[2]), number(box[3])
	if min(x0, x1) < 0 && max(x0, x1) > 0 && min(y0, y1) < 0 && max(y0, y1) > 0 {
		return pdf.Array{box[0], box[1], box[0], box[1]}, nil
	}
	return origin, nil
}

// box returns the page's crop box, or its media box, also inherited; nil if it
// is not four numbers.
func (d *draft) box(page *pdf.Dict) (pdf.Array, error) {
	for _, key := range []pdf.Name{"CropBox", "MediaBox"} {
		node := page
		for depth := 0; node != nil && depth < 64; depth++ {
			box, err := d.f.Array(node.Get(key))
			if err != nil {
				return nil, err
			}
			if box != nil {
				return d.numbers(box)
			}
			if node, err = d.f.Dict(node.Get("Parent")); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

func (d *draft) numbers(box pdf.Array) (pdf.Array, error) {
	if len(box) != 4 {
		return nil, nil
	}
	out := make(pdf.Array, 4)
	for i := range box {
		var err error
		if out[i], err = d.f.Resolve(box[i]); err != nil {
			return nil, err
		}
		switch out[i].(type) {
		case pdf.Integer, pdf.Real:
		default:
			return nil, nil
		}
	}
	return out, nil
}

func number(obj pdf.Object) float64 {
	switch n := obj.(type) {
	case pdf.Integer:
		return float64(n)
	case pdf.Real:
		if v, err := strconv.ParseFloat(string(n), 64); err == nil {
			return v
		}
	}
	return 0
}
