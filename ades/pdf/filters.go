package pdf

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
)

// Decode returns the content of a stream: decrypted and run through its
// filters, of which Flate, LZW, ASCIIHex, ASCII85, RunLength and Crypt are known.
func (f *File) Decode(s *Stream) ([]byte, error) {
	data, _, err := f.decode(s)
	return data, err
}

// decode is Decode; end is the offset behind the word endstream, or 0.
func (f *File) decode(s *Stream) (data []byte, end int64, err error) {
	if s.fromFile {
		if data, end, err = f.raw(s); err != nil {
			return nil, 0, err
		}
	} else {
		data = s.Data
	}
	names, params, err := f.filters(s.Dict)
	if err != nil {
		return nil, 0, err
	}
	if s.fromFile && !s.clear {
		if data, err = f.decryptStream(s, names, params, data); err != nil {
			return nil, 0, err
		}
	}
	for i, name := range names {
		if data, err = f.filter(name, params[i], data); err != nil {
			return nil, 0, err
		}
	}
	return data, end, nil
}

// raw reads a stream's bytes as they are in the file.
func (f *File) raw(s *Stream) ([]byte, int64, error) {
	n, ok, err := f.Int(s.Dict.Get("Length"))
	if err != nil {
		return nil, 0, err
	}
	if !ok || n < 0 || n > f.size-s.at {
		return nil, 0, damaged("the length of stream %d is wrong", s.ref.Num)
	}
	if n > int64(f.limits.StreamBytes) {
		return nil, 0, overLimit("stream %d is longer than %d bytes", s.ref.Num, f.limits.StreamBytes)
	}
	if err := f.spend(int(n)); err != nil {
		return nil, 0, err
	}
	data, err := f.readAt(s.at, int(n)+16)
	if err != nil {
		return nil, 0, err
	}
	l := lexer{buf: data, pos: int(n), final: true}
	if t, err := l.token(); err != nil || t != keyword("endstream") {
		return nil, 0, damaged("the length of stream %d is wrong", s.ref.Num)
	}
	return data[:n:n], s.at + int64(l.pos), nil
}

// filters returns the names of a stream's filters with their parameters.
func (f *File) filters(d *Dict) ([]Name, []*Dict, error) {
	list, err := f.listOf(d, "Filter")
	if err != nil {
		return nil, nil, err
	}
	parms, err := f.listOf(d, "DecodeParms")
	if err != nil {
		return nil, nil, err
	}
	if len(list) > 8 {
		return nil, nil, overLimit("a stream has %d filters", len(list))
	}
	names, params := make([]Name, len(list)), make([]*Dict, len(list))
	for i := range list {
		if names[i], err = f.Name(list[i]); err != nil {
			return nil, nil, err
		}
		if i < len(parms) {
			if params[i], err = f.Dict(parms[i]); err != nil {
				return nil, nil, err
			}
		}
	}
	return names, params, nil
}

// listOf returns a value that may be one object or an array of them.
func (f *File) listOf(d *Dict, key Name) (Array, error) {
	obj, err := f.Resolve(d.Get(key))
	if err != nil || obj == nil {
		return nil, err
	}
	if a, ok := obj.(Array); ok {
		return a, nil
	}
	return Array{obj}, nil
}

func (f *File) filter(name Name, params *Dict, in []byte) ([]byte, error) {
	var out []byte
	var err error
	switch name {
	case "FlateDecode", "Fl":
		out, err = f.inflate(in)
		if err == nil {
			out, err = f.unpredict(params, out)
		}
	case "LZWDecode", "LZW":
		early, ok, err2 := f.Int(params.Get("EarlyChange"))
		if err2 != nil {
			return nil, err2
		}
		out, err = f.unlzw(in, !ok || early != 0)
		if err == nil {
			out, err = f.unpredict(params, out)
		}
	case "ASCIIHexDecode", "AHx":
		out, err = asciiHex(in)
	case "ASCII85Decode", "A85":
		out, err = ascii85(in)
	case "RunLengthDecode", "RL":
		out, err = f.runLength(in)
	case "Crypt":
		return in, nil // was undone before
	default:
		return nil, damaged("a stream that must be read uses filter %q", clip(string(name)))
	}
	if err != nil {
		return nil, err
	}
	return out, f.spend(len(out))
}

