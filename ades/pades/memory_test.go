package pades_test

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf/pdftest"
)

// document makes a PDF of about size bytes.
func document(size int) []byte {
	d := pdftest.One()
	d.Form, d.Packed = pdftest.Stream, []int{1, 2, 3, 5}
	d.Streams[4] = strings.Repeat("0 0 m 100 100 l S\n", size/18)
	return d.Bytes()
}

func TestMemoryDoesNotGrowWithTheDocument(t *testing.T) {
	s := newSigner(t)
	const size = 400 << 20
	doc := &zeros{document(1 << 10), size}
	o := s.options()
	token := s.sources()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p, err := pades.Prepare(doc, size, o)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := p.Finish(t.Context(), doc, s.value(t, p), pades.LTA, token, pades.AugmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := patch.WriteTo(io.Discard, doc); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
		t.Errorf("%d MB were allocated for a document of %d MB", used>>20, size>>20)
	}
}

// zeros is a document stretched to size by zeros behind it, with its startxref
// repeated at the end.
type zeros struct {
	doc  []byte
	size int64
}

func (z *zeros) ReadAt(p []byte, off int64) (int, error) {
	tail := z.doc[bytes.LastIndex(z.doc, []byte("startxref")):]
	start := z.size - int64(len(tail))
	n := int(min(int64(len(p)), z.size-off))
	if n <= 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	if off < int64(len(z.doc)) {
		copy(p[:n], z.doc[off:])
	}
	if off+int64(n) > start {
		copy(p[max(0, start-off):n], tail[max(0, off-start):])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
