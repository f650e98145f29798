package cms_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// codes are all findings of a SignedData.
func codes(sd *cms.SignedData) []cms.Code {
	list := slices.Clone(sd.Findings)
	for _, s := range sd.Signers {
		list = append(list, s.Findings...)
	}
	var out []cms.Code
	for _, f := range list {
		out = append(out, f.Code)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestFaultsBecomeFindings(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	for name, row := range map[string]struct {
		forge adestest.Forgery
		want  []cms.Code
	}{
		"good":                 {adestest.Forgery{}, nil},
		"BER":                  {adestest.Forgery{BER: true}, []cms.Code{cms.NotDER}},
		"two signers":          {adestest.Forgery{TwoSigners: true}, []cms.Code{cms.NotOneSigner}},
		"no signer":            {adestest.Forgery{NoSigner: true}, []cms.Code{cms.NotOneSigner}},
		"no attributes":        {adestest.Forgery{NoAttributes: true}, []cms.Code{cms.NoSignedAttributes}},
		"unsorted":             {adestest.Forgery{Unsorted: true}, []cms.Code{cms.AttributesUnsorted}},
		"content-type missing": {adestest.Forgery{NoContentType: true}, []cms.Code{cms.NoContentType}},
		"content-type wrong":   {adestest.Forgery{WrongContentType: true}, []cms.Code{cms.BadContentType}},
		"digest missing":       {adestest.Forgery{NoMessageDigest: true}, []cms.Code{cms.NoMessageDigest}},
		"no ESS":               {adestest.Forgery{NoESS: true}, []cms.Code{cms.NoSigningCertificate}},
		"signing-time":         {adestest.Forgery{SigningTime: p.Now}, []cms.Code{cms.SigningTimePresent}},
		"no certificate":       {adestest.Forgery{NoCertificate: true}, []cms.Code{cms.SignerCertificateMissing}},
	} {
		row.forge.Content = content
		sd, err := cms.ParseSignedData(p.Forge(row.forge))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := codes(sd); !slices.Equal(got, row.want) {
			t.Errorf("%s: findings %q, want %q", name, got, row.want)
		}
	}
	sd, err := cms.ParseSignedData(append(p.Forge(adestest.Forgery{Content: content}), 0, 0, 7))
	if err != nil || !slices.Equal(codes(sd), []cms.Code{cms.TrailingBytes}) {
		t.Errorf("trailing bytes: %v %v", err, sd)
	}
}

func TestVerificationTellsWhatIsWrong(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	sum := sha256.Sum256(content)
	for name, row := range map[string]struct {
		forge adestest.Forgery
		want  error
	}{
		"good":                   {adestest.Forgery{}, nil},
		"BER":                    {adestest.Forgery{BER: true}, nil},
		"stored unsorted":        {adestest.Forgery{UnsortedStored: true}, nil},
		"signed unsorted":        {adestest.Forgery{Unsorted: true}, cms.ErrUnsortedAttributes},
		"no attributes":          {adestest.Forgery{NoAttributes: true}, nil},
		"bad signature":          {adestest.Forgery{BadSignature: true}, signing.ErrSignature},
		"bad, without attribute": {adestest.Forgery{BadSignature: true, NoAttributes: true}, signing.ErrSignature},
	} {
		row.forge.Content = content
		sd, err := cms.ParseSignedData(p.Forge(row.forge))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := sd.Signers[0]
		if err := s.VerifyContent(sum[:]); err != nil {
			t.Errorf("%s: content: %v", name, err)
		}
		if err := s.Verify(p.Signer.Cert, sum[:]); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
}

func TestCertificateReferenceFitsOneCertificateOnly(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	other := p.NewSigner("Alice Sample", p.Signer.Key)
	sum := sha256.Sum256(content)
	sd, err := cms.ParseSignedData(p.SignedData(p.Signer, signing.ECDSAWithSHA256, sum[:], cms.AttributeOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	id := sd.Signers[0].Signed.CertIDs[0]
	if !id.Matches(p.Signer.Cert) || id.Matches(other.Cert) || id.Matches(p.CA.Cert) {
		t.Error("the reference fits the wrong certificate")
	}
	id.Serial = new(big.Int).Add(id.Serial, big.NewInt(1))
	if id.Matches(p.Signer.Cert) {
		t.Error("the serial number is not compared")
	}
}

func TestMalformedBytesAreRefusedWithAType(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	good := p.Forge(adestest.Forgery{Content: content})
	deep := bytes.Repeat([]byte{0x30, 0x80}, 100_000)
	for name, b := range map[string][]byte{
		"empty": nil, "one byte": {0x30}, "text": []byte("hello"), "truncated": good[:len(good)/2], "zeros": make([]byte, 100),
		"nested without end": deep, "indefinite primitive": {0x04, 0x80, 0, 0}, "a huge length": {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
	} {
		if _, err := cms.ParseSignedData(b); !errors.Is(err, cms.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
		if _, err := cms.ParseTimestampToken(b); !errors.Is(err, cms.ErrMalformed) {
			t.Errorf("%s as token: %v, want ErrMalformed", name, err)
		}
		if _, err := cms.ParseOCSP(b); !errors.Is(err, cms.ErrMalformed) {
			t.Errorf("%s as OCSP: %v, want ErrMalformed", name, err)
		}
		if _, err := cms.ParseCRL(b); !errors.Is(err, cms.ErrMalformed) {
			t.Errorf("%s as CRL: %v, want ErrMalformed", name, err)
		}
	}
}

func TestATimeStampAnswersItsRequest(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	sum := sha256.Sum256(content)
	req, err := cms.NewTimestampRequest(signing.Digest{Hash: crypto.SHA256, Sum: sum[:]})
	if err != nil {
		t.Fatal(err)
	}
	der, err := req.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, certReq, err := cms.ParseTimestampRequest(der)
	if err != nil || !certReq || back.Nonce.Cmp(req.Nonce) != 0 || !bytes.Equal(back.Imprint, sum[:]) || back.Hash != crypto.SHA256 {
		t.Fatalf("request read back: %+v %v %v", back, certReq, err)
	}
	answer := func(r cms.TimestampRequest) []byte {
		out, err := cms.EncodeTimestampResponse(p.TokenFor(r, p.Now))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	token, err := req.Accept(answer(back))
	if err != nil {
		t.Fatal(err)
	}
	if !token.Info.Time.Equal(p.Now) || token.Info.Accuracy != time.Second || token.VerifyImprint(content) != nil {
		t.Errorf("token %+v", token.Info)
	}
	wrongNonce, noNonce, otherBytes := back, back, back
	wrongNonce.Nonce = big.NewInt(7)
	noNonce.Nonce = nil
	otherBytes.Imprint = digest(crypto.SHA256, []byte("other"))
	for name, r := range map[string]cms.TimestampRequest{"wrong nonce": wrongNonce, "no nonce": noNonce, "other bytes": otherBytes} {
		if _, err := req.Accept(answer(r)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	asked := req
	asked.Policy = "1.2.3"
	if _, err := asked.Accept(answer(back)); err == nil {
		t.Error("another policy is accepted")
	}
	refusal, err := cms.EncodeTimestampRefusal(2, "request denied")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := cms.ParseTimestampResponse(refusal)
	if err != nil || resp.Granted() || !slices.Equal(resp.Failure, []int{2}) || !slices.Equal(resp.Text, []string{"request denied"}) {
		t.Errorf("refusal %+v %v", resp, err)
	}
	if _, err := req.Accept(refusal); !errors.Is(err, fault.Unavailable) {
		t.Errorf("refusal: %v", err)
	}
	if _, err := req.Accept([]byte("<html>")); err == nil {
		t.Error("HTML is accepted")
	}
}

func TestWhoMayMakeTimeStamps(t *testing.T) {
	for name, row := range map[string]struct {
		adjust func(*x509.Certificate)
		want   error
	}{
		"good":         {func(*x509.Certificate) {}, nil},
		"not critical": {func(c *x509.Certificate) { c.ExtraExtensions[0] = adestest.TimeStampingUsage(false) }, cms.ErrTSACertificate},
		"no usage":     {func(c *x509.Certificate) { c.ExtraExtensions = nil }, cms.ErrTSACertificate},
		"another usage": {func(c *x509.Certificate) {
			c.ExtraExtensions = nil
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageClientAuth}
		}, cms.ErrTSACertificate},
	} {
		p := adestest.New(t, adestest.Config{Adjust: func(role string, c *x509.Certificate) {
			if role == "tsa" {
				row.adjust(c)
			}
		}})
		token, err := cms.ParseTimestampToken(p.Token(content, p.Now))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.Verify(nil); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
}

func TestATokenWithAChangedTimeDoesNotVerify(t *testing.T) {
	p := adestest.New(t, adestest.Config{Now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)})
	raw := bytes.Replace(p.Token(content, p.Now), []byte("20261121120000Z"), []byte("20201121120000Z"), 1)
	token, err := cms.ParseTimestampToken(raw)
	if err != nil {
		t.Fatal(err)
	}
	if token.Info.Time.Year() != 2020 {
		t.Fatal("the time was not changed")
	}
	if _, err := token.Verify(nil); !errors.Is(err, cms.ErrDigest) {
		t.Errorf("%v, want ErrDigest", err)
	}
}

func TestOCSPAnswersAreReadAndTheirSignerChecked(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	revoked := p.Now.Add(-time.Hour)
	for name, row := range map[string]struct {
		answer  adestest.Answer
		status  cms.CertStatus
		allowed bool
	}{
		"good":                   {adestest.Answer{Cert: p.Signer.Cert}, cms.StatusGood, true},
		"by name":                {adestest.Answer{Cert: p.Signer.Cert, ByName: true}, cms.StatusGood, true},
		"by the CA":              {adestest.Answer{Cert: p.Signer.Cert, Responder: p.CA}, cms.StatusGood, true},
		"revoked":                {adestest.Answer{Cert: p.Signer.Cert, RevokedAt: revoked}, cms.StatusRevoked, true},
		"by the signer":          {adestest.Answer{Cert: p.Signer.Cert, Responder: p.Signer}, cms.StatusGood, false},
		"by the TSA":             {adestest.Answer{Cert: p.Signer.Cert, Responder: p.TSA}, cms.StatusGood, false},
		"without its responder":  {adestest.Answer{Cert: p.Signer.Cert, NoCertificate: true}, cms.StatusGood, false},
		"by another CA's server": {adestest.Answer{Cert: p.Signer.Cert, Responder: adestest.New(t, adestest.Config{}).OCSP}, cms.StatusGood, false},
	} {
		der := p.OCSPResponse(row.answer)
		r, err := cms.ParseOCSP(der)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		a := r.For(p.Signer.Cert, p.CA.Cert)
		if a == nil || a.Status != row.status || (a.Status == cms.StatusRevoked && !a.RevokedAt.Equal(revoked)) {
			t.Errorf("%s: answer %+v", name, a)
		}
		if r.For(p.TSA.Cert, p.CA.Cert) != nil || r.For(p.Signer.Cert, p.Root.Cert) != nil {
			t.Errorf("%s: it answers for others too", name)
		}
		if _, _, err := r.Verify(p.CA.Cert, nil); (err == nil) != row.allowed {
			t.Errorf("%s: %v, allowed %v", name, err, row.allowed)
		}
		basic, err := cms.ParseOCSP(r.Basic)
		if err != nil || !bytes.Equal(basic.Raw, der) {
			t.Errorf("%s: a bare basic response is not wrapped again: %v", name, err)
		}
		der[len(der)/2] ^= 1
		if r, err := cms.ParseOCSP(der); err == nil {
			if _, _, err := r.Verify(p.CA.Cert, nil); err == nil && row.allowed {
				t.Errorf("%s: verifies after a bit was flipped", name)
			}
		}
	}
	without, err := cms.ParseOCSP(p.OCSPResponse(adestest.Answer{Cert: p.Signer.Cert, NoCertificate: true}))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := without.Verify(p.CA.Cert, []*x509.Certificate{p.OCSP.Cert}); err != nil {
		t.Errorf("responder's certificate given from elsewhere: %v", err)
	}
	if _, err := cms.ParseOCSP([]byte{0x30, 3, 0x0a, 1, 6}); !errors.Is(err, cms.ErrOCSPStatus) {
		t.Errorf("unauthorized: %v, want ErrOCSPStatus", err)
	}
}

func TestCRLsSpeakOnlyOfWhatTheyCover(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	revoked := p.Now.Add(-time.Hour)
	c, err := cms.ParseCRL(p.CRL(p.CA, revoked, p.Signer.Cert))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(p.CA.Cert); err != nil {
		t.Error(err)
	}
	if _, err := c.Verify(p.Root.Cert); !errors.Is(err, cms.ErrCRLScope) {
		t.Errorf("another CA: %v", err)
	}
	twin := adestest.New(t, adestest.Config{})
	if _, err := c.Verify(twin.CA.Cert); !errors.Is(err, signing.ErrSignature) {
		t.Errorf("a CA of the same name: %v", err)
	}
	if a, err := c.For(p.Signer.Cert); err != nil || a.Status != cms.StatusRevoked || !a.RevokedAt.Equal(revoked) || a.Reason != 1 {
		t.Errorf("signer %+v %v", a, err)
	}
	if a, err := c.For(p.TSA.Cert); err != nil || a.Status != cms.StatusGood {
		t.Errorf("TSA %+v %v", a, err)
	}
	if _, err := c.For(p.CA.Cert); !errors.Is(err, cms.ErrCRLScope) {
		t.Errorf("the CA itself: %v", err)
	}
}

func TestKeysMarkedForPSSAreRead(t *testing.T) {
	p := adestest.New(t, adestest.Config{SignerKey: adestest.NewKey(t, signing.RSA3072)})
	// The same key under id-RSASSA-PSS: rsaEncryption NULL becomes it, of the same length.
	spki := p.Signer.Cert.RawSubjectPublicKeyInfo
	plain := []byte{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00}
	if !bytes.Contains(spki, plain) {
		t.Fatal("unexpected key encoding")
	}
	marked := slices.Clone(plain)
	marked[12] = 0x0a
	cert, err := x509.ParseCertificate(bytes.Replace(p.Signer.Cert.Raw, plain, marked, 1))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := cms.PublicKey(cert)
	if err != nil {
		t.Fatal(err)
	}
	if want := p.Signer.Key.Public(); !want.(interface{ Equal(crypto.PublicKey) bool }).Equal(pub) {
		t.Error("another key")
	}
}

func TestPartialCRLsAreNotTakenForWholeOnes(t *testing.T) {
	p := adestest.New(t, adestest.Config{})
	idp := func(content ...byte) pkix.Extension {
		return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: append([]byte{0x30, byte(len(content))}, content...)}
	}
	for name, row := range map[string]struct {
		ext        pkix.Extension
		signer, ca bool // may it speak about them
	}{
		"with a distribution point": {idp(0xa0, 0), true, true},
		"only user certificates":    {idp(0x81, 1, 0xff), true, false},
		"only CA certificates":      {idp(0x82, 1, 0xff), false, true},
		"only some reasons":         {idp(0x83, 2, 0, 0x80), false, false},
		"indirect":                  {idp(0x84, 1, 0xff), false, false},
		"only attributes":           {idp(0x85, 1, 0xff), false, false},
		"delta":                     {pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}, false, false},
		"unknown critical":          {pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}, false, false},
	} {
		list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: p.Now, NextUpdate: p.Now.Add(time.Hour), ExtraExtensions: []pkix.Extension{row.ext}}
		der, err := x509.CreateRevocationList(rand.Reader, list, p.CA.Cert, p.CA.Key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cms.ParseCRL(der)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sub := *p.Signer.Cert
		sub.IsCA = true // as if the CA had issued another CA
		for who, want := range map[*x509.Certificate]bool{p.Signer.Cert: row.signer, &sub: row.ca} {
			if _, err := c.For(who); (err == nil) != want {
				t.Errorf("%s: CA %v: %v, want an answer: %v", name, who.IsCA, err, want)
			}
		}
	}
}

func TestOpenSSLAnswersOurOCSPRequestAndItsAnswerIsRead(t *testing.T) {
	tool := openssl(t)
	p := adestest.New(t, adestest.Config{})
	dir := t.TempDir()
	req, err := cms.EncodeOCSPRequest(p.Signer.Cert, p.CA.Cert, []byte("12345678"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "req", req)
	key, err := x509.MarshalPKCS8PrivateKey(p.OCSP.Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: p.CA.Cert.Raw}, "ocsp.pem": {Type: "CERTIFICATE", Bytes: p.OCSP.Cert.Raw}, "ocsp.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		write(t, dir, name, pem.EncodeToMemory(block))
	}
	index := fmt.Sprintf("R\t%s\t%s\t%s\tunknown\t/CN=Alice\n", p.Signer.Cert.NotAfter.Format("060102150405Z"), p.Now.Format("060102150405Z"), strings.ToUpper(p.Signer.Cert.SerialNumber.Text(16)))
	if len(p.Signer.Cert.SerialNumber.Text(16))%2 == 1 {
		index = strings.Replace(index, "\t"+strings.ToUpper(p.Signer.Cert.SerialNumber.Text(16)), "\t0"+strings.ToUpper(p.Signer.Cert.SerialNumber.Text(16)), 1)
	}
	write(t, dir, "index", []byte(index))
	cmd := exec.CommandContext(t.Context(), tool, "ocsp", "-index", "index", "-CA", "ca.pem", "-rsigner", "ocsp.pem", "-rkey", "ocsp.key", "-reqin", "req", "-respout", "resp", "-ndays", "1")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	der, err := os.ReadFile(filepath.Join(dir, "resp"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := cms.ParseOCSP(der)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Verify(p.CA.Cert, nil); err != nil {
		t.Error(err)
	}
	if a := r.For(p.Signer.Cert, p.CA.Cert); a == nil || a.Status != cms.StatusRevoked || !a.RevokedAt.Equal(p.Now) {
		t.Errorf("answer %+v", a)
	}
	if !bytes.Contains(r.Nonce, []byte("12345678")) {
		t.Errorf("nonce %x", r.Nonce)
	}
}

func TestOpenSSLAcceptsOurTimeStampRequest(t *testing.T) {
	tool := openssl(t)
	sum := sha256.Sum256(content)
	req, err := cms.NewTimestampRequest(signing.Digest{Hash: crypto.SHA256, Sum: sum[:]})
	if err != nil {
		t.Fatal(err)
	}
	req.Policy = "1.2.3.4"
	der, err := req.Encode()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "tsq", der)
	out, err := exec.CommandContext(t.Context(), tool, "ts", "-query", "-in", filepath.Join(dir, "tsq"), "-text").CombinedOutput()
	for _, want := range []string{"Hash Algorithm: sha256", "Policy OID: 1.2.3.4", "Certificate required: yes", "Nonce: 0x"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %q is missing in\n%s", err, want, out)
		}
	}
}
