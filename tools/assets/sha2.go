package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"math/big"
)

// sha2Program is a WebAssembly module with the block functions of SHA-256 and
// SHA-512. WebCrypto takes a whole document at once or not at all, and Go's own
// hashing is several times slower in a browser than these: all rounds are written
// out, the message schedule stays in registers. Exports: memory, sha256(blocks) and
// sha512(blocks), which work on the state at 0 and blocks at sha2Data.
func sha2Program() []byte {
	m := module{code: [][]byte{narrow.function(), wide.function()}}
	return m.encode()
}

// sha2Data is where blocks lie in the module's memory; sha2Pages is its size.
const (
	sha2Data  = 1 << 16
	sha2Pages = 1 + 64
)

// sha2 is one of the two functions: its word and its constants (FIPS 180-4).
type sha2 struct {
	bytes                      int // of a word
	rounds                     int
	sum0, sum1, sigma0, sigma1 [3]byte // the last of a sigma shifts

	load, store, constant, rotl, rotr, shr, and, or, xor, add, local byte
}

var (
	narrow = sha2{
		bytes: 4, rounds: 64, sum0: [3]byte{2, 13, 22}, sum1: [3]byte{6, 11, 25}, sigma0: [3]byte{7, 18, 3}, sigma1: [3]byte{17, 19, 10},
		load: 0x28, store: 0x36, constant: 0x41, rotl: 0x77, rotr: 0x78, shr: 0x76, and: 0x71, or: 0x72, xor: 0x73, add: 0x6a, local: 0x7f,
	}
	wide = sha2{
		bytes: 8, rounds: 80, sum0: [3]byte{28, 34, 39}, sum1: [3]byte{14, 18, 41}, sigma0: [3]byte{1, 8, 7}, sigma1: [3]byte{19, 61, 6},
		load: 0x29, store: 0x37, constant: 0x42, rotl: 0x89, rotr: 0x8a, shr: 0x88, and: 0x83, or: 0x84, xor: 0x85, add: 0x7c, local: 0x7e,
	}
)

// The locals of a function: blocks left and where the next one is, then words.
const (
	left  = 0
	where = 1
	vars  = 2  // a to h
	words = 10 // the message schedule
	temp  = 26
)

// function is the body: for each block load, mix, add to the state.
func (s sha2) function() []byte {
	c := &code{}
	c.op(0x41).signed(sha2Data).set(where)
	c.op(0x02, 0x40, 0x03, 0x40)  // block, loop
	c.get(left).op(0x45, 0x0d, 1) // i32.eqz, br_if 1
	for i := range 16 {
		s.swapped(c, i)
	}
	for i := range 8 {
		c.op(0x41).signed(0).op(s.load, byte(s.align())).unsigned(uint64(i * s.bytes)).set(vars + i) //nolint:gosec // small
	}
	for i := range s.rounds {
		s.round(c, i)
	}
	for i := range 8 {
		at := vars + i // roles move by one with each round, and the rounds are a multiple of eight
		c.op(0x41).signed(0)
		c.op(0x41).signed(0).op(s.load, byte(s.align())).unsigned(uint64(i * s.bytes)) //nolint:gosec // small
		c.get(at).op(s.add, s.store, byte(s.align())).unsigned(uint64(i * s.bytes))    //nolint:gosec // small
	}
	c.get(where).op(0x41).signed(int64(16 * s.bytes)).op(0x6a).set(where)
	c.get(left).op(0x41).signed(1).op(0x6b).set(left)
	c.op(0x0c, 0, 0x0b, 0x0b, 0x0b) // br 0, end, end, end
	body := append([]byte{2, 1, 0x7f}, 25, s.local)
	return append(body, c.b...)
}

func (s sha2) align() int {
	if s.bytes == 8 {
		return 3
	}
	return 2
}

// swapped loads a word of the block, big endian.
func (s sha2) swapped(c *code, i int) {
	c.get(where).op(s.load, 0).unsigned(uint64(i * s.bytes)).set(words + i) //nolint:gosec // small
	masks := []struct {
		by   int64
		mask uint64
	}{{8, 0x00ff00ff}}
	if s.bytes == 8 {
		masks = []struct {
			by   int64
			mask uint64
		}{{8, 0x00ff00ff00ff00ff}, {16, 0x0000ffff0000ffff}}
	}
	// Neighbours change places: bytes, and for long words pairs of them; at last halves.
	for _, m := range masks {
		if s.bytes == 4 { // both at once by turning
			c.get(words+i).op(s.constant).signed(8).op(s.rotl, s.constant).signed(0x00ff00ff).op(s.and)
			c.get(words+i).op(s.constant).signed(8).op(s.rotr, s.constant).signed(int64(int32(-0x00ff0100))).op(s.and, s.or).set(words + i)
			continue
		}
		c.get(words+i).op(s.constant).signed(m.by).op(s.shr, s.constant).signed(int64(m.mask)).op(s.and)                     //nolint:gosec // bits
		c.get(words+i).op(s.constant).signed(int64(m.mask)).op(s.and, s.constant).signed(m.by).op(0x86, s.or).set(words + i) //nolint:gosec // i64.shl
	}
	if s.bytes == 8 {
		c.get(words + i).op(s.constant).signed(32).op(s.rotl).set(words + i)
	}
}

