//go:build unix

package pades_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/ades/pades"
)

// BenchmarkPatch100MB is what it costs to prepare, sign and embed at B-B,
// beside the SHA-256 of the same bytes.
func BenchmarkPatch100MB(b *testing.B) {
	s := newSigner(b)
	doc := document(100 << 20)
	b.SetBytes(int64(len(doc)))
	beside(b, 1.3, func() { sha256.Sum256(doc) }, func() {
		p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), s.options())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Finish(b.Context(), bytes.NewReader(doc), s.value(b, p), pades.B, pades.Sources{}, pades.AugmentOptions{}); err != nil {
			b.Fatal(err)
		}
	})
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
// the SHA-256 of the file plus its copy. The authorities' work, done here too, is
// part of it.
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
	beside(b, 1.3, func() { hashAndCopy(b, in, out) }, func() { signFile(b, s, in, out, sources) })
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
