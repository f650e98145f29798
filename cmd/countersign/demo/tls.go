package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// tlsFiles are what an issuer with https needs.
type tlsFiles struct {
	CA, Cert, Key string
}

// tlsLife is how long the development certificates hold; they are made anew
// when less than a day is left.
const tlsLife = 90 * 24 * time.Hour

// loadTLS returns the development certificate of localhost, made when there is
// none that still holds. The authority's key is thrown away after its one
// signature, and its certificate is good for localhost only: whoever trusts it
// trusts this installation and nothing else.
func loadTLS(dir string, now time.Time) (tlsFiles, error) {
	f := tlsFiles{CA: filepath.Join(dir, "tls-ca.pem"), Cert: filepath.Join(dir, "tls.pem"), Key: filepath.Join(dir, "tls-key.pem")}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	switch {
	case err == nil && pair.Leaf.NotAfter.Sub(now) > 24*time.Hour:
		return f, nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return f, fmt.Errorf("development certificate: %w", err)
	}
	return f, makeTLS(f, now)
}

func makeTLS(f tlsFiles, now time.Time) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Countersign development authority for localhost"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(tlsLife),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"localhost"},
		PermittedIPRanges: []*net.IPNet{{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	if ca, err = x509.ParseCertificate(caDER); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "localhost"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost", "sign.localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1).To4()},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		writeFile(f.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})),
		writeFile(f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
		writeFile(f.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
	)
}
