package validate

import (
	"crypto"
	"errors"
	"hash"
	"io"
	"slices"

	"github.com/countersign/countersign/ades/pdf"
)

// hashes digests the byte ranges of a file's signatures. Nearly all of them begin
// at byte 0, so what one has hashed is the beginning of the next: the state is
// kept wherever the first range of another one ends, and a large file with many
// signatures is read through once.
type hashes struct {
	r      io.ReaderAt
	ends   []int64 // of first ranges that begin at 0, in order
	saved  map[crypto.Hash][]state
	buffer []byte
}

// state is a hash that has read the file up to an offset. It is cloned, never
// written to.
type state struct {
	at   int64
	hash hash.Cloner
}

func newHashes(r io.ReaderAt, signatures []pdf.Signature) *hashes {
	x := &hashes{r: r, saved: map[crypto.Hash][]state{}}
	for i := range signatures {
		if b := signatures[i].ByteRange; len(b) == 4 && b[0] == 0 {
			x.ends = append(x.ends, b[1])
		}
	}
	slices.Sort(x.ends)
	x.ends = slices.Compact(x.ends)
	return x
}

// sum is the digest of a ByteRange, of four numbers, that lies inside the file.
func (x *hashes) sum(h crypto.Hash, b []int64) ([]byte, error) {
	d, err := x.first(h, b)
	if err != nil {
		return nil, err
	}
	if err := x.read(d, b[2], b[3]); err != nil {
		return nil, err
	}
	return d.Sum(nil), nil
}

// first is a hash of its own that has read the first range.
func (x *hashes) first(h crypto.Hash, b []int64) (hash.Hash, error) {
	d := h.New()
	if c, ok := d.(hash.Cloner); ok && b[0] == 0 {
		shared, err := x.beginning(h, c, b[1])
		if !errors.Is(err, errors.ErrUnsupported) {
			return shared, err
		}
	}
	return d, x.read(d, b[0], b[1])
}

// beginning is a hash of its own that has read the file up to end. It goes on
// from the last state that is kept before there, or from fresh.
func (x *hashes) beginning(h crypto.Hash, fresh hash.Cloner, end int64) (hash.Hash, error) {
	from := state{0, fresh}
	for _, s := range x.saved[h] {
		if s.at <= end && s.at > from.at {
			from = s
		}
	}
	d, err := from.hash.Clone()
	if err != nil {
		return nil, err
	}
	for _, to := range x.ends {
		if to <= from.at || to > end {
			continue
		}
		if err := x.read(d, from.at, to-from.at); err != nil {
			return nil, err
		}
		from.at = to
		kept, err := d.Clone()
		if err != nil {
			return nil, err
		}
		x.saved[h] = append(x.saved[h], state{to, kept})
	}
	return d, x.read(d, from.at, end-from.at)
}

// read writes n bytes of the file from an offset on to d.
func (x *hashes) read(d io.Writer, from, n int64) error {
	if x.buffer == nil {
		x.buffer = make([]byte, 256<<10)
	}
	read, err := io.CopyBuffer(d, io.NewSectionReader(x.r, from, n), x.buffer)
	if err == nil && read != n {
		err = io.ErrUnexpectedEOF
	}
	return err
}
