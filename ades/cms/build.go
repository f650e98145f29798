package cms

import (
	"bytes"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// Parts are what a SignedData is assembled from.
type Parts struct {
	// Attributes are what was signed.
	Attributes *SignedAttributes
	// Signature is the raw value: RSA octets, ECDSA as DER or r‖s, Ed25519 octets.
	Signature []byte
	// Signer is the signer's certificate (DER); Chain is further certificates to
	// carry, in any order. Repeats are dropped.
	Signer []byte
	Chain  [][]byte
	// Content is encapsulated when it is not nil, as in a time-stamp token;
	// nil makes a detached signature, the only kind PAdES knows.
	Content []byte
}

// AssembleVerified is Assemble for a caller that has verified the signature
// itself, such as a browser, whose own cryptography is there already. All else is
// checked as Assemble does.
func AssembleVerified(p Parts) ([]byte, error) {
	if p.Attributes == nil || !p.Attributes.Algorithm.Valid() {
		return nil, fault.New(fault.Invalid, "signed attributes are missing")
	}
	return p.assemble(func() ([]byte, error) {
		cert, err := readSigner(p.Signer)
		if err != nil || cert.family != signing.ECDSA {
			return p.Signature, err
		}
		return ECDSASignatureDER(p.Signature, cert.bits)
	})
}

// assemble encodes the parts around a signature value in its CMS form.
func (p Parts) assemble(signature func() ([]byte, error)) ([]byte, error) {
	cert, err := readSigner(p.Signer)
	if err != nil {
		return nil, err
	}
	attrs, err := parseAttributes(p.Attributes.DER)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the signed attributes cannot be read").Because(err)
	}
	if err := attrs.checkOwn(cert, p); err != nil {
		return nil, err
	}
	sig, err := signature()
	if err != nil {
		return nil, err
	}
	info, err := signerInfo(cert, p.Attributes, sig)
	if err != nil {
		return nil, fmt.Errorf("encode signer info: %w", err)
	}
	return signedData(p, attrs.ContentType, info)
}

// checkOwn holds attributes that were given back to us against the certificate
// and the content they are to be assembled with.
func (set *attributeSet) checkOwn(cert *signerCert, p Parts) error {
	switch {
	case !set.Sorted:
		return fault.New(fault.Invalid, "the signed attributes are not in DER order")
	case set.SigningTime != nil:
		return fault.New(fault.Invalid, "the signed attributes hold a signing-time, which PAdES forbids")
	case set.ContentType == "" || len(set.MessageDigest) != p.Attributes.Algorithm.Hash().Size():
		return fault.New(fault.Invalid, "the signed attributes lack the content type or the message digest")
	case len(set.CertIDs) == 0 || !cert.named(set.CertIDs[0]):
		return fault.New(fault.Invalid, "the signed attributes name another certificate than the signer's").WithCode("certificate_mismatch")
	case p.Content == nil && set.ContentType != OIDData:
		return fault.New(fault.Invalid, "a detached signature must be over id-data")
	case p.Content != nil && !bytes.Equal(sum(p.Attributes.Algorithm.Hash(), p.Content), set.MessageDigest):
		return fault.New(fault.Invalid, "the content is not what the signed attributes name")
	}
	return nil
}

func signerInfo(cert *signerCert, attrs *SignedAttributes, sig []byte) ([]byte, error) {
	digest, err := digestIdentifier(attrs.Algorithm.Hash())
	if err != nil {
		return nil, err
	}
	algorithm, err := AlgorithmIdentifier(attrs.Algorithm)
	if err != nil {
		return nil, err
	}
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(cert.issuer)
			b.AddASN1BigInt(cert.serial)
		})
		b.AddBytes(digest)
		b.AddBytes(append([]byte{byte(tagCtx0C)}, attrs.DER[1:]...)) // [0] IMPLICIT SET OF
		b.AddBytes(algorithm)
		b.AddASN1OctetString(sig)
	})
}

func signedData(p Parts, contentType string, info []byte) ([]byte, error) {
	digest, err := digestIdentifier(p.Attributes.Algorithm.Hash())
	if err != nil {
		return nil, err
	}
	version := int64(1)
	if contentType != OIDData {
		version = 3 // RFC 5652 §5.1
	}
	return sequence(func(b *cryptobyte.Builder) { // ContentInfo
		addOID(b, OIDSignedData)
		b.AddASN1(tagCtx0C, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // SignedData
				b.AddASN1Int64(version)
				addSet(b, cbasn1.SET, [][]byte{digest})
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // EncapsulatedContentInfo
					addOID(b, contentType)
					if p.Content != nil {
						b.AddASN1(tagCtx0C, func(b *cryptobyte.Builder) { b.AddASN1OctetString(p.Content) })
					}
				})
				addSet(b, tagCtx0C, append([][]byte{p.Signer}, p.Chain...))
				addSet(b, cbasn1.SET, [][]byte{info})
			})
		})
	})
}

// TimestampReserve is what Estimate keeps free for a time-stamp token of unknown
// size: a token with a chain of three RSA-4096 certificates fits.
const TimestampReserve = 12 << 10

// Sizing is what the size of a finished SignedData depends on.
type Sizing struct {
	Attributes *SignedAttributes
	Signer     []byte
	Chain      [][]byte
	// Timestamp is the room for a signature time-stamp token: 0 for none,
	// TimestampReserve if its size is not known yet.
	Timestamp int
}

// Estimate returns a number of bytes that the finished SignedData will not
// exceed, provided the token is no larger than stated. It is needed before the
// signature exists: the hole in the PDF is part of what is signed.
func Estimate(s Sizing) (int, error) {
	if s.Attributes == nil {
		return 0, fault.New(fault.Invalid, "signed attributes are missing")
	}
	cert, err := readSigner(s.Signer)
	if err != nil {
		return 0, err
	}
	info, err := signerInfo(cert, s.Attributes, make([]byte, cert.maxSignature()))
	if err != nil {
		return 0, err
	}
	der, err := signedData(Parts{Attributes: s.Attributes, Signer: s.Signer, Chain: s.Chain}, OIDData, info)
	if err != nil {
		return 0, fmt.Errorf("estimate size: %w", err)
	}
	n := len(der) + 32 // longer length octets once the token is in
	if s.Timestamp > 0 {
		n += s.Timestamp + 64
	}
	return n, nil
}
