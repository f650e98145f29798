package sam

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"

	"github.com/countersign/countersign/sam/sad"
)

// checkAttributes decides whether signed attributes are what they are said to be:
// they hash to dtbsr, are for content of type data with the digest docHash, and
// name cert as the signing certificate.
func checkAttributes(der []byte, h crypto.Hash, dtbsr, docHash []byte, cert *x509.Certificate) error {
	if !bytes.Equal(digest(h, der), dtbsr) {
		return errors.New("the signed attributes do not hash to the digest that is to be signed")
	}
	a, err := sad.ParseAttributes(der)
	if err != nil {
		return err
	}
	switch {
	case a.ContentType != sad.OIDData:
		return errors.New("the signed attributes are not for content of type data")
	case len(docHash) == 0 || !bytes.Equal(a.MessageDigest, docHash):
		return errors.New("the signed attributes are for another document digest")
	case !bytes.Equal(a.CertDigest, digest(a.CertHash, cert.Raw)):
		return errors.New("the signed attributes name another certificate than the credential's")
	case a.Serial != nil && (a.Serial.Cmp(cert.SerialNumber) != 0 || !bytes.Equal(a.Issuer, cert.RawIssuer)):
		return errors.New("the signed attributes name another issuer or serial number than the certificate's")
	}
	return nil
}

func digest(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

// unmarshal reads one DER value to its last byte.
func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes after the end")
	}
	return err
}
