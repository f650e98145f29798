package webauthn

import (
	"encoding/binary"
	"errors"
)

// errCBOR says that bytes are not the CTAP2 canonical form of what is expected.
var errCBOR = errors.New("not canonical CBOR of the expected kind")

// maxNesting is the deepest that extension data may nest (CTAP2 §6: four levels).
const maxNesting = 4

// head reads the initial bytes of a data item: major type, argument and what
// follows. Only definite lengths in their shortest form are accepted.
func head(b []byte) (major byte, arg uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, nil, errCBOR
	}
	major, info := b[0]>>5, b[0]&31
	b = b[1:]
	if info < 24 {
		return major, uint64(info), b, nil
	}
	size := 1 << (info - 24)
	if info > 27 || len(b) < size {
		return 0, 0, nil, errCBOR
	}
	var wide [8]byte
	copy(wide[8-size:], b[:size])
	arg = binary.BigEndian.Uint64(wide[:])
	least := map[int]uint64{1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}[size]
	if major != 7 && arg < least {
		return 0, 0, nil, errCBOR
	}
	return major, arg, b[size:], nil
}

// skip passes over one data item of at most that nesting and returns what follows.
func skip(b []byte, nesting int) ([]byte, error) {
	major, arg, rest, err := head(b)
	if err != nil {
		return nil, err
	}
	switch major {
	case 0, 1: // integers
		return rest, nil
	case 2, 3: // byte and text strings
		if arg > uint64(len(rest)) {
			return nil, errCBOR
		}
		return rest[arg:], nil
	case 4, 5: // arrays and maps
		if nesting == 0 || arg > uint64(len(rest)) {
			return nil, errCBOR
		}
		if major == 5 {
			arg *= 2
		}
		for range arg {
			if rest, err = skip(rest, nesting-1); err != nil {
				return nil, err
			}
		}
		return rest, nil
	case 7: // false, true, null, floats; one-byte simple values are not used
		if b[0]&31 == 24 || (b[0]&31 < 20) {
			return nil, errCBOR
		}
		return rest, nil
	}
	return nil, errCBOR // tags
}

// The COSE_Key of an ES256 public key in CTAP2 canonical form (RFC 9053 §7.1.1)
// has these bytes around its coordinates: {1: 2, 3: -7, -1: 1, -2: x, -3: y}.
var (
	coseBeforeX = []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}
	coseBeforeY = []byte{0x22, 0x58, 0x20}
)

const coordinate = 32

// coseES256 reads a COSE_Key and returns the uncompressed point and what follows.
func coseES256(b []byte) (point, rest []byte, err error) {
	size := len(coseBeforeX) + coordinate + len(coseBeforeY) + coordinate
	if len(b) < size {
		return nil, nil, errCBOR
	}
	x := b[len(coseBeforeX):][:coordinate]
	mid := b[len(coseBeforeX)+coordinate:][:len(coseBeforeY)]
	if string(b[:len(coseBeforeX)]) != string(coseBeforeX) || string(mid) != string(coseBeforeY) {
		return nil, nil, errCBOR
	}
	point = append([]byte{4}, x...)
	point = append(point, b[size-coordinate:size]...)
	return point, b[size:], nil
}
