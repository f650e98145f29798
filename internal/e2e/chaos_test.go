package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// How long the kill test lets things take.
const (
	chaosApproval = 5 * time.Second  // of a signer, then the request has expired
	chaosRedeem   = 10 * time.Second // of an approval, then nothing is signed any more
	chaosSettle   = 60 * time.Second // until everything has its final state
	// On PostgreSQL another node may still be signing: hashes count as burned only
	// when no signature can come any more.
	chaosSettlePostgres = 150 * time.Second
	chaosWorkers        = 4
)

// What became of a request, as its relying party sees it.
type ending string

const (
	brokenOff ending = "broken off" // signatures were never asked for
	refused   ending = "refused"    // they were, and the last answer was no
	delivered ending = "delivered"
)

// asked is a request of the load.
type asked struct {
	client     string
	sid        string // empty when the signer never saw it
	hashes     [][]byte
	signatures [][]byte
	end        ending
	why        error
	calls      int // of signHash
}

// counts is what the kill test ends with.
type counts struct {
	Seconds  float64        `json:"seconds"`
	Engine   string         `json:"engine"`
	Kills    map[string]int `json:"kills"`
	Requests int            `json:"requests"`
	// Begun is how many of them came as far as the module.
	Begun     int `json:"begun"`
	Delivered int `json:"delivered"`
	Refused   int `json:"refused"`
	Burned    int `json:"burned"` // hashes spent, never signed, and reported as such
	// Lapsed were broken off and ended by themselves, rejected or out of time.
	Lapsed     int `json:"lapsed"`
	Repeated   int `json:"repeated"` // calls of signHash beyond the first of a request
	Signatures int `json:"signatures"`

	WithoutRecord     int `json:"signaturesWithoutRecord"`
	SignedTwice       int `json:"hashesSignedTwice"`
	WithoutFinalState int `json:"requestsWithoutFinalState"`
}

// TestKilledProcessesLoseNothingAndSignNothingTwice kills module and gateway at
// random points under load, and reads the module's tables and log afterwards.
func TestKilledProcessesLoseNothingAndSignNothingTwice(t *testing.T) {
	t.Parallel()
	duration := *chaosDuration
	if testing.Short() {
		duration = min(duration, 10*time.Second)
	}
	engines := []store.Engine{store.SQLite, store.PostgreSQL}
	all := make([]counts, len(engines))
	for i, engine := range engines {
		// One after the other: they are to be busy, not to wait for each other.
		t.Run(string(engine), func(t *testing.T) { all[i] = chaos(t, engine, duration) })
	}
	write(t, all)
}

func chaos(t *testing.T, engine store.Engine, duration time.Duration) counts {
	t.Helper()
	in := install(t, options{postgres: engine == store.PostgreSQL, settings: map[string]map[string]any{
		"gateway": {"rate": 0},
		"sam": {
			"approval_rate": 10_000, "approval_burst": 10_000, "approval_time": chaosApproval.String(), "redeem_time": chaosRedeem.String(),
		},
	}})
	var parties []*party
	for i := range chaosWorkers {
		who := in.enrol(t, fmt.Sprintf("signer-%d", i), "Signer", fmt.Sprintf("Number %d", i))
		id := fmt.Sprintf("party-%d", i)
		parties = append(parties, in.partyOf(t, id, in.client(t, id, who.Signer), who))
	}
	begin := time.Now()
	ledger, kills := storm(t, in, parties, duration)
	c := counts{Seconds: time.Since(begin).Seconds(), Engine: string(engine), Kills: kills, Requests: len(ledger)}
	within := chaosSettle
	if engine == store.PostgreSQL {
		within = chaosSettlePostgres
	}
	settle(t, in, within)
	c.account(t, in, ledger)
	c.print(t)
	v, err := in.sockets().ModuleAdmin().Verify(t.Context())
	if err != nil || len(v.Findings) > 0 || v.LogError != "" {
		t.Errorf("the module reads back its records and its log: %+v, %v", v, err)
	}
	if c.Delivered == 0 || c.Burned == 0 && duration >= time.Minute || kills["sam"] == 0 || kills["gateway"] == 0 {
		t.Errorf("this was no storm: %+v", c)
	}
	if c.WithoutRecord+c.SignedTwice+c.WithoutFinalState > 0 {
		t.Errorf("%d signatures without a record, %d hashes signed twice, %d requests without a final state", c.WithoutRecord, c.SignedTwice, c.WithoutFinalState)
	}
	return c
}

