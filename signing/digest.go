package signing

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// Digest is a hash value and the algorithm it was made with. There is no type
// for a document here: what is signed is always a Digest.
type Digest struct {
	Hash crypto.Hash
	Sum  []byte
}

// NewDigest checks that sum has the length of h.
func NewDigest(h crypto.Hash, sum []byte) (Digest, error) {
	if HashOID(h) == "" {
		return Digest{}, fmt.Errorf("digest algorithm %d: %w", h, ErrAlgorithm)
	}
	if len(sum) != h.Size() {
		return Digest{}, fmt.Errorf("digest of %d bytes, %s has %d", len(sum), h, h.Size())
	}
	return Digest{Hash: h, Sum: sum}, nil
}

// Equal reports whether d and o are the same value of the same algorithm.
func (d Digest) Equal(o Digest) bool { return d.Hash == o.Hash && bytes.Equal(d.Sum, o.Sum) }

// DigestSet is the digests of one authorisation. A digest that occurs twice
// may be signed twice.
type DigestSet []Digest

// Binding is a value over the set that does not depend on the order of the
// digests; relying party, authorisation server and activation module compute
// it alike.
func (s DigestSet) Binding() [32]byte {
	enc := make([][]byte, len(s))
	for i, d := range s {
		enc[i] = append([]byte(HashOID(d.Hash)+"\x00"), d.Sum...)
	}
	slices.SortFunc(enc, bytes.Compare)
	h := sha256.New()
	h.Write([]byte("countersign-digests-v1\x00"))
	var n [8]byte
	for _, e := range enc {
		binary.BigEndian.PutUint64(n[:], uint64(len(e)))
		h.Write(n[:])
		h.Write(e)
	}
	return [32]byte(h.Sum(nil))
}
