package federation_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/cmd/evilpeer/evil"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

// network stands between the gateway and its peer. The next fault happens once.
type network struct {
	federation.Remote

	down    *atomic.Bool  // nothing gets through
	faults  *atomic.Int32 // what happens to the next signHash
	crash   func()        // the gateway dies
	arrived *atomic.Int32 // signHash requests that were let through
}

// What happens to a signHash on its way.
const (
	fine       int32 = iota
	lostBefore       // it does not arrive, and nobody knows
	lostAfter        // it arrives, and the answer is lost
	unreachable
	crashBefore // the gateway dies before it arrives
	crashAfter  // the gateway dies before the answer comes
)

var errNet = fault.New(fault.Unavailable, "the network is gone")

// SignHash implements federation.Remote.
func (n network) SignHash(ctx context.Context, token *cscclient.Token, q *csc.SignHashRequest) (*csc.SignHashResponse, bool, error) {
	if n.down.Load() {
		return nil, false, errNet
	}
	what := n.faults.Swap(fine)
	switch what {
	case unreachable:
		return nil, false, errNet
	case lostBefore:
		return nil, true, errNet
	case crashBefore:
		n.crash()
		return nil, true, errNet
	}
	n.arrived.Add(1)
	answer, sent, err := n.Remote.SignHash(ctx, token, q)
	switch what {
	case lostAfter:
		return nil, true, errNet
	case crashAfter:
		n.crash()
		return nil, true, errNet
	}
	return answer, sent, err
}

// CredentialsList implements federation.Remote.
func (n network) CredentialsList(ctx context.Context, q *csc.CredentialsListRequest) (*csc.CredentialsListResponse, error) {
	if n.down.Load() {
		return nil, errNet
	}
	return n.Remote.CredentialsList(ctx, q)
}

// CredentialsInfo implements federation.Remote.
func (n network) CredentialsInfo(ctx context.Context, q *csc.CredentialsInfoRequest) (*csc.CredentialInfo, error) {
	if n.down.Load() {
		return nil, errNet
	}
	return n.Remote.CredentialsInfo(ctx, q)
}

// Result implements federation.Remote.
func (n network) Result(ctx context.Context, token *cscclient.Token, q *csc.SignHashRequest) (*csc.SignHashResponse, error) {
	if n.down.Load() {
		return nil, errNet
	}
	return n.Remote.Result(ctx, token, q)
}

// wired is a rig with a network that can fail.
func wired(t testing.TB, db *store.DB) (*rig, *network) {
	n := &network{down: &atomic.Bool{}, faults: &atomic.Int32{}, arrived: &atomic.Int32{}}
	r := newRig(t, db)
	n.crash = func() { _ = r.db.Close() }
	r.between = func(inner federation.Remote) federation.Remote {
		own := *n
		own.Remote = inner
		return own
	}
	r.open()
	return r, n
}

func TestAPeerThatIsDownIsLeftOutOfTheList(t *testing.T) {
	r, n := wired(t, sqlite(t))
	local := &holder{ids: []string{"local-1"}}
	router, err := federation.New(federation.Config{
		Local: local, Recorder: r.receipts, Routes: []federation.Route{{Prefix: federation.HandlePrefix, Name: "peers", Service: r.peers}},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := r.choose(rp)
	for _, down := range []bool{false, true, false} {
		n.down.Store(down)
		list, err := router.CredentialsList(t.Context(), rp, &csc.CredentialsListRequest{})
		want := []string{"local-1", id}
		if down {
			want = want[:1]
		}
		if err != nil || !slices.Equal(list.CredentialIDs, want) || (list.Incomplete != "") != down {
			t.Errorf("down %v: %+v, %v", down, list, err)
		}
	}
}

func TestAPeerThatIsDownBeforeItSignedCostsNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r, n := wired(t, db)
		id := r.choose(rp)
		by := r.approve(id, "a")
		r.clock.pass(time.Minute)
		n.down.Store(true)
		if _, err := r.peers.Begin(t.Context(), wish(rp, id, "b")); fault.Of(err).Code != "peer_unavailable" {
			t.Errorf("begin: %v", err)
		}
		if _, err := r.sign(by, "a"); code(err) != csc.CodeTemporarilyUnavailable {
			t.Errorf("sign: %v", err)
		}
		n.down.Store(false)
		n.faults.Store(unreachable) // it went down between the look and the signature
		if _, err := r.sign(by, "a"); code(err) != csc.CodeTemporarilyUnavailable {
			t.Errorf("sign: %v", err)
		}
		if got := r.states(); !slices.Equal(got, []string{"REJECTED"}) {
			t.Errorf("states %v", got)
		}
		// The approval is as good as before.
		if _, err := r.sign(by, "a"); err != nil || r.evil.Requests() != 1 {
			t.Errorf("%v, %d requests", err, r.evil.Requests())
		}
	})
}

func TestAPeerThatRefusesIsBelieved(t *testing.T) {
	r, _ := wired(t, sqlite(t))
	by := r.approve(r.choose(rp), "a")
	r.tell(evil.Refuses)
	if _, err := r.sign(by, "a"); !csc.ErrorOf(err).Is(csc.ErrHashNotAuthorized) {
		t.Errorf("%v", err)
	}
	if got := r.states(); !slices.Equal(got, []string{"REJECTED"}) || len(r.quarantines()) != 0 {
		t.Errorf("states %v", got)
	}
}

