package adestest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/signing"
)

// Algorithm is the first algorithm of an identity's key.
func (p *PKI) Algorithm(id Identity) signing.Algorithm {
	kind, err := signing.KeyTypeOf(id.Key.Public())
	if err != nil {
		p.tb.Fatal(err)
	}
	return kind.Algorithms()[0]
}

// Sign makes the raw signature over signed attributes, as a remote service would.
func (p *PKI) Sign(id Identity, attrs *cms.SignedAttributes) []byte {
	p.tb.Helper()
	sig, err := id.Key.Sign(rand.Reader, attrs.Message(), attrs.Algorithm.SignerOpts())
	if err != nil {
		p.tb.Fatal(err)
	}
	return sig
}

// SignedData makes a detached PAdES CMS over content's digest with the signer.
func (p *PKI) SignedData(id Identity, alg signing.Algorithm, digest []byte, opts cms.AttributeOptions) []byte {
	p.tb.Helper()
	attrs, err := cms.BuildSignedAttributes(digest, id.Cert.Raw, alg, opts)
	if err != nil {
		p.tb.Fatal(err)
	}
	der, err := cms.Assemble(cms.Parts{Attributes: attrs, Signature: p.Sign(id, attrs), Signer: id.Cert.Raw, Chain: [][]byte{p.CA.Cert.Raw}})
	if err != nil {
		p.tb.Fatal(err)
	}
	return der
}

// Token makes a time-stamp token of the TSA over data at a time, with SHA-256.
func (p *PKI) Token(data []byte, at time.Time) []byte {
	p.tb.Helper()
	return p.TokenFor(cms.TimestampRequest{Hash: crypto.SHA256, Imprint: hash(crypto.SHA256, data)}, at)
}

// TokenFor makes a time-stamp token that answers a request.
func (p *PKI) TokenFor(r cms.TimestampRequest, at time.Time) []byte {
	p.tb.Helper()
	return p.TokenBy(p.TSA, r, at)
}

// TokenBy is TokenFor with another certificate than the PKI's TSA.
func (p *PKI) TokenBy(tsa Identity, r cms.TimestampRequest, at time.Time) []byte {
	p.tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		p.tb.Fatal(err)
	}
	policy := r.Policy
	if policy == "" {
		policy = "1.3.6.1.4.1.99999.1"
	}
	info, err := cms.TSTInfo{Policy: policy, Hash: r.Hash, Imprint: r.Imprint, Serial: serial, Time: at, Accuracy: time.Second, Nonce: r.Nonce}.Encode()
	if err != nil {
		p.tb.Fatal(err)
	}
	alg := p.Algorithm(tsa)
	if alg.PSS() {
		alg = signing.RSAPKCS1WithSHA256 // openssl ts knows no PSS
	}
	attrs, err := cms.BuildSignedAttributes(hash(alg.Hash(), info), tsa.Cert.Raw, alg, cms.AttributeOptions{ContentType: cms.OIDTSTInfo})
	if err != nil {
		p.tb.Fatal(err)
	}
	der, err := cms.Assemble(cms.Parts{Attributes: attrs, Signature: p.Sign(tsa, attrs), Signer: tsa.Cert.Raw, Chain: [][]byte{p.CA.Cert.Raw}, Content: info})
	if err != nil {
		p.tb.Fatal(err)
	}
	return der
}

// Answer is what an OCSP response is to say.
type Answer struct {
	Cert       *x509.Certificate
	RevokedAt  time.Time // zero: good
	ThisUpdate time.Time // zero: StatusAge before Now
	NextUpdate time.Time // zero: StatusLife later
	Responder  Identity  // zero: the PKI's OCSP responder
	// ByName makes the response name its responder by name instead of by key.
	ByName bool
	// NoCertificate leaves the responder's certificate out.
	NoCertificate bool
}

// OCSPResponse makes a response of the CA's responder about a certificate of the CA.
func (p *PKI) OCSPResponse(a Answer) []byte {
	p.tb.Helper()
	if a.Responder.Cert == nil {
		a.Responder = p.OCSP
	}
	if a.ThisUpdate.IsZero() {
		a.ThisUpdate = p.Now.Add(-p.StatusAge)
	}
	if a.NextUpdate.IsZero() {
		a.NextUpdate = a.ThisUpdate.Add(p.StatusLife)
	}
	tbs := p.must(func(b *cryptobyte.Builder) { p.responseData(b, a) })
	alg := p.Algorithm(a.Responder)
	sig := p.Sign(a.Responder, &cms.SignedAttributes{DER: tbs, Algorithm: alg, DTBSR: signing.Digest{Hash: alg.Hash(), Sum: hash(alg.Hash(), tbs)}})
	id, err := cms.AlgorithmIdentifier(alg)
	if err != nil {
		p.tb.Fatal(err)
	}
	basic := p.must(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(tbs)
			b.AddBytes(id)
			b.AddASN1BitString(sig)
			if a.NoCertificate || a.Responder.same(p.CA) {
				return
			}
			b.AddASN1(0xa0, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(a.Responder.Cert.Raw) })
			})
		})
	})
	return p.must(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Enum(0)
			b.AddASN1(0xa0, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier([]int{1, 3, 6, 1, 5, 5, 7, 48, 1, 1})
					b.AddASN1OctetString(basic)
				})
			})
		})
	})
}

func (p *PKI) responseData(b *cryptobyte.Builder, a Answer) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if a.ByName {
			b.AddASN1(0xa1, func(b *cryptobyte.Builder) { b.AddBytes(a.Responder.Cert.RawSubject) })
		} else {
			b.AddASN1(0xa2, func(b *cryptobyte.Builder) { b.AddASN1OctetString(cms.SPKIKeyHash(a.Responder.Cert, crypto.SHA1)) })
		}
		b.AddASN1GeneralizedTime(a.ThisUpdate)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier([]int{1, 3, 14, 3, 2, 26})
						b.AddASN1NULL()
					})
					b.AddASN1OctetString(hash(crypto.SHA1, p.CA.Cert.RawSubject))
					b.AddASN1OctetString(cms.SPKIKeyHash(p.CA.Cert, crypto.SHA1))
					b.AddASN1BigInt(a.Cert.SerialNumber)
				})
				if a.RevokedAt.IsZero() {
					b.AddASN1(0x80, func(*cryptobyte.Builder) {})
				} else {
					b.AddASN1(0xa1, func(b *cryptobyte.Builder) {
						b.AddASN1GeneralizedTime(a.RevokedAt)
						b.AddASN1(0xa0, func(b *cryptobyte.Builder) { b.AddASN1Enum(1) })
					})
				}
				b.AddASN1GeneralizedTime(a.ThisUpdate)
				b.AddASN1(0xa0, func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(a.NextUpdate) })
			})
		})
	})
}

// Evidence is the revocation data that B-LT needs: both CRLs and an OCSP answer
// for the signer, and the certificates besides those in the CMS.
func (p *PKI) Evidence() (certs, crls, ocsps [][]byte) {
	return [][]byte{p.CA.Cert.Raw, p.TSA.Cert.Raw, p.OCSP.Cert.Raw}, p.CRLs(), [][]byte{p.OCSPResponse(Answer{Cert: p.Signer.Cert})}
}

func (p *PKI) must(f func(*cryptobyte.Builder)) []byte {
	p.tb.Helper()
	var b cryptobyte.Builder
	f(&b)
	der, err := b.Bytes()
	if err != nil {
		p.tb.Fatal(err)
	}
	return der
}

func hash(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}
