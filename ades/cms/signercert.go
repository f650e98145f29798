package cms

import (
	"bytes"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// signerCert is what a SignedData says of the signer's certificate. It is read
// without crypto/x509, which would double the program that signs in a browser;
// whether the certificate is good for anything is for others to judge.
type signerCert struct {
	raw, issuer []byte // DER
	serial      *big.Int
	family      signing.Family
	bits        int // of the modulus or of the curve's order
}

// readSigner reads a certificate as far as it is needed.
func readSigner(der []byte) (*signerCert, error) {
	malformed := func(what string) error {
		return fault.New(fault.Invalid, "the signer's certificate cannot be read").Because(fmt.Errorf("%s: %w", what, ErrMalformed))
	}
	in := cryptobyte.String(der)
	var outer, tbs, issuer, subject, spki cryptobyte.String
	serial := new(big.Int)
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return nil, malformed("certificate")
	}
	if !tbs.SkipOptionalASN1(tagCtx0C) || !tbs.ReadASN1Integer(serial) || !tbs.SkipASN1(cbasn1.SEQUENCE) ||
		!tbs.ReadASN1Element(&issuer, cbasn1.SEQUENCE) || !tbs.SkipASN1(cbasn1.SEQUENCE) ||
		!tbs.ReadASN1Element(&subject, cbasn1.SEQUENCE) || !tbs.ReadASN1Element(&spki, cbasn1.SEQUENCE) {
		return nil, malformed("names and key")
	}
	c := &signerCert{raw: der, issuer: issuer, serial: serial}
	if !c.readKey(spki) {
		return nil, fault.New(fault.Invalid, "the signer's certificate holds a key of an unknown kind")
	}
	return c, nil
}

// curveBits are the sizes of the curves' orders by object identifier.
var curveBits = map[string]int{"1.2.840.10045.3.1.7": 256, "1.3.132.0.34": 384, "1.3.132.0.35": 521}

func (c *signerCert) readKey(spki cryptobyte.String) bool {
	oid, key, ok := rawPublicKey(spki)
	if !ok {
		return false
	}
	switch oid {
	case oidPublicKeyRSA, oidPublicKeyPSS:
		in := cryptobyte.String(key)
		var body cryptobyte.String
		var modulus []byte
		if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1Integer(&modulus) {
			return false
		}
		c.family, c.bits = signing.RSA, 8*len(modulus)
	case oidPublicKeyEC:
		var outer, alg cryptobyte.String
		var curve string
		if !spki.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1(&alg, cbasn1.SEQUENCE) ||
			!readOID(&alg, &oid) || !readOID(&alg, &curve) {
			return false
		}
		c.family, c.bits = signing.ECDSA, curveBits[curve]
	case oidPublicKeyEd25519:
		c.family, c.bits = signing.EdDSA, 256
	}
	return c.bits > 0
}

// fits refuses a certificate whose key cannot make signatures of alg.
func (c *signerCert) fits(alg signing.Algorithm) error {
	if c.family != alg.Family() {
		return fault.New(fault.Invalid, "the signer's certificate holds another kind of key than %s needs", alg)
	}
	return nil
}

// named reports whether an identifier that was made here is the certificate's.
func (c *signerCert) named(id CertID) bool {
	if id.Hash == 0 || !bytes.Equal(sum(id.Hash, c.raw), id.Digest) {
		return false
	}
	return id.Serial == nil || (id.Serial.Cmp(c.serial) == 0 && bytes.Equal(id.Issuer, c.issuer))
}

// maxSignature is the longest signature value the key makes.
func (c *signerCert) maxSignature() int {
	switch c.family {
	case signing.RSA:
		return (c.bits + 7) / 8
	case signing.ECDSA:
		return 2*((c.bits+7)/8+3) + 4
	case signing.EdDSA:
	}
	return 64
}
