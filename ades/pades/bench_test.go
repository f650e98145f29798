package pades_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf/pdftest"
	"github.com/countersign/countersign/signing"
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

// cost is the best of several runs.
func cost(n int, f func()) time.Duration {
	best := time.Duration(1 << 62)
	for range n {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best
}

// report gives the best run beside its baseline.
func report(b *testing.B, baseline, best time.Duration) {
	b.Helper()
	b.ReportMetric(float64(baseline.Microseconds())/1000, "baseline-ms")
	b.ReportMetric(float64(best.Microseconds())/1000, "best-ms")
	b.ReportMetric(float64(best)/float64(baseline), "ratio")
}

// BenchmarkPatch100MB is what it costs to prepare, sign and embed at B-B,
// beside the SHA-256 of the same bytes. Goal: ratio at most 1.3.
func BenchmarkPatch100MB(b *testing.B) {
	s := newSigner(b)
	doc := document(100 << 20)
	baseline := cost(5, func() { sha256.Sum256(doc) })
	b.SetBytes(int64(len(doc)))
	best := time.Duration(1 << 62)
	for b.Loop() {
		best = min(best, cost(1, func() {
			p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), s.options())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := p.Finish(b.Context(), bytes.NewReader(doc), s.value(b, p), pades.B, pades.Sources{}, pades.AugmentOptions{}); err != nil {
				b.Fatal(err)
			}
		}))
	}
	report(b, baseline, best)
}

// BenchmarkPrepare1MB is the delay for a small document. Goal: 3 ms.
func BenchmarkPrepare1MB(b *testing.B) {
	s := newSigner(b)
	doc := document(1 << 20)
	o := s.options()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBLTAFileToFile100MB signs a file at B-LTA into another file, beside
// the SHA-256 of the file plus its copy. The authorities' time does not count.
// Goal: ratio at most 1.3.
func BenchmarkBLTAFileToFile100MB(b *testing.B) {
	s := newSigner(b)
	dir := b.TempDir()
	in, out := filepath.Join(dir, "in.pdf"), filepath.Join(dir, "out.pdf")
	if err := os.WriteFile(in, document(100<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	certs, crls, ocsps := s.pki.Evidence()
	sources := s.sources()
	sources.Collect = func(context.Context, []*certificate, []*certificate) (pades.Evidence, error) {
		return pades.Evidence{Certs: certs, CRLs: crls, OCSPs: ocsps}, nil
	}
	var away time.Duration
	stamp := sources.TimeStamp
	sources.TimeStamp = func(ctx context.Context, d signing.Digest) ([]byte, error) {
		start := time.Now()
		defer func() { away += time.Since(start) }()
		return stamp(ctx, d)
	}
	baseline := cost(5, func() { hashAndCopy(b, in, out) })
	best := time.Duration(1 << 62)
	for b.Loop() {
		away = 0
		took := cost(1, func() { signFile(b, s, in, out, sources) })
		best = min(best, took-away)
	}
	report(b, baseline, best)
}

func hashAndCopy(b *testing.B, in, out string) {
	b.Helper()
	r, err := os.Open(in)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, 256<<10)); err != nil {
		b.Fatal(err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		b.Fatal(err)
	}
	w, err := os.Create(out)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 256<<10)); err != nil {
		b.Fatal(err)
	}
}

func signFile(b *testing.B, s *signer, in, out string, sources pades.Sources) {
	b.Helper()
	r, err := os.Open(in)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		b.Fatal(err)
	}
	p, err := pades.Prepare(r, info.Size(), s.options())
	if err != nil {
		b.Fatal(err)
	}
	patch, err := p.Finish(b.Context(), r, s.value(b, p), pades.LTA, sources, pades.AugmentOptions{})
	if err != nil {
		b.Fatal(err)
	}
	w, err := os.Create(out)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	if _, err := patch.WriteTo(w, r); err != nil {
		b.Fatal(err)
	}
}
