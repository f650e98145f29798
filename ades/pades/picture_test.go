package pades_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/internal/fault"
)

// seeThrough is a dark picture whose right half shows what is behind it.
func seeThrough(ink color.NRGBA) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, 100, 40))
	for y := range 40 {
		for x := range 50 {
			img.SetNRGBA(x, y, ink)
		}
	}
	return encoded(img)
}

// onGrey is a page filled with a light grey, with more in its catalogue.
func onGrey(catalog string) []byte {
	d := pdftest.One()
	d.Objects[1] = "<< /Type /Catalog /Pages 2 0 R " + catalog + " >>"
	d.Objects[3] = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 150] /Resources << >> /Contents 4 0 R >>"
	d.Streams[4] = "0.9 g 0 0 200 150 re f"
	d.Objects[6] = "<< /Type /Metadata /Subtype /XML >>"
	d.Streams[6] = `<rdf:Description pdfaid:part = "1" pdfaid:conformance="B"/>`
	d.Objects[7] = "<< /Type /Metadata /Subtype /XML >>"
	d.Streams[7] = `<pdfaid:part>2</pdfaid:part>`
	d.Objects[8], d.Streams[8] = "<< /N 3 >>", "0123456789abcdefRGB XYZ "
	d.Objects[9] = "<< /S /GTS_PDFX >>"
	d.Objects[10], d.Streams[10] = "<< /N 4 >>", "0123456789abcdefCMYKLab "
	return d.Bytes()
}

func TestTransparencyIsLaidOnWhiteWhereItIsForbidden(t *testing.T) {
	s := newSigner(t)
	for name, row := range map[string]struct {
		catalog string
		opaque  bool
		spaces  []string // of a picture in grey, and of one in colour
	}{
		"no claim":                   {"", false, []string{"/DeviceGray", "/DeviceRGB"}},
		"PDF/A-1":                    {"/Metadata 6 0 R /OutputIntents [9 0 R << /S /GTS_PDFA1 /DestOutputProfile 8 0 R >>]", true, []string{"/DeviceGray", "/DeviceRGB"}},
		"PDF/A-1 for print":          {"/Metadata 6 0 R /OutputIntents [<< /S /GTS_PDFA1 /DestOutputProfile 10 0 R >>]", true, []string{"/DeviceGray", "/CalRGB"}},
		"PDF/A-2":                    {"/Metadata 7 0 R /OutputIntents [<< /S /GTS_PDFA1 /DestOutputProfile 8 0 R >>]", false, []string{"/DeviceGray", "/DeviceRGB"}},
		"PDF/A-2 without an intent":  {"/Metadata 7 0 R /OutputIntents [<< /S /GTS_PDFX >>]", true, []string{"/CalGray", "/CalRGB"}},
		"metadata that is no stream": {"/Metadata 5 0 R", false, []string{"/DeviceGray", "/DeviceRGB"}},
	} {
		t.Run(name, func(t *testing.T) {
			behind := byte(0xe6)
			if row.opaque {
				behind = 0xff
			}
			for i, ink := range []color.NRGBA{{A: 0xff}, {R: 0x30, A: 0xff}} {
				o, doc := s.options(), onGrey(row.catalog)
				o.Appearance = &pades.Appearance{Page: 1, X: 10, Y: 25, Width: 106, Height: 46, Image: read(t, seeThrough(ink))}
				signed, _ := s.sign(t, doc, pades.B, o)
				shot := render(t, signed)
				if got := shot.grey[45*shot.width+30]; got > 0x20 {
					t.Errorf("the left half is %#x, want black", got)
				}
				if got := int(shot.grey[45*shot.width+90]) - int(behind); got < -6 || got > 6 {
					t.Errorf("the right half is %#x off %#x", got, behind)
				}
				if got := bytes.Contains(signed, []byte("/SMask")); got == row.opaque {
					t.Errorf("a mask is there: %v", got)
				}
				for _, space := range []string{"/CalGray", "/CalRGB", "/DeviceRGB"} {
					if got := bytes.Contains(signed[len(doc):], []byte(space)); got != (row.spaces[i] == space) {
						t.Errorf("%s is used: %v; want %s", space, got, row.spaces[i])
					}
				}
			}
		})
	}
}

