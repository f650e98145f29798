package cms_test

import (
	"crypto/sha256"
	"crypto/x509"
	"testing"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/signing"
)

func FuzzSignedData(f *testing.F) {
	p := adestest.New(f, adestest.Config{})
	for _, s := range []adestest.Forgery{{}, {BER: true}, {Unsorted: true}, {TwoSigners: true}, {NoAttributes: true}, {Encapsulate: true}, {
		Timestamp: func(sig []byte) []byte { return p.Token(sig, p.Now) },
	}} {
		s.Content = content
		f.Add(p.Forge(s))
	}
	sum := sha256.Sum256(content)
	f.Fuzz(func(t *testing.T, b []byte) {
		sd, err := cms.ParseSignedData(b)
		if err != nil {
			return
		}
		for _, s := range sd.Signers {
			_ = s.VerifyContent(sum[:])
			if c := s.Certificate(append(sd.Certificates, p.Signer.Cert)); c != nil {
				_ = s.Verify(c, sum[:])
			}
		}
		again, err := cms.ParseSignedData(sd.Raw)
		if err != nil {
			t.Fatalf("what was read is not read again: %v", err)
		}
		if len(again.Signers) != len(sd.Signers) || len(again.Certificates) != len(sd.Certificates) {
			t.Fatal("what was read is read differently again")
		}
	})
}

func FuzzTimeStampToken(f *testing.F) {
	p := adestest.New(f, adestest.Config{})
	token := p.Token(content, p.Now)
	f.Add(token)
	if resp, err := cms.EncodeTimestampResponse(token); err == nil {
		f.Add(resp)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		if t, err := cms.ParseTimestampToken(b); err == nil {
			_ = t.VerifyImprint(content)
			_, _ = t.Verify(nil)
		}
		_, _ = cms.ParseTimestampResponse(b)
		_, _, _ = cms.ParseTimestampRequest(b)
	})
}

func FuzzOCSP(f *testing.F) {
	p := adestest.New(f, adestest.Config{})
	f.Add(p.OCSPResponse(adestest.Answer{Cert: p.Signer.Cert}))
	f.Add(p.OCSPResponse(adestest.Answer{Cert: p.Signer.Cert, RevokedAt: p.Now, ByName: true}))
	f.Add(p.CRL(p.CA, p.Now, p.Signer.Cert))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if r, err := cms.ParseOCSP(b); err == nil {
			_ = r.For(p.Signer.Cert, p.CA.Cert)
			_, _, _ = r.Verify(p.CA.Cert, nil)
		}
		if c, err := cms.ParseCRL(b); err == nil {
			_, _ = c.For(p.Signer.Cert)
			_, _ = c.Verify(p.CA.Cert)
		}
	})
}

// FuzzSignerCertificate holds the small reading of a signer's certificate against the
// whole one: where both read it, the attributes name that certificate.
func FuzzSignerCertificate(f *testing.F) {
	for _, k := range []signing.KeyType{signing.P256, signing.P384, signing.RSA3072, signing.KeyEd25519} {
		f.Add(adestest.New(f, adestest.Config{KeyType: k}).Signer.Cert.Raw)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, alg := range []signing.Algorithm{signing.ECDSAWithSHA256, signing.RSAPSSWithSHA256, signing.Ed25519} {
			digest := make([]byte, alg.Hash().Size())
			attrs, err := cms.BuildSignedAttributes(digest, der, alg, cms.AttributeOptions{})
			if err != nil {
				continue
			}
			if n, err := cms.Estimate(cms.Sizing{Attributes: attrs, Signer: der}); err != nil || n < len(der) {
				t.Fatalf("estimate %d, %v", n, err)
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				continue
			}
			made, err := cms.AssembleVerified(cms.Parts{Attributes: attrs, Signature: make([]byte, 64), Signer: der})
			if err != nil {
				continue
			}
			sd, err := cms.ParseSignedData(made)
			if err != nil {
				t.Fatal(err)
			}
			if s := sd.Signers[0]; s.Certificate(sd.Certificates) == nil || !s.Signed.CertIDs[0].Matches(cert) {
				t.Fatal("the attributes name another certificate")
			}
		}
	})
}
