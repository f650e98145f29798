package soft

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// kwpPrefix begins the alternative initial value of RFC 5649 §3.
const kwpPrefix = 0xA65959A6

// maxWrapped bounds what unwrap looks at: an RSA-4096 key takes about 2.4 KB.
const maxWrapped = 16 << 10

var errUnwrap = errors.New("integrity check of the key wrap failed")

// wrap wraps plain, 1 to 2^32-1 bytes, with AES-KWP (RFC 5649 §4.1).
func wrap(kek cipher.Block, plain []byte) []byte {
	padded := (len(plain) + 7) / 8 * 8
	out := make([]byte, 8+padded)
	binary.BigEndian.PutUint32(out, kwpPrefix)
	binary.BigEndian.PutUint32(out[4:], uint32(len(plain))) //nolint:gosec // callers wrap private keys, never 4 GB
	copy(out[8:], plain)
	if padded == 8 {
		kek.Encrypt(out, out)
		return out
	}
	var b [16]byte
	copy(b[:8], out)
	t := uint64(0)
	for range 6 {
		for i := 8; i < len(out); i += 8 {
			copy(b[8:], out[i:i+8])
			kek.Encrypt(b[:], b[:])
			t++
			binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])^t)
			copy(out[i:], b[8:])
		}
	}
	copy(out, b[:8])
	return out
}

// unwrap undoes wrap and refuses everything that wrap did not make under kek
// (RFC 5649 §4.2): prefix, length and padding are checked.
func unwrap(kek cipher.Block, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 16 || len(wrapped) > maxWrapped || len(wrapped)%8 != 0 {
		return nil, errUnwrap
	}
	out := make([]byte, len(wrapped))
	var b [16]byte
	if len(wrapped) == 16 {
		kek.Decrypt(out, wrapped)
	} else {
		copy(out, wrapped)
		copy(b[:8], out)
		t := uint64(6 * (len(out)/8 - 1)) //nolint:gosec // bounded by maxWrapped
		for range 6 {
			for i := len(out) - 8; i >= 8; i -= 8 {
				binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])^t)
				t--
				copy(b[8:], out[i:i+8])
				kek.Decrypt(b[:], b[:])
				copy(out[i:], b[8:])
			}
		}
		copy(out, b[:8])
	}
	padded := len(out) - 8
	size := int(binary.BigEndian.Uint32(out[4:8]))
	if binary.BigEndian.Uint32(out) != kwpPrefix || size > padded || size <= padded-8 {
		clear(out)
		return nil, errUnwrap
	}
	var zero [8]byte
	if subtle.ConstantTimeCompare(out[8+size:], zero[:padded-size]) != 1 {
		clear(out)
		return nil, errUnwrap
	}
	return out[8 : 8+size], nil
}
