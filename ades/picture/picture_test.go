package picture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/picture"
	"github.com/countersign/countersign/internal/fault"
)

func photo(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 96, 48)), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func grey(t testing.TB, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, size, size))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// insert puts a marker segment behind the first two bytes of a JPEG.
func insert(marker byte, body, into []byte) []byte {
	head := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, marker}, uint16(len(body)+2))
	return append(append(head, body...), into[2:]...)
}

func TestPicturesThatCannotBeShownAreRefused(t *testing.T) {
	turned := append([]byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00"), 0x12, 0x01, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0)
	frame := func(marker, bits, parts byte) []byte { // in place of the frame of a photo
		return append(insert(marker, []byte{bits, 0, 8, 0, 8, parts}, []byte{0xff, 0xd8}), 0xff, 0xda, 0, 2, 0xff, 0xd9)
	}
	bomb := grey(t, 1)
	binary.BigEndian.PutUint32(bomb[16:], 1<<20)
	binary.BigEndian.PutUint32(bomb[20:], 1<<20)
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	whole := grey(t, 9)
	for name, row := range map[string]struct {
		data []byte
		says string
	}{
		"GIF":                {[]byte("GIF89a"), "neither PNG nor JPEG"},
		"PNG cut off":        {whole[:len(whole)-20], "damaged PNG"},
		"PNG too wide":       {bomb, "at most 8 million"},
		"JPEG cut off":       {photo(t)[:500], "damaged JPEG"},
		"JPEG without image": {[]byte{0xff, 0xd8, 0xff, 0xda, 0, 2, 0xff, 0xd9}, "damaged JPEG"},
		"JPEG turned":        {insert(0xe1, turned, photo(t)), "EXIF orientation 6"},
		"JPEG in CMYK":       {frame(0xc0, 8, 4), "CMYK"},
		"JPEG of 12 bits":    {frame(0xc1, 12, 3), "rare kind"},
		"lossless JPEG":      {frame(0xc3, 8, 3), "rare kind"},
		"too large":          {append([]byte("\xff\xd8\xff"), make([]byte, 9<<20)...), "larger than 8 MB"},
	} {
		_, err := picture.Read(row.data)
		if e := fault.Of(err); e.Code != pades.CodeAppearance || !strings.Contains(e.Detail, row.says) {
			t.Errorf("%s: %v, want %q", name, err, row.says)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(photo(f))
	f.Add(grey(f, 9))
	f.Add(insert(0xe1, []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01\x00\x00"), []byte{0xff, 0xd8, 0xff, 0xd9}))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := picture.Read(data)
		if err != nil {
			if !errors.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		if !p.Whole() {
			t.Errorf("a picture of %d by %d is not whole", p.Width, p.Height)
		}
	})
}
