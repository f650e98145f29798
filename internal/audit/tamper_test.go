package audit_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func exec(t *testing.T, db *store.DB, query string, args ...any) {
	t.Helper()
	if n, err := db.Exec(t.Context(), query, args...); err != nil || n == 0 && !strings.HasPrefix(query, "DROP") {
		t.Fatalf("%s: %d rows, %v", query, n, err)
	}
}

// unlock makes the log's rows changeable: the attacker owns the database.
func unlock(t *testing.T, db *store.DB) {
	t.Helper()
	if db.Engine() == store.PostgreSQL {
		exec(t, db, `DROP TRIGGER audit_entry_keep ON audit_entry`)
		return
	}
	exec(t, db, `DROP TRIGGER audit_entry_keep`)
	exec(t, db, `DROP TRIGGER audit_entry_stay`)
}

func TestRowsOfTheLogCannotBeChangedOrDeleted(t *testing.T) {
	t.Attr("control", "E03")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		fill(t, open(t, db), 3)
		for _, query := range []string{`UPDATE audit_entry SET outcome = 'x'`, `DELETE FROM audit_entry`, `DELETE FROM audit_entry WHERE pos = 1`} {
			if _, err := db.Exec(t.Context(), query); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", query, err)
			}
		}
	})
}

// What somebody who owns the database changes is found by Verify from the
// database alone, since its checkpoints are signed.
func TestChangesAreFound(t *testing.T) {
	t.Attr("control", "E08")
	leaf := func(t *testing.T, db *store.DB, pos int) string {
		t.Helper()
		var s string
		if err := db.QueryRow(t.Context(), `SELECT leaf FROM audit_entry WHERE pos = $1`, pos).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	rewrite := func(t *testing.T, db *store.DB, pos int) string {
		t.Helper()
		s := strings.Replace(leaf(t, db, pos), `"outcome":"success"`, `"outcome":"failure"`, 1)
		exec(t, db, `UPDATE audit_entry SET leaf = $1, outcome = 'failure' WHERE pos = $2`, s, pos)
		return s
	}
	for _, c := range []struct {
		name, want string
		attack     func(t *testing.T, db *store.DB)
	}{
		{"an event written anew", "event 300 was changed", func(t *testing.T, db *store.DB) { rewrite(t, db, 300) }},
		{"and its hash with it", "hashes 1/0 were changed", func(t *testing.T, db *store.DB) {
			setHash(t, db, 100, tlog.RecordHash([]byte(rewrite(t, db, 100))))
		}},
		{"and its hash in the open tile", "not those of the checkpoint", func(t *testing.T, db *store.DB) {
			setHash(t, db, 599, tlog.RecordHash([]byte(rewrite(t, db, 599))))
		}},
		{"a column that searches use", "columns of event 5", func(t *testing.T, db *store.DB) {
			exec(t, db, `UPDATE audit_entry SET actor = 'somebody else' WHERE pos = 5`)
		}},
		{"an event that is no event", "event 5", func(t *testing.T, db *store.DB) {
			exec(t, db, `UPDATE audit_entry SET leaf = '{}' WHERE pos = 5`)
		}},
		{"two events exchanged", "event 5 was changed", func(t *testing.T, db *store.DB) {
			exec(t, db, `UPDATE audit_entry SET pos = 999 WHERE pos = 5`)
			exec(t, db, `UPDATE audit_entry SET pos = 5 WHERE pos = 6`)
			exec(t, db, `UPDATE audit_entry SET pos = 6 WHERE pos = 999`)
		}},
		{"an event taken out", "event 300 is missing", func(t *testing.T, db *store.DB) {
			exec(t, db, `DELETE FROM audit_entry WHERE pos = 300`)
		}},
		{"the end cut off", "event 590 is missing", func(t *testing.T, db *store.DB) {
			exec(t, db, `DELETE FROM audit_entry WHERE pos >= 590`)
		}},
		{"the end cut off and the size", "the log was cut", func(t *testing.T, db *store.DB) {
			exec(t, db, `DELETE FROM audit_entry WHERE pos >= 590`)
			exec(t, db, `UPDATE audit_tree SET size = 590`)
		}},
		{"a hash deleted", "read hashes 0/1", func(t *testing.T, db *store.DB) {
			exec(t, db, `DELETE FROM audit_tile WHERE level = 0 AND n = 1`)
		}},
		{"a checkpoint changed", "checkpoint", func(t *testing.T, db *store.DB) {
			exec(t, db, `UPDATE audit_checkpoint SET note = REPLACE(note, '600', '599')`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				l := open(t, db)
				fill(t, l, 600)
				unlock(t, db)
				c.attack(t, db)
				_, err := l.Verify(t.Context())
				if !errors.Is(err, audit.ErrTampered) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("Verify: %v, want %q", err, c.want)
				}
			})
		})
	}
}

