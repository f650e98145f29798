package federation_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

// signedOnce is a rig in which peer b has signed these texts, each under an approval
// of its own.
func signedOnce(t *testing.T, db *store.DB, texts ...string) *rig {
	t.Helper()
	r := newRig(t, db)
	id := r.choose(rp)
	for _, text := range texts {
		if _, err := r.sign(r.approve(id, text), text); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *rig) export(p federation.Partner) []byte {
	r.t.Helper()
	b, err := r.receipts.ExportReceipts(r.t.Context(), r.log, "org", p, time.Time{})
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func TestReceiptsAreSignedChainedAndTellNobodysNames(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := signedOnce(t, db, "a", "b")
		file := r.export(federation.Partner{Peer: "b"})
		list, err := federation.ReadReceipts(file, r.log.VerifierKey())
		if err != nil || len(list) != 2 || list[0].Service != "peer:b" || list[0].Client != "" || list[0].Count != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		for _, word := range []string{`"rp"`, "eve", "a.pdf", `"org"`} {
			if bytes.Contains(file, []byte(word)) {
				t.Errorf("the file tells %s", word)
			}
		}
		// Again: nothing is in the log twice.
		if again, err := federation.ReadReceipts(r.export(federation.Partner{Peer: "b"}), r.log.VerifierKey()); err != nil || len(again) != 2 {
			t.Errorf("%d receipts, %v", len(again), err)
		}
		if n := r.logged(federation.EventReceipt); n != 2 {
			t.Errorf("%d in the log", n)
		}
		for name, p := range map[string]federation.Partner{"another peer": {Peer: "c"}, "nobody": {}, "a client": {Client: "gateway"}} {
			if got := r.export(p); len(got) != 0 {
				t.Errorf("receipts for %s: %s", name, got)
			}
		}
		if got, err := r.receipts.ExportReceipts(t.Context(), r.log, "org2", federation.Partner{Peer: "b"}, time.Time{}); err != nil || len(got) != 0 {
			t.Errorf("another organisation's receipts: %s, %v", got, err)
		}
		if got, err := r.receipts.ExportReceipts(t.Context(), r.log, "org", federation.Partner{Peer: "b"}, r.clock.now().Add(time.Hour)); err != nil || len(got) != 0 {
			t.Errorf("receipts of the future: %s, %v", got, err)
		}
		// A file that was changed, or is of another log, does not hold.
		other := newRig(t, sqlite(t))
		if _, err := federation.ReadReceipts(file, other.log.VerifierKey()); err == nil {
			t.Error("held with another log's key")
		}
		for name, change := range map[string]func(string) string{
			"another count": func(s string) string { return strings.Replace(s, `\"count\":1`, `\"count\":2`, 1) },
			"twice":         func(s string) string { return s + s },
			"rubbish":       func(s string) string { return s + "{}\n" },
		} {
			if _, err := federation.ReadReceipts([]byte(change(string(file))), r.log.VerifierKey()); err == nil {
				t.Errorf("%s: held", name)
			}
		}
	})
}

func TestTwoSidesReceiptsFitOrSayWhere(t *testing.T) {
	list := func(ids ...string) (out []federation.LoggedReceipt) {
		for _, id := range ids {
			what, _, _ := strings.Cut(id, "-")
			out = append(out, federation.LoggedReceipt{ID: id, Algorithm: "x", Count: 1, Binding: what, Cert: "c", Signatures: "s" + what})
		}
		return out
	}
	for name, c := range map[string]struct {
		a, b                []federation.LoggedReceipt
		agreed, onlyA, only int
	}{
		"all":               {list("1-a", "2-a"), list("2-b", "1-b"), 2, 0, 0},
		"one denied by B":   {list("1-a", "2-a"), list("1-b"), 1, 1, 0},
		"one denied by A":   {list("1-a"), list("1-b", "2-b"), 1, 0, 1},
		"one twice at B":    {list("1-a"), list("1-b", "1-c"), 1, 0, 1},
		"the same twice":    {list("1-a", "1-x"), list("1-b", "1-c"), 2, 0, 0},
		"nothing in common": {list("1-a"), list("2-b"), 0, 1, 1},
	} {
		got := federation.CompareReceipts(c.a, c.b)
		if len(got.Agreed) != c.agreed || len(got.OnlyA) != c.onlyA || len(got.OnlyB) != c.only || got.Fits() != (c.onlyA+c.only == 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	other := list("1-b")
	other[0].Signatures = "another"
	if federation.CompareReceipts(list("1-a"), other).Fits() {
		t.Error("receipts about other signatures fit")
	}
}

func TestAnExportIsBounded(t *testing.T) {
	r := newRig(t, sqlite(t))
	err := r.db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for range 10_001 {
			_, err := tx.Exec(ctx, `INSERT INTO federation_receipt (id, org_id, made, client, sid, credential, service, algorithm, count, binding, cert, signatures, logged)
				VALUES ($1, 'org', 1, 'rp', $1, 'c', 'peer:b', 1, 1, '', '', '', 1)`, store.NewID())
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.receipts.ExportReceipts(t.Context(), r.log, "org", federation.Partner{Peer: "b"}, time.Time{}); fault.Of(err).Kind != fault.TooLarge {
		t.Errorf("%v", err)
	}
}

func FuzzReadReceipts(f *testing.F) {
	r := newRig(f, sqlite(f))
	by := r.approve(r.choose(rp), "a")
	if _, err := r.sign(by, "a"); err != nil {
		f.Fatal(err)
	}
	file := r.export(federation.Partner{Peer: "b"})
	want, err := federation.ReadReceipts(file, r.log.VerifierKey())
	if err != nil || len(want) != 1 {
		f.Fatalf("%d receipts, %v", len(want), err)
	}
	f.Add(file)
	f.Add([]byte(`{"format":"countersign-audit-bundle-v1","sid":"x","checkpoint":"","entries":[]}`))
	f.Add([]byte("\n{}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		list, err := federation.ReadReceipts(file, r.log.VerifierKey())
		if err == nil && len(list) > 0 && cmp.Diff(want, list) != "" {
			t.Errorf("receipts that nobody signed: %+v", list)
		}
	})
}
