package e2e_test

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// goalHop is what a hop to a peer may cost, in verifications of a P-256 signature.
const goalHop = 10

// cpu is the time that every process of both installations has used, and this one.
func (p *pair) cpu(b *testing.B) spent {
	b.Helper()
	s := spent{"client": own(b)}
	for side, in := range map[string]*installation{"A": p.a, "B": p.b} {
		for name, d := range in.cpu(b) {
			if name != "client" {
				s[side+" "+name] = d
			}
		}
	}
	return s
}

// BenchmarkFederationHop is what signHash costs at gateway A with a key of its peer B
// above the same at B itself: CPU of all processes of both, beside one P-256
// verification. One client after the other pays for each of the hop's two commits
// alone; of clients at once several share one.
func BenchmarkFederationHop(b *testing.B) {
	for _, clients := range []int{1, 8} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { benchmarkHop(b, clients) })
	}
}

func benchmarkHop(b *testing.B, clients int) {
	o := options{settings: map[string]map[string]any{
		"gateway": {"rate": 0}, "sam": {"approval_rate": 1_000_000, "approval_burst": 1_000_000, "redeem_time": "25m", "limits": map[string]any{"pending": 1000}},
	}}
	p := federate(b, o, o)
	there, direct := p.party(), p.b.party(b)
	for range 5 { // connections, caches and statements are there
		for _, x := range []*party{there, direct} {
			if _, err := x.sign(b.Context(), hash()); err != nil {
				b.Fatal(err)
			}
		}
	}
	base := verification(b)
	hop, alone, calls := spent{}, spent{}, 0
	for b.Loop() {
		for x, sum := range map[*party]spent{there: hop, direct: alone} {
			p.spend(b, x, clients, sum)
		}
		calls += clients * perApproval
	}
	b.Logf("%d calls: over a hop %s of CPU each, at the peer itself %s, one verification %s", calls, hop.each(calls), alone.each(calls), base)
	report(b, (hop.sum()-alone.sum())/time.Duration(calls), base, goalHop)
}

// spend has as many clients sign at once, each under an approval of its own, and adds
// up what that costs.
func (p *pair) spend(b *testing.B, x *party, clients int, sum spent) {
	b.Helper()
	type work struct {
		token  grant
		hashes [][]byte
	}
	list := make([]work, clients)
	for i := range list {
		list[i].token, list[i].hashes = x.granted(b)
	}
	before := p.cpu(b)
	var wg sync.WaitGroup
	for _, w := range list {
		wg.Go(func() {
			for _, h := range w.hashes {
				if _, err := x.client.SignHash(b.Context(), w.token.Token, x.request(h)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	sum.add(before, p.cpu(b))
}
