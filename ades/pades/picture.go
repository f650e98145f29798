package pades

// MaxPixels is how many a picture may have: it is a logo or a drawn name.
const MaxPixels = 8 << 20

// Picture is an image that a PDF can hold; ades/picture reads files into it.
type Picture struct {
	Width, Height int
	// JPEG is a JPEG file as it is; else Pixels are 8 bits of grey, or of red, green
	// and blue, row by row.
	JPEG, Pixels []byte
	Grey         bool
	// Alpha is how much each pixel covers; nil if all cover all.
	Alpha []byte
	// Pack makes zlib data of pixels; nil writes them as they are.
	Pack func([]byte) ([]byte, error)
}

// Whole reports whether there is as much of everything as the size says.
func (p *Picture) Whole() bool {
	if p.Width <= 0 || p.Height <= 0 || p.Width > MaxPixels || p.Height > MaxPixels/p.Width {
		return false
	}
	n := p.Width * p.Height
	if p.JPEG != nil {
		return p.Pixels == nil && p.Alpha == nil
	}
	if p.Alpha != nil && len(p.Alpha) != n {
		return false
	}
	return p.Grey && len(p.Pixels) == n || !p.Grey && len(p.Pixels) == 3*n
}

// within is the largest rectangle of the picture's shape in the middle of a room.
func (p *Picture) within(room [4]milli) [4]milli {
	w, h := room[2], room[2]*milli(p.Height)/milli(p.Width)
	if h > room[3] {
		w, h = room[3]*milli(p.Width)/milli(p.Height), room[3]
	}
	return [4]milli{room[0] + (room[2]-w)/2, room[1] + (room[3]-h)/2, w, h}
}

// flat is the picture on white.
func (p *Picture) flat() *Picture {
	if p.Alpha == nil {
		return p
	}
	q := *p
	q.Alpha = nil
	q.Pixels = make([]byte, len(p.Pixels))
	n := len(p.Pixels) / len(p.Alpha)
	for i, v := range p.Pixels {
		a := int(p.Alpha[i/n])
		q.Pixels[i] = byte((int(v)*a + 255*(255-a) + 127) / 255) //nolint:gosec // a mean of bytes
	}
	return &q
}
