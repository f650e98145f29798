package pdf

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// pdfDoc holds the characters of PDFDocEncoding that differ from Latin-1
// (ISO 32000-2, Annex D.2).
var pdfDoc = map[byte]rune{
	0x18: '˘', 0x19: 'ˇ', 0x1a: 'ˆ', 0x1b: '˙', 0x1c: '˝', 0x1d: '˛', 0x1e: '˚', 0x1f: '˜',
	0x80: '•', 0x81: '†', 0x82: '‡', 0x83: '…', 0x84: '—', 0x85: '–', 0x86: 'ƒ', 0x87: '⁄',
	0x88: '‹', 0x89: '›', 0x8a: '−', 0x8b: '‰', 0x8c: '„', 0x8d: '“', 0x8e: '”', 0x8f: '‘',
	0x90: '’', 0x91: '‚', 0x92: '™', 0x93: 'ﬁ', 0x94: 'ﬂ', 0x95: 'Ł', 0x96: 'Œ', 0x97: 'Š',
	0x98: 'Ÿ', 0x99: 'Ž', 0x9a: 'ı', 0x9b: 'ł', 0x9c: 'œ', 0x9d: 'š', 0x9e: 'ž', 0xa0: '€',
}

// DecodeText decodes a text string: UTF-16 or UTF-8 with their marks, else
// PDFDocEncoding.
func DecodeText(s String) string {
	switch {
	case strings.HasPrefix(string(s), "\xfe\xff"):
		return decode16(string(s[2:]), 0)
	case strings.HasPrefix(string(s), "\xff\xfe"): // not allowed, and seen
		return decode16(string(s[2:]), 1)
	case strings.HasPrefix(string(s), "\xef\xbb\xbf"):
		return strings.ToValidUTF8(string(s[3:]), "\ufffd")
	}
	var b strings.Builder
	for i := range len(s) {
		if r, ok := pdfDoc[s[i]]; ok {
			b.WriteRune(r)
		} else {
			b.WriteRune(rune(s[i]))
		}
	}
	return b.String()
}

// decode16 decodes UTF-16; high is which byte of each pair comes first.
func decode16(s string, high int) string {
	units := make([]uint16, 0, len(s)/2)
	for i := 0; i+1 < len(s); i += 2 {
		units = append(units, uint16(s[i+high])<<8|uint16(s[i+1-high]))
	}
	return string(utf16.Decode(units))
}

// EncodeText encodes a text string: ASCII as it is, everything else as UTF-16
// with its mark, which every version of PDF reads.
func EncodeText(s string) String {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < utf8.RuneSelf && (s[i] >= ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r')
	}
	if ascii {
		return String(s)
	}
	out := []byte("\xfe\xff")
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, byte(u>>8), byte(u&0xff))
	}
	return String(out)
}

func encodePDFDoc(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r < 0x18 || (r >= 0x20 && r < 0x7f) || (r > 0xa0 && r <= 0xff) {
			out = append(out, byte(r&0xff))
			continue
		}
		found := false
		for b, c := range pdfDoc {
			if c == r {
				out, found = append(out, b), true
			}
		}
		if !found {
			return nil, false
		}
	}
	return out, true
}
