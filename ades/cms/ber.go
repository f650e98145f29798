package cms

import (
	"errors"
	"fmt"
)

// ErrMalformed is what every refusal of unreadable bytes wraps.
var ErrMalformed = errors.New("malformed ASN.1")

// Limits of BER input. Real signatures nest about 25 deep.
const (
	maxDepth    = 64
	maxElements = 200_000
)

// berHeader is one identifier and length.
type berHeader struct {
	tag        byte
	start      int // of the contents
	length     int // of the contents, when definite
	indefinite bool
	minimal    bool // the length is encoded as DER wants it
}

func readHeader(b []byte, at int) (berHeader, error) {
	var h berHeader
	if at+2 > len(b) {
		return h, fmt.Errorf("truncated header: %w", ErrMalformed)
	}
	h.tag = b[at]
	if h.tag&0x1f == 0x1f {
		return h, fmt.Errorf("tag number above 30: %w", ErrMalformed)
	}
	n := int(b[at+1])
	h.start = at + 2
	h.minimal = true
	switch {
	case n < 0x80:
		h.length = n
	case n == 0x80:
		h.indefinite = true
		h.minimal = false
		if h.tag&0x20 == 0 {
			return h, fmt.Errorf("indefinite length of a primitive: %w", ErrMalformed)
		}
		return h, nil
	default:
		count := n & 0x7f
		if h.start+count > len(b) {
			return h, fmt.Errorf("truncated length: %w", ErrMalformed)
		}
		for i := range count {
			if h.length > 1<<40 {
				return h, fmt.Errorf("length too large: %w", ErrMalformed)
			}
			h.length = h.length<<8 | int(b[h.start+i])
		}
		h.minimal = b[h.start] != 0 && h.length >= 0x80
		h.start += count
	}
	if h.length > len(b)-h.start {
		return h, fmt.Errorf("element of %d bytes where %d are left: %w", h.length, len(b)-h.start, ErrMalformed)
	}
	return h, nil
}

// elementLength is the length of the whole element at an offset, its
// end-of-contents octets included.
func elementLength(b []byte, at int) (int, error) {
	budget := maxElements
	end, err := skip(b, at, 0, &budget)
	return end - at, err
}

func skip(b []byte, at, depth int, budget *int) (int, error) {
	if *budget--; *budget < 0 || depth > maxDepth {
		return at, fmt.Errorf("too many or too deep elements: %w", ErrMalformed)
	}
	h, err := readHeader(b, at)
	if err != nil {
		return at, err
	}
	if !h.indefinite {
		return h.start + h.length, nil
	}
	pos := h.start
	for {
		if endOfContents(b, pos) {
			return pos + 2, nil
		}
		if pos, err = skip(b, pos, depth+1, budget); err != nil {
			return at, err
		}
	}
}

func endOfContents(b []byte, at int) bool {
	return at+2 <= len(b) && b[at] == 0 && b[at+1] == 0
}

// toDER rewrites one BER element with definite, minimal lengths and with
// constructed strings joined. What it does not touch are values: a BOOLEAN of
// 0x01 stays one, sets keep their order.
func toDER(b []byte) ([]byte, error) {
	budget := maxElements
	out, end, err := convert(b, 0, 0, &budget)
	if err != nil {
		return nil, err
	}
	if end != len(b) {
		return nil, fmt.Errorf("%d bytes behind the element: %w", len(b)-end, ErrMalformed)
	}
	return out, nil
}

func convert(b []byte, at, depth int, budget *int) (out []byte, end int, err error) {
	if *budget--; *budget < 0 || depth > maxDepth {
		return nil, at, fmt.Errorf("too many or too deep elements: %w", ErrMalformed)
	}
	h, err := readHeader(b, at)
	if err != nil {
		return nil, at, err
	}
	if h.tag&0x20 == 0 {
		end = h.start + h.length
		return appendElement(nil, h.tag, b[h.start:end]), end, nil
	}
	stop := len(b)
	if !h.indefinite {
		stop = h.start + h.length
	}
	join := h.tag == 0x24 // constructed OCTET STRING
	var content []byte
	pos := h.start
	for {
		if !h.indefinite && pos == stop {
			end = pos
			break
		}
		if h.indefinite && endOfContents(b[:stop], pos) {
			end = pos + 2
			break
		}
		var child []byte
		if child, pos, err = convert(b[:stop], pos, depth+1, budget); err != nil {
			return nil, at, err
		}
		if join {
			if child[0] != 0x04 {
				return nil, at, fmt.Errorf("constructed OCTET STRING of other parts: %w", ErrMalformed)
			}
			ch, err := readHeader(child, 0)
			if err != nil {
				return nil, at, err
			}
			child = child[ch.start:]
		}
		content = append(content, child...)
	}
	tag := h.tag
	if join {
		tag = 0x04
	}
	return appendElement(nil, tag, content), end, nil
}

func appendElement(out []byte, tag byte, content []byte) []byte {
	out = append(out, tag)
	n := len(content)
	if n < 0x80 {
		out = append(out, byte(n))
	} else {
		var length []byte
		for v := n; v > 0; v >>= 8 {
			length = append([]byte{byte(v)}, length...)
		}
		out = append(out, 0x80|byte(len(length))) //nolint:gosec // at most 8
		out = append(out, length...)
	}
	return append(out, content...)
}

// isDER reports whether every length in b is definite and minimal and no string
// is constructed: what this package wants before it reads.
func isDER(b []byte) bool {
	budget := maxElements
	end, ok := derElement(b, 0, 0, &budget)
	return ok && end == len(b)
}

func derElement(b []byte, at, depth int, budget *int) (int, bool) {
	if *budget--; *budget < 0 || depth > maxDepth {
		return at, false
	}
	h, err := readHeader(b, at)
	if err != nil || !h.minimal || h.tag == 0x24 || h.tag == 0x23 {
		return at, false
	}
	end := h.start + h.length
	if h.tag&0x20 == 0 {
		return end, true
	}
	for pos := h.start; pos < end; {
		var ok bool
		if pos, ok = derElement(b[:end], pos, depth+1, budget); !ok {
			return at, false
		}
	}
	return end, true
}
