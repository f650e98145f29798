package sam_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

func TestTheLedgerAccountsForEverySignature(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		one, two := samtest.Hash("one"), samtest.Hash("two")
		q := r.Approved(p, one, two)
		if _, err := r.Sign(t.Context(), r.SignRequest(p, q, one, two)); err != nil {
			t.Fatal(err)
		}
		l, err := r.Ledger(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if l.Signatures != 2 || len(l.Anomalies) != 0 || l.LogError != "" || l.Events["signature.created"] != 1 || l.First.IsZero() || l.Last.Before(l.First) {
			t.Errorf("%+v", l)
		}
		again, err := r.Ledger(t.Context(), []string{l.Checkpoint.Note})
		if err != nil || again.Kept != 1 || again.LogError != "" {
			t.Errorf("with the checkpoint of before: %+v, %v", again, err)
		}

		// Events that no module writes, some after some that it could have written.
		three, four := samtest.Hash("three"), samtest.Hash("four")
		free := r.Approved(p, one, two, three, four)
		for batch, hashes := range map[string][][]byte{"b3": {one}, "b4": {two, three}, "b5": {four}} {
			add(t, r, audit.Event{Type: "sad.consumed", SID: free.SID, Actor: "client:x", Data: map[string]any{"batch": batch, "hashes": hashes}})
		}
		if l, err = r.Ledger(t.Context(), nil); err != nil || len(l.Anomalies) != 0 {
			t.Fatalf("%+v, %v", l, err)
		}
		for name, e := range map[string]audit.Event{
			"signatures of a batch that was never spent": {
				Type: "signature.created", SID: q.SID, Data: map[string]any{"batch": "b1", "hashes": [][]byte{one}, "signatures": [][]byte{{1}}},
			},
			"signatures that name no hash": {
				Type: "signature.created", SID: free.SID, Data: map[string]any{"batch": "b3", "hashes": [][]byte{}, "signatures": [][]byte{{1}}},
			},
			"one hash signed twice, another never": {
				Type: "signature.created", SID: free.SID, Data: map[string]any{"batch": "b4", "hashes": [][]byte{three, three}, "signatures": [][]byte{{1}, {2}}},
			},
			"signatures in another's name": {
				Type: "signature.created", SID: q.SID, Data: map[string]any{"batch": "b5", "hashes": [][]byte{four}, "signatures": [][]byte{{1}}},
			},
			"a hash spent a second time": {Type: "sad.consumed", SID: q.SID, Data: map[string]any{"batch": "b2", "hashes": [][]byte{one}}},
			"an approval that is none":   {Type: "sad.approved", SID: "other", Data: map[string]any{"sad": []byte("{}")}},
			"a second approval":          {Type: "sad.approved", SID: q.SID, Data: map[string]any{"sad": q.Raw}},
		} {
			e.Actor = "mallory"
			add(t, r, e)
			now, err := r.Ledger(t.Context(), nil)
			if err != nil || len(now.Anomalies) <= len(l.Anomalies) {
				t.Errorf("%s is not seen: %+v, %v", name, now.Anomalies, err)
			}
			l = now
		}
	})
}

func add(t *testing.T, r *samtest.Rig, e audit.Event) {
	t.Helper()
	if err := r.DB.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return r.Audit.Append(ctx, tx, e) }); err != nil {
		t.Fatal(err)
	}
}

// A log that was changed, or cut together with its own checkpoints, is seen.
func TestTheLedgerSeesALogThatWasChanged(t *testing.T) {
	t.Attr("control", "E08")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		r.Person(samtest.Wish{})
		before, err := r.Ledger(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if db.Engine() == store.PostgreSQL { // as somebody who owns the tables can
			r.Exec(`DROP TRIGGER audit_entry_keep ON audit_entry`)
		} else {
			r.Exec(`DROP TRIGGER audit_entry_keep`)
		}
		r.Exec(`UPDATE audit_entry SET leaf = replace(leaf, 'ra-1', 'ra-2')`)
		l, err := r.Ledger(t.Context(), nil)
		if err != nil || l.LogError == "" {
			t.Errorf("a changed event: %+v, %v", l, err)
		}
		r.Exec(`UPDATE audit_entry SET leaf = replace(leaf, 'ra-2', 'ra-1')`)
		other := samtest.New(t, storetest.SQLite(t), samtest.Config{})
		if l, err := other.Ledger(t.Context(), []string{before.Checkpoint.Note}); err == nil && l.LogError == "" {
			t.Errorf("the checkpoint of another log: %+v", l)
		}
	})
}

func TestTheInventoryNamesKeysAndNobody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		a, b := r.Person(samtest.Wish{}), r.Enrolled(samapi.WebAuthn)
		inv, err := r.Inventory(t.Context())
		if err != nil || len(inv.Keys) != 1 || inv.Devices[samapi.DeviceKey] != 1 || inv.Devices[samapi.WebAuthn] != 1 {
			t.Fatalf("%+v, %v", inv, err)
		}
		k := inv.Keys[0]
		leaf := sha256.Sum256(a.Leaf.Raw)
		if k.Credential != a.Credential || k.State != samapi.CredentialActive || k.Certificate != hex.EncodeToString(leaf[:]) || k.KEK == 0 || k.NotAfter.IsZero() {
			t.Errorf("%+v", k)
		}
		text, err := json.Marshal(inv)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{a.ID, b.ID, a.Leaf.Subject.CommonName} {
			if secret != "" && strings.Contains(string(text), secret) {
				t.Errorf("%q is in the inventory", secret)
			}
		}
		r.Exec(`UPDATE sam_credential SET multisign = 999`)
		if _, err := r.Inventory(t.Context()); err == nil || !slices.Contains(r.Events(""), "record.tampered") {
			t.Errorf("a changed row is listed: %v", err)
		}
	})
}

func TestTheLogHoldsAReportOnceUnderItsName(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		sum := sha256.Sum256([]byte("report"))
		a := samapi.Attestation{ID: "report-0123456789abcdef", SHA256: sum[:]}
		raw, err := r.Attest(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := audit.ReadBundle(raw)
		if err != nil {
			t.Fatal(err)
		}
		events, err := audit.VerifyBundle(b, r.Audit.VerifierKey())
		if err != nil || len(events) != 1 || events[0].Subject != hex.EncodeToString(sum[:]) || events[0].Type != "report.attested" {
			t.Errorf("%+v, %v", events, err)
		}
		if _, err := r.Attest(t.Context(), a); !errors.Is(err, fault.Conflict) {
			t.Errorf("a second report of that name: %v", err)
		}
		for _, bad := range []samapi.Attestation{{ID: "0123456789abcdef0123456789abcdef", SHA256: sum[:]}, {ID: "report-fedcba9876543210", SHA256: sum[:31]}, {}} {
			if _, err := r.Attest(t.Context(), bad); !errors.Is(err, fault.Invalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}