// photo is a JPEG whose upper left quarter is black on grey.
func photo(grey bool) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 96, 48))
	plain := image.NewGray(img.Rect)
	for y := range 48 {
		for x := range 96 {
			v := uint8(0x80)
			if x < 48 && y < 24 {
				v = 0
			}
			img.SetRGBA(x, y, color.RGBA{v, v, v, 0xff})
			plain.SetGray(x, y, color.Gray{Y: v})
		}
	}
	var b bytes.Buffer
	var from image.Image = img
	if grey {
		from = plain
	}
	if err := jpeg.Encode(&b, from, &jpeg.Options{Quality: 95}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// insert puts a marker segment behind the first two bytes of a JPEG.
func insert(marker byte, body, into []byte) []byte {
	head := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, marker}, uint16(len(body)+2))
	return append(append(head, body...), into[2:]...)
}

func TestJPEGsAreShownAsTheyAre(t *testing.T) {
	s := newSigner(t)
	upright := append([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01"), 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 1, 0, 0)
	for name, data := range map[string][]byte{
		"colour": photo(false), "grey": photo(true), "upright": insert(0xe1, upright, photo(true)),
		"other application data": insert(0xe1, []byte("http://ns.adobe.com/xap/1.0/"), photo(false)),
	} {
		o := s.options()
		o.Appearance = &pades.Appearance{Page: 1, X: 10, Y: 25, Width: 102, Height: 54, Image: read(t, data)}
		signed, _ := s.sign(t, pages(1), pades.B, o)
		if !bytes.Contains(signed, data) {
			t.Errorf("%s: the file is not there as it is", name)
		}
		assertShown(t, signed, 10, 25, 102, 54)
	}
}

func TestPicturesOfEveryKindAreShown(t *testing.T) {
	s := newSigner(t)
	rect := image.Rect(0, 0, 100, 40)
	kinds := map[string]interface {
		image.Image
		Set(x, y int, c color.Color)
	}{
		"grey": image.NewGray(rect), "grey of 16 bits": image.NewGray16(rect), "colour": image.NewRGBA(rect),
		"transparent": image.NewNRGBA(rect), "16 bits": image.NewNRGBA64(rect),
		"palette": image.NewPaletted(rect, color.Palette{color.Gray{}, color.Gray{0x80}}),
	}
	for name, img := range kinds {
		for y := range 40 {
			for x := range 100 {
				c := color.Color(color.Gray{0x80})
				if x < 50 && y < 20 {
					c = color.Gray{}
				}
				img.Set(x, y, c)
			}
		}
		t.Run(name, func(t *testing.T) {
			o := s.options()
			o.Appearance = &pades.Appearance{Page: 1, X: 10, Y: 25, Width: 106, Height: 46, Image: read(t, encoded(img))}
			signed, _ := s.sign(t, pages(1), pades.B, o)
			assertShown(t, signed, 10, 25, 106, 46)
		})
	}
}

func FuzzAppearance(f *testing.F) {
	f.Add("Signed by Ada", 100, 40, 150.0, 50.0)
	f.Add("Αλέξανδρος Юлия", 3, 3, 40.0, 90.0)
	f.Add(" a  bb   ccc ", 0, 0, 30.0, 30.0)
	s := newSigner(f)
	doc := pages(1)
	f.Fuzz(func(t *testing.T, text string, across, down int, w, h float64) {
		o := s.options()
		o.Appearance = &pades.Appearance{Page: 1, Width: w, Height: h, Lines: strings.Split(text, "\n"), Fonts: [][]byte{mono()}}
		if across > 0 && down > 0 && across < 1000 && down < 1000 {
			o.Appearance.Image = &pades.Picture{Width: across, Height: down, Grey: true, Pixels: make([]byte, across*down)}
		}
		p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o)
		if err != nil {
			if fault.Of(err).Kind != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		open(t, append(bytes.Clone(doc), p.Bytes...), "")
	})
}
