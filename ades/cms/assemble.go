//go:build !assemble

package cms

import (
	"crypto/ecdsa"
	"crypto/x509"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// Assemble makes the DER ContentInfo with one SignedData and one SignerInfo. It
// verifies first: the signature against the certificate, the ESS attribute
// against the certificate, and encapsulated content against message-digest. A
// part that does not fit is refused with fault.Invalid.
func Assemble(p Parts) ([]byte, error) {
	if p.Attributes == nil || !p.Attributes.Algorithm.Valid() {
		return nil, fault.New(fault.Invalid, "signed attributes are missing")
	}
	cert, err := x509.ParseCertificate(p.Signer)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the signer's certificate cannot be read").Because(err)
	}
	return p.assemble(func() ([]byte, error) { return p.verified(cert) })
}

// verified returns the signature value in its CMS form once it verifies.
func (p Parts) verified(cert *x509.Certificate) ([]byte, error) {
	pub, err := PublicKey(cert)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the signer's certificate holds a key of an unknown kind").Because(err)
	}
	sig := p.Signature
	if k, ok := pub.(*ecdsa.PublicKey); ok {
		if sig, err = ECDSASignatureDER(sig, k.Params().BitSize); err != nil {
			return nil, err
		}
	}
	if err := signing.Verify(pub, p.Attributes.Algorithm, p.Attributes.Message(), sig); err != nil {
		return nil, fault.New(fault.Invalid, "the signature does not verify with the signer's certificate").WithCode("signature_invalid").Because(err)
	}
	return sig, nil
}
