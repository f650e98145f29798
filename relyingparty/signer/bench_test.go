//go:build unix

package signer_test

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/csc/csctest"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

// BenchmarkBLTA100MB signs a file of 100 MB from file to file, service and
// validation included, and reports how many times longer that takes than hashing
// and copying it.
func BenchmarkBLTA100MB(b *testing.B) {
	s := csctest.Start(b, signing.P256)
	c, err := cscclient.New(cscclient.Config{BaseURL: s.Base, ClientID: csctest.ClientID, ClientSecret: csctest.ClientSecret, RedirectURI: csctest.RedirectURI})
	if err != nil {
		b.Fatal(err)
	}
	sign, err := signer.New(signer.Config{Service: c, Fetcher: cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true}), Anchors: s.PKI.Anchors()})
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	in, out := filepath.Join(dir, "in.pdf"), filepath.Join(dir, "out.pdf")
	if err := os.WriteFile(in, pdf("hello", 100<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	baseline := func() {
		if err := hashAndCopy(in, out); err != nil {
			b.Fatal(err)
		}
	}
	beside(b, 1.3, baseline, func() {
		if _, err := sign.Sign(b.Context(), signer.Job{Files: []signer.File{{In: in, Out: out}}, Approve: s.Approve}); err != nil {
			b.Fatal(err)
		}
	})
}

func hashAndCopy(in, out string) error {
	r, err := os.Open(in)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	w, err := os.Create(out)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.MultiWriter(w, sha256.New()), r); err != nil {
		return err
	}
	if err := w.Sync(); err != nil {
		return err
	}
	return w.Close()
}
