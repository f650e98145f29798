package signer_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

// elsewhere prepares a document as somebody does who talks to no service.
func elsewhere(t *testing.T, c *signer.Credential, doc []byte) (*pades.Prepared, signer.Digests) {
	t.Helper()
	var chain [][]byte
	for _, cert := range c.Chain[1:] {
		chain = append(chain, cert.Raw)
	}
	p, err := pades.Prepare(bytes.NewReader(doc), int64(len(doc)), pades.Options{
		Algorithm: c.Algorithm, Time: time.Now(), Signer: c.Leaf().Raw, Chain: chain, Name: c.Leaf().Subject.CommonName,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, signer.Digests{Label: "a.pdf", Size: int64(len(doc)), DTBSR: p.DTBSR, SignedAttributes: p.SignedAttributes, Document: p.Digest}
}

func TestDocumentPreparedElsewhereIsSigned(t *testing.T) {
	for _, k := range []signing.KeyType{signing.P256, signing.RSA3072} {
		t.Run(string(k), func(t *testing.T) {
			b := newBench(t, k)
			s, err := signer.New(b.config)
			if err != nil {
				t.Fatal(err)
			}
			list, err := s.Credentials(t.Context())
			if err != nil || len(list) != 1 {
				t.Fatalf("%d credentials, %v", len(list), err)
			}
			c, err := s.Credential(t.Context(), list[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			doc := pdf("prepared elsewhere", 1000)
			p, digests := elsewhere(t, c, doc)
			a, err := s.Begin(t.Context(), c, []signer.Digests{digests})
			if err != nil {
				t.Fatal(err)
			}
			final, err := b.service.Approve(t.Context(), a.URL)
			if err != nil {
				t.Fatal(err)
			}
			values, err := s.Complete(t.Context(), c, a, final, []signer.Digests{digests})
			if err != nil {
				t.Fatal(err)
			}
			sameWithoutCryptography(t, p, doc, values[0])
			patch, err := p.Finish(t.Context(), bytes.NewReader(doc), values[0], pades.LTA, pades.Sources{
				TimeStamp: func(ctx context.Context, d signing.Digest) ([]byte, error) {
					q, err := cms.NewTimestampRequest(d)
					if err != nil {
						return nil, err
					}
					return s.Token(ctx, q.Imprint, signing.HashOID(q.Hash), fmt.Sprintf("%x", q.Nonce))
				},
				Collect: s.Evidence,
			}, pades.AugmentOptions{})
			if err != nil {
				t.Fatal(err)
			}
			whole := append(bytes.Clone(doc), patch.Bytes...)
			report, err := validate.File(bytes.NewReader(whole), int64(len(whole)), validate.Options{Anchors: b.service.PKI.Anchors()})
			if err != nil {
				t.Fatal(err)
			}
			if x := report.Signatures[0]; x.Verdict != validate.Passed || x.Level != "PAdES-B-LTA" {
				t.Errorf("%s %s %v", x.Verdict, x.Level, x.Errors)
			}
		})
	}
}

// sameWithoutCryptography checks that a caller who verifies the signature itself gets
// the same bytes.
func sameWithoutCryptography(t *testing.T, p *pades.Prepared, doc, value []byte) {
	t.Helper()
	want, err := p.Finish(t.Context(), bytes.NewReader(doc), value, pades.B, pades.Sources{}, pades.AugmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.EmbedVerified(value)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes, want.Bytes) {
		t.Error("EmbedVerified and Finish make different bytes")
	}
}

func TestEvidenceIsGatheredForOurOwnCertificatesOnly(t *testing.T) {
	b := newBench(t, signing.P256)
	s, err := signer.New(b.config)
	if err != nil {
		t.Fatal(err)
	}
	foreign := adestest.New(t, adestest.Config{})
	_, err = s.Evidence(t.Context(), []*x509.Certificate{foreign.Signer.Cert}, []*x509.Certificate{foreign.CA.Cert, foreign.Root.Cert})
	if f := fault.Of(err); !errors.Is(err, fault.Invalid) || f.Code != signer.CodeEvidence {
		t.Errorf("a certificate of somebody else: %v", err)
	}
	if _, err := s.Evidence(t.Context(), nil, make([]*x509.Certificate, 100)); !errors.Is(err, fault.TooMany) {
		t.Errorf("100 certificates: %v", err)
	}
	c, err := s.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e, err := s.Evidence(t.Context(), c[0].Chain[:1], c[0].Chain[1:]); err != nil || len(e.OCSPs)+len(e.CRLs) == 0 {
		t.Errorf("our own: %d answers, %v", len(e.OCSPs)+len(e.CRLs), err)
	}
	if _, err := s.Begin(t.Context(), c[0], nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("nothing to sign: %v", err)
	}
}
