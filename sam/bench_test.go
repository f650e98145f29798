package sam_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// cpu is the time that this process has computed.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// baseline is the CPU time of n P-256 signatures, made and verified with the
// standard library.
func baseline(b *testing.B, n int) time.Duration {
	b.Helper()
	k, h := samtest.Key(b), samtest.Hash("x")
	d := &samtest.Device{Key: k}
	start := cpu(b)
	for range n {
		if err := signing.Verify(&k.PublicKey, signing.ECDSAWithSHA256, h, d.Sign(h)); err != nil {
			b.Fatal(err)
		}
	}
	return cpu(b) - start
}

// BenchmarkSign measures what the module makes of an approved SAD: signatures a
// CPU second, beside the same number made and verified by the standard library.
// Approvals are made before.
func BenchmarkSign(b *testing.B) {
	for _, engine := range []struct {
		name string
		open func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		for _, hashes := range []int{1, 20} {
			for _, parallel := range []int{1, 16} {
				b.Run(fmt.Sprintf("%s/hashes=%d/callers=%d", engine.name, hashes, parallel), func(b *testing.B) {
					benchmarkSign(b, engine.open(b), hashes, parallel)
				})
			}
		}
	}
}

func benchmarkSign(b *testing.B, db *store.DB, hashes, parallel int) {
	r := samtest.New(b, db, samtest.Config{Limits: sam.Limits{Pending: 1 << 30, Redeem: 30 * time.Minute}})
	p := r.Person(samtest.Wish{})
	var set [][]byte
	for i := range hashes {
		set = append(set, samtest.Hash(fmt.Sprint(i)))
	}
	approved := make([]*samtest.Pending, b.N)
	for i := range approved {
		approved[i] = r.Approved(p, set...)
	}
	req := r.SignRequest(p, approved[0], set...)
	var next atomic.Int64
	b.ResetTimer()
	start := cpu(b)
	b.SetParallelism(parallel)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			one := req
			one.SID = approved[next.Add(1)-1].SID
			if got, err := r.Sign(b.Context(), one); err != nil || len(got.Signatures) != hashes {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	used := cpu(b) - start
	n := b.N * hashes
	base := baseline(b, max(n, 2000))
	perSignature, perBase := float64(used)/float64(n), float64(base)/float64(max(n, 2000))
	b.ReportMetric(1e9/perSignature, "signatures/cpu-s")
	b.ReportMetric(1e9/perBase, "baseline/cpu-s")
	b.ReportMetric(perBase/perSignature, "ratio")
}
