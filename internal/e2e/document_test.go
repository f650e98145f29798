package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// writePDF writes a one-page PDF with an attached stream of about so many bytes
// that no other document has, without keeping it in memory.
func writePDF(t testing.TB, name string, size int64, seed uint64) string {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w := &counting{Writer: bufio.NewWriterSize(f, 1<<20)}
	page := fmt.Sprintf("BT /F1 18 Tf 72 720 Td (Test document %d) Tj ET", seed)
	fmt.Fprint(w, "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	objects := []func(){
		func() { fmt.Fprint(w, "<< /Type /Catalog /Pages 2 0 R >>") },
		func() { fmt.Fprint(w, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>") },
		func() {
			fmt.Fprint(w, "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>")
		},
		func() { fmt.Fprintf(w, "<< /Length %d >>\nstream\n%s\nendstream", len(page), page) },
		func() { fmt.Fprint(w, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>") },
		func() {
			fmt.Fprintf(w, "<< /Type /EmbeddedFile /Length %d >>\nstream\n", size)
			fill(w, size, seed)
			fmt.Fprint(w, "\nendstream")
		},
	}
	offsets := make([]int64, len(objects))
	for i, write := range objects {
		offsets[i] = w.n
		fmt.Fprintf(w, "%d 0 obj\n", i+1)
		write()
		fmt.Fprint(w, "\nendobj\n")
	}
	xref := w.n
	fmt.Fprintf(w, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range offsets {
		fmt.Fprintf(w, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(w, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
	for _, err := range []error{w.err, w.Flush(), f.Close()} {
		if err != nil {
			t.Fatalf("write %s: %v", name, err)
		}
	}
	return name
}

// fill writes bytes that look random and are the same for the same seed.
func fill(w io.Writer, size int64, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0x636f756e74657273))
	buf := make([]byte, 64<<10)
	for size > 0 {
		for i := 0; i < len(buf); i += 8 {
			v := r.Uint64()
			for j := range 8 {
				buf[i+j] = byte(v >> (8 * j))
			}
		}
		n := min(size, int64(len(buf)))
		if _, err := w.Write(buf[:n]); err != nil {
			return // the writer remembers it
		}
		size -= n
	}
}

// counting knows how many bytes were written, and whether that failed.
type counting struct {
	*bufio.Writer
	n   int64
	err error
}

// Write implements io.Writer.
func (c *counting) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

// document makes a small document in the installation's folder.
func (in *installation) document(t testing.TB, name string, size int64) []byte {
	t.Helper()
	h := uint64(size)
	for _, c := range name {
		h = h*31 + uint64(c)
	}
	b, err := os.ReadFile(writePDF(t, in.path(name), size, h))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
