package validate_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/validate"
)

// large is a B-LTA document with that much content and that many objects.
func large(b *testing.B, size, objects int) (*adestest.PKI, []byte) {
	b.Helper()
	k := adestest.New(b, adestest.Config{})
	p := adestest.NewPDF(b)
	more := map[int]string{adestest.Content: adestest.Stream("", string(bytes.Repeat([]byte("% filling\n"), size/10)))}
	var kids strings.Builder
	for i := range objects {
		more[100+i] = "<< /Type /XObject /A 5 0 R /B [1 2 3 4 5 6] >>"
		fmt.Fprintf(&kids, "/K%d %d 0 R ", i, 100+i)
	}
	more[99] = "<< " + kids.String() + " >>"
	p.CatalogExtra = "/PieceInfo 99 0 R"
	more[adestest.Catalog] = p.CatalogObject()
	p.Update(more)
	p.Level(k, "LTA", adestest.Sig{})
	return k, p.Data
}

func benchmark(b *testing.B, size, objects int) {
	k, data := large(b, size, objects)
	o := validate.Options{Anchors: k.Anchors(), Now: func() time.Time { return k.Now.Add(time.Minute) }}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	start := time.Now()
	sha256.Sum256(data)
	hash := time.Since(start)
	for b.Loop() {
		r, err := validate.File(bytes.NewReader(data), int64(len(data)), o)
		if err != nil || !r.Passed() {
			b.Fatalf("%v %s", err, text(r))
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/hash.Seconds(), "x_sha256")
}

func BenchmarkSmallFile(b *testing.B) { benchmark(b, 1000, 10) }

func BenchmarkFileOf20MB(b *testing.B) { benchmark(b, 20<<20, 10) }

func BenchmarkFileOf20000Objects(b *testing.B) { benchmark(b, 1000, 20_000) }
