package cms

import (
	"crypto"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// SignaturePolicy names the policy a signature is made under (EN 319 122-1
// §5.2.9). ID and Digest are required, URI is optional.
type SignaturePolicy struct {
	ID     string      // dotted object identifier
	Hash   crypto.Hash // of Digest
	Digest []byte      // of the policy document
	URI    string      // where the policy document can be had
}

// AttributeOptions is what a signature may state beside the required attributes.
// In PAdES a commitment type or a policy excludes /Reason from the signature
// dictionary (EN 319 142-1 §5.3).
type AttributeOptions struct {
	// Commitment is the object identifier of a commitment type, or "".
	Commitment string
	// Policy is the signature policy, or nil.
	Policy *SignaturePolicy
	// ContentType is the type of the signed content; "" means id-data.
	ContentType string
}

// SignedAttributes is what the signer's key signs.
type SignedAttributes struct {
	// DER is the SET OF attributes in the encoding that is hashed (tag 0x31).
	DER []byte
	// Algorithm is the signature algorithm the attributes were made for.
	Algorithm signing.Algorithm
	// DTBSR is the digest of DER under the algorithm's hash. It is what a
	// hash-only signing service signs, except with Ed25519: see Message.
	DTBSR signing.Digest
}

// Message is what the signature primitive is given: the digest, or for Ed25519,
// which hashes by itself (RFC 8419 §3), DER.
func (a *SignedAttributes) Message() []byte {
	if a.Algorithm.Family() == signing.EdDSA {
		return a.DER
	}
	return a.DTBSR.Sum
}

// BuildSignedAttributes makes the signed attributes of a CAdES baseline
// signature as PAdES wants them: content-type, message-digest and ESS
// signing-certificate-v2 over SHA-256 of the signer's certificate (the default,
// hence not named), and what opts adds. There is never a signing-time: in PAdES
// the time is /M of the signature dictionary (EN 319 142-1 §6.3).
//
// messageDigest is the digest of the content under alg.Hash(). signer is the
// certificate in DER; its key must fit alg.
func BuildSignedAttributes(messageDigest, signer []byte, alg signing.Algorithm, opts AttributeOptions) (*SignedAttributes, error) {
	if !alg.Valid() {
		return nil, fault.New(fault.Invalid, "unknown signature algorithm")
	}
	if len(messageDigest) != alg.Hash().Size() {
		return nil, fault.New(fault.Invalid, "the document's digest has %d bytes, %s needs one of %d", len(messageDigest), alg, alg.Hash().Size())
	}
	cert, err := readSigner(signer)
	if err != nil {
		return nil, err
	}
	if err := cert.fits(alg); err != nil {
		return nil, err
	}
	values, err := attributeValues(messageDigest, cert, opts)
	if err != nil {
		return nil, err
	}
	encoded := make([][]byte, 0, len(values))
	for _, v := range values {
		a, err := attribute(v.oid, v.der)
		if err != nil {
			return nil, fmt.Errorf("encode attribute %s: %w", v.oid, err)
		}
		encoded = append(encoded, a)
	}
	der, err := build(func(b *cryptobyte.Builder) { addSet(b, cbasn1.SET, encoded) })
	if err != nil {
		return nil, fmt.Errorf("encode signed attributes: %w", err)
	}
	return &SignedAttributes{DER: der, Algorithm: alg, DTBSR: signing.Digest{Hash: alg.Hash(), Sum: sum(alg.Hash(), der)}}, nil
}

// RestoreSignedAttributes takes attributes that were built earlier, e.g. read
// back after a crash, and computes the rest anew.
func RestoreSignedAttributes(der []byte, alg signing.Algorithm) (*SignedAttributes, error) {
	if !alg.Valid() {
		return nil, fault.New(fault.Invalid, "unknown signature algorithm")
	}
	if _, err := parseAttributes(der); err != nil {
		return nil, fault.New(fault.Invalid, "the signed attributes cannot be read").Because(err)
	}
	return &SignedAttributes{DER: der, Algorithm: alg, DTBSR: signing.Digest{Hash: alg.Hash(), Sum: sum(alg.Hash(), der)}}, nil
}

type attributeValue struct {
	oid string
	der []byte
}

func attributeValues(messageDigest []byte, cert *signerCert, opts AttributeOptions) ([]attributeValue, error) {
	contentType := opts.ContentType
	if contentType == "" {
		contentType = OIDData
	}
	type maker struct {
		oid  string
		want bool
		make func() ([]byte, error)
	}
	makers := []maker{
		{OIDAttrContentType, true, func() ([]byte, error) {
			return build(func(b *cryptobyte.Builder) { addOID(b, contentType) })
		}},
		{OIDAttrMessageDigest, true, func() ([]byte, error) {
			return build(func(b *cryptobyte.Builder) { b.AddASN1OctetString(messageDigest) })
		}},
		{OIDAttrSigningCertificateV2, true, func() ([]byte, error) { return signingCertificateV2(cert) }},
		{OIDAttrCommitmentType, opts.Commitment != "", func() ([]byte, error) {
			return sequence(func(b *cryptobyte.Builder) { addOID(b, opts.Commitment) })
		}},
		{OIDAttrSignaturePolicy, opts.Policy != nil, func() ([]byte, error) { return policyIdentifier(opts.Policy) }},
	}
	var values []attributeValue
	for _, m := range makers {
		if !m.want {
			continue
		}
		der, err := m.make()
		if err != nil {
			return nil, fault.New(fault.Invalid, "a signed attribute cannot be encoded: an object identifier is malformed").Because(err)
		}
		values = append(values, attributeValue{m.oid, der})
	}
	return values, nil
}

// signingCertificateV2 is ESS SigningCertificateV2 with one ESSCertIDv2: SHA-256,
// which DER omits as the default, and issuer and serial (RFC 5035 §4).
func signingCertificateV2(cert *signerCert) ([]byte, error) {
	hash := sha256.Sum256(cert.raw)
	return sequence(func(b *cryptobyte.Builder) { // SigningCertificateV2
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // certs
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // ESSCertIDv2
				b.AddASN1OctetString(hash[:])
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // IssuerSerial
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // GeneralNames
						b.AddASN1(tagCtx4C, func(b *cryptobyte.Builder) { b.AddBytes(cert.issuer) })
					})
					b.AddASN1BigInt(cert.serial)
				})
			})
		})
	})
}

func policyIdentifier(p *SignaturePolicy) ([]byte, error) {
	alg, err := digestIdentifier(p.Hash)
	if err != nil {
		return nil, err
	}
	if len(p.Digest) != p.Hash.Size() {
		return nil, fault.New(fault.Invalid, "the signature policy's digest has %d bytes, %s has %d", len(p.Digest), p.Hash, p.Hash.Size())
	}
	return sequence(func(b *cryptobyte.Builder) {
		addOID(b, p.ID)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(alg)
			b.AddASN1OctetString(p.Digest)
		})
		if p.URI == "" {
			return
		}
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, oidSPURI)
				b.AddASN1(cbasn1.IA5String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(p.URI)) })
			})
		})
	})
}

func sum(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}
