package pki_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/store/storetest"
)

func needOpenSSL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is needed with CI=true")
		}
		t.Skip("NOT TESTED with OpenSSL: it is not installed")
	}
}

func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput()
	if err != nil {
		t.Errorf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func pemFile(t *testing.T, dir, name, kind string, ders ...[]byte) string {
	t.Helper()
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	return writeFile(t, dir, name, out)
}

func writeFile(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// opensslVerifies asks OpenSSL for its opinion on everything that the authority
// serves over HTTP: chain with revocation lists, OCSP answer, time-stamp.
func opensslVerifies(t *testing.T, f *fixture, s signer) {
	t.Helper()
	needOpenSSL(t)
	dir := t.TempDir()
	root := writeFile(t, dir, "root.pem", f.get("/anchors.pem"))
	ca := pemFile(t, dir, "ca.pem", "CERTIFICATE", f.get("/ca.crt"))
	crls := pemFile(t, dir, "crls.pem", "X509 CRL", f.get("/root.crl"), f.get("/ca.crl"))
	chain := func(name string, c *x509.Certificate, purpose ...string) {
		leaf := pemFile(t, dir, name, "CERTIFICATE", c.Raw)
		args := append([]string{"verify", "-x509_strict", "-crl_check_all", "-CAfile", root, "-untrusted", ca, "-CRLfile", crls}, purpose...)
		if out := openssl(t, append(args, leaf)...); !strings.Contains(out, ": OK") {
			t.Errorf("%s: %s", name, out)
		}
	}
	chain("signer.pem", s.cert)
	chain("tsa.pem", f.TSA(), "-purpose", "timestampsign")
	chain("ocsp.pem", f.OCSP(), "-purpose", "ocsphelper")

	signerPEM := filepath.Join(dir, "signer.pem")
	for _, hash := range []string{"-sha1", "-sha256"} {
		out := openssl(t, "ocsp", "-issuer", ca, hash, "-cert", signerPEM, "-url", f.url+"/ocsp", "-CAfile", root, "-verify_other", ca, "-nonce")
		if !strings.Contains(out, "Response verify OK") || !strings.Contains(out, signerPEM+": good") || strings.Contains(strings.ToLower(out), "nonce") {
			t.Errorf("openssl ocsp %s: %s", hash, out)
		}
	}

	data := writeFile(t, dir, "data", []byte("what is stamped"))
	for _, hash := range []string{"-sha256", "-sha384", "-sha512"} {
		for _, cert := range []bool{true, false} {
			q, r := filepath.Join(dir, "q.tsq"), filepath.Join(dir, "r.tsr")
			args := []string{"ts", "-query", "-data", data, hash, "-out", q}
			verify := []string{"ts", "-verify", "-queryfile", q, "-in", r, "-CAfile", root, "-untrusted", ca}
			if cert {
				args = append(args, "-cert")
			} else {
				verify[len(verify)-1] = pemFile(t, dir, "both.pem", "CERTIFICATE", f.TSA().Raw, f.Issuer().Raw)
			}
			openssl(t, args...)
			body, err := os.ReadFile(q)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, dir, "r.tsr", f.do("POST", "/tsa", "application/timestamp-query", reader(body), 200))
			if out := openssl(t, verify...); !strings.Contains(out, "Verification: OK") {
				t.Errorf("openssl ts %s: %s", hash, out)
			}
		}
	}
}

func TestOpenSSLAcceptsEverything(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	opensslVerifies(t, f, f.issue())
}

func TestOpenSSLSeesARevocation(t *testing.T) {
	needOpenSSL(t)
	f := newFixture(t, storetest.SQLite(t))
	s := f.issue()
	f.revoke(s.serial, "keyCompromise")
	dir := t.TempDir()
	root := writeFile(t, dir, "root.pem", f.get("/anchors.pem"))
	ca := pemFile(t, dir, "ca.pem", "CERTIFICATE", f.get("/ca.crt"))
	crls := pemFile(t, dir, "crls.pem", "X509 CRL", f.get("/root.crl"), f.get("/ca.crl"))
	leaf := pemFile(t, dir, "signer.pem", "CERTIFICATE", s.cert.Raw)
	out, err := exec.CommandContext(t.Context(), "openssl", "verify", "-crl_check_all", "-CAfile", root, "-untrusted", ca, "-CRLfile", crls, leaf).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "certificate revoked") {
		t.Errorf("openssl verify of a revoked certificate: %v %s", err, out)
	}
	if out := openssl(t, "ocsp", "-issuer", ca, "-cert", leaf, "-url", f.url+"/ocsp", "-CAfile", root); !strings.Contains(out, "revoked") ||
		!strings.Contains(out, "keyCompromise") {
		t.Errorf("openssl ocsp of a revoked certificate: %s", out)
	}
}
