package sam_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

func begin(r *samtest.Rig, p *samtest.Person, client string) error {
	in := r.Intent(p, samtest.Hash("x"))
	in.Client = client
	_, err := r.Begin(r.TB.Context(), in)
	return err
}

// rejectOne begins a request and has the device reject it.
func rejectOne(r *samtest.Rig, p *samtest.Person, notMe bool) *samtest.Pending {
	r.TB.Helper()
	q := r.Request(p, samtest.Hash("x"))
	if err := r.DeviceReject(r.TB.Context(), r.Session(p.Device), q.SID, "", notMe); err != nil {
		r.TB.Fatal(err)
	}
	return q
}

func TestClientWaitsLongerAfterEachRejection(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		ada, bob := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
		for i, wait := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour, time.Hour} {
			rejectOne(r, ada, false)
			if err := begin(r, ada, samtest.Client); code(err) != samapi.CodeBackOff {
				t.Fatalf("at once after rejection %d: %v", i+1, err)
			}
			if err := begin(r, ada, "another-client"); err != nil {
				t.Fatalf("another client: %v", err)
			}
			if err := begin(r, bob, samtest.Client); err != nil {
				t.Fatalf("another signer: %v", err)
			}
			r.Clock.Add(wait - time.Second)
			if err := begin(r, ada, samtest.Client); code(err) != samapi.CodeBackOff {
				t.Fatalf("a second too early after rejection %d: %v", i+1, err)
			}
			r.Clock.Add(time.Second)
		}
		r.Clock.Add(25 * time.Hour)
		rejectOne(r, ada, false)
		r.Clock.Add(time.Minute)
		if err := begin(r, ada, samtest.Client); err != nil {
			t.Errorf("a day later it begins anew: %v", err)
		}
	})
}

func TestThisWasNotMeBlocksTheClientUntilTheRALiftsIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		waiting := r.Request(p, samtest.Hash("before"))
		q := rejectOne(r, p, true)
		v, err := r.View(t.Context(), q.SID, q.View)
		if err != nil || v.State != samapi.Rejected || v.Reason != "the signer says: this was not me" {
			t.Errorf("%+v, %v", v, err)
		}
		events := r.Events(q.SID)
		for _, want := range []string{"sad.rejected", "client.blocked", "sad.disowned"} {
			if !slices.Contains(events, want) {
				t.Errorf("no event %s among %v", want, events)
			}
		}
		if err := r.DeviceReject(t.Context(), r.Session(p.Device), q.SID, "", true); code(err) != samapi.CodeRejected {
			t.Errorf("a second time: %v", err)
		}
		r.Clock.Add(1000 * time.Hour)
		if err := begin(r, p, samtest.Client); code(err) != samapi.CodeClientBlocked {
			t.Errorf("weeks later: %v", err)
		}
		lift := func(client string) error {
			o := samapi.LiftBlock{Order: r.Order(), Signer: p.ID, Client: client, Reason: "looked into"}
			return r.LiftBlock(t.Context(), r.Seal(samapi.DomainLiftBlock, o))
		}
		if err := lift("another-client"); code(err) != samapi.CodeOrder {
			t.Errorf("a block that is not: %v", err)
		}
		wrong := samapi.LiftBlock{Order: r.Order(), Signer: p.ID, Client: samtest.Client}
		if err := r.LiftBlock(t.Context(), r.SealWith(samtest.Key(t), samapi.DomainLiftBlock, wrong)); code(err) != samapi.CodeOrder {
			t.Errorf("an order of somebody: %v", err)
		}
		if err := lift(samtest.Client); err != nil {
			t.Fatal(err)
		}
		if err := lift(samtest.Client); code(err) != samapi.CodeOrder {
			t.Errorf("lifting it twice: %v", err)
		}
		r.Person(samtest.Wish{}) // certificates of the rig are still valid
		if v, err := r.Verify(t.Context()); err != nil || len(v.Findings) != 0 {
			t.Errorf("findings %+v, %v", v.Findings, err)
		}
		_ = waiting
	})
}

// TestBlockCannotBeTakenAwayInTheDatabase: whoever writes the database but has no
// keystore neither lifts a block nor makes one.
func TestBlockCannotBeTakenAwayInTheDatabase(t *testing.T) {
	for name, change := range map[string]string{
		"the row is deleted":    `DELETE FROM sam_block`,
		"the lock is opened":    `UPDATE sam_block SET locked = 0`,
		"the time is shortened": `UPDATE sam_block SET until = 0`,
		"another client":        `UPDATE sam_block SET client = 'x'`,
	} {
		t.Run(name, func(t *testing.T) {
			r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
			p := r.Person(samtest.Wish{})
			rejectOne(r, p, true)
			r.Exec(change)
			if err := begin(r, p, samtest.Client); code(err) != samapi.CodeRecordTampered {
				t.Errorf("asking again: %v", err)
			}
			if !slices.Contains(r.Events(""), "record.tampered") {
				t.Error("no alarm")
			}
			if v, err := r.Verify(t.Context()); err != nil || len(v.Findings) == 0 {
				t.Errorf("verify finds nothing: %+v, %v", v, err)
			}
		})
	}
	t.Run("an older row is put back", func(t *testing.T) {
		r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		rejectOne(r, p, false)
		r.Exec(`CREATE TABLE old AS SELECT * FROM sam_block`)
		r.Clock.Add(time.Hour)
		rejectOne(r, p, true)
		r.Exec(`DELETE FROM sam_block`)
		r.Exec(`INSERT INTO sam_block SELECT * FROM old`)
		if err := begin(r, p, samtest.Client); code(err) != samapi.CodeRecordTampered {
			t.Errorf("asking again: %v", err)
		}
	})
}

func TestSignerIsNotFloodedUnderManyNames(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		ada, bob := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
		const most = 50 // as many as the device lists
		for i := range most {
			if err := begin(r, ada, fmt.Sprintf("client-%d", i)); err != nil {
				t.Fatalf("request %d: %v", i+1, err)
			}
		}
		if err := begin(r, ada, "one-more"); code(err) != samapi.CodeTooManyPending {
			t.Errorf("one request more: %v", err)
		}
		if err := begin(r, bob, "one-more"); err != nil {
			t.Errorf("another signer: %v", err)
		}
		session := r.Session(ada.Device)
		in, err := r.Inbox(t.Context(), session)
		if err != nil || len(in.Pending) != most {
			t.Fatalf("%d requests in the list, %v", len(in.Pending), err)
		}
		if err := r.DeviceReject(t.Context(), session, in.Pending[0].SID, "", true); err != nil {
			t.Fatal(err)
		}
		if err := begin(r, ada, "one-more"); err != nil {
			t.Errorf("after one was rejected: %v", err)
		}
	})
}
