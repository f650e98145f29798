package e2e_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// What a signature may cost beside the module's own work, and what a whole
// transaction may, in verifications of a P-256 signature.
const (
	goalSignHash    = 5
	goalTransaction = 40
)

// perApproval is how many hashes one approval covers here; the tool's default.
const perApproval = 50

// benchmark starts an installation that does not hold a single client back.
func benchmark(b *testing.B) (*installation, *party) {
	b.Helper()
	in := install(b, options{settings: map[string]map[string]any{
		"gateway": {"rate": 0}, "sam": {"approval_rate": 1_000_000, "approval_burst": 1_000_000, "redeem_time": "25m", "limits": map[string]any{"pending": 1000}},
	}})
	p := in.party(b)
	for range 20 { // connections, caches and statements are there
		if _, err := p.sign(b.Context(), hash()); err != nil {
			b.Fatal(err)
		}
	}
	return in, p
}

// spent is CPU time by process.
type spent map[string]time.Duration

// cpu is the time that every process of the installation has used so far, and
// this one, which is client and device.
func (in *installation) cpu(b *testing.B) spent {
	b.Helper()
	s := spent{"client": own(b)}
	for _, r := range in.roles {
		d, err := r.cpu()
		if err != nil {
			b.Fatal(err)
		}
		s[r.name] = d
	}
	return s
}

// add adds what was spent between two looks.
func (s spent) add(before, after spent) {
	for name, d := range after {
		s[name] += d - before[name]
	}
}

func (s spent) sum() (d time.Duration) {
	for _, v := range s {
		d += v
	}
	return d
}

// each is what one of n operations took.
func (s spent) each(n int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if d := s[name] / time.Duration(n); d > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", name, d.Round(time.Microsecond)))
		}
	}
	return fmt.Sprintf("%s (%s)", (s.sum() / time.Duration(n)).Round(time.Microsecond), strings.Join(parts, ", "))
}

// verification is the CPU time of verifying one P-256 signature.
func verification(b *testing.B) time.Duration {
	b.Helper()
	key := newECKey(b)
	digest := hash()
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		b.Fatal(err)
	}
	const n = 5000
	before := own(b)
	for range n {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest, sig) {
			b.Fatal("does not verify")
		}
	}
	return (own(b) - before) / n
}

func report(b *testing.B, each, base time.Duration, goal float64) {
	b.Helper()
	b.ReportMetric(float64(each.Nanoseconds()), "cpu-ns/op")
	b.ReportMetric(float64(base.Nanoseconds()), "baseline-cpu-ns/op")
	b.ReportMetric(goal, "goal-ratio")
}

// BenchmarkSignHashAboveModule is what signHash over HTTP costs above the same
// signature by the module, called directly on its socket: CPU of all processes,
// beside one P-256 verification. A lone call wakes three processes that slept, and
// pays for each commit alone; of clients at once several share one.
func BenchmarkSignHashAboveModule(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { benchmarkSignHash(b, clients) })
	}
}

func benchmarkSignHash(b *testing.B, clients int) {
	in, p := benchmark(b)
	base := verification(b)
	var calls int
	http, direct, module := spent{}, spent{}, in.sockets().Module()
	// round has every client use an approval of its own, hash by hash. It is long
	// enough for the clock of /proc.
	round := func(sum spent, use func(g grant, hash []byte) error) {
		grants, hashes := make([]grant, clients), make([][][]byte, clients)
		for i := range clients {
			grants[i], hashes[i] = p.granted(b)
		}
		before := in.cpu(b)
		var work sync.WaitGroup
		for i, g := range grants {
			work.Go(func() {
				for _, h := range hashes[i] {
					if err := use(g, h); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		work.Wait()
		sum.add(before, in.cpu(b))
	}
	for b.Loop() {
		round(http, func(g grant, h []byte) error {
			_, err := p.client.SignHash(b.Context(), g.Token, p.request(h))
			return err
		})
		status := p.status(b)
		round(direct, func(g grant, h []byte) error {
			_, err := module.Sign(b.Context(), samapi.SignRequest{
				SID: g.sid, Client: p.id, Credential: p.who.Credential, Algorithm: signing.ECDSAWithSHA256, Hashes: [][]byte{h}, OCSP: status,
			})
			return err
		})
		calls += clients * perApproval
	}
	b.Logf("%d calls: over HTTP %s of CPU each, directly %s, one verification %s", calls, http.each(calls), direct.each(calls), base)
	report(b, (http.sum()-direct.sum())/time.Duration(calls), base, goalSignHash)
}

// grant is an approval that can be used.
type grant struct {
	*cscclient.Token
	sid string
}

// granted is an approval of many hashes.
func (p *party) granted(b *testing.B) (grant, [][]byte) {
	b.Helper()
	var hashes [][]byte
	for range perApproval {
		hashes = append(hashes, hash())
	}
	by := &thumb{}
	token, err := p.token(b.Context(), by, hashes...)
	if err != nil {
		b.Fatal(err)
	}
	return grant{token, by.sid}, hashes
}

// status is a fresh OCSP answer about the signer's certificate.
func (p *party) status(b *testing.B) []byte {
	b.Helper()
	question, err := ocsp.CreateRequest(p.cert, p.issuer, nil)
	if err != nil {
		b.Fatal(err)
	}
	der, err := cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true}).OCSP(b.Context(), p.cert.OCSPServer[0], question)
	if err != nil {
		b.Fatal(err)
	}
	return der
}

// BenchmarkTransaction is everything from the pushed request to the signature,
// everything durable: CPU of all processes, device and client included, beside
// one P-256 verification. One client after the other pays for each commit alone;
// of clients at once several share one.
func BenchmarkTransaction(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { benchmarkTransaction(b, clients) })
	}
}

func benchmarkTransaction(b *testing.B, clients int) {
	in, p := benchmark(b)
	base := verification(b)
	all, before := spent{}, in.cpu(b)
	var (
		left atomic.Int64
		work sync.WaitGroup
	)
	left.Store(int64(b.N))
	b.ResetTimer()
	for range clients {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := p.sign(b.Context(), hash()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.StopTimer()
	all.add(before, in.cpu(b))
	b.Logf("%d transactions: %s of CPU each, one verification %s", b.N, all.each(b.N), base)
	report(b, all.sum()/time.Duration(b.N), base, goalTransaction)
}
