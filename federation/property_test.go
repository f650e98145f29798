package federation_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/federation"
)

// model is what a relying party of A knows of its two hops: it approves, asks, asks
// again, in any order and at once, while the network and the gateway fail.
type model struct {
	rig *rig
	net *network

	approvals  []*approval
	indefinite int // answers that said so
}

type approval struct {
	by    csc.Caller
	texts []string
	got   map[string]string // by request
	told  bool              // once it heard that the outcome is not known
}

// ask is one signHash of an approval. What it hears must be one of the honest answers.
func (m *model) ask(a *approval, texts []string) error {
	answer, err := m.rig.sign(a.by, texts...)
	m.rig.mu.Lock()
	defer m.rig.mu.Unlock()
	key := fmt.Sprint(texts)
	if err == nil {
		if len(answer.Signatures) != len(texts) {
			return fmt.Errorf("%d signatures for %d hashes", len(answer.Signatures), len(texts))
		}
		if before, ok := a.got[key]; ok && before != fmt.Sprint(answer.Signatures) {
			return errors.New("the same request got another answer")
		}
		a.got[key] = fmt.Sprint(answer.Signatures)
		return nil
	}
	switch e := csc.ErrorOf(err); {
	case e.Code == "indeterminate":
		a.told = true
		m.indefinite++
	case e.Status == 409, e.Code == csc.CodeTemporarilyUnavailable, e.Is(csc.ErrHashNotAuthorized), e.Is(csc.ErrSADExpired):
	case e.Code == csc.CodeServerError: // the gateway died under it: nothing was said
	default:
		return fmt.Errorf("an answer that is none: %w", err)
	}
	return nil
}

// executions checks the promise: at most one for each authorised hash. Every text is
// authorised once.
func (m *model) executions() error {
	for hash, n := range m.rig.evil.Executions() {
		if n > 1 {
			return fmt.Errorf("hash %s was signed %d times", hash, n)
		}
	}
	return nil
}

// TestAtMostOneSignaturePerAuthorisedHashWhateverFails: the peer signs as often as it
// is asked, so the promise is the gateway's alone. Over two hops the relying party
// repeats, reorders and asks at once; the requests to the peer and its answers are
// lost; the gateway dies before and after the peer has signed; time passes.
func TestAtMostOneSignaturePerAuthorisedHashWhateverFails(t *testing.T) {
	t.Attr("feature", "R12")
	uncertain, repeated, delivered := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		dsn := sqliteDSN(t)
		r, n := wired(t, sqliteAt(t, dsn))
		r.dsn = dsn
		m := &model{rig: r, net: n}
		id := r.choose(rp)
		steps := rapid.IntRange(3, 14).Draw(rt, "steps")
		for i := range steps {
			if err := m.step(rt, id, i); err != nil {
				rt.Fatal(err)
			}
			if err := m.executions(); err != nil {
				rt.Fatal(err)
			}
		}
		if err := m.finish(); err != nil {
			rt.Fatal(err)
		}
		uncertain += m.indefinite
		for _, a := range m.approvals {
			delivered += len(a.got)
		}
		repeated += n.seen()
	})
	t.Logf("%d signatures arrived, %d answers said that the outcome is not known, %d requests reached the peer", delivered, uncertain, repeated)
	if uncertain == 0 || delivered == 0 {
		t.Error("the test did not try what it is for")
	}
}

func (n *network) seen() int { return int(n.arrived.Load()) }

func (m *model) step(rt *rapid.T, id string, i int) error {
	r := m.rig
	switch what := rapid.SampledFrom([]string{"approve", "sign", "sign", "sign", "at once", "pass", "sweep", "restart", "down"}).Draw(rt, "what"); {
	case what == "approve" || len(m.approvals) == 0:
		var texts []string
		for j := range rapid.IntRange(1, 3).Draw(rt, "hashes") {
			texts = append(texts, fmt.Sprintf("%d-%d-%d", i, j, len(m.approvals)))
		}
		m.net.down.Store(false)
		by, err := r.tryApprove(id, texts...)
		if err == nil {
			m.approvals = append(m.approvals, &approval{by: by, texts: texts, got: map[string]string{}})
		}
	case what == "sign":
		m.net.faults.Store(rapid.SampledFrom([]int32{fine, fine, fine, lostBefore, lostAfter, unreachable, crashBefore, crashAfter}).Draw(rt, "fault"))
		a := rapid.SampledFrom(m.approvals).Draw(rt, "approval")
		if err := m.ask(a, m.some(rt, a)); err != nil {
			return err
		}
		m.net.faults.Store(fine)
		if err := r.db.Ping(rt.Context()); err != nil { // it died
			r.reopen()
		}
	case what == "at once":
		return m.atOnce(rt)
	case what == "pass":
		r.clock.pass(rapid.SampledFrom([]time.Duration{time.Second, 40 * time.Second, 2 * time.Minute}).Draw(rt, "time"))
	case what == "sweep":
		return r.peers.Sweep(rt.Context())
	case what == "restart":
		r.open()
	case what == "down":
		m.net.down.Store(rapid.Bool().Draw(rt, "down"))
	}
	return nil
}

// some are hashes of an approval in any order.
func (m *model) some(rt *rapid.T, a *approval) []string {
	texts := slices.Clone(a.texts)
	texts = rapid.Permutation(texts).Draw(rt, "order")
	return texts[:rapid.IntRange(1, len(texts)).Draw(rt, "count")]
}

// atOnce asks three times at the same moment.
func (m *model) atOnce(rt *rapid.T) error {
	a := rapid.SampledFrom(m.approvals).Draw(rt, "approval")
	m.net.faults.Store(rapid.SampledFrom([]int32{fine, lostBefore, lostAfter}).Draw(rt, "fault"))
	errs := make([]error, 3)
	var wg sync.WaitGroup
	for i := range errs {
		texts := m.some(rt, a)
		wg.Go(func() { errs[i] = m.ask(a, texts) })
	}
	wg.Wait()
	m.net.faults.Store(fine)
	return errors.Join(errs...)
}

// finish lets everything come to its end: nothing stays uncertain, and every
// uncertain end was recorded.
func (m *model) finish() error {
	r := m.rig
	m.net.down.Store(false)
	for _, d := range []time.Duration{2 * time.Minute, 2 * time.Minute, 2 * time.Hour, time.Minute} {
		r.clock.pass(d)
		if err := r.peers.Sweep(r.t.Context()); err != nil {
			return err
		}
	}
	states := r.states()
	for _, s := range states {
		if !slices.Contains([]string{"VERIFIED", "DELIVERED", "REJECTED", "LOST"}, s) {
			return fmt.Errorf("an operation ends as %s", s)
		}
	}
	lost := 0
	for _, s := range states {
		if s == "LOST" {
			lost++
		}
	}
	if n := r.logged(federation.EventLost); n != lost {
		return fmt.Errorf("%d operations are lost, %d were reported", lost, n)
	}
	for _, a := range m.approvals {
		if a.told && r.logged(federation.EventIndeterminate) == 0 {
			return errors.New("an uncertain end is in no log")
		}
		if len(r.kept(a.by.SID)) < len(uniq(a.got)) {
			return errors.New("a signature left without its receipt")
		}
	}
	return m.executions()
}

// uniq are the different answers.
func uniq(got map[string]string) map[string]bool {
	out := map[string]bool{}
	for _, v := range got {
		out[v] = true
	}
	return out
}
