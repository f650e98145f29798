package demo

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"
)

func TestTheDevelopmentCertificateIsForThisMachineOnly(t *testing.T) {
	dir := t.TempDir()
	f, err := loadTLS(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(f.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("no authority in ", f.CA)
	}
	for _, name := range []string{"localhost", "sign.localhost", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "example.com"}); err == nil {
		t.Error("holds for example.com")
	}
	before := pair.Leaf.SerialNumber
	if _, err := loadTLS(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	if pair, err = tls.LoadX509KeyPair(f.Cert, f.Key); err != nil || pair.Leaf.SerialNumber.Cmp(before) != 0 {
		t.Errorf("the second start made another certificate (%v)", err)
	}
	if _, err := loadTLS(dir, time.Now().Add(tlsLife)); err != nil {
		t.Fatal(err)
	}
	if pair, err = tls.LoadX509KeyPair(f.Cert, f.Key); err != nil || pair.Leaf.SerialNumber.Cmp(before) == 0 {
		t.Errorf("an expired certificate was kept (%v)", err)
	}
}
