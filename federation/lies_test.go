package federation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/cmd/evilpeer/evil"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

// TestEveryLieIsCaught: nothing is passed on, the peer gets no traffic any more, and
// the alarm is raised as event, count and row.
func TestEveryLieIsCaught(t *testing.T) {
	t.Attr("feature", "R8")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for lie, want := range map[evil.Lie]string{
			evil.WrongHash: federation.LieSignature, evil.OtherKey: federation.LieSignature, evil.BadDER: federation.LieSignature, evil.Swapped: federation.LieSignature,
			evil.OtherCertificate: federation.LieCertificate, evil.WeakerControl: federation.LieLevel, evil.RevokedAfter: federation.LieRevoked,
		} {
			t.Run(string(lie), func(t *testing.T) {
				r := newRig(t, db)
				r.signing = 5 * time.Minute // what was looked up before is not believed after it
				id := r.choose(rp)
				by := r.approve(id, "a", "b")
				r.tell(lie)
				answer, err := r.sign(by, "a", "b")
				if answer != nil || code(err) != "peer_quarantined" {
					t.Fatalf("passed on %v, %v", answer, err)
				}
				r.isQuarantined(want, by, id)
			})
		}
	})
}

func (r *rig) tell(l evil.Lie) {
	r.t.Helper()
	if err := r.evil.Tell(l); err != nil {
		r.t.Fatal(err)
	}
}

// isQuarantined looks at everything that a lie must have caused.
func (r *rig) isQuarantined(reason string, by csc.Caller, id string) {
	t := r.t
	t.Helper()
	q := r.quarantines()
	if len(q) != 1 || q[0].Peer != "b" || q[0].Reason != reason || q[0].Detail == "" || q[0].Org != "org" {
		t.Errorf("quarantine %+v, want %s", q, reason)
	}
	if n := r.counts.of("b lie_" + reason); n != 1 {
		t.Errorf("counted %d times", n)
	}
	if n := r.logged(federation.EventQuarantined); n < 1 {
		t.Errorf("%d events", n)
	}
	if by.SID != "" {
		if got := r.kept(by.SID); len(got) != 0 {
			t.Errorf("receipts for what was not passed on: %+v", got)
		}
	}
	// From now on nothing is sent there, honest or not.
	r.tell(evil.Honest)
	asked, pushed := r.evil.Requests(), len(r.evil.Pushes())
	if by.SID != "" {
		if _, err := r.sign(by, "a", "b"); code(err) != "peer_quarantined" {
			t.Errorf("again: %v", err)
		}
	}
	if id != "" {
		if _, err := r.peers.Begin(t.Context(), wish(rp, id, "c")); fault.Of(err).Code != "peer_quarantined" {
			t.Errorf("begin: %v", err)
		}
	}
	list, err := r.router.CredentialsList(t.Context(), rp, &csc.CredentialsListRequest{})
	if err != nil || len(list.CredentialIDs) != 0 || list.Incomplete == "" {
		t.Errorf("list %+v, %v", list, err)
	}
	if r.evil.Requests() != asked || len(r.evil.Pushes()) != pushed {
		t.Error("a quarantined peer got traffic")
	}
	// It outlives a restart, and ends only on somebody's word.
	r.open()
	if len(r.quarantines()) != 1 {
		t.Error("a restart ended the quarantine")
	}
	if err := r.peers.Lift(t.Context(), "b", "", "no reason"); fault.Of(err).Kind != fault.Invalid {
		t.Errorf("lifted by nobody: %v", err)
	}
	if err := r.peers.Lift(t.Context(), "b", "ops@a", "its keys were exchanged"); err != nil {
		t.Error(err)
	}
	if len(r.quarantines()) != 0 || r.logged(federation.EventLifted) < 1 {
		t.Error("not lifted, or not recorded")
	}
	if err := r.peers.Lift(t.Context(), "b", "ops@a", "again"); fault.Of(err).Kind != fault.NotFound {
		t.Errorf("lifted twice: %v", err)
	}
}

func TestClaimsThatTheCertificateDoesNotBearOutAreLies(t *testing.T) {
	t.Attr("feature", "R8")
	r := newRig(t, sqlite(t))
	r.tell(evil.WeakerClaim)
	list, err := r.router.CredentialsList(t.Context(), rp, &csc.CredentialsListRequest{CredentialInfo: true})
	if err != nil || len(list.CredentialIDs) != 0 || list.Incomplete == "" {
		t.Errorf("list %+v, %v", list, err)
	}
	r.isQuarantined(federation.LieLevel, csc.Caller{}, "")
}

func TestARevokedCertificateThatIsCalledValidIsALie(t *testing.T) {
	t.Attr("feature", "R8")
	r := newRig(t, sqlite(t))
	id := r.choose(rp)
	r.tell(evil.Revoked)
	if _, err := r.peers.Begin(t.Context(), wish(rp, id, "a")); fault.Of(err).Code != "peer_quarantined" {
		t.Errorf("begin: %v", err)
	}
	r.isQuarantined(federation.LieRevoked, csc.Caller{}, id)
	if r.evil.Requests() != 0 {
		t.Error("it was asked to sign")
	}
}

// TestFaultsAreNoLies: what a mishap explains is told as what it is. The peer has
// signed, nothing is passed on unverified, and nothing is sent again.
func TestFaultsAreNoLies(t *testing.T) {
	for _, lie := range []evil.Lie{evil.Garbage, evil.TooMany, evil.Endless, evil.Slow, evil.Silent, evil.Trouble} {
		t.Run(string(lie), func(t *testing.T) {
			r := newRig(t, sqlite(t))
			by := r.approve(r.choose(rp), "a")
			r.tell(lie)
			start := time.Now()
			answer, err := r.sign(by, "a")
			if answer != nil || code(err) != "indeterminate" || !strings.Contains(csc.ErrorOf(err).Description, "not sent again") {
				t.Fatalf("%v, %v", answer, err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			if len(r.quarantines()) != 0 {
				t.Errorf("quarantined: %+v", r.quarantines())
			}
			if r.logged(federation.EventIndeterminate) != 1 || r.counts.of("b indeterminate") != 1 || r.states()[0] != "INDETERMINATE" {
				t.Error("not reported")
			}
			// The same request finds the result at the peer, which offers that.
			r.tell(evil.Honest)
			got, err := r.sign(by, "a")
			if err != nil || len(got.Signatures) != 1 {
				t.Fatalf("resolved: %v, %v", got, err)
			}
			if r.evil.Requests() != 1 || len(r.kept(by.SID)) != 1 || r.logged(federation.EventResolved) != 1 {
				t.Errorf("%d requests, %d receipts", r.evil.Requests(), len(r.kept(by.SID)))
			}
			if again, err := r.sign(by, "a"); err != nil || again.Signatures[0] != got.Signatures[0] || r.evil.Requests() != 1 {
				t.Errorf("again: %v", err)
			}
		})
	}
}