func setHash(t *testing.T, db *store.DB, pos int, h tlog.Hash) {
	t.Helper()
	var data []byte
	if err := db.QueryRow(t.Context(), `SELECT hashes FROM audit_tile WHERE level = 0 AND n = $1`, pos/256).Scan(&data); err != nil {
		t.Fatal(err)
	}
	copy(data[pos%256*tlog.HashSize:], h[:])
	exec(t, db, `UPDATE audit_tile SET hashes = $1 WHERE level = 0 AND n = $2`, data, pos/256)
}

// empty makes the log as if nothing had ever happened, checkpoints included.
func empty(t *testing.T, db *store.DB) {
	t.Helper()
	unlock(t, db)
	for _, q := range []string{
		`DELETE FROM audit_entry`, `DELETE FROM audit_tile`, `DELETE FROM audit_checkpoint`, `UPDATE audit_tree SET size = 0`,
	} {
		exec(t, db, q)
	}
}

// Somebody who owns database and key can make another log that is in itself
// right. Who kept a checkpoint of the first one sees it.
func TestKeptCheckpointShowsCutAndFork(t *testing.T) {
	t.Attr("control", "E03")
	t.Attr("control", "E08")
	for _, c := range []struct {
		name, want string
		events     int
	}{{"cut", "the log was cut", 20}, {"fork", "not those of the checkpoint", 80}} {
		t.Run(c.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				l := open(t, db)
				kept := fill(t, l, 50)
				empty(t, db)
				other := fill(t, l, c.events)
				if _, err := l.Verify(t.Context()); err != nil {
					t.Fatalf("the other log is right in itself: %v", err)
				}
				_, err := l.Verify(t.Context(), kept.Note)
				if !errors.Is(err, audit.ErrTampered) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("with the kept checkpoint: %v, want %q", err, c.want)
				}
				proof, _, err := l.Consistency(t.Context(), min(kept.Size, other.Size))
				if err != nil {
					t.Fatal(err)
				}
				if err := audit.CheckConsistency(kept, other, proof); !errors.Is(err, audit.ErrTampered) {
					t.Errorf("the two checkpoints are consistent: %v", err)
				}
			})
		})
	}
}

func TestRewrittenLogIsNotSignedAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		fill(t, l, 5)
		setHash(t, db, 2, tlog.RecordHash([]byte("something else")))
		add(t, l, audit.Event{Type: "more", Actor: "a"})
		if err := l.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c, err := l.Checkpoint(t.Context()); !errors.Is(err, audit.ErrTampered) {
			t.Errorf("signed %s: %v", c.Note, err)
		}
	})
}

func TestCheckpointsOfOthersAreRefused(t *testing.T) {
	l := open(t, storetest.SQLite(t))
	own := fill(t, l, 5)
	other, err := audit.New(t.Context(), audit.Config{DB: storetest.SQLite(t), Origin: "test.example/sam", Signer: key(2)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Verify(t.Context(), fill(t, other, 5).Note); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("a checkpoint by another key: %v", err)
	}
	if _, err := audit.OpenCheckpoint(own.Note, other.VerifierKey()); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("the log's checkpoint under another key: %v", err)
	}
}

