package sam_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

// code is the code of an error, or "none".
func code(err error) string {
	if err == nil {
		return "none"
	}
	return fault.Of(err).Code
}

func sids(items []samapi.Item) []string {
	out := []string{}
	for _, i := range items {
		out = append(out, i.SID)
	}
	return out
}

func TestDeviceSeesItsSignersRequestsAndNoOthers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		ada, bob := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
		passkeys := r.Person(samtest.Wish{Mechanism: samapi.WebAuthn})
		token := r.Session(ada.Device)
		before, err := r.Pulse(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		one, two := r.Request(ada, samtest.Hash("1")), r.Request(ada, samtest.Hash("2"))
		other := r.Request(bob, samtest.Hash("3"))
		r.Request(passkeys, samtest.Hash("4"))
		if after, err := r.Pulse(t.Context(), token); err != nil || after == before {
			t.Errorf("new requests leave the pulse as it was: %q, %v", after, err)
		}
		in, err := r.Inbox(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		got := sids(in.Pending)
		slices.Sort(got)
		want := []string{one.SID, two.SID}
		slices.Sort(want)
		if !slices.Equal(got, want) || len(in.Finished) != 0 || in.SignerName != ada.Subject.CommonName || in.Device.Name != "test device" {
			t.Errorf("inbox %+v, want %v", in, want)
		}
		seen, err := r.DeviceView(t.Context(), token, one.SID)
		if err != nil || string(seen.SAD) != string(one.Raw) || seen.Number != "" || seen.Key.Holder != ada.Subject.CommonName || seen.Key.Qualified {
			t.Errorf("view %+v, %v", seen, err)
		}
		if _, err := r.DeviceView(t.Context(), token, other.SID); !isKind(err, fault.NotFound) {
			t.Errorf("another signer's request: %v", err)
		}
		if err := r.DeviceReject(t.Context(), token, other.SID, "", true); !isKind(err, fault.NotFound) {
			t.Errorf("rejecting another signer's request: %v", err)
		}
		if _, err := r.Approve(t.Context(), one.SID, ada.Yes(one)); err != nil {
			t.Fatal(err)
		}
		r.Clock.Add(301 * time.Second)
		in, err = r.Inbox(t.Context(), token)
		if err != nil || len(in.Pending) != 0 || len(in.Finished) != 2 {
			t.Fatalf("when all is over: %+v, %v", in, err)
		}
		states := []string{in.Finished[0].State, in.Finished[1].State}
		slices.Sort(states)
		if !slices.Equal(states, []string{samapi.Approved, samapi.Expired}) {
			t.Errorf("states %v", states)
		}
	})
}

func isKind(err error, k fault.Kind) bool { return err != nil && fault.Of(err).Kind == k }

func TestSessionTakesAFreshNonceAndTheDevicesKey(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p, other := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
	passkey := r.Person(samtest.Wish{Mechanism: samapi.WebAuthn})
	q := r.Request(p, samtest.Hash("x"))
	used := r.Opening(p.Device, r.Fresh())
	if _, err := r.OpenSession(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	old := r.Opening(p.Device, r.Fresh())
	r.Clock.Add(61 * time.Second)
	for name, change := range map[string]func(o *samapi.OpenSession){
		"used before":            func(o *samapi.OpenSession) { *o = used },
		"too old":                func(o *samapi.OpenSession) { *o = old },
		"a nonce of nobody":      func(o *samapi.OpenSession) { *o = r.Opening(p.Device, "0123456789012345678901234567890123456789012") },
		"no nonce":               func(o *samapi.OpenSession) { *o = r.Opening(p.Device, "") },
		"another device's name":  func(o *samapi.OpenSession) { o.Authenticator = other.Device.ID },
		"a device that is not":   func(o *samapi.OpenSession) { o.Authenticator = "nosuch" },
		"no signature":           func(o *samapi.OpenSession) { o.Signature = nil },
		"the signature of a SAD": func(o *samapi.OpenSession) { c := sad.Challenge(q.Raw); o.Signature = p.Device.Sign(c[:]) },
		"another device's key": func(o *samapi.OpenSession) {
			o.Signature = r.Opening(&samtest.Device{ID: p.Device.ID, Key: other.Device.Key}, o.Nonce).Signature
		},
		"a passkey's signature":     func(o *samapi.OpenSession) { *o = r.Opening(passkey.Device, o.Nonce) },
		"a statement for the nonce": func(o *samapi.OpenSession) { o.Signature = p.Device.Sign(samapi.StatementChallenge([]byte(o.Nonce))) },
	} {
		o := r.Opening(p.Device, r.Fresh())
		change(&o)
		if s, err := r.OpenSession(t.Context(), o); code(err) != samapi.CodeSession || s.Token != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Inbox(t.Context(), "nosuch"); code(err) != samapi.CodeSession {
		t.Errorf("a token of nobody: %v", err)
	}
	token := r.Session(p.Device)
	r.Clock.Add(16 * time.Minute)
	if _, err := r.Inbox(t.Context(), token); code(err) != samapi.CodeSession {
		t.Errorf("an old session: %v", err)
	}
	closed := r.Session(p.Device)
	if err := r.CloseSession(t.Context(), closed); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pulse(t.Context(), closed); code(err) != samapi.CodeSession {
		t.Errorf("a closed session: %v", err)
	}
}

func TestOneNonceOpensOneSession(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		o := r.Opening(r.Enrolled(samapi.DeviceKey).Device, r.Fresh())
		var opened atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := r.OpenSession(t.Context(), o); err == nil {
					opened.Add(1)
				}
			})
		}
		all.Wait()
		if got := opened.Load(); got != 1 {
			t.Errorf("%d sessions", got)
		}
	})
}

