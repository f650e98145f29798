package pdftest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // files encrypted with it are what is made here
	"crypto/rand"
	"crypto/rc4" //nolint:gosec // files encrypted with it are what is made here
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Encryption is how a file is encrypted with the standard handler.
type Encryption struct {
	// Version and Revision are V and R: 1/2, 2/3, 4/4, 5/5, 5/6.
	Version, Revision int
	// Bits is the key length of version 2.
	Bits int
	// Streams and Strings are the crypt filters of versions 4 and 5: V2, AESV2,
	// AESV3 or Identity.
	Streams, Strings string
	User, Owner      string
	Permissions      int32
	ClearMetadata    bool
	// Garble makes /Perms disagree with /P.
	Garble bool
}

type cipherState struct {
	e                *Encryption
	key              []byte
	o, u, oe, ue     []byte
	perms            []byte
	streams, strings string
}

const pad = "\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A"

func padPassword(s string) []byte { return []byte((s + pad)[:32]) }

func rc4With(key, data []byte) []byte {
	c, err := rc4.NewCipher(key) //nolint:gosec // see the import
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(data))
	c.XORKeyStream(out, data)
	return out
}

func md5Of(b ...[]byte) []byte {
	s := md5.Sum(slices.Concat(b...)) //nolint:gosec // see the import
	return s[:]
}

func (e *Encryption) start() *cipherState {
	s := &cipherState{e: e, streams: e.Streams, strings: e.Strings}
	if e.Version < 4 {
		s.streams, s.strings = "V2", "V2"
	}
	if e.Version == 5 {
		s.start256()
		return s
	}
	n := 5
	switch e.Version {
	case 2:
		n = e.Bits / 8
	case 4:
		n = 16
	}
	rounds := 0
	if e.Revision >= 3 {
		rounds = 50
	}
	// Algorithm 3: the owner entry.
	k := md5Of(padPassword(e.Owner))
	for range rounds {
		k = md5Of(k)
	}
	s.o = rc4With(k[:n], padPassword(e.User))
	if e.Revision >= 3 {
		for i := 1; i <= 19; i++ {
			s.o = rc4With(xor(k[:n], byte(i)), s.o)
		}
	}
	// Algorithm 2: the key.
	p := binary.LittleEndian.AppendUint32(nil, uint32(e.Permissions)) //nolint:gosec // the bits are meant
	var meta []byte
	if e.Revision >= 4 && e.ClearMetadata {
		meta = []byte{255, 255, 255, 255}
	}
	key := md5Of(padPassword(e.User), s.o, p, []byte(ID), meta)
	for range rounds {
		key = md5Of(key[:n])
	}
	s.key = key[:n]
	// Algorithms 4 and 5: the user entry.
	if e.Revision == 2 {
		s.u = rc4With(s.key, []byte(pad))
		return s
	}
	u := rc4With(s.key, md5Of([]byte(pad), []byte(ID)))
	for i := 1; i <= 19; i++ {
		u = rc4With(xor(s.key, byte(i)), u)
	}
	s.u = append(u, make([]byte, 16)...)
	return s
}

func xor(key []byte, b byte) []byte {
	out := bytes.Clone(key)
	for i := range out {
		out[i] ^= b
	}
	return out
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// start256 is algorithms 8, 9 and 10.
func (s *cipherState) start256() {
	e := s.e
	s.key = random(32)
	us, os := random(16), random(16)
	s.u = slices.Concat(e.hash([]byte(e.User), us[:8], nil), us)
	s.ue = cbc(e.hash([]byte(e.User), us[8:], nil), make([]byte, 16), s.key) //nolint:gosec // ISO 32000-2 sets the vector
	s.o = slices.Concat(e.hash([]byte(e.Owner), os[:8], s.u), os)
	s.oe = cbc(e.hash([]byte(e.Owner), os[8:], s.u), make([]byte, 16), s.key) //nolint:gosec // ISO 32000-2 sets the vector
	block := binary.LittleEndian.AppendUint32(nil, uint32(e.Permissions))     //nolint:gosec // the bits are meant
	block = append(block, 255, 255, 255, 255)
	if e.ClearMetadata {
		block = append(block, 'F')
	} else {
		block = append(block, 'T')
	}
	block = append(append(block, "adb"...), random(4)...)
	if e.Garble {
		block[0] ^= 0xff
	}
	c, err := aes.NewCipher(s.key)
	if err != nil {
		panic(err)
	}
	s.perms = make([]byte, 16)
	c.Encrypt(s.perms, block)
}

func cbc(key, iv, data []byte) []byte {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(data))
	cipher.NewCBCEncrypter(c, iv).CryptBlocks(out, data)
	return out
}

