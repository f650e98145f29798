package validate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/ades/cms"
)

// Dates after which an algorithm proves nothing any more, unless a time-stamp
// proves that the object is older (ETSI TS 119 312, and the dates that the EU's
// own validation policy uses).
var (
	endOfSHA1     = time.Date(2012, 8, 1, 0, 0, 0, 0, time.UTC)
	endOfSHA224   = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
	endOfShortRSA = time.Date(2019, 10, 1, 0, 0, 0, 0, time.UTC)
	endOfShortEC  = time.Date(2021, 10, 1, 0, 0, 0, 0, time.UTC)
)

// minRSA is the shortest RSA modulus that still counts.
const minRSA = 1900

// weakHash says why a digest algorithm does not count at a time; "" if it does.
func weakHash(h crypto.Hash, at time.Time) string {
	strong := []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512}
	if slices.Contains(strong, h) || (h == crypto.SHA1 && at.Before(endOfSHA1)) || (h == crypto.SHA224 && at.Before(endOfSHA224)) {
		return ""
	}
	return fmt.Sprintf("%s is no longer accepted", cms.HashName(h))
}

// weakKey says why a public key does not count at a time; "" if it does.
func weakKey(pub crypto.PublicKey, at time.Time) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA && !at.Before(endOfShortRSA) {
			return fmt.Sprintf("an RSA key of %d bits is no longer accepted", n)
		}
	case *ecdsa.PublicKey:
		if n := k.Params().BitSize; n < 256 && !at.Before(endOfShortEC) {
			return fmt.Sprintf("an EC key of %d bits is no longer accepted", n)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Sprintf("a key of type %T is not known here", pub)
	}
	return ""
}

// weakScheme judges the algorithm with which key signed something.
func weakScheme(s cms.Scheme, signer *x509.Certificate, at time.Time) string {
	if s.Hash != 0 {
		if why := weakHash(s.Hash, at); why != "" {
			return why
		}
	}
	pub, err := cms.PublicKey(signer)
	if err != nil {
		return "the key is of a kind not known here"
	}
	return weakKey(pub, at)
}
