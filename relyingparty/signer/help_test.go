package signer_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/csc/csctest"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

// pdf makes a one-page document that says text, padded to at least size bytes.
func pdf(text string, size int) []byte {
	content := fmt.Sprintf("BT /F1 24 Tf 72 700 Td (%s) Tj ET\n", text)
	if size > len(content) {
		content += "%" + string(bytes.Repeat([]byte("0123456789abcdef"), size/16)) + "\n"
	}
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	var offsets []int
	for i, o := range objects {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, at := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return b.Bytes()
}

// bench is a service, a signer that uses it, and a folder.
type bench struct {
	*testing.T
	service *csctest.Service
	counter *cscclient.Counter
	config  signer.Config
	dir     string
}

func newBench(t *testing.T, k signing.KeyType) *bench {
	t.Helper()
	b := &bench{T: t, service: csctest.Start(t, k), counter: &cscclient.Counter{}, dir: t.TempDir()}
	b.config = signer.Config{
		Service: b.client(0), Fetcher: cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true}), Anchors: b.service.PKI.Anchors(),
	}
	return b
}

func (b *bench) client(timeout time.Duration) *cscclient.Client {
	b.Helper()
	c, err := cscclient.New(cscclient.Config{
		BaseURL: b.service.Base, Issuer: b.service.Issuer, ClientID: csctest.ClientID, ClientSecret: csctest.ClientSecret,
		RedirectURI: csctest.RedirectURI, Counter: b.counter, Timeout: timeout, SignTimeout: timeout,
	})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// file writes an input file and says where its output goes.
func (b *bench) file(name string, content []byte) signer.File {
	b.Helper()
	in := filepath.Join(b.dir, name)
	if err := os.WriteFile(in, content, 0o600); err != nil {
		b.Fatal(err)
	}
	return signer.File{In: in, Out: filepath.Join(b.dir, "out", name)}
}

func (b *bench) sign(job signer.Job) (*signer.Result, error) {
	b.Helper()
	return b.signContext(b.Context(), job)
}

func (b *bench) signContext(ctx context.Context, job signer.Job) (*signer.Result, error) {
	b.Helper()
	if err := os.MkdirAll(filepath.Join(b.dir, "out"), 0o700); err != nil {
		b.Fatal(err)
	}
	s, err := signer.New(b.config)
	if err != nil {
		b.Fatal(err)
	}
	if job.Approve == nil {
		job.Approve = b.service.Approve
	}
	return s.Sign(ctx, job)
}

// outputs lists what is in the output folder, temporary files too.
func (b *bench) outputs() []string {
	b.Helper()
	entries, err := os.ReadDir(filepath.Join(b.dir, "out"))
	if err != nil {
		b.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// refused checks that signing ended with that code and exit code, and that
// nothing was left behind.
func (b *bench) refused(err error, code string, exit int) {
	b.Helper()
	if err == nil {
		b.Fatal("signing succeeded")
	}
	f := fault.Of(err)
	if f.Code != code {
		b.Errorf("code %q, want %q: %v", f.Code, code, err)
	}
	if got := signer.ExitCode(err); got != exit {
		b.Errorf("exit code %d, want %d: %v", got, exit, err)
	}
	if f.Detail == "" || f.Detail == "internal error" {
		b.Errorf("no sentence for people: %v", err)
	}
	if left := b.outputs(); len(left) > 0 {
		b.Errorf("left behind: %q", left)
	}
}

var levels = []pades.Level{pades.B, pades.T, pades.LT, pades.LTA}
