package pdf

// The codes of LZW that stand for no data (ISO 32000-2, 7.4.4.2).
const (
	lzwClear = 256
	lzwEnd   = 257
)

// unlzw undoes LZW. With early, codes grow one entry early, as PDF has it by
// default; compress/lzw knows no such thing.
func (f *File) unlzw(in []byte, early bool) ([]byte, error) {
	var (
		prefix [4096]int16
		suffix [4096]byte
		stack  [4096]byte
		out    []byte
	)
	ahead := 0
	if early {
		ahead = 1
	}
	next, width, last := 258, uint(9), -1
	var first byte
	acc, have := uint32(0), uint(0)
	for _, c := range in {
		acc, have = acc<<8|uint32(c), have+8
		if have < width {
			continue
		}
		code := int(acc >> (have - width) & (1<<width - 1))
		have -= width
		switch {
		case code == lzwEnd:
			return out, nil
		case code == lzwClear:
			next, width, last = 258, 9, -1
			continue
		case code > next || (code == next && last < 0) || (last < 0 && code > 255):
			return nil, damaged("an LZW stream cannot be decoded")
		}
		n := len(stack)
		walk := code
		if code == next {
			n--
			stack[n] = first
			walk = last
		}
		for walk > 257 {
			n--
			stack[n] = suffix[walk]
			walk = int(prefix[walk])
		}
		n--
		stack[n] = byte(walk)
		first = byte(walk)
		out = append(out, stack[n:]...)
		if err := f.tooBig(len(in), len(out)); err != nil {
			return nil, err
		}
		if last >= 0 && next < 4096 {
			prefix[next], suffix[next] = int16(last), first
			next++
		}
		last = code
		if next+ahead >= 1<<width && width < 12 {
			width++
		}
	}
	return out, nil
}
