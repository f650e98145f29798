package pdf

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // the standard security handler is made of it
	"crypto/rc4" //nolint:gosec // files encrypted with it must be read
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"slices"
)

// padding fills passwords of the handlers up to revision 4 (7.6.4.3.2).
var padding = []byte("\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08" +
	"\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A")

func padded(password []byte) []byte {
	return slices.Concat(password, padding)[:32]
}

// standard is the encryption dictionary of the standard security handler.
type standard struct {
	revision    int
	keyLength   int // bytes
	o, u        []byte
	oe, ue      []byte
	perms       []byte
	permissions uint32
	id          []byte
	clear       bool // EncryptMetadata is false
}

// open tries the password as the user's, then as the owner's.
func (s *standard) open(password []byte) (key []byte, owner, ok bool) {
	if s.revision >= 5 {
		return s.open256(password)
	}
	password = legacyPassword(password)
	if key, ok := s.user(password); ok {
		// The owner may have opened it with a password that is also the user's.
		return key, false, true
	}
	if key, ok := s.user(s.userFromOwner(password)); ok {
		return key, true, true
	}
	return nil, false, false
}

// legacyPassword turns UTF-8 into the one-byte encoding that handlers up to
// revision 4 expect, if it has one.
func legacyPassword(password []byte) []byte {
	if b, ok := encodePDFDoc(string(password)); ok {
		return b
	}
	return password
}

// user checks a user password (algorithms 2, 4, 5, 6).
func (s *standard) user(password []byte) ([]byte, bool) {
	h := md5.New() //nolint:gosec // see the import
	h.Write(padded(password))
	h.Write(s.o)
	h.Write(binary.LittleEndian.AppendUint32(nil, s.permissions))
	h.Write(s.id)
	if s.revision >= 4 && s.clear {
		h.Write([]byte{0xff, 0xff, 0xff, 0xff})
	}
	key := h.Sum(nil)
	if s.revision >= 3 {
		for range 50 {
			sum := md5.Sum(key[:s.keyLength]) //nolint:gosec // see the import
			key = sum[:]
		}
	}
	key = key[:s.keyLength]
	if s.revision == 2 {
		return key, subtle.ConstantTimeCompare(rc4Once(key, padding), s.u) == 1
	}
	sum := md5.Sum(slices.Concat(padding, s.id)) //nolint:gosec // see the import
	want := sum[:]
	for i := range 20 {
		want = rc4Once(xored(key, byte(i)), want)
	}
	return key, subtle.ConstantTimeCompare(want, s.u[:16]) == 1
}

// userFromOwner recovers the user password from the owner's (algorithm 7).
func (s *standard) userFromOwner(password []byte) []byte {
	sum := md5.Sum(padded(password)) //nolint:gosec // see the import
	key := sum[:]
	if s.revision >= 3 {
		for range 50 {
			sum = md5.Sum(key) //nolint:gosec // see the import
			key = sum[:]
		}
	}
	key = key[:s.keyLength]
	out := s.o
	if s.revision == 2 {
		return rc4Once(key, out)
	}
	for i := 19; i >= 0; i-- {
		out = rc4Once(xored(key, byte(i)), out)
	}
	return out
}

func rc4Once(key, data []byte) []byte {
	c, err := rc4.NewCipher(key) //nolint:gosec // see the import
	if err != nil {
		panic(err) // the key has 5 to 16 bytes
	}
	out := make([]byte, len(data))
	c.XORKeyStream(out, data)
	return out
}

func xored(key []byte, b byte) []byte {
	out := bytes.Clone(key)
	for i := range out {
		out[i] ^= b
	}
	return out
}

// open256 is algorithm 2.A for revisions 5 and 6.
func (s *standard) open256(password []byte) (key []byte, owner, ok bool) {
	if len(password) > 127 {
		password = password[:127]
	}
	if subtle.ConstantTimeCompare(s.hash(password, s.o[32:40], s.u), s.o[:32]) == 1 {
		return unwrap(s.hash(password, s.o[40:48], s.u), s.oe), true, true
	}
	if subtle.ConstantTimeCompare(s.hash(password, s.u[32:40], nil), s.u[:32]) == 1 {
		return unwrap(s.hash(password, s.u[40:48], nil), s.ue), false, true
	}
	return nil, false, false
}

// unwrap decrypts the file key: AES-256-CBC, no padding, IV zero.
func unwrap(kek, wrapped []byte) []byte {
	block, err := aes.NewCipher(kek)
	if err != nil {
		panic(err) // 32 bytes
	}
	out := make([]byte, len(wrapped))
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(out, wrapped)
	return out
}

// permsAgree checks that /Perms, which is encrypted, says the same as /P
// (algorithm 13), so that nobody widened the permissions.
func (s *standard) permsAgree(key []byte) bool {
	block, err := aes.NewCipher(key)
	if err != nil || len(s.perms) != 16 {
		return false
	}
	var out [16]byte
	block.Decrypt(out[:], s.perms)
	return string(out[9:12]) == "adb" && binary.LittleEndian.Uint32(out[:4]) == s.permissions
}

// hash is SHA-256 in revision 5 and algorithm 2.B in revision 6.
func (s *standard) hash(password, salt, udata []byte) []byte {
	first := sha256.Sum256(slices.Concat(password, salt, udata))
	k := first[:]
	if s.revision == 5 {
		return k
	}
	for round := 0; ; round++ {
		k1 := bytes.Repeat(slices.Concat(password, k, udata), 64)
		block, err := aes.NewCipher(k[:16])
		if err != nil {
			panic(err) // 16 bytes
		}
		cipher.NewCBCEncrypter(block, k[16:32]).CryptBlocks(k1, k1)
		mod := 0
		for _, b := range k1[:16] {
			mod += int(b)
		}
		switch mod % 3 { // 256 mod 3 is 1
		case 0:
			sum := sha256.Sum256(k1)
			k = sum[:]
		case 1:
			sum := sha512.Sum384(k1)
			k = sum[:]
		default:
			sum := sha512.Sum512(k1)
			k = sum[:]
		}
		if last := int(k1[len(k1)-1]); round >= 63 && last <= round-31 {
			return k[:32]
		}
	}
}
