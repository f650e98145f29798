package pades

import (
	"bytes"
	"fmt"

	"github.com/countersign/countersign/ades/pdf"
)

// palette is which colours a document's conformance lets be used: those of the
// device, or ones that say what they look like.
type palette struct {
	calGrey, calRGB bool
	opaque          bool // transparency is forbidden
}

// palette reads what the document claims to be. In PDF/A, the device's grey needs
// an output intent, its red, green and blue one of that kind (ISO 19005-1, 6.2.3).
// Nothing shows through in PDF/A-1, and where no output intent says in which
// colours to blend (ISO 19005-2, 6.2.10).
func (d *draft) palette() (palette, error) {
	xmp, err := d.metadata()
	if err != nil {
		return palette{}, err
	}
	part := claim(xmp, claimPDFA)
	if part == 0 {
		return palette{}, nil
	}
	space, err := d.intent()
	return palette{calGrey: space == "", calRGB: space != "RGB ", opaque: part == '1' || space == ""}, err
}

// intent is the colour space of the document's output intent for PDF/A, as its
// profile names it; empty if there is none.
func (d *draft) intent() (string, error) {
	catalog, err := d.f.Catalog()
	if err != nil {
		return "", err
	}
	list, err := d.f.Array(catalog.Get("OutputIntents"))
	if err != nil {
		return "", err
	}
	for _, obj := range list {
		x, err := d.f.Dict(obj)
		if err != nil {
			return "", err
		}
		if x.Get("S") != pdf.Name("GTS_PDFA1") {
			continue
		}
		profile, err := d.f.Resolve(x.Get("DestOutputProfile"))
		if err != nil {
			return "", err
		}
		if stm, ok := profile.(*pdf.Stream); ok {
			data, err := d.f.Decode(stm)
			if err != nil || len(data) < 20 {
				return "", err
			}
			return string(data[16:20]), nil
		}
	}
	return "", nil
}

// white is the white point of a screen (D65).
func white() pdf.Array { return pdf.Array{pdf.Real("0.9505"), pdf.Integer(1), pdf.Real("1.089")} }

func (p palette) grey() pdf.Object {
	if !p.calGrey {
		return pdf.Name("DeviceGray")
	}
	return pdf.Array{pdf.Name("CalGray"), pdf.NewDict(
		pdf.Entry{Key: "WhitePoint", Value: white()}, pdf.Entry{Key: "Gamma", Value: pdf.Real("2.2")})}
}

// rgb is that of the device, or the colours of sRGB.
func (p palette) rgb() pdf.Object {
	if !p.calRGB {
		return pdf.Name("DeviceRGB")
	}
	g := pdf.Real("2.2")
	return pdf.Array{pdf.Name("CalRGB"), pdf.NewDict(
		pdf.Entry{Key: "WhitePoint", Value: white()},
		pdf.Entry{Key: "Gamma", Value: pdf.Array{g, g, g}},
		pdf.Entry{Key: "Matrix", Value: pdf.Array{
			pdf.Real("0.4124"), pdf.Real("0.2126"), pdf.Real("0.0193"),
			pdf.Real("0.3576"), pdf.Real("0.7152"), pdf.Real("0.1192"),
			pdf.Real("0.1805"), pdf.Real("0.0722"), pdf.Real("0.9505"),
		}})}
}

// drawing holds what the looks of one signature share.
type drawing struct {
	palette palette
	fonts   []*embedded
	image   pdf.Ref // zero if there is none
}

// materials makes the fonts and the image, once.
func (d *draft) materials() (*drawing, error) {
	if d.drawn != nil {
		return d.drawn, nil
	}
	p, err := d.palette()
	if err != nil {
		return nil, err
	}
	x := &drawing{palette: p}
	if x.fonts, err = d.embed(); err != nil {
		return nil, err
	}
	if d.look.Image != nil {
		if x.image, err = d.addPicture(d.look.Image, p); err != nil {
			return nil, err
		}
	}
	d.drawn = x
	return x, nil
}

