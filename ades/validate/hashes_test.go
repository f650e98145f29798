package validate_test

import (
	"bytes"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/validate"
)

// counted counts the bytes that are read.
type counted struct {
	io.ReaderAt

	n atomic.Int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.n.Add(int64(n))
	return n, err
}

func TestLargeFileWithManySignaturesIsReadOnce(t *testing.T) {
	k := adestest.New(t, adestest.Config{})
	p := adestest.NewPDF(t)
	p.Update(map[int]string{adestest.Content: adestest.Stream("", string(bytes.Repeat([]byte("% filling\n"), 1<<20)))})
	const signatures = 8
	for range signatures {
		p.Level(k, "T", adestest.Sig{})
	}
	r := &counted{ReaderAt: bytes.NewReader(p.Data)}
	report, err := validate.File(r, int64(len(p.Data)), validate.Options{Anchors: k.Anchors(), Now: func() time.Time { return k.Now.Add(time.Minute) }, ExtraCRLs: crls(k)})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Signatures) != signatures || !report.Passed() {
		t.Fatalf("%d signatures: %s", len(report.Signatures), text(report))
	}
	if most := 2 * int64(len(p.Data)); r.n.Load() > most {
		t.Errorf("%d bytes were read of a file of %d", r.n.Load(), len(p.Data))
	}
	p.Data[5000] ^= 1 // inside all of them
	report, err = validate.File(bytes.NewReader(p.Data), int64(len(p.Data)), validate.Options{Anchors: k.Anchors()})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range report.Signatures {
		if s.Subindication != validate.HashFailure {
			t.Errorf("%s: %s %s after a byte was changed", s.Field, s.Verdict, s.Subindication)
		}
	}
}

// crls are the revocation lists of the test authorities.
func crls(k *adestest.PKI) [][]byte {
	_, lists, _ := k.Evidence()
	return lists
}