// hash is algorithm 2.B for revision 6 and SHA-256 for revision 5.
func (e *Encryption) hash(password, salt, udata []byte) []byte {
	sum := sha256.Sum256(slices.Concat(password, salt, udata))
	k := sum[:]
	if e.Revision == 5 {
		return k
	}
	for i := 0; ; i++ {
		data := cbc(k[:16], k[16:32], bytes.Repeat(slices.Concat(password, k, udata), 64))
		switch new(big.Int).Mod(new(big.Int).SetBytes(data[:16]), big.NewInt(3)).Int64() {
		case 0:
			h := sha256.Sum256(data)
			k = h[:]
		case 1:
			h := sha512.Sum384(data)
			k = h[:]
		default:
			h := sha512.Sum512(data)
			k = h[:]
		}
		if i >= 63 && int(data[len(data)-1]) <= i-31 {
			return k[:32]
		}
	}
}

func (s *cipherState) encrypt(filter string, n, gen int, data []byte) []byte {
	if filter == "Identity" {
		return data
	}
	key := s.key
	if filter != "AESV3" {
		salt := []byte(nil)
		if filter == "AESV2" {
			salt = []byte("sAlT")
		}
		place := []byte{byte(n & 0xff), byte(n >> 8 & 0xff), byte(n >> 16 & 0xff), byte(gen & 0xff), byte(gen >> 8 & 0xff)}
		key = md5Of(s.key, place, salt)[:min(16, len(s.key)+5)]
	}
	if filter == "V2" {
		return rc4With(key, data)
	}
	p := 16 - len(data)%16
	iv := random(16)
	return append(iv, cbc(key, iv, append(bytes.Clone(data), bytes.Repeat([]byte{byte(p)}, p)...))...)
}

func (s *cipherState) dict() string {
	e := s.e
	var w strings.Builder
	fmt.Fprintf(&w, "<< /Filter /Standard /V %d /R %d /P %d /O <%x> /U <%x>", e.Version, e.Revision, e.Permissions, s.o, s.u)
	switch e.Version {
	case 2:
		fmt.Fprintf(&w, " /Length %d", e.Bits)
	case 4, 5:
		fmt.Fprintf(&w, " /Length %d /StmF /%s /StrF /%s /CF <<", len(s.key)*8, e.filterName(e.Streams), e.filterName(e.Strings))
		for _, f := range slices.Compact([]string{e.Streams, e.Strings}) {
			if f != "Identity" {
				fmt.Fprintf(&w, " /%s << /CFM /%s /AuthEvent /DocOpen /Length %d >>", e.filterName(f), f, len(s.key))
			}
		}
		w.WriteString(" >>")
		if e.ClearMetadata {
			w.WriteString(" /EncryptMetadata false")
		}
	}
	if e.Version == 5 {
		fmt.Fprintf(&w, " /OE <%x> /UE <%x> /Perms <%x>", s.oe, s.ue, s.perms)
	}
	w.WriteString(" >>")
	return w.String()
}

// filterName names a crypt filter: StdCF, as most readers want it, unless there
// are two.
func (e *Encryption) filterName(f string) string {
	if f == "Identity" {
		return f
	}
	if e.Streams == e.Strings {
		return "StdCF"
	}
	return "Std" + f
}
