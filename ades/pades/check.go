//go:build !assemble

package pades

import (
	"bytes"
	"crypto"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/signing"
)

// Assemble makes the CMS from a signature value over the DTBS/R. The value is
// verified first.
func (p *Prepared) Assemble(signature []byte) ([]byte, error) {
	parts, err := p.parts(signature)
	if err != nil {
		return nil, err
	}
	return cms.Assemble(parts)
}

// Embed puts the CMS, or the token of a document time-stamp, into the hole. It
// is checked first: that it is over this document, and has the form that the
// baseline demands. A CMS larger than Reserve is a fault with CodeReserve; the
// document must then be prepared again with a larger one, and signed again.
func (p *Prepared) Embed(der []byte) (*Patch, error) {
	if err := p.check(der); err != nil {
		return nil, err
	}
	return p.embed(der)
}

// check holds what came back against what was asked.
func (p *Prepared) check(der []byte) error {
	if p.Timestamp {
		return p.checkToken(der)
	}
	sd, err := cms.ParseSignedData(der)
	if err != nil {
		return unfit("the CMS cannot be read").Because(err)
	}
	if len(sd.Findings) > 0 {
		return unfit("the CMS is not as PAdES demands: %s", sd.Findings[0])
	}
	if len(sd.Signers) != 1 {
		return unfit("the CMS holds %d signatures instead of one", len(sd.Signers))
	}
	if sd.Content != nil || sd.ContentType != cms.OIDData {
		return unfit("the CMS holds content, and a signature in a PDF must be detached")
	}
	s := sd.Signers[0]
	if len(s.Findings) > 0 {
		return unfit("the CMS is not as PAdES demands: %s", s.Findings[0])
	}
	if h, err := hashByName(p.Hash); err != nil || s.Digest != h {
		return unfit("the CMS uses another digest algorithm than %s", p.Hash)
	}
	if err := s.VerifyContent(p.Digest); err != nil {
		return unfit("the CMS is over another document").Because(err)
	}
	cert := s.Certificate(sd.Certificates)
	if cert == nil {
		return unfit("the CMS lacks the signer's certificate")
	}
	if len(p.Signer) > 0 && !bytes.Equal(cert.Raw, p.Signer) {
		return unfit("the CMS is by another signer than the one it was prepared for")
	}
	if s.Signed == nil || len(s.Signed.CertIDs) == 0 || !s.Signed.CertIDs[0].Matches(cert) {
		return unfit("the CMS does not name the signer's certificate in its signed attributes")
	}
	if err := s.Verify(cert, p.Digest); err != nil {
		return unfit("the signature in the CMS does not verify").Because(err)
	}
	return nil
}

func (p *Prepared) checkToken(der []byte) error {
	imprint, err := p.Imprint()
	if err != nil {
		return err
	}
	return verifyToken(der, imprint)
}

// verifyToken checks that a token is over the digest and signed by the
// time-stamping certificate it carries, as far as that shows without trust.
func verifyToken(der []byte, d signing.Digest) error {
	token, err := cms.ParseTimestampToken(der)
	if err != nil {
		return unfit("the time-stamp cannot be read").Because(err)
	}
	if token.Info.Hash != d.Hash {
		return unfit("the time-stamp uses another digest algorithm than %s", d.Hash)
	}
	if err := token.VerifyDigest(d.Sum); err != nil {
		return unfit("the time-stamp is over other bytes").Because(err)
	}
	if _, err := token.Verify(nil); err != nil {
		return unfit("the time-stamp does not verify").Because(err)
	}
	return nil
}

// digestOf is the digest of data with the algorithm of that name.
func digestOf(h crypto.Hash, data []byte) signing.Digest {
	d := h.New()
	d.Write(data)
	return signing.Digest{Hash: h, Sum: d.Sum(nil)}
}