// draw makes the look of the signature, of that size in points, turned
// counter-clockwise.
func (d *draft) draw(width, height milli, turned int) (pdf.Ref, error) {
	l, err := d.look.arrange(width, height)
	if err != nil {
		return pdf.Ref{}, err
	}
	x, err := d.materials()
	if err != nil {
		return pdf.Ref{}, err
	}
	resources := &pdf.Dict{}
	var b bytes.Buffer
	if len(l.lines) > 0 {
		ink := "0 g"
		if x.palette.calGrey {
			ink = "/Ink cs 0 sc"
			resources.Set("ColorSpace", pdf.NewDict(pdf.Entry{Key: "Ink", Value: x.palette.grey()}))
		}
		fmt.Fprintf(&b, "q\n%s\nBT\n", ink)
		for _, line := range l.lines {
			d.write(&b, x, l.size, line)
		}
		b.WriteString("ET\nQ\n")
		resources.Set("Font", fontsOf(x.fonts))
	}
	if x.image != (pdf.Ref{}) {
		fmt.Fprintf(&b, "q\n%s 0 0 %s %s %s cm\n/Image Do\nQ\n", l.image[2], l.image[3], l.image[0], l.image[1])
		resources.Set("XObject", pdf.NewDict(pdf.Entry{Key: "Image", Value: x.image}))
	}
	form := pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("XObject")},
		pdf.Entry{Key: "Subtype", Value: pdf.Name("Form")},
		pdf.Entry{Key: "BBox", Value: pdf.Array{pdf.Integer(0), pdf.Integer(0), width.object(), height.object()}},
	)
	if m := turn(width, height, turned); m != nil {
		form.Set("Matrix", m)
	}
	form.Set("Resources", resources)
	return d.u.Add(&pdf.Stream{Dict: form, Data: b.Bytes()}), nil
}

// write sets a line, a piece for each change of font.
func (d *draft) write(b *bytes.Buffer, x *drawing, size milli, line textLine) {
	fmt.Fprintf(b, "1 0 0 1 %s %s Tm\n", line.x, line.y)
	for rest := line.text; len(rest) > 0; {
		f, n := d.look.font(rest[0]), 1
		for n < len(rest) && d.look.font(rest[n]) == f {
			n++
		}
		fmt.Fprintf(b, "/F%d %s Tf\n<", f, size)
		for _, r := range rest[:n] {
			fmt.Fprintf(b, "%04X", x.fonts[f].subset.Glyph(r))
		}
		b.WriteString("> Tj\n")
		rest = rest[n:]
	}
}

func fontsOf(fonts []*embedded) *pdf.Dict {
	d := &pdf.Dict{}
	for i, f := range fonts {
		if f != nil {
			d.Set(pdf.Name(fmt.Sprintf("F%d", i)), f.ref)
		}
	}
	return d
}

// turn is the matrix that turns a form counter-clockwise into the quadrant it
// began in; nil if it stays.
func turn(width, height milli, degrees int) pdf.Array {
	zero, one, back := pdf.Integer(0), pdf.Integer(1), pdf.Integer(-1)
	switch degrees {
	case 90:
		return pdf.Array{zero, one, back, zero, height.object(), zero}
	case 180:
		return pdf.Array{back, zero, zero, back, width.object(), height.object()}
	case 270:
		return pdf.Array{zero, back, one, zero, zero, width.object()}
	}
	return nil
}

// addPicture adds the image, with a mask for what shows through where that may be.
func (d *draft) addPicture(p *Picture, colours palette) (pdf.Ref, error) {
	if colours.opaque {
		p = p.flat()
	}
	dict := func(space pdf.Object) *pdf.Dict {
		return pdf.NewDict(
			pdf.Entry{Key: "Type", Value: pdf.Name("XObject")},
			pdf.Entry{Key: "Subtype", Value: pdf.Name("Image")},
			pdf.Entry{Key: "Width", Value: pdf.Integer(p.Width)},
			pdf.Entry{Key: "Height", Value: pdf.Integer(p.Height)},
			pdf.Entry{Key: "ColorSpace", Value: space},
			pdf.Entry{Key: "BitsPerComponent", Value: pdf.Integer(8)},
		)
	}
	space := colours.rgb()
	if p.Grey {
		space = colours.grey()
	}
	image := dict(space)
	if p.JPEG != nil {
		image.Set("Filter", pdf.Name("DCTDecode"))
		return d.u.Add(&pdf.Stream{Dict: image, Data: p.JPEG}), nil
	}
	if p.Alpha != nil {
		mask, err := p.packed(dict(pdf.Name("DeviceGray")), p.Alpha)
		if err != nil {
			return pdf.Ref{}, err
		}
		image.Set("SMask", d.u.Add(mask))
	}
	stream, err := p.packed(image, p.Pixels)
	if err != nil {
		return pdf.Ref{}, err
	}
	return d.u.Add(stream), nil
}

// packed is a stream of pixels.
func (p *Picture) packed(d *pdf.Dict, data []byte) (*pdf.Stream, error) {
	if p.Pack == nil {
		return &pdf.Stream{Dict: d, Data: data}, nil
	}
	data, err := p.Pack(data)
	if err != nil {
		return nil, fmt.Errorf("pack the visible signature's image: %w", err)
	}
	d.Set("Filter", pdf.Name("FlateDecode"))
	return &pdf.Stream{Dict: d, Data: data}, nil
}
