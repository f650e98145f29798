package pades

import (
	"math"

	"github.com/countersign/countersign/ades/pdf"
)

// place is where a signature stands on a page.
type place struct {
	ref  pdf.Ref
	page *pdf.Dict
	// rect is left, bottom, right, top in the page's user space.
	rect [4]milli
	// width and height are in points, as the reader sees them.
	width, height milli
	// turned is by how many degrees it is turned counter-clockwise on the page, to
	// stand upright before the reader.
	turned int
}

func (p *place) array() pdf.Array {
	return pdf.Array{p.rect[0].object(), p.rect[1].object(), p.rect[2].object(), p.rect[3].object()}
}

// slack is how far a rectangle may reach over the edge of a page: what rounding
// on a screen does.
const slack = 500

// newPlace finds the page and the rectangle that were asked for.
func (d *draft) newPlace() (*place, error) {
	if d.look.Page == 0 {
		return nil, unseemly("the document has no field %q yet: say on which page and where the visible signature is to stand", d.field)
	}
	for _, v := range []float64{d.look.X, d.look.Y, d.look.Width, d.look.Height} {
		if math.IsNaN(v) || math.Abs(v) > maxEdge {
			return nil, unseemly("the visible signature's rectangle is out of range")
		}
	}
	p := &place{width: toMilli(d.look.Width), height: toMilli(d.look.Height)}
	x, y := toMilli(d.look.X), toMilli(d.look.Y)
	var err error
	if p.ref, p.page, err = d.page(d.look.Page); err != nil {
		return nil, err
	}
	s, err := d.sheet(p.page)
	if err != nil {
		return nil, err
	}
	if w, h := s.size(); x < -slack || y < -slack || x+p.width > w+slack || y+p.height > h+slack {
		return nil, unseemly("the visible signature's rectangle reaches outside its page, which is %s points wide and %s high", w, h)
	}
	if p.width <= 0 || p.height <= 0 {
		return nil, unseemly("the visible signature's rectangle is empty")
	}
	p.turned = s.rotate
	x0, y0 := s.point(x, y)
	x1, y1 := s.point(x+p.width, y+p.height)
	p.rect = [4]milli{min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)}
	return p, nil
}

// page returns the nth page from the front, or from the back if n is negative.
func (d *draft) page(n int) (pdf.Ref, *pdf.Dict, error) {
	if n == 1 {
		return d.f.FirstPage()
	}
	var refs []pdf.Ref
	err := d.f.EachPage(func(ref pdf.Ref, _ *pdf.Dict) (bool, error) {
		refs = append(refs, ref)
		return n < 0 || len(refs) < n, nil
	})
	if err != nil {
		return pdf.Ref{}, nil, err
	}
	i := n - 1
	if n < 0 {
		i = len(refs) + n
	}
	if i < 0 || i >= len(refs) {
		return pdf.Ref{}, nil, unseemly("the document has %d pages, and so no page %d", len(refs), n)
	}
	page, err := d.f.Dict(refs[i])
	return refs[i], page, err
}

// placeOf finds where an existing widget stands, and how it must be turned to
// stand upright, unless the widget says itself how it is (MK, R).
func (d *draft) placeOf(ref pdf.Ref, widget *pdf.Dict) (*place, error) {
	list, err := d.f.Array(widget.Get("Rect"))
	if err != nil {
		return nil, err
	}
	rect, err := d.ordered(list)
	if err != nil {
		return nil, err
	}
	if rect == nil {
		return nil, unseemly("field %q is invisible: its rectangle is empty; sign in it without a visible signature, or in a new field", d.field)
	}
	p := &place{rect: *rect}
	if p.ref, p.page, err = d.pageOf(ref, widget); err != nil {
		return nil, err
	}
	s, err := d.sheet(p.page)
	if err != nil {
		return nil, err
	}
	p.turned = s.rotate
	mk, err := d.f.Dict(widget.Get("MK"))
	if err != nil {
		return nil, err
	}
	if r, ok, err := d.f.Int(mk.Get("R")); err != nil {
		return nil, err
	} else if ok && r%90 == 0 {
		p.turned = int((r%360 + 360) % 360)
	}
	p.width, p.height = (rect[2]-rect[0])*s.unit/1000, (rect[3]-rect[1])*s.unit/1000
	if p.turned%180 != 0 {
		p.width, p.height = p.height, p.width
	}
	return p, nil
}

// pageOf finds the page that a widget is on: the one whose annotations name it.
func (d *draft) pageOf(widget pdf.Ref, dict *pdf.Dict) (pdf.Ref, *pdf.Dict, error) {
	var at pdf.Ref
	var page *pdf.Dict
	holds := func(ref pdf.Ref, p *pdf.Dict) (bool, error) {
		annots, err := d.f.Array(p.Get("Annots"))
		for _, a := range annots {
			if a == pdf.Object(widget) {
				at, page = ref, p
			}
		}
		return page == nil, err
	}
	if ref, ok := dict.Get("P").(pdf.Ref); ok {
		p, err := d.f.Dict(ref)
		if err != nil {
			return at, nil, err
		}
		if _, err := holds(ref, p); err != nil {
			return at, nil, err
		}
	}
	if page == nil {
		if err := d.f.EachPage(holds); err != nil {
			return at, nil, err
		}
	}
	if page == nil {
		return at, nil, fieldRefusal("field %q is on no page; sign in it without a visible signature", d.field)
	}
	return at, page, nil
}

// apart refuses a place where another signature is seen, and warns of one where
// something else is.
func (d *draft) apart(at *place) error {
	annots, err := d.f.Array(at.page.Get("Annots"))
	if err != nil {
		return err
	}
	signatures := map[pdf.Ref]string{}
	for _, f := range d.fields {
		for _, w := range f.Widgets {
			if f.Type == "Sig" {
				signatures[w] = f.Name
			}
		}
	}
	covers := false
	for _, obj := range annots {
		a, err := d.f.Dict(obj)
		if err != nil {
			return err
		}
		hit, err := d.overlap(a, at.rect)
		if err != nil {
			return err
		}
		ref, _ := obj.(pdf.Ref)
		if name, ok := signatures[ref]; hit && ok {
			return unseemly("the visible signature would cover the signature field %q; choose another place", name)
		}
		covers = covers || hit
	}
	if covers {
		d.warnings = append(d.warnings, "the visible signature covers a link, a comment or a form field of its page")
	}
	return nil
}

// overlap reports whether an annotation is seen within the rectangle.
func (d *draft) overlap(a *pdf.Dict, r [4]milli) (bool, error) {
	flags, _, err := d.f.Int(a.Get("F"))
	if err != nil || flags&(flagHidden|flagNoView) != 0 {
		return false, err
	}
	kind, err := d.f.Name(a.Get("Subtype"))
	if err != nil || kind == "Popup" {
		return false, err
	}
	list, err := d.f.Array(a.Get("Rect"))
	if err != nil {
		return false, err
	}
	v, err := d.ordered(list)
	if err != nil || v == nil {
		return false, err
	}
	return v[0] < r[2] && r[0] < v[2] && v[1] < r[3] && r[1] < v[3], nil
}
