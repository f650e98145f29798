package signing

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"sync"
)

// DomainWords separates the words of a digest from every other hash.
const DomainWords = "countersign-words-v1"

// words is the list, split once.
var words = sync.OnceValue(func() []string { return strings.Fields(wordList) })

// Words is a digest as six words, which two people or two screens compare at a
// glance: shown three and three. They are the first 60 bits of
// Domain(DomainWords, digest), ten bits a word, the most significant first.
//
// They are an aid to the eye, not a proof: sixty bits show a mix-up, and to meet
// the words of a given document takes 2^60 trials, but whoever makes both
// documents finds two with the same words in about 2^30. What is signed is the
// digest; show it with the words.
func Words(digest []byte) [6]string {
	sum := Domain(DomainWords, digest)
	bits := binary.BigEndian.Uint64(sum[:])
	list := words()
	var out [6]string
	for i := range out {
		out[i] = list[bits>>(54-10*i)&0x3ff]
	}
	return out
}

// Domain is SHA-256(domain ‖ 0x00 ‖ data): what is signed for a domain.
func Domain(domain string, data []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write([]byte{0})
	h.Write(data)
	return [32]byte(h.Sum(nil))
}
