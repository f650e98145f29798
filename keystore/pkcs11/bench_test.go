//go:build cgo

package pkcs11_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/keystore/keystoretest"
	"github.com/countersign/countersign/keystore/pkcs11"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// cpu is the time that this process has computed; SoftHSM2 computes in it.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the CPU time of n signatures with a key that stays in the token, each
// verified once in software.
func resident(b *testing.B, s *pkcs11.Store, kt signing.KeyType, alg signing.Algorithm, n int) time.Duration {
	b.Helper()
	k, err := s.NewService(b.Context(), fmt.Sprint("bench-", b.N, "-", time.Now().UnixNano()), kt)
	if err != nil {
		b.Fatal(err)
	}
	h := samtest.Hash("x")
	start := cpu(b)
	for range n {
		if _, err := k.Sign(nil, h, alg.SignerOpts()); err != nil { // it verifies, too
			b.Fatal(err)
		}
	}
	return cpu(b) - start
}

// BenchmarkSign measures signatures a CPU second of the activation module on
// SoftHSM2: everything from an approved SAD to the stored signatures, the key
// unwrapped once a SAD. Beside it, the same token with a resident key.
func BenchmarkSign(b *testing.B) {
	for _, c := range []struct {
		name   string
		kt     signing.KeyType
		alg    signing.Algorithm
		hashes int
		least  int // baseline signatures
		goal   float64
	}{
		{"RSA-3072/hashes=1", signing.RSA3072, signing.RSAPSSWithSHA256, 1, 200, 0.6},
		{"P-256/hashes=1", signing.P256, signing.ECDSAWithSHA256, 1, 3000, 0},
		{"P-256/hashes=20", signing.P256, signing.ECDSAWithSHA256, 20, 3000, 0.6},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := open(b, keystoretest.SoftHSM(b))
			r := onHSM(b, s)
			p := r.Person(samtest.Wish{KeyType: c.kt})
			var set [][]byte
			for i := range c.hashes {
				set = append(set, samtest.Hash(fmt.Sprint(i)))
			}
			approved := make([]*samtest.Pending, b.N)
			for i := range approved {
				approved[i] = r.Approved(p, set...)
			}
			req := r.SignRequest(p, approved[0], set...)
			req.Algorithm = c.alg
			var next atomic.Int64
			b.ResetTimer()
			start := cpu(b)
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one := req
					one.SID = approved[next.Add(1)-1].SID
					if got, err := r.Sign(b.Context(), one); err != nil || len(got.Signatures) != c.hashes {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			used := cpu(b) - start
			n := b.N * c.hashes
			bn := max(n, c.least)
			base := resident(b, s, c.kt, c.alg, bn)
			b.ReportMetric(float64(n)/used.Seconds(), "signatures/cpu-s")
			b.ReportMetric(float64(bn)/base.Seconds(), "baseline/cpu-s")
			b.ReportMetric(float64(n)/used.Seconds()/(float64(bn)/base.Seconds()), "ratio")
			if c.goal > 0 {
				b.ReportMetric(c.goal, "goal-ratio-min")
			}
		})
	}
}
