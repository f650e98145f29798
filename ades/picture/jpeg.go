package picture

import (
	"bytes"
	"encoding/binary"

	"github.com/countersign/countersign/ades/pades"
)

// The markers of JPEG files that matter here.
const (
	markerBaseline    = 0xc0
	markerProgressive = 0xc2
	markerHuffman     = 0xc4 // among the frames by number, and none
	markerReserved    = 0xc8
	markerArithmetic  = 0xcc
	markerScan        = 0xda
	markerApp1        = 0xe1
	markerLastFrame   = 0xcf
)

// readJPEG takes a JPEG as it is, if it is of a kind that every reader shows alike.
func readJPEG(data []byte) (*pades.Picture, error) {
	damaged := unfit("the image for the visible signature is a damaged JPEG")
	p := &pades.Picture{JPEG: data}
	if !bytes.HasSuffix(bytes.TrimRight(data, "\x00\r\n"), []byte("\xff\xd9")) {
		return nil, damaged
	}
	for at := 2; ; {
		for at+1 < len(data) && data[at] == 0xff && data[at+1] == 0xff {
			at++
		}
		if at+4 > len(data) || data[at] != 0xff {
			return nil, damaged
		}
		marker, size := int(data[at+1]), int(binary.BigEndian.Uint16(data[at+2:]))
		if size < 2 || at+2+size > len(data) {
			return nil, damaged
		}
		body := data[at+4 : at+2+size]
		switch {
		case marker == markerScan:
			if p.Width == 0 {
				return nil, damaged
			}
			return p, nil
		case marker == markerApp1:
			if o := orientation(body); o > 1 {
				return nil, unfit("the image for the visible signature is stored turned (EXIF orientation %d); save it upright", o)
			}
		case marker == markerHuffman, marker == markerReserved, marker == markerArithmetic:
		case marker >= markerBaseline && marker <= markerLastFrame:
			if err := frame(p, marker, body); err != nil {
				return nil, err
			}
		}
		at += 2 + size
	}
}

// frame reads size and kind of a JPEG.
func frame(p *pades.Picture, marker int, body []byte) error {
	if len(body) < 6 || p.Width != 0 {
		return unfit("the image for the visible signature is a damaged JPEG")
	}
	if marker > markerProgressive || body[0] != 8 {
		return unfit("the image for the visible signature is a JPEG of a rare kind; save it as a usual one or as PNG")
	}
	p.Height, p.Width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	switch body[5] {
	case 1:
		p.Grey = true
	case 3:
	default:
		return unfit("the image for the visible signature is a JPEG in the colours of print (CMYK); save it in RGB")
	}
	return sized(p.Width, p.Height)
}

// orientation reads EXIF's tag of that name; 0 if it says nothing.
func orientation(app1 []byte) int {
	t, ok := bytes.CutPrefix(app1, []byte("Exif\x00\x00"))
	if !ok || len(t) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if t[0] == 'I' {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(t[4:]))
	if at+2 > int64(len(t)) {
		return 0
	}
	rows := t[at+2:]
	for i := range int(order.Uint16(t[at:])) {
		if 12*i+12 > len(rows) {
			return 0
		}
		const tag = 0x0112
		if row := rows[12*i:]; order.Uint16(row) == tag {
			return int(order.Uint16(row[8:]))
		}
	}
	return 0
}
