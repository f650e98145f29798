//go:build !assemble

package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// For returns the answer about cert, whose issuer is given, or nil.
func (r *OCSPResponse) For(cert, issuer *x509.Certificate) *OCSPAnswer {
	for i := range r.Answers {
		a := &r.Answers[i]
		if a.Serial.Cmp(cert.SerialNumber) != 0 || a.Hash == 0 || !a.Hash.Available() {
			continue
		}
		if bytes.Equal(a.NameHash, sum(a.Hash, issuer.RawSubject)) && bytes.Equal(a.KeyHash, SPKIKeyHash(issuer, a.Hash)) {
			return a
		}
	}
	return nil
}

// ErrResponder says that a response is not signed by one who may answer for the CA.
var ErrResponder = errors.New("the OCSP response is not signed by an authorised responder")

// Verify checks the response's signature and that the signer may answer for
// certificates of issuer: the issuer itself, or a certificate that the issuer's
// own key signed for OCSP signing (RFC 6960 §4.2.2.2). The responder's certificate
// is found in the response or among others, and is returned with the scheme of
// the response. Whether the responder's certificate is itself in force is for the
// caller: see NoCheck.
func (r *OCSPResponse) Verify(issuer *x509.Certificate, others []*x509.Certificate) (*x509.Certificate, Scheme, error) {
	candidates := append([]*x509.Certificate{issuer}, r.Certificates...)
	candidates = append(candidates, others...)
	for _, c := range candidates {
		if !r.names(c) {
			continue
		}
		pub, err := PublicKey(c)
		if err != nil || r.signed.Verify(pub) != nil {
			continue
		}
		if bytes.Equal(c.Raw, issuer.Raw) || bytes.Equal(c.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
			return c, r.signed.Scheme, nil
		}
		if !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
			continue
		}
		if _, err := IssuedBy(c, issuer); err == nil {
			return c, r.signed.Scheme, nil
		}
	}
	return nil, r.signed.Scheme, ErrResponder
}

func (r *OCSPResponse) names(c *x509.Certificate) bool {
	if r.ResponderName != nil {
		return sameName(r.ResponderName, c.RawSubject)
	}
	return bytes.Equal(r.ResponderKeyHash, SPKIKeyHash(c, crypto.SHA1))
}

// EncodeOCSPRequest makes an OCSPRequest for one certificate. The certID is over
// SHA-1, which every responder knows and where no collision helps an attacker.
// nonce may be nil.
func EncodeOCSPRequest(cert, issuer *x509.Certificate, nonce []byte) ([]byte, error) {
	return sequence(func(b *cryptobyte.Builder) { // OCSPRequest
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // TBSRequest
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // requestList
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // CertID
						b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
							addOID(b, "1.3.14.3.2.26")
							b.AddASN1NULL()
						})
						b.AddASN1OctetString(sum(crypto.SHA1, issuer.RawSubject))
						b.AddASN1OctetString(SPKIKeyHash(issuer, crypto.SHA1))
						b.AddASN1BigInt(cert.SerialNumber)
					})
				})
			})
			if nonce == nil {
				return
			}
			b.AddASN1(tagCtx2C, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						addOID(b, oidOCSPNonce)
						b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nonce) })
					})
				})
			})
		})
	})
}