func TestBundleVerifiesOfflineAndBreaksWhenTouched(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		fill(t, l, 600)
		add(t, l, audit.Event{Type: "late", Actor: "a", SID: "sid-7"}) // not sequenced yet
		b, err := l.Bundle(t.Context(), "sid-7")
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		read := func() *audit.Bundle {
			b, err := audit.ReadBundle(text)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		records, err := audit.VerifyBundle(read(), l.VerifierKey())
		if err != nil || len(records) != 61 || records[0].Pos != 7 || records[60].Type != "late" {
			t.Fatalf("%d records, %v", len(records), err)
		}
		for name, change := range map[string]func(*audit.Bundle){
			"event":      func(b *audit.Bundle) { b.Entries[3].Leaf = strings.Replace(b.Entries[3].Leaf, "tester", "nobody", 1) },
			"position":   func(b *audit.Bundle) { b.Entries[3].Pos++ },
			"outside":    func(b *audit.Bundle) { b.Entries[60].Pos = 9999 },
			"negative":   func(b *audit.Bundle) { b.Entries[0].Pos = -1 },
			"order":      func(b *audit.Bundle) { b.Entries[3], b.Entries[4] = b.Entries[4], b.Entries[3] },
			"twice":      func(b *audit.Bundle) { b.Entries[4] = b.Entries[3] },
			"proof":      func(b *audit.Bundle) { b.Entries[3].Proof[0][0] ^= 1 },
			"no proof":   func(b *audit.Bundle) { b.Entries[3].Proof = nil },
			"activation": func(b *audit.Bundle) { b.SID = "sid-8" },
			"checkpoint": func(b *audit.Bundle) { b.Checkpoint = strings.Replace(b.Checkpoint, "601", "600", 1) },
			"no events":  func(b *audit.Bundle) { b.Entries = nil },
			"format":     func(b *audit.Bundle) { b.Format = "other" },
		} {
			b := read()
			change(b)
			if _, err := audit.VerifyBundle(b, l.VerifierKey()); err == nil {
				t.Errorf("%s: the changed bundle verifies", name)
			}
		}
	})
}

// A row that was changed is not exported as if it were proven.
func TestBundleOfAChangedEventIsRefused(t *testing.T) {
	t.Attr("control", "E03")
	db := storetest.SQLite(t)
	l := open(t, db)
	fill(t, l, 20)
	unlock(t, db)
	exec(t, db, `UPDATE audit_entry SET leaf = REPLACE(leaf, 'tester', 'nobody') WHERE pos = 7`)
	if _, err := l.Bundle(t.Context(), "sid-7"); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("exported: %v", err)
	}
}

func FuzzBundle(f *testing.F) {
	l := open(f, storetest.SQLite(f))
	fill(f, l, 20)
	b, err := l.Bundle(f.Context(), "sid-7")
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(b)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":"countersign-audit-bundle-v1","sid":"x","checkpoint":"","entries":[{"pos":1,"leaf":"","proof":["AA=="]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := audit.ReadBundle(data)
		if err != nil {
			return
		}
		records, err := audit.VerifyBundle(b, l.VerifierKey())
		if err != nil {
			return
		}
		for _, r := range records {
			if r.SID != "sid-7" || (r.Pos != 7 && r.Pos != 17) {
				t.Errorf("an event that the log does not hold verifies: %s", r.Leaf)
			}
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	l := open(f, storetest.SQLite(f))
	c := fill(f, l, 3)
	f.Add(c.Note)
	f.Add([]byte("test.example/sam\n3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := audit.OpenCheckpoint(data, l.VerifierKey())
		// The fuzzer's processes have a log each, of the same key and size.
		if err == nil && (got.Size != c.Size || got.Origin != c.Origin) {
			t.Errorf("a checkpoint that was never signed opens: %s", data)
		}
	})
}