func TestRevokedDeviceSeesNothingFromThenOn(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{})
	q := r.Request(p, samtest.Hash("x"))
	token := r.Session(p.Device)
	o := samapi.RevokeDevice{Order: r.Order(), Authenticator: p.Device.ID, Reason: "stolen"}
	if err := r.RevokeDevice(t.Context(), r.Seal(samapi.DomainRevokeDevice, o)); err != nil {
		t.Fatal(err)
	}
	_, inbox := r.Inbox(t.Context(), token)
	_, view := r.DeviceView(t.Context(), token, q.SID)
	_, pulse := r.Pulse(t.Context(), token)
	_, again := r.OpenSession(t.Context(), r.Opening(p.Device, r.Fresh()))
	for name, err := range map[string]error{
		"inbox": inbox, "view": view, "pulse": pulse, "a new session": again,
		"reject": r.DeviceReject(t.Context(), token, q.SID, "", false), "remove": r.RemoveDevice(t.Context(), token),
	} {
		if code(err) != samapi.CodeDeviceRevoked {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRemovedDeviceLeavesKeysSuspended(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{})
	if err := r.RemoveDevice(t.Context(), r.Session(p.Device)); err != nil {
		t.Fatal(err)
	}
	got, err := r.Credentials(t.Context(), samapi.CredentialQuery{IDs: []string{p.Credential}})
	if err != nil || len(got) != 1 || got[0].State != samapi.CredentialSuspended {
		t.Errorf("%+v, %v", got, err)
	}
	v, err := r.Verify(t.Context())
	if err != nil || len(v.Findings) != 0 {
		t.Errorf("findings %+v, %v", v.Findings, err)
	}
}

func TestSessionOfAnotherDeviceIsNoticed(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	ada, bob := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
	token := r.Session(bob.Device)
	r.Exec(`UPDATE sam_session SET authenticator = $1`, ada.Device.ID)
	if _, err := r.Inbox(t.Context(), token); code(err) != samapi.CodeRecordTampered {
		t.Errorf("a session that was given to another device: %v", err)
	}
	if !slices.Contains(r.Events(""), "record.tampered") {
		t.Error("no alarm")
	}
	r.Exec(`UPDATE sam_session SET authenticator = $1, expires = expires + 1`, bob.Device.ID)
	if _, err := r.Inbox(t.Context(), token); code(err) != samapi.CodeRecordTampered {
		t.Errorf("a session that lives longer: %v", err)
	}
}

func TestOldNoncesAndSessionsAreForgotten(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{})
	r.Session(p.Device)
	r.Fresh()
	r.Clock.Add(time.Hour)
	if err := r.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"sam_nonce", "sam_session"} {
		if n := r.Exec(`DELETE FROM ` + table); n != 0 {
			t.Errorf("%s has %d rows left", table, n)
		}
	}
}