// tooBig reports a stage whose output breaks the limits.
func (f *File) tooBig(in, out int) error {
	if out > f.limits.StreamBytes {
		return overLimit("a stream expands to more than %d bytes", f.limits.StreamBytes)
	}
	if out > 1<<20 && out/f.limits.Ratio > in {
		return overLimit("a stream expands more than %d times", f.limits.Ratio)
	}
	return nil
}

// inflate undoes zlib. The check value at the end is not asked for: other
// readers do not, and files without it exist.
func (f *File) inflate(in []byte) ([]byte, error) {
	if len(in) == 0 {
		return nil, nil
	}
	if len(in) < 2 || in[0]&0x0f != 8 || in[1]&0x20 != 0 {
		return nil, damaged("a Flate stream has no zlib header")
	}
	r := flate.NewReader(bytes.NewReader(in[2:]))
	var out bytes.Buffer
	for {
		n, err := io.CopyN(&out, r, 64<<10)
		if big := f.tooBig(len(in), out.Len()); big != nil {
			return nil, big
		}
		if *f.work < int64(out.Len()) {
			return nil, f.spend(out.Len())
		}
		if errors.Is(err, io.EOF) {
			return out.Bytes(), nil
		}
		if err != nil || n == 0 {
			return nil, damaged("a Flate stream cannot be decoded")
		}
	}
}

func asciiHex(in []byte) ([]byte, error) {
	if i := bytes.IndexByte(in, '>'); i >= 0 {
		in = in[:i]
	}
	l := lexer{buf: append(bytes.Clone(in), '>'), final: true}
	s, err := l.hex()
	return []byte(s), err
}

func ascii85(in []byte) ([]byte, error) {
	in = bytes.TrimPrefix(bytes.TrimSpace(in), []byte("<~"))
	var out []byte
	var group [5]byte
	n := 0
	for _, c := range in {
		switch {
		case isSpace(c):
			continue
		case c == '~':
			return endGroup85(out, group, n)
		case c == 'z' && n == 0:
			out = append(out, 0, 0, 0, 0)
			continue
		case c < '!' || c > 'u':
			return nil, damaged("an ASCII85 stream holds %q", c)
		}
		group[n] = c - '!'
		if n++; n == 5 {
			out = append85(out, group, 4)
			n = 0
		}
	}
	return endGroup85(out, group, n)
}

func endGroup85(out []byte, group [5]byte, n int) ([]byte, error) {
	if n == 0 {
		return out, nil
	}
	if n == 1 {
		return nil, damaged("an ASCII85 stream ends inside a group")
	}
	for i := n; i < 5; i++ {
		group[i] = 84
	}
	return append85(out, group, n-1), nil
}

func append85(out []byte, group [5]byte, n int) []byte {
	var v uint32
	for _, c := range group {
		v = v*85 + uint32(c)
	}
	four := [4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
	return append(out, four[:n]...)
}

func (f *File) runLength(in []byte) ([]byte, error) {
	var out []byte
	for i := 0; i < len(in); {
		n := int(in[i])
		i++
		switch {
		case n == 128:
			return out, nil
		case n < 128:
			if i+n+1 > len(in) {
				return nil, damaged("a RunLength stream ends inside a run")
			}
			out = append(out, in[i:i+n+1]...)
			i += n + 1
		default:
			if i >= len(in) {
				return nil, damaged("a RunLength stream ends inside a run")
			}
			out = append(out, bytes.Repeat(in[i:i+1], 257-n)...)
			i++
		}
		if err := f.tooBig(len(in), len(out)); err != nil {
			return nil, err
		}
	}
	return out, nil
}
