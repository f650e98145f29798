package sam_test

import (
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

// setState suspends or resumes a credential by a module.
func setState(r *samtest.Rig, m *sam.Module, credential, state string) error {
	o := samapi.CredentialState{Order: r.Order(), Credential: credential, State: state, Reason: "test"}
	return m.SetCredentialState(r.TB.Context(), r.Seal(samapi.DomainCredentialState, o))
}

// TestRequestIsMadeFromWhatIsStoredNow changes records by another module on the same
// database: what the first remembers of them must not count.
func TestRequestIsMadeFromWhatIsStoredNow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		h := samtest.Hash("x")
		r.Request(p, h)
		first := r.Module
		r.Restart()
		other := r.Module
		begin := func() (*samtest.Pending, error) {
			r.Module = first
			defer func() { r.Module = other }()
			if _, err := first.Begin(t.Context(), r.Intent(p, h)); err != nil {
				return nil, err
			}
			return r.Request(p, h), nil
		}
		if err := setState(r, other, p.Credential, samapi.CredentialSuspended); err != nil {
			t.Fatal(err)
		}
		_, err := begin()
		refused(t, err, samapi.CodeCredentialDisabled)
		if err := setState(r, other, p.Credential, samapi.CredentialActive); err != nil {
			t.Fatal(err)
		}
		q, err := begin()
		if err != nil {
			t.Fatalf("resumed: %v", err)
		}
		old := p.Device.ID
		if !slices.Equal(q.SAD.Authenticators, []string{old}) {
			t.Errorf("devices %v, want %s", q.SAD.Authenticators, old)
		}
		r.AddDevice(p)
		if q, err = begin(); err != nil || len(q.SAD.Authenticators) != 2 || !slices.Contains(q.SAD.Authenticators, p.Device.ID) {
			t.Errorf("with a second device: %v, %v", q, err)
		}
		order := samapi.RevokeDevice{Order: r.Order(), Authenticator: old}
		if err := other.RevokeDevice(t.Context(), r.Seal(samapi.DomainRevokeDevice, order)); err != nil {
			t.Fatal(err)
		}
		if q, err = begin(); err != nil || !slices.Equal(q.SAD.Authenticators, []string{p.Device.ID}) {
			t.Errorf("after the first was revoked: %v, %v", q, err)
		}
	})
}

// TestChangesAtTheSameTimeAreNoTampering has a credential suspended and resumed
// while it is asked for and signed with: a transaction that sees the version before
// must not take it for one that was put back.
func TestChangesAtTheSameTimeAreNoTampering(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		var approved []*samtest.Pending
		for i := range 40 {
			approved = append(approved, r.Approved(p, samtest.Hash(fmt.Sprint(i))))
		}
		allowed := func(what string, err error) {
			if code := fault.Of(err).Code; err != nil && code != samapi.CodeCredentialDisabled && code != samapi.CodeTooManyPending && !isConflict(err) {
				t.Errorf("%s: %v", what, err)
			}
		}
		var work sync.WaitGroup
		work.Go(func() {
			for i := range 30 {
				allowed("change", setState(r, r.Module, p.Credential, []string{samapi.CredentialSuspended, samapi.CredentialActive}[i%2]))
			}
		})
		for half := range 2 {
			work.Go(func() {
				for i, q := range approved[half*20 : half*20+20] {
					_, err := r.Sign(t.Context(), r.SignRequest(p, q, q.Hashes...))
					allowed(fmt.Sprintf("sign %d", i), err)
					_, err = r.Credentials(t.Context(), samapi.CredentialQuery{IDs: []string{p.Credential}})
					allowed("read", err)
					_, err = r.Begin(t.Context(), r.Intent(p, samtest.Hash("new")))
					allowed("begin", err)
				}
			})
		}
		work.Wait()
		if slices.Contains(r.Events(""), "record.tampered") {
			t.Error("an alarm was raised")
		}
	})
}

func isConflict(err error) bool { return fault.Of(err).Kind == fault.Conflict }

// TestWayBackIsForTheBrowserThatStarted: an approval is answered with the way back
// only if it comes with the view token of the page, and the handle in it is good
// once.
func TestWayBackIsForTheBrowserThatStarted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		for _, view := range []string{"", "guess"} {
			q := r.Request(p, samtest.Hash("x"))
			d, err := r.Decide(t.Context(), q.SID, view, p.Yes(q))
			if err != nil || d.State != samapi.Approved || d.Return != "" {
				t.Errorf("with view token %q: %+v, %v", view, d, err)
			}
		}
		q := r.Request(p, samtest.Hash("x"))
		wrong := p.Yes(q)
		wrong.Number = samtest.Wrong(q.Number)
		if d, err := r.Decide(t.Context(), q.SID, q.View, wrong); err == nil || d.Return != "" {
			t.Errorf("with a wrong number: %+v, %v", d, err)
		}
		d, err := r.Decide(t.Context(), q.SID, q.View, p.Yes(q))
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(d.Return)
		if err != nil || u.Query().Get("sid") != q.SID {
			t.Fatalf("way back %q, %v", d.Return, err)
		}
		out, err := r.Outcome(t.Context(), q.SID, u.Query().Get("handle"))
		if err != nil || out.State != samapi.Approved || out.Signer != p.ID {
			t.Errorf("outcome %+v, %v", out, err)
		}
		_, err = r.Outcome(t.Context(), q.SID, u.Query().Get("handle"))
		refused(t, err, samapi.CodeHandle)
	})
}

// TestMemoryIsBounded: of very many records the newest are remembered, at least half
// as many as there is room for.
func TestMemoryIsBounded(t *testing.T) {
	m := sam.NewRecent(8)
	for i := range 100 {
		m.Keep(fmt.Sprint(i), i)
		if i > 0 {
			if v, ok := m.Get("0"); !ok || v != 0 { // used all the time
				t.Fatalf("the one in use was forgotten after %d", i)
			}
		}
	}
	if n := m.Size(); n > 8 {
		t.Errorf("%d are kept", n)
	}
	for i := 97; i < 100; i++ {
		if v, ok := m.Get(fmt.Sprint(i)); !ok || v != i {
			t.Errorf("%d was forgotten", i)
		}
	}
	if _, ok := m.Get("50"); ok {
		t.Error("50 is still there")
	}
}
