package evil

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"time"

	"golang.org/x/crypto/ocsp"
)

// identity is a key with its certificate.
type identity struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// authority is the peer's own: a root, the signer's certificate, and another one of
// the same person.
type authority struct {
	root, signer, other identity
}

func newAuthority(url string, now time.Time) (*authority, error) {
	a := &authority{}
	for _, c := range []struct {
		to   *identity
		by   *identity
		cert x509.Certificate
	}{
		{&a.root, &a.root, x509.Certificate{
			Subject: pkix.Name{CommonName: "Evil Root", Country: []string{"FI"}}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		}},
		{&a.signer, &a.root, x509.Certificate{Subject: pkix.Name{CommonName: "Eve", Country: []string{"FI"}}, KeyUsage: x509.KeyUsageContentCommitment}},
		{&a.other, &a.root, x509.Certificate{Subject: pkix.Name{CommonName: "Eve", Country: []string{"FI"}}, KeyUsage: x509.KeyUsageContentCommitment}},
	} {
		c.cert.NotBefore, c.cert.NotAfter = now.Add(-24*time.Hour), now.Add(30*24*time.Hour)
		if !c.cert.IsCA {
			c.cert.OCSPServer = []string{url + "/ocsp"}
		}
		if err := issue(c.to, c.by, &c.cert); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func issue(to, by *identity, t *x509.Certificate) error {
	var err error
	if to.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return fmt.Errorf("make serial number: %w", err)
	}
	parent := by.cert
	if parent == nil {
		parent = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, to.key.Public(), by.key)
	if err != nil {
		return fmt.Errorf("issue certificate: %w", err)
	}
	to.cert, err = x509.ParseCertificate(der)
	return err
}

// ocsp answers as the authority, which is not part of the lie.
func (p *Peer) ocsp(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4096))
	if err != nil {
		return
	}
	q, err := ocsp.ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := p.now()
	t := ocsp.Response{Status: ocsp.Good, SerialNumber: q.SerialNumber, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour)}
	if lie, lied := p.current(); lie == Revoked || (lie == RevokedAfter && lied) {
		t.Status, t.RevokedAt = ocsp.Revoked, now.Add(-time.Hour)
	}
	der, err := ocsp.CreateResponse(p.ca.root.cert, p.ca.root.cert, t, p.ca.root.key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/ocsp-response")
	_, _ = w.Write(der) // whoever asked may be gone
}
