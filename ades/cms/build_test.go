package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/digitorus/pkcs7"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

var content = []byte("the bytes a PDF's ByteRange covers")

func digest(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

// keyFor makes a key that signs with an algorithm.
func keyFor(t *testing.T, alg signing.Algorithm) crypto.Signer {
	t.Helper()
	switch alg.Family() {
	case signing.RSA:
		return adestest.NewKey(t, signing.RSA3072)
	case signing.EdDSA:
		return adestest.NewKey(t, signing.KeyEd25519)
	case signing.ECDSA:
	}
	return adestest.NewKey(t, signing.P256)
}

var allAlgorithms = []signing.Algorithm{
	signing.ECDSAWithSHA256, signing.ECDSAWithSHA384, signing.ECDSAWithSHA512,
	signing.RSAPKCS1WithSHA256, signing.RSAPKCS1WithSHA384, signing.RSAPKCS1WithSHA512,
	signing.RSAPSSWithSHA256, signing.RSAPSSWithSHA384, signing.RSAPSSWithSHA512, signing.Ed25519,
}

func TestEveryAlgorithmRoundTrips(t *testing.T) {
	rsaKey := adestest.NewKey(t, signing.RSA3072)
	for _, alg := range allAlgorithms {
		t.Run(alg.String(), func(t *testing.T) {
			key := rsaKey
			if alg.Family() != signing.RSA {
				key = keyFor(t, alg)
			}
			p := adestest.New(t, adestest.Config{SignerKey: key})
			sum := digest(alg.Hash(), content)
			der := p.SignedData(p.Signer, alg, sum, cms.AttributeOptions{})
			sd, err := cms.ParseSignedData(append(slices.Clone(der), make([]byte, 99)...))
			if err != nil {
				t.Fatal(err)
			}
			if len(sd.Findings) > 0 || len(sd.Signers) != 1 || len(sd.Signers[0].Findings) > 0 {
				t.Fatalf("findings %v %v, want none", sd.Findings, sd.Signers[0].Findings)
			}
			s := sd.Signers[0]
			cert := s.Certificate(sd.Certificates)
			if cert == nil || !cert.Equal(p.Signer.Cert) {
				t.Fatal("the signer's certificate is not found")
			}
			if err := s.VerifyContent(sum); err != nil {
				t.Error(err)
			}
			if err := s.Verify(cert, sum); err != nil {
				t.Error(err)
			}
			if err := s.VerifyContent(digest(alg.Hash(), []byte("other"))); !errors.Is(err, cms.ErrDigest) {
				t.Errorf("other content: %v, want ErrDigest", err)
			}
			other := adestest.New(t, adestest.Config{SignerKey: keyFor(t, alg)})
			if err := s.Verify(other.Signer.Cert, sum); !errors.Is(err, signing.ErrSignature) {
				t.Errorf("other key: %v, want ErrSignature", err)
			}
		})
	}
}

func TestSignedAttributesAreExactlyTheBaselineOnes(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	sum := sha256.Sum256(content)
	attrs, err := cms.BuildSignedAttributes(sum[:], p.Signer.Cert.Raw, signing.ECDSAWithSHA256, cms.AttributeOptions{
		Commitment: cms.CommitmentProofOfApproval,
		Policy:     &cms.SignaturePolicy{ID: "1.2.3.4", Hash: crypto.SHA256, Digest: sum[:], URI: "https://example.org/policy"},
	})
	if err != nil {
		t.Fatal(err)
	}
	der, err := cms.Assemble(cms.Parts{Attributes: attrs, Signature: p.Sign(p.Signer, attrs), Signer: p.Signer.Cert.Raw})
	if err != nil {
		t.Fatal(err)
	}
	sd, err := cms.ParseSignedData(der)
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(slices.Values(sd.Signers[0].Signed.OIDs))
	want := slices.Sorted(slices.Values([]string{
		cms.OIDAttrContentType, cms.OIDAttrMessageDigest, cms.OIDAttrSigningCertificateV2, cms.OIDAttrCommitmentType, cms.OIDAttrSignaturePolicy,
	}))
	if !slices.Equal(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
	if s := sd.Signers[0].Signed; s.Policy != "1.2.3.4" || !slices.Equal(s.Commitments, []string{cms.CommitmentProofOfApproval}) {
		t.Errorf("policy %q, commitments %v", s.Policy, s.Commitments)
	}
	if want := sha256.Sum256(attrs.DER); !bytes.Equal(attrs.DTBSR.Sum, want[:]) {
		t.Error("DTBS/R is not the digest of the attributes")
	}
	if bytes.Contains(attrs.DER, []byte{0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x04, 0x20, 0x30}) {
		t.Error("the ESS attribute names SHA-256, which is the default")
	}
	again, err := cms.RestoreSignedAttributes(attrs.DER, signing.ECDSAWithSHA256)
	if err != nil || !bytes.Equal(again.DTBSR.Sum, attrs.DTBSR.Sum) {
		t.Errorf("restored: %v", err)
	}
}

func TestESSAttributeOmitsTheDefaultDigest(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	sum := sha256.Sum256(content)
	attrs, err := cms.BuildSignedAttributes(sum[:], p.Signer.Cert.Raw, signing.ECDSAWithSHA256, cms.AttributeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	certHash := sha256.Sum256(p.Signer.Cert.Raw)
	at := bytes.Index(attrs.DER, certHash[:])
	if at < 0 {
		t.Fatal("the certificate's hash is not there")
	}
	in := cryptobyte.String(attrs.DER[at-2:])
	var h cryptobyte.String
	if !in.ReadASN1(&h, cbasn1.OCTET_STRING) {
		t.Fatal("no OCTET STRING")
	}
	if attrs.DER[at-4] != 0x30 && attrs.DER[at-5] != 0x30 {
		t.Error("something stands before the hash in ESSCertIDv2")
	}
}

func TestECDSASignatureFromATokenIsConverted(t *testing.T) {
	for _, kind := range []signing.KeyType{signing.P256, signing.P384, signing.P521} {
		p := adestest.New(t, adestest.Config{SignerKey: adestest.NewKey(t, kind)})
		alg := kind.Algorithms()[0]
		attrs, err := cms.BuildSignedAttributes(digest(alg.Hash(), content), p.Signer.Cert.Raw, alg, cms.AttributeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		key := p.Signer.Key.(*ecdsa.PrivateKey)
		der := p.Sign(p.Signer, attrs)
		var r, s big.Int
		in := cryptobyte.String(der)
		var body cryptobyte.String
		if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1Integer(&r) || !body.ReadASN1Integer(&s) {
			t.Fatal("not DER")
		}
		size := (key.Params().BitSize + 7) / 8
		raw := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		a, err := cms.Assemble(cms.Parts{Attributes: attrs, Signature: raw, Signer: p.Signer.Cert.Raw})
		if err != nil {
			t.Fatalf("%s r‖s: %v", kind, err)
		}
		b, err := cms.Assemble(cms.Parts{Attributes: attrs, Signature: der, Signer: p.Signer.Cert.Raw})
		if err != nil {
			t.Fatalf("%s DER: %v", kind, err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: r‖s and DER give different CMS", kind)
		}
	}
}

func TestWhatDoesNotFitIsNotAssembled(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	sum := sha256.Sum256(content)
	attrs, err := cms.BuildSignedAttributes(sum[:], p.Signer.Cert.Raw, signing.ECDSAWithSHA256, cms.AttributeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sig := p.Sign(p.Signer, attrs)
	other := p.NewSigner("Mallory", p.Signer.Key)
	flipped := slices.Clone(sig)
	flipped[len(flipped)-1] ^= 1
	for name, parts := range map[string]cms.Parts{
		"corrupted signature":           {Attributes: attrs, Signature: flipped, Signer: p.Signer.Cert.Raw},
		"short signature":               {Attributes: attrs, Signature: sig[:10], Signer: p.Signer.Cert.Raw},
		"no signature":                  {Attributes: attrs, Signer: p.Signer.Cert.Raw},
		"same key, other certificate":   {Attributes: attrs, Signature: sig, Signer: other.Cert.Raw},
		"certificate of another":        {Attributes: attrs, Signature: sig, Signer: p.CA.Cert.Raw},
		"no certificate":                {Attributes: attrs, Signature: sig},
		"no attributes":                 {Signature: sig, Signer: p.Signer.Cert.Raw},
		"content that was not signed":   {Attributes: attrs, Signature: sig, Signer: p.Signer.Cert.Raw, Content: []byte("x")},
		"attributes that are not a SET": {Attributes: &cms.SignedAttributes{DER: []byte{0x30, 0}, Algorithm: signing.ECDSAWithSHA256}, Signature: sig, Signer: p.Signer.Cert.Raw},
	} {
		if _, err := cms.Assemble(parts); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	if _, err := cms.BuildSignedAttributes(sum[:], p.Signer.Cert.Raw, signing.RSAPSSWithSHA256, cms.AttributeOptions{}); !errors.Is(err, fault.Invalid) {
		t.Errorf("RSA with an EC certificate: %v", err)
	}
	if _, err := cms.BuildSignedAttributes(sum[:20], p.Signer.Cert.Raw, signing.ECDSAWithSHA256, cms.AttributeOptions{}); !errors.Is(err, fault.Invalid) {
		t.Errorf("short digest: %v", err)
	}
	if _, err := cms.BuildSignedAttributes(sum[:], p.Signer.Cert.Raw, signing.ECDSAWithSHA256, cms.AttributeOptions{Commitment: "no oid"}); !errors.Is(err, fault.Invalid) {
		t.Errorf("malformed commitment: %v", err)
	}
}

func TestTheFinishedSignatureNeverExceedsTheEstimate(t *testing.T) {
	rsaKey := adestest.NewKey(t, signing.RSA3072)
	for _, alg := range allAlgorithms {
		key := rsaKey
		if alg.Family() != signing.RSA {
			key = keyFor(t, alg)
		}
		p := adestest.New(t, adestest.Config{SignerKey: key})
		attrs, err := cms.BuildSignedAttributes(digest(alg.Hash(), content), p.Signer.Cert.Raw, alg, cms.AttributeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		chain := [][]byte{p.CA.Cert.Raw, p.Root.Cert.Raw}
		parts := cms.Parts{Attributes: attrs, Signature: p.Sign(p.Signer, attrs), Signer: p.Signer.Cert.Raw, Chain: chain}
		der, err := cms.Assemble(parts)
		if err != nil {
			t.Fatal(err)
		}
		token := p.Token(mustValue(t, der), p.Now)
		stamped, err := cms.AddSignatureTimestamp(der, token)
		if err != nil {
			t.Fatal(err)
		}
		sizing := cms.Sizing{Attributes: attrs, Signer: p.Signer.Cert.Raw, Chain: chain}
		without, err := cms.Estimate(sizing)
		if err != nil {
			t.Fatal(err)
		}
		sizing.Timestamp = len(token)
		with, err := cms.Estimate(sizing)
		if err != nil {
			t.Fatal(err)
		}
		if len(der) > without || without-len(der) > 100 {
			t.Errorf("%s: %d bytes, estimate %d", alg, len(der), without)
		}
		if len(stamped) > with || with-len(stamped) > 200 {
			t.Errorf("%s with a token: %d bytes, estimate %d", alg, len(stamped), with)
		}
	}
}

func mustValue(t *testing.T, der []byte) []byte {
	t.Helper()
	v, err := cms.SignatureValue(der)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestATimeStampLeavesEverythingElseAsItWas(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	sum := sha256.Sum256(content)
	der := p.SignedData(p.Signer, signing.ECDSAWithSHA256, sum[:], cms.AttributeOptions{})
	token := p.Token(mustValue(t, der), p.Now)
	once, err := cms.AddSignatureTimestamp(der, token)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := cms.AddSignatureTimestamp(once, p.Token(mustValue(t, once), p.Now))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := cms.ParseSignedData(der)
	for n, b := range map[int][]byte{1: once, 2: twice} {
		after, err := cms.ParseSignedData(b)
		if err != nil {
			t.Fatal(err)
		}
		s := after.Signers[0]
		if len(s.Timestamps) != n || len(after.Findings)+len(s.Findings) > 0 {
			t.Errorf("%d tokens, findings %v %v; want %d, none", len(s.Timestamps), after.Findings, s.Findings, n)
		}
		if !bytes.Equal(s.Signed.Received, before.Signers[0].Signed.Received) || !bytes.Equal(s.Signature, before.Signers[0].Signature) {
			t.Error("signed attributes or signature changed")
		}
		if err := s.Verify(p.Signer.Cert, sum[:]); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Contains(once, token) {
		t.Error("the token is not embedded byte for byte")
	}
	if _, err := cms.AddSignatureTimestamp(der, p.Token(sum[:], p.Now)); !errors.Is(err, fault.Invalid) {
		t.Errorf("token over the document digest: %v, want a refusal", err)
	}
	if _, err := cms.AddSignatureTimestamp(der, []byte("no token")); !errors.Is(err, fault.Invalid) {
		t.Errorf("no token: %v, want a refusal", err)
	}
}

func TestAnotherLibraryReadsWhatWeBuild(t *testing.T) {
	rsaKey := adestest.NewKey(t, signing.RSA3072)
	for _, alg := range []signing.Algorithm{signing.ECDSAWithSHA256, signing.ECDSAWithSHA384, signing.RSAPKCS1WithSHA256, signing.RSAPKCS1WithSHA512} {
		key := rsaKey
		if alg.Family() != signing.RSA {
			key = keyFor(t, alg)
		}
		p := adestest.New(t, adestest.Config{SignerKey: key})
		der := p.SignedData(p.Signer, alg, digest(alg.Hash(), content), cms.AttributeOptions{})
		p7, err := pkcs7.Parse(der)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		p7.Content = content
		pool := x509.NewCertPool()
		pool.AddCert(p.Root.Cert)
		if err := p7.VerifyWithChain(pool); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		p7.Content = []byte("other")
		if err := p7.Verify(); err == nil {
			t.Errorf("%s: other content passes", alg)
		}
	}
}

func openssl(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("SKIPPED: openssl is not installed; what it thinks of our CMS is not checked")
	}
	return path
}

func TestOpenSSLAcceptsOurCMSAsCAdES(t *testing.T) {
	tool := openssl(t)
	rsaKey := adestest.NewKey(t, signing.RSA3072)
	for _, alg := range allAlgorithms {
		if alg == signing.Ed25519 {
			continue // openssl cms learnt EdDSA in 3.2
		}
		key := rsaKey
		if alg.Family() != signing.RSA {
			key = keyFor(t, alg)
		}
		p := adestest.New(t, adestest.Config{SignerKey: key})
		dir := t.TempDir()
		der := p.SignedData(p.Signer, alg, digest(alg.Hash(), content), cms.AttributeOptions{Commitment: cms.CommitmentProofOfOrigin})
		stamped, err := cms.AddSignatureTimestamp(der, p.Token(mustValue(t, der), p.Now))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "cms", stamped)
		write(t, dir, "data", content)
		write(t, dir, "root.pem", p.RootPEM())
		run := func(data string) (string, error) {
			out, err := exec.CommandContext(t.Context(), tool, "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", filepath.Join(dir, "cms"),
				"-content", filepath.Join(dir, data), "-CAfile", filepath.Join(dir, "root.pem"), "-purpose", "any", "-out", os.DevNull).CombinedOutput()
			return string(out), err
		}
		if out, err := run("data"); err != nil {
			t.Errorf("%s: %s", alg, out)
		}
		write(t, dir, "other", []byte("other"))
		if out, err := run("other"); err == nil {
			t.Errorf("%s: other content passes: %s", alg, out)
		}
	}
}

func TestOpenSSLAcceptsOurTimeStamps(t *testing.T) {
	tool := openssl(t)
	for _, kind := range []signing.KeyType{signing.P256, signing.RSA3072} {
		p := adestest.New(t, adestest.Config{KeyType: kind})
		dir := t.TempDir()
		write(t, dir, "token", p.Token(content, p.Now))
		write(t, dir, "data", content)
		write(t, dir, "root.pem", p.RootPEM())
		out, err := exec.CommandContext(t.Context(), tool, "ts", "-verify", "-token_in", "-in", filepath.Join(dir, "token"),
			"-data", filepath.Join(dir, "data"), "-CAfile", filepath.Join(dir, "root.pem")).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Verification: OK") {
			t.Errorf("%s: %s", kind, out)
		}
	}
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}
