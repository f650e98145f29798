package adestest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Forgery is a detached CMS signature of the PKI's signer (an ECDSA key) that
// may be wrong in the ways listed. Its zero value with Content is a good one.
type Forgery struct {
	Content []byte
	// Hash is SHA-256 if zero; crypto.SHA1 makes what nobody should accept.
	Hash crypto.Hash

	NoContentType, NoMessageDigest, NoESS bool
	// WrongContentType makes the attribute name id-signedData.
	WrongContentType bool
	// ESS is the certificate the ESS attribute names, if not the signer's.
	ESS *x509.Certificate
	// SigningTime adds the attribute that PAdES forbids.
	SigningTime time.Time
	// Unsorted stores and signs the attributes in a wrong order; UnsortedStored
	// only stores them so.
	Unsorted, UnsortedStored bool
	// NoAttributes signs the bare content.
	NoAttributes bool
	// Encapsulate carries the content inside.
	Encapsulate bool
	// TwoSigners repeats the SignerInfo with another signature; NoSigner leaves it out.
	TwoSigners, NoSigner bool
	// NoCertificate leaves the signer's certificate out.
	NoCertificate bool
	// BadSignature flips a bit of the signature value.
	BadSignature bool
	// BER writes the outer layers with indefinite lengths.
	BER bool
	// Commitment adds a commitment type.
	Commitment string
	// Timestamp makes a token from the signature value.
	Timestamp func(signature []byte) []byte
}

// Forge makes the CMS.
func (p *PKI) Forge(f Forgery) []byte {
	p.tb.Helper()
	if f.Hash == 0 {
		f.Hash = crypto.SHA256
	}
	infos := [][]byte{}
	if !f.NoSigner {
		infos = append(infos, p.forgeSigner(f))
	}
	if f.TwoSigners {
		infos = append(infos, p.forgeSigner(f))
		slices.SortFunc(infos, bytes.Compare)
	}
	certs := [][]byte{p.Signer.Cert.Raw, p.CA.Cert.Raw}
	if f.NoCertificate {
		certs = certs[1:]
	}
	slices.SortFunc(certs, bytes.Compare)
	body := p.must(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { addHash(b, f.Hash) })
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier([]int{1, 2, 840, 113549, 1, 7, 1})
			if f.Encapsulate {
				b.AddASN1(0xa0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(f.Content) })
			}
		})
		b.AddASN1(0xa0, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(certs, nil)) })
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(infos, nil)) })
	})
	oid := p.must(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier([]int{1, 2, 840, 113549, 1, 7, 2}) })
	if f.BER {
		end := []byte{0, 0}
		return slices.Concat([]byte{0x30, 0x80}, oid, []byte{0xa0, 0x80, 0x30, 0x80}, body, end, end, end)
	}
	return p.must(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(oid)
			b.AddASN1(0xa0, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(body) })
			})
		})
	})
}

func addHash(b *cryptobyte.Builder, h crypto.Hash) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if h == crypto.SHA1 {
			b.AddASN1ObjectIdentifier([]int{1, 3, 14, 3, 2, 26})
			return
		}
		b.AddASN1ObjectIdentifier([]int{2, 16, 840, 1, 101, 3, 4, 2, 1})
	})
}

func (p *PKI) forgeSigner(f Forgery) []byte {
	stored, signed := p.forgeAttributes(f)
	if f.NoAttributes {
		signed = f.Content
	}
	sig, err := p.Signer.Key.Sign(rand.Reader, hash(f.Hash, signed), f.Hash)
	if err != nil {
		p.tb.Fatal(err)
	}
	if f.BadSignature {
		sig[len(sig)-1] ^= 1
	}
	return p.must(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(p.Signer.Cert.RawIssuer)
				b.AddASN1BigInt(p.Signer.Cert.SerialNumber)
			})
			addHash(b, f.Hash)
			if !f.NoAttributes {
				b.AddASN1(0xa0, func(b *cryptobyte.Builder) { b.AddBytes(stored) })
			}
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				if f.Hash == crypto.SHA1 {
					b.AddASN1ObjectIdentifier([]int{1, 2, 840, 10045, 4, 1})
					return
				}
				b.AddASN1ObjectIdentifier([]int{1, 2, 840, 10045, 4, 3, 2})
			})
			b.AddASN1OctetString(sig)
			if f.Timestamp == nil {
				return
			}
			b.AddASN1(0xa1, func(b *cryptobyte.Builder) {
				addAttribute(b, []int{1, 2, 840, 113549, 1, 9, 16, 2, 14}, func(b *cryptobyte.Builder) { b.AddBytes(f.Timestamp(sig)) })
			})
		})
	})
}

func addAttribute(b *cryptobyte.Builder, oid []int, value func(*cryptobyte.Builder)) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(cbasn1.SET, value)
	})
}

// forgeAttributes returns what the SignerInfo holds and the SET that is signed.
func (p *PKI) forgeAttributes(f Forgery) (stored, signed []byte) {
	var list [][]byte
	add := func(want bool, oid []int, value func(*cryptobyte.Builder)) {
		if want {
			list = append(list, p.must(func(b *cryptobyte.Builder) { addAttribute(b, oid, value) }))
		}
	}
	named := p.Signer.Cert
	if f.ESS != nil {
		named = f.ESS
	}
	kind := []int{1, 2, 840, 113549, 1, 7, 1}
	if f.WrongContentType {
		kind[6] = 2
	}
	add(!f.NoContentType, []int{1, 2, 840, 113549, 1, 9, 3}, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(kind) })
	add(!f.NoMessageDigest, []int{1, 2, 840, 113549, 1, 9, 4}, func(b *cryptobyte.Builder) { b.AddASN1OctetString(hash(f.Hash, f.Content)) })
	add(!f.SigningTime.IsZero(), []int{1, 2, 840, 113549, 1, 9, 5}, func(b *cryptobyte.Builder) { b.AddASN1UTCTime(f.SigningTime.UTC()) })
	add(!f.NoESS, []int{1, 2, 840, 113549, 1, 9, 16, 2, 47}, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1OctetString(hash(crypto.SHA256, named.Raw)) })
			})
		})
	})
	add(f.Commitment != "", []int{1, 2, 840, 113549, 1, 9, 16, 2, 16}, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier([]int{1, 2, 840, 113549, 1, 9, 16, 6, 5}) })
	})
	slices.SortFunc(list, bytes.Compare)
	sorted := bytes.Join(list, nil)
	slices.Reverse(list)
	reversed := bytes.Join(list, nil)
	set := func(content []byte) []byte {
		return p.must(func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(content) })
		})
	}
	switch {
	case f.Unsorted:
		return reversed, set(reversed)
	case f.UnsortedStored:
		return reversed, set(sorted)
	}
	return sorted, set(sorted)
}
