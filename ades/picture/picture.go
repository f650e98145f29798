// Package picture reads image files for visible signatures: a JPEG as it is, a PNG
// as its pixels. It stands apart from ades/pades, so that a program that shows no
// images does not carry their decoders.
package picture

import (
	"bytes"
	"compress/zlib"
	"image"
	"image/color"
	"image/png"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/internal/fault"
)

// maxFile is the largest file that is read, in bytes.
const maxFile = 8 << 20

func unfit(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, format, args...).WithCode(pades.CodeAppearance)
}

// Read reads a PNG, or a JPEG in grey or RGB. What readers would show differently is
// refused with the reason.
func Read(data []byte) (*pades.Picture, error) {
	switch {
	case len(data) > maxFile:
		return nil, unfit("the image for the visible signature is larger than %d MB", maxFile>>20)
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return readPNG(data)
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return readJPEG(data)
	}
	return nil, unfit("the image for the visible signature is neither PNG nor JPEG")
}

func sized(width, height int) error {
	if width <= 0 || height <= 0 || width > pades.MaxPixels || height > pades.MaxPixels/width {
		return unfit("the image for the visible signature has %d × %d pixels; at most %d million are allowed", width, height, pades.MaxPixels>>20)
	}
	return nil
}

func readPNG(data []byte) (*pades.Picture, error) {
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, unfit("the image for the visible signature is a damaged PNG").Because(err)
	}
	if err := sized(config.Width, config.Height); err != nil {
		return nil, err
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, unfit("the image for the visible signature is a damaged PNG").Because(err)
	}
	return pixels(img), nil
}

// pixels takes an image apart. What shows through nowhere, and what has no
// colour, is kept as that.
func pixels(img image.Image) *pades.Picture {
	b := img.Bounds()
	p := &pades.Picture{Width: b.Dx(), Height: b.Dy(), Grey: true, Pack: pack}
	clear := false
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c, _ := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			p.Pixels = append(p.Pixels, c.R, c.G, c.B)
			p.Alpha = append(p.Alpha, c.A)
			clear = clear || c.A != 0xff
			p.Grey = p.Grey && c.R == c.G && c.G == c.B
		}
	}
	if !clear {
		p.Alpha = nil
	}
	if p.Grey {
		for i := range p.Pixels[:len(p.Pixels)/3] {
			p.Pixels[i] = p.Pixels[3*i]
		}
		p.Pixels = p.Pixels[:len(p.Pixels)/3]
	}
	return p
}

// pack makes zlib data.
func pack(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, zlib.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
