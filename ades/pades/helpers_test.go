package pades_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/signing"
)

// signer is a person with a key, and the authorities around.
type signer struct {
	pki *adestest.PKI
	alg signing.Algorithm
}

func newSigner(tb testing.TB) *signer {
	tb.Helper()
	// Without an OCSP address pdfsig has nothing to ask and can judge.
	pki := adestest.New(tb, adestest.Config{Adjust: func(_ string, c *x509.Certificate) { c.OCSPServer = nil }})
	return &signer{pki, pki.Algorithm(pki.Signer)}
}

func (s *signer) options() pades.Options {
	return pades.Options{
		Algorithm: s.alg,
		Time:      s.pki.Now,
		Signer:    s.pki.Signer.Cert.Raw,
		Chain:     [][]byte{s.pki.CA.Cert.Raw},
	}
}

func (s *signer) sources() pades.Sources {
	return pades.Sources{
		TimeStamp: func(_ context.Context, d signing.Digest) ([]byte, error) {
			r := cms.TimestampRequest{Hash: d.Hash, Imprint: d.Sum}
			return s.pki.TokenFor(r, s.pki.Now), nil
		},
		Collect: func(_ context.Context, _, _ []*x509.Certificate) (pades.Evidence, error) {
			certs, crls, ocsps := s.pki.Evidence()
			return pades.Evidence{Certs: certs, CRLs: crls, OCSPs: ocsps}, nil
		},
	}
}

// value makes the signature value over what was prepared.
func (s *signer) value(tb testing.TB, p *pades.Prepared) []byte {
	tb.Helper()
	attrs, err := cms.RestoreSignedAttributes(p.SignedAttributes, s.alg)
	if err != nil {
		tb.Fatal(err)
	}
	return s.pki.Sign(s.pki.Signer, attrs)
}

// sign signs a document and returns it whole.
func (s *signer) sign(tb testing.TB, doc []byte, level pades.Level, o pades.Options) ([]byte, *pades.Prepared) {
	tb.Helper()
	o.Level = level
	prepared, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), o)
	if err != nil {
		tb.Fatalf("prepare: %v", err)
	}
	patch, err := prepared.Finish(tb.Context(), bytes.NewReader(doc), s.value(tb, prepared), level, s.sources(),
		pades.AugmentOptions{Password: o.Password})
	if err != nil {
		tb.Fatalf("finish: %v", err)
	}
	return whole(tb, doc, patch), prepared
}

func whole(tb testing.TB, doc []byte, p *pades.Patch) []byte {
	tb.Helper()
	var out bytes.Buffer
	if _, err := p.WriteTo(&out, bytes.NewReader(doc)); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// corpus is a folder of real PDFs with its INDEX.tsv.
type corpusFile struct {
	name string
	sign string
	data []byte
}

func corpus(t *testing.T) []corpusFile {
	t.Helper()
	dir := os.Getenv("CORPUS")
	if dir == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CORPUS is not set: the real PDFs are not tested")
		}
		t.Skip("SKIPPED: set CORPUS to a folder of PDFs with INDEX.tsv to test real files")
	}
	index, err := os.ReadFile(filepath.Join(dir, "INDEX.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var out []corpusFile
	for _, line := range strings.Split(strings.TrimSpace(string(index)), "\n")[1:] {
		cols := strings.Split(line, "\t")
		data, err := os.ReadFile(filepath.Join(dir, cols[0]))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, corpusFile{cols[0], cols[6], data})
	}
	return out
}

type (
	cryptoHash     = crypto.Hash
	contextContext = context.Context
	certificate    = x509.Certificate
)
