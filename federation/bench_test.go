package federation_test

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkSignAtPeer is one signHash through a peer in this process, peer included.
func BenchmarkSignAtPeer(b *testing.B) {
	r := newRig(b, sqlite(b))
	r.infoAge = time.Hour
	r.open()
	id := r.choose(rp)
	for n := 0; b.Loop(); {
		var texts []string
		for i := range 50 {
			texts = append(texts, fmt.Sprint(n, i))
		}
		by := r.approve(id, texts...)
		for _, text := range texts {
			if _, err := r.sign(by, text); err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
}
