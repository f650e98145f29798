//go:build js

package host

import (
	"errors"
	"io"
	"syscall/js"
)

// pieceSize is how much of a file is read at once, and pieces how much of it is
// kept: reading a PDF jumps between its end and its objects.
const (
	pieceSize = 128 << 10
	pieces    = 16
)

// Blob reads a file of the browser in pieces, without taking it into memory. It
// works in workers only.
type Blob struct {
	value  js.Value
	reader js.Value // FileReaderSync
	size   int64
	cached []piece // the last used first
}

type piece struct {
	number int64
	data   []byte
}

// NewBlob opens a Blob or File.
func NewBlob(v js.Value) (*Blob, error) {
	class := js.Global().Get("FileReaderSync")
	if class.IsUndefined() || !v.InstanceOf(js.Global().Get("Blob")) {
		return nil, errors.New("this is no file, or not a worker")
	}
	return &Blob{value: v, reader: class.New(), size: int64(v.Get("size").Float())}, nil
}

// Size is the length in bytes.
func (b *Blob) Size() int64 { return b.size }

// JS is the Blob itself.
func (b *Blob) JS() js.Value { return b.value }

// ReadAt implements io.ReaderAt.
func (b *Blob) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(p) && off < b.size {
		data, err := b.piece(off / pieceSize)
		if err != nil {
			return n, err
		}
		m := copy(p[n:], data[off%pieceSize:])
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *Blob) piece(number int64) ([]byte, error) {
	for i, c := range b.cached {
		if c.number == number {
			copy(b.cached[1:i+1], b.cached[:i])
			b.cached[0] = c
			return c.data, nil
		}
	}
	start := number * pieceSize
	data, err := b.read(start, min(start+pieceSize, b.size))
	if err != nil {
		return nil, err
	}
	if len(b.cached) < pieces {
		b.cached = append(b.cached, piece{})
	}
	copy(b.cached[1:], b.cached)
	b.cached[0] = piece{number, data}
	return data, nil
}

// read reads a part. A file that was changed or taken away since it was chosen is
// an error of the browser, which a panic carries to here.
func (b *Blob) read(start, end int64) (data []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			thrown, ok := r.(js.Error)
			if !ok {
				panic(r)
			}
			err = thrown
		}
	}()
	buffer := b.reader.Call("readAsArrayBuffer", b.value.Call("slice", float64(start), float64(end)))
	data = Bytes(js.Global().Get("Uint8Array").New(buffer))
	if int64(len(data)) != end-start {
		return nil, io.ErrUnexpectedEOF
	}
	return data, nil
}
