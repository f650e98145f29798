package conformance_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/conformance"
	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// A machine's order must be for what was signed, and have been good then: the module
// that recorded it is not believed.
func TestAMachinesOrderIsCheckedAgain(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{Mechanism: samapi.Delegation})
	in := r.Intent(p, samtest.Hash("one"))
	order := signing.Delegation{
		Audience: in.Gateway, Client: in.Client, Credential: in.Credential, HashOID: in.HashOID, By: "user u1", Hashes: [][]byte{samtest.Hash("one")},
		ID: store.NewID(), Issued: r.Clock.Now().Unix(), Expires: r.Clock.Now().Add(time.Minute).Unix(),
	}
	seal := func(change func(d *signing.Delegation)) string {
		d := order
		change(&d)
		jws, err := signing.SealDelegation(d, p.Device.Key)
		if err != nil {
			t.Fatal(err)
		}
		return jws
	}
	out, err := r.Delegate(t.Context(), samapi.Delegated{Intent: in, Object: seal(func(*signing.Delegation) {})})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Audit.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	events, err := r.Audit.Records(t.Context(), audit.Filter{SID: out.SID})
	if err != nil || len(events) == 0 {
		t.Fatal(events, err)
	}
	a, err := conformance.ReadActivation(events)
	if err != nil || a == nil || a.By != "user u1" || a.Mechanism != samapi.Delegation {
		t.Fatalf("%+v, %v", a, err)
	}
	for name, change := range map[string]func(d *signing.Delegation){
		"another client's":     func(d *signing.Delegation) { d.Client = "other" },
		"for another key":      func(d *signing.Delegation) { d.Credential = "other" },
		"of other hashes":      func(d *signing.Delegation) { d.Hashes = [][]byte{samtest.Hash("two")} },
		"of more hashes":       func(d *signing.Delegation) { d.Hashes = append(d.Hashes, samtest.Hash("two")) },
		"of other digests":     func(d *signing.Delegation) { d.HashOID = "2.16.840.1.101.3.4.2.3" },
		"caused by another":    func(d *signing.Delegation) { d.By = "mallory" },
		"long over":            func(d *signing.Delegation) { d.Issued, d.Expires = d.Issued-3600, d.Expires-3600 },
		"made an hour later":   func(d *signing.Delegation) { d.Issued, d.Expires = d.Issued+3600, d.Expires+3600 },
		"with an id too short": func(d *signing.Delegation) { d.ID = strings.Repeat("x", 8) },
	} {
		if a, err := conformance.ReadActivation(withOrder(t, events, seal(change))); !errors.Is(err, conformance.ErrActivation) {
			t.Errorf("an order %s: %+v, %v", name, a, err)
		}
	}
}

// withOrder puts another order into the approval.
func withOrder(t *testing.T, events []audit.Record, jws string) []audit.Record {
	t.Helper()
	var out []audit.Record
	for _, e := range events {
		if e.Type == "sad.approved" {
			m := map[string]any{}
			if err := json.Unmarshal(e.Data, &m); err != nil {
				t.Fatal(err)
			}
			m["evidence"].(map[string]any)["signature"] = []byte(jws)
			e.Data, _ = json.Marshal(m)
		}
		out = append(out, e)
	}
	return out
}
