package conformance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/countersign/countersign/conformance"
	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

// activation is what an activation of two hashes, one of them signed, leaves.
func activation(t *testing.T, mechanism string) []audit.Record {
	t.Helper()
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{Mechanism: mechanism})
	one, two := samtest.Hash("one"), samtest.Hash("two")
	q := r.Approved(p, one, two)
	if _, err := r.Sign(t.Context(), r.SignRequest(p, q, one)); err != nil {
		t.Fatal(err)
	}
	raw, err := r.Bundle(t.Context(), q.SID)
	if err != nil {
		t.Fatal(err)
	}
	b, err := audit.ReadBundle(raw)
	if err != nil {
		t.Fatal(err)
	}
	events, err := audit.VerifyBundle(b, r.Audit.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestAnActivationIsReadAndChecked(t *testing.T) {
	for _, mechanism := range []string{samapi.DeviceKey, samapi.WebAuthn} {
		a, err := conformance.ReadActivation(activation(t, mechanism))
		if err != nil {
			t.Fatal(err)
		}
		if a.Mechanism != mechanism || len(a.SAD.Documents) != 2 || a.Spent != 1 || len(a.Signed) != 1 || a.Device == "" || a.Approved.IsZero() {
			t.Errorf("%+v", a)
		}
		if !bytes.Equal(a.Signed[0].Hash, samtest.Hash("one")) || len(a.Of(samtest.Hash("one"))) != 1 || len(a.Of(samtest.Hash("two"))) != 0 {
			t.Errorf("%+v", a.Signed)
		}
	}
	none, err := conformance.ReadActivation(nil)
	if none != nil || err != nil {
		t.Errorf("of no events: %+v, %v", none, err)
	}
}

func TestAnActivationThatDoesNotAddUpIsRefused(t *testing.T) {
	good := activation(t, samapi.DeviceKey)
	find := func(kind string) int {
		for i, e := range good {
			if e.Type == kind {
				return i
			}
		}
		t.Fatalf("no event %s", kind)
		return 0
	}
	approved, consumed, created := find("sad.approved"), find("sad.consumed"), find("signature.created")
	data := func(e audit.Record, change func(m map[string]any)) audit.Record {
		m := map[string]any{}
		if err := json.Unmarshal(e.Data, &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		e.Data, _ = json.Marshal(m)
		return e
	}
	stranger := activation(t, samapi.DeviceKey)
	passkey := activation(t, samapi.WebAuthn)
	for name, events := range map[string][]audit.Record{
		"no approval":         {good[consumed], good[created]},
		"approved twice":      {good[approved], good[approved]},
		"spent twice":         {good[approved], good[consumed], good[consumed]},
		"signed without":      {good[approved], good[created]},
		"signed twice":        {good[approved], good[consumed], good[created], good[created]},
		"another's SAD":       {data(good[approved], func(m map[string]any) { m["sad"] = sadOf(t, stranger) })},
		"another's signature": {data(good[approved], func(m map[string]any) { m["evidence"] = evidenceOf(t, stranger) })},
		"a passkey's":         {data(good[approved], func(m map[string]any) { m["evidence"] = evidenceOf(t, passkey) })},
		"unknown mechanism":   {data(good[approved], func(m map[string]any) { m["evidence"].(map[string]any)["mechanism"] = "otp" })},
		"another device":      {data(good[approved], func(m map[string]any) { m["evidence"].(map[string]any)["authenticator"] = "stranger" })},
		"no key":              {data(good[approved], func(m map[string]any) { m["evidence"].(map[string]any)["spki"] = "AAAA" })},
		"no SAD":              {data(good[approved], func(m map[string]any) { m["sad"] = "e30=" })},
		"a hash too many":     {good[approved], data(good[consumed], func(m map[string]any) { m["hashes"] = []any{samtest.Hash("three")} })},
		"another hash signed": {good[approved], good[consumed], data(good[created], func(m map[string]any) { m["hashes"] = []any{samtest.Hash("two")} })},
		"fewer signatures":    {good[approved], good[consumed], data(good[created], func(m map[string]any) { m["signatures"] = []any{} })},
		"no JSON":             {{Type: "sad.approved", SID: good[0].SID, Data: []byte("x")}},
	} {
		if a, err := conformance.ReadActivation(events); !errors.Is(err, conformance.ErrActivation) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func sadOf(t *testing.T, events []audit.Record) any { return member(t, events, "sad") }

func evidenceOf(t *testing.T, events []audit.Record) any { return member(t, events, "evidence") }

func member(t *testing.T, events []audit.Record, name string) any {
	t.Helper()
	for _, e := range events {
		if e.Type == "sad.approved" {
			m := map[string]any{}
			if err := json.Unmarshal(e.Data, &m); err != nil {
				t.Fatal(err)
			}
			return m[name]
		}
	}
	t.Fatal("no approval")
	return nil
}