// storm runs the load while processes are killed and started again.
func storm(t *testing.T, in *installation, parties []*party, duration time.Duration) ([]*asked, map[string]int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var (
		load    sync.WaitGroup
		mu      sync.Mutex
		ledger  []*asked
		signing = make(chan struct{}) // somebody is about to sign
	)
	for _, p := range parties {
		load.Go(func() {
			for ctx.Err() == nil {
				// What was begun comes to its end.
				a := p.ask(t.Context(), signing)
				mu.Lock()
				ledger = append(ledger, a)
				mu.Unlock()
			}
		})
	}
	kills := map[string]int{}
	for end := time.Now().Add(duration); time.Now().Before(end) && !t.Failed(); {
		victims := [][]string{{"sam"}, {"gateway"}, {"sam", "gateway"}}[rand.IntN(3)]
		wait(t, signing)
		for _, name := range victims {
			if err := in.role(name).kill(); err != nil {
				t.Error(err)
			}
			kills[name]++
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		for _, name := range victims {
			if err := in.role(name).start(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	stop()
	load.Wait()
	return ledger, kills
}

// wait chooses the moment: any, or a few milliseconds after somebody began to sign.
func wait(t *testing.T, signing <-chan struct{}) {
	t.Helper()
	if rand.IntN(3) == 0 {
		time.Sleep(time.Duration(50+rand.IntN(500)) * time.Millisecond)
		return
	}
	time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	select {
	case <-signing:
		time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond)
	case <-time.After(5 * time.Second):
	case <-t.Context().Done():
	}
}

// ask is one request of the load: a relying party that begins anew when the way to
// the approval breaks, and that asks for what was approved until it gets an answer.
func (p *party) ask(ctx context.Context, signing chan<- struct{}) *asked {
	a := &asked{client: p.id, end: brokenOff}
	for range 1 + rand.IntN(3) {
		a.hashes = append(a.hashes, hash())
	}
	by := &thumb{}
	token, err := p.token(ctx, by, a.hashes...)
	a.sid = by.sid
	if err != nil {
		a.why = err
		time.Sleep(20 * time.Millisecond) // a service that is down is not hammered
		return a
	}
	select {
	case signing <- struct{}{}:
	default: // nobody lies in wait
	}
	for end := time.Now().Add(chaosRedeem + 5*time.Second); ; time.Sleep(10 * time.Millisecond) {
		a.calls++
		a.signatures, a.why = p.signHash(ctx, token, a.hashes...)
		switch {
		case a.why == nil:
			a.end = delivered
			return a
		case !transient(a.why) || time.Now().After(end):
			a.end = refused
			return a
		}
	}
}

// transient says whether an answer leaves it open what became of the request.
func transient(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Kind == fault.Unavailable
}

// settle waits until every request of the module is over by its own clock: the
// pending have expired, the approved can no longer be used.
func settle(t *testing.T, in *installation, within time.Duration) {
	t.Helper()
	end := time.Now().Add(chaosRedeem)
	eventually(t, within, "requests are pending, or hashes were spent and are neither signed nor burned", func() bool {
		st, err := in.sockets().ModuleAdmin().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.Requests["pending"] == 0 && st.Batches["spent"] == 0 && time.Now().After(end)
	})
}

func (c *counts) print(t *testing.T) {
	t.Helper()
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", b)
}

// write leaves the counts of every engine in the file that was asked for.
func write(t *testing.T, all []counts) {
	t.Helper()
	if *chaosOut == "" {
		return
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*chaosOut, append(b, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}
