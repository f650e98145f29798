package pades

import (
	"time"
	"unicode/utf8"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/ades/truetype"
	"github.com/countersign/countersign/internal/fault"
)

// CodeAppearance says that a visible signature cannot be drawn as it was asked for.
const CodeAppearance = "appearance_unfit"

// Limits of what a visible signature may hold.
const (
	maxLines = 20
	maxText  = 2000 // characters of all lines
	maxFonts = 8
)

// Appearance is what a visible signature shows, and where.
type Appearance struct {
	// Page counts from 1; -1 is the last page, -2 the one before it. 0 is for an
	// existing field named in Options.Field, which has its place already.
	Page int
	// X and Y are the distance of the rectangle's upper left corner from that of
	// the page as a viewer shows it, rotated and cropped, to the right and down;
	// Width and Height are the rectangle's. All in points, 1/72 inch, whatever the
	// page's user unit is. They must be 0 when Page is 0.
	X, Y, Width, Height float64
	// Lines are the text, each wrapped where it must. It is set as large as the
	// rectangle lets, from 12 down to 4 points, or refused.
	Lines []string
	// Fonts are TrueType fonts. A character is set in the first that has it, and
	// refused if none has; also refused are marks that combine, and scripts whose
	// letters need shaping. What is used of the fonts is embedded.
	Fonts [][]byte
	// Image is shown beside the lines, above them in a rectangle higher than wide, or
	// alone. Where the document's conformance to PDF/A forbids transparency, it is
	// laid on white.
	Image *Picture
}

// Lines is the text that a visible signature has by default: who, when with the
// offset of t's zone, and why and where if that is said.
func Lines(name string, t time.Time, reason, place string) []string {
	var out []string
	if name != "" {
		out = append(out, "Signed by "+name)
	}
	out = append(out, t.Format("2006-01-02 15:04:05 -07:00"))
	if reason != "" {
		out = append(out, "Reason: "+reason)
	}
	if place != "" {
		out = append(out, "Place: "+place)
	}
	return out
}

func unseemly(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, format, args...).WithCode(CodeAppearance)
}

// stamp is an Appearance whose parts were read.
type stamp struct {
	Appearance

	fonts []*truetype.Font
	lines [][]rune
}

// newStamp checks all that can be without the document; nil makes nil.
func newStamp(a *Appearance) (*stamp, error) {
	if a == nil {
		return nil, nil //nolint:nilnil // the signature is invisible
	}
	s := &stamp{Appearance: *a}
	if len(a.Lines) == 0 && a.Image == nil {
		return nil, unseemly("a visible signature needs text or an image")
	}
	if a.Page == 0 && (a.X != 0 || a.Y != 0 || a.Width != 0 || a.Height != 0) {
		return nil, unseemly("the visible signature's rectangle stands without its page")
	}
	if len(a.Lines) > maxLines || len(a.Fonts) > maxFonts {
		return nil, unseemly("a visible signature has at most %d lines and %d fonts", maxLines, maxFonts)
	}
	for _, data := range a.Fonts {
		f, err := truetype.Parse(data)
		if err != nil {
			return nil, err
		}
		s.fonts = append(s.fonts, f)
	}
	if a.Image != nil && !a.Image.Whole() {
		return nil, unseemly("the visible signature's image is damaged")
	}
	return s, s.readLines()
}

func (s *stamp) readLines() error {
	total := 0
	for _, line := range s.Lines {
		if !utf8.ValidString(line) {
			return unseemly("the visible signature's text is not valid UTF-8")
		}
		runes := []rune(line)
		if total += len(runes); total > maxText {
			return unseemly("the visible signature's text is longer than %d characters", maxText)
		}
		for i, r := range runes {
			if r == '\u00a0' || r == '\t' {
				runes[i] = ' '
			} else if !truetype.Plain(r) {
				return unseemly("the character %+q in %q cannot be set: only letters that stand by themselves, from left to right, can", r, line)
			}
			if s.font(runes[i]) < 0 {
				return unseemly("no font that was given has the character %q (%U) in %q; give one that has it", r, r, line)
			}
		}
		s.lines = append(s.lines, runes)
	}
	return nil
}

// font is the first font that has the character, -1 if none has.
func (s *stamp) font(r rune) int {
	for i, f := range s.fonts {
		if f.Has(r) {
			return i
		}
	}
	return -1
}

// show gives an existing widget the look of the signature.
func (d *draft) show(widget pdf.Ref) error {
	obj, err := d.u.Resolve(widget)
	if err != nil {
		return err
	}
	w, ok := obj.(*pdf.Dict)
	if !ok {
		return fieldRefusal("field %q has no place on a page", d.field)
	}
	flags, _, err := d.f.Int(w.Get("F"))
	if err != nil {
		return err
	}
	if flags&(flagHidden|flagNoView) != 0 {
		return fieldRefusal("field %q is hidden; sign in it without a visible signature", d.field)
	}
	at, err := d.placeOf(widget, w)
	if err != nil {
		return err
	}
	look, err := d.draw(at.width, at.height, at.turned)
	if err != nil {
		return err
	}
	if w, err = d.u.EditDict(widget); err != nil {
		return err
	}
	w.Set("AP", pdf.NewDict(pdf.Entry{Key: "N", Value: look}))
	w.Delete("AS") // it would choose among looks, and there is one
	if w.Has("F") {
		flags |= flagPrint
	} else {
		flags = widgetFlags
	}
	w.Set("F", pdf.Integer(flags))
	return nil
}

// createVisible makes a field, merged with its widget, where it was asked for.
func (d *draft) createVisible(sig pdf.Ref) error {
	at, err := d.newPlace()
	if err != nil {
		return err
	}
	if err := d.apart(at); err != nil {
		return err
	}
	look, err := d.draw(at.width, at.height, at.turned)
	if err != nil {
		return err
	}
	field := pdf.NewDict(
		pdf.Entry{Key: "Type", Value: pdf.Name("Annot")},
		pdf.Entry{Key: "Subtype", Value: pdf.Name("Widget")},
		pdf.Entry{Key: "FT", Value: pdf.Name("Sig")},
		pdf.Entry{Key: "T", Value: pdf.EncodeText(d.field)},
		pdf.Entry{Key: "TU", Value: pdf.EncodeText(d.spoken())},
		pdf.Entry{Key: "F", Value: pdf.Integer(widgetFlags)},
		pdf.Entry{Key: "Rect", Value: at.array()},
		pdf.Entry{Key: "P", Value: at.ref},
		pdf.Entry{Key: "AP", Value: pdf.NewDict(pdf.Entry{Key: "N", Value: look})},
		pdf.Entry{Key: "V", Value: sig},
	)
	if at.turned != 0 {
		field.Set("MK", pdf.NewDict(pdf.Entry{Key: "R", Value: pdf.Integer(at.turned)}))
	}
	ref := d.u.Add(field)
	if err := d.tag(ref, field, at); err != nil {
		return err
	}
	return d.enlist(ref, at.ref, at.page)
}

// spoken is what a screen reader says of the field.
func (d *draft) spoken() string {
	if len(d.look.Lines) > 0 && d.look.Lines[0] != "" {
		return d.look.Lines[0]
	}
	return d.field
}