// TestAnAnswerThatWasLostIsNeverAskedForBySigningAgain: told, resolved where the peer
// offers that, and lost aloud where it does not.
func TestAnAnswerThatWasLostIsNeverAskedForBySigningAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for name, c := range map[string]struct {
			what    int32
			results bool
			end     string
		}{
			"lost on the way there, results":    {lostBefore, true, "LOST"},
			"lost on the way there, no results": {lostBefore, false, "LOST"},
			"lost on the way back, results":     {lostAfter, true, "VERIFIED"},
			"lost on the way back, no results":  {lostAfter, false, "LOST"},
		} {
			t.Run(name, func(t *testing.T) {
				r, n := wired(t, db)
				peer := r.evil.Entry("b")
				peer.Results = c.results
				r.write(r.newList(2, peer))
				if _, err := r.registry.Reload(t.Context()); err != nil {
					t.Fatal(err)
				}
				by := r.approve(r.choose(rp), "a")
				n.faults.Store(c.what)
				for range 2 {
					if c.what == lostAfter && c.results && n.arrived.Load() > 0 {
						break // the second one would be resolved
					}
					if _, err := r.sign(by, "a"); code(err) != "indeterminate" {
						t.Fatalf("%v", err)
					}
				}
				if r.logged(federation.EventIndeterminate) < 1 {
					t.Error("not recorded")
				}
				if err := r.peers.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				r.clock.pass(2 * time.Hour)
				if err := r.peers.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := r.states(); !slices.Equal(got, []string{c.end}) {
					t.Errorf("states %v, want %s", got, c.end)
				}
				answer, err := r.sign(by, "a")
				if (c.end == "VERIFIED") != (err == nil && len(answer.Signatures) == 1) || (err != nil && code(err) != "indeterminate") {
					t.Errorf("at the end: %v, %v", answer, err)
				}
				if n := r.evil.Requests(); n > 1 || (c.what == lostBefore && n != 0) {
					t.Errorf("%d requests", n)
				}
			})
		}
	})
}

func TestAGatewayThatDiesWhileItSendsKnowsThatItDoesNotKnow(t *testing.T) {
	dsn := sqliteDSN(t)
	r, n := wired(t, sqliteAt(t, dsn))
	r.dsn = dsn
	by := r.approve(r.choose(rp), "a")

	n.faults.Store(crashAfter)
	if _, err := r.sign(by, "a"); err == nil {
		t.Fatal("signed without a database")
	}
	r.reopen()
	// Before its lease is over, another node might be working on it.
	if _, err := r.sign(by, "a"); csc.ErrorOf(err).Status != 409 {
		t.Errorf("at once: %v", err)
	}
	r.clock.pass(2 * time.Minute)
	if err := r.peers.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if answer, err := r.sign(by, "a"); err != nil || len(answer.Signatures) != 1 || r.evil.Requests() != 1 {
		t.Errorf("%v, %v, %d requests", answer, err, r.evil.Requests())
	}
	if r.logged(federation.EventIndeterminate) != 1 || r.logged(federation.EventResolved) != 1 {
		t.Error("not recorded")
	}
}

func TestAPeerWhoseClockOrOursIsOffIsRefusedWithTheReason(t *testing.T) {
	r, _ := wired(t, sqlite(t))
	id := r.choose(rp)
	now := r.clock.now()
	for name, at := range map[string]time.Time{"behind": now.Add(-48 * time.Hour), "ahead": now.Add(60 * 24 * time.Hour)} {
		r.clock.set(at)
		if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	r.clock.set(now.Add(-90 * time.Minute)) // the responder's answers are of the future
	if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); err == nil {
		t.Error("a status of the future was taken")
	}
	r.clock.set(now)
	if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); err != nil {
		t.Error(err)
	}
	if len(r.quarantines()) != 0 {
		t.Error("a clock that is off is no lie")
	}
}

func TestAPeerThatFailsAgainAndAgainIsLeftAloneForAWhile(t *testing.T) {
	r, n := wired(t, sqlite(t))
	id := r.choose(rp)
	n.down.Store(true)
	for range 6 {
		r.clock.pass(time.Minute)
		if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); err == nil {
			t.Fatal("begun")
		}
	}
	n.down.Store(false) // it is back, and not asked yet
	if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); fault.Of(err).Code != "peer_unavailable" || len(r.evil.Pushes()) != 0 {
		t.Errorf("%v, %d pushes", err, len(r.evil.Pushes()))
	}
}

func TestWhatIsOverIsForgottenInTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r, _ := wired(t, db)
		id := r.choose(rp)
		by := r.approve(id, "a")
		if _, err := r.sign(by, "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.peers.Begin(t.Context(), wish(rp, id, "never")); err != nil { // nobody comes back for it
			t.Fatal(err)
		}
		rows := func(query string) (n int) {
			t.Helper()
			if err := db.QueryRow(t.Context(), query).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for _, c := range []struct {
			after                              time.Duration
			tokens, signatures, authorizations int
		}{{0, 2, 1, 2}, {2 * time.Hour, 0, 1, 2}, {25 * time.Hour, 0, 0, 2}, {31 * 24 * time.Hour, 0, 0, 0}} {
			r.clock.pass(c.after)
			if err := r.peers.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := [3]int{
				rows(`SELECT COUNT(*) FROM federation_authorization WHERE sealed <> ''`), rows(`SELECT COUNT(*) FROM federation_operation WHERE signatures <> ''`),
				rows(`SELECT COUNT(*) FROM federation_authorization`),
			}
			if want := [3]int{c.tokens, c.signatures, c.authorizations}; got != want {
				t.Errorf("%s later: tokens, signatures, authorisations %v, want %v", c.after, got, want)
			}
		}
		if len(r.kept(by.SID)) != 1 {
			t.Error("the receipt was forgotten")
		}
	})
}