// round is one of the rounds; from the 16th on it makes its word of the schedule.
func (s sha2) round(c *code, i int) {
	v := func(role int) int { return vars + (role-i%8+8)%8 }
	w := func(back int) int { return words + (i-back+64)%16 }
	if i >= 16 {
		s.mix(c, w(2), s.sigma1, true)
		c.get(w(7)).op(s.add)
		s.mix(c, w(15), s.sigma0, true)
		c.op(s.add).get(w(16)).op(s.add).set(w(16))
	}
	// T1 = h + Σ1(e) + Ch(e,f,g) + K + W
	c.get(v(7))
	s.mix(c, v(4), s.sum1, false)
	c.op(s.add)
	c.get(v(6)).get(v(5)).get(v(6)).op(s.xor).get(v(4)).op(s.and, s.xor, s.add)
	c.op(s.constant).signed(s.k(i)).op(s.add).get(w(16)).op(s.add).set(temp)
	// d += T1; h = T1 + Σ0(a) + Maj(a,b,c)
	c.get(v(3)).get(temp).op(s.add).set(v(3))
	c.get(temp)
	s.mix(c, v(0), s.sum0, false)
	c.op(s.add)
	c.get(v(0)).get(v(1)).op(s.and).get(v(2)).get(v(0)).get(v(1)).op(s.or, s.and, s.or, s.add).set(v(7))
}

// mix is one of the functions Σ and σ: three turns of a word, the last one of a σ a
// shift.
func (s sha2) mix(c *code, word int, by [3]byte, small bool) {
	last := s.rotr
	if small {
		last = s.shr
	}
	c.get(word).op(s.constant).signed(int64(by[0])).op(s.rotr)
	c.get(word).op(s.constant).signed(int64(by[1])).op(s.rotr, s.xor)
	c.get(word).op(s.constant).signed(int64(by[2])).op(last, s.xor)
}

// k is the constant of a round: the first bits of the fractional part of the cube
// root of the ith prime.
func (s sha2) k(i int) int64 {
	bits := uint(8 * s.bytes)
	n := new(big.Int).Lsh(big.NewInt(prime(i)), 3*bits)
	root := cubeRoot(n)
	root.And(root, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), bits), big.NewInt(1)))
	if s.bytes == 4 {
		return int64(int32(uint32(root.Uint64()))) //nolint:gosec // bits
	}
	return int64(root.Uint64()) //nolint:gosec // bits
}

func prime(i int) int64 {
	for n := int64(2); ; n++ {
		if big.NewInt(n).ProbablyPrime(0) {
			if i == 0 {
				return n
			}
			i--
		}
	}
}

// cubeRoot is the largest number whose cube is at most n.
func cubeRoot(n *big.Int) *big.Int {
	low, high := big.NewInt(0), new(big.Int).Lsh(big.NewInt(1), uint(n.BitLen())/3+1)
	one := big.NewInt(1)
	for new(big.Int).Sub(high, low).Cmp(one) > 0 {
		mid := new(big.Int).Rsh(new(big.Int).Add(low, high), 1)
		if new(big.Int).Exp(mid, big.NewInt(3), nil).Cmp(n) <= 0 {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// code is WebAssembly in the making.
type code struct{ b []byte }

func (c *code) op(bytes ...byte) *code { c.b = append(c.b, bytes...); return c }
func (c *code) get(local int) *code    { return c.op(0x20).unsigned(uint64(local)) } //nolint:gosec // small
func (c *code) set(local int)          { c.op(0x21).unsigned(uint64(local)) }        //nolint:gosec // small

func (c *code) unsigned(n uint64) *code { c.b = binary.AppendUvarint(c.b, n); return c }

// signed appends a number in signed LEB128.
func (c *code) signed(n int64) *code {
	for {
		low := byte(n & 0x7f)
		n >>= 7
		if n == 0 && low&0x40 == 0 || n == -1 && low&0x40 != 0 {
			c.b = append(c.b, low)
			return c
		}
		c.b = append(c.b, low|0x80)
	}
}

// module is a module of two functions with one parameter each, and a memory.
type module struct{ code [][]byte }

func (m module) encode() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, body []byte) {
		out = append(out, id)
		out = binary.AppendUvarint(out, uint64(len(body)))
		out = append(out, body...)
	}
	section(1, []byte{1, 0x60, 1, 0x7f, 0})                                   // func (param i32)
	section(3, []byte{2, 0, 0})                                               // two of that type
	section(5, append([]byte{1, 0}, binary.AppendUvarint(nil, sha2Pages)...)) // memory
	exports := []byte{3}
	for _, e := range []struct {
		name        string
		kind, index byte
	}{{"memory", 2, 0}, {"sha256", 0, 0}, {"sha512", 0, 1}} {
		exports = append(append(exports, byte(len(e.name))), e.name...) //nolint:gosec // small
		exports = append(exports, e.kind, e.index)
	}
	section(7, exports)
	bodies := []byte{byte(len(m.code))} //nolint:gosec // two
	for _, body := range m.code {
		bodies = binary.AppendUvarint(bodies, uint64(len(body)))
		bodies = append(bodies, body...)
	}
	section(10, bodies)
	return out
}

// The sizes that the script relies on are the ones of the standard library.
var _ = [1]struct{}{}[sha256.BlockSize-64+sha512.BlockSize-128]
