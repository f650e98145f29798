package store_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

// counters is a small set of migrations, in the form packages embed theirs.
var counters = fstest.MapFS{
	"migrations/0001_counter.sql": {Data: []byte(`-- +goose Up
CREATE TABLE counter (id TEXT PRIMARY KEY, org_id TEXT NOT NULL, remaining BIGINT NOT NULL, at BIGINT NOT NULL, body BYTEA);
-- +goose Down
DROP TABLE counter;
`)},
	"migrations/0002_entry.sqlite.sql": {Data: []byte(`-- +goose Up
CREATE TABLE entry (pos INTEGER PRIMARY KEY AUTOINCREMENT, counter TEXT NOT NULL REFERENCES counter (id));
`)},
	"migrations/0002_entry.postgres.sql": {Data: []byte(`-- +goose Up
CREATE TABLE entry (pos BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, counter TEXT NOT NULL REFERENCES counter (id));
`)},
}

func migrated(t *testing.T, db *store.DB) {
	t.Helper()
	if err := db.Migrate(t.Context(), "counters", counters); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, q store.Querier, id string, remaining int) {
	t.Helper()
	n, err := q.Exec(t.Context(), `INSERT INTO counter (id, org_id, remaining, at) VALUES ($1, 'o', $2, $3)`,
		id, remaining, store.Micros(time.Now()))
	if err != nil || n != 1 {
		t.Fatalf("insert: %d rows, %v", n, err)
	}
}

func remaining(t *testing.T, q store.Querier, id string) int {
	t.Helper()
	n := -1
	err := q.QueryRow(t.Context(), `SELECT remaining FROM counter WHERE id = $1`, id).Scan(&n)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatal(err)
	}
	return n
}

func TestCommittedRowsAreReadAndUndoneOnesAreNot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		err := db.Tx(t.Context(), func(_ context.Context, tx *store.Tx) error {
			put(t, tx, "kept", 3)
			if got := remaining(t, tx, "kept"); got != 3 {
				t.Errorf("inside: %d", got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		no := errors.New("no")
		err = db.Tx(t.Context(), func(_ context.Context, tx *store.Tx) error {
			put(t, tx, "undone", 3)
			return no
		})
		if !errors.Is(err, no) {
			t.Errorf("Tx returned %v, want the error of the function", err)
		}
		if a, b := remaining(t, db, "kept"), remaining(t, db, "undone"); a != 3 || b != -1 {
			t.Errorf("kept %d, undone %d", a, b)
		}
	})
}

func TestRaceForTheLastPiecesIsDecidedByTheDatabase(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		put(t, db, "c", 50)
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			sum  int64
			errs []error
		)
		for range 8 {
			wg.Go(func() {
				for range 10 {
					var n int64
					err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
						var err error
						n, err = tx.Exec(ctx, `UPDATE counter SET remaining = remaining - 1 WHERE id = $1 AND remaining > 0`, "c")
						return err
					})
					mu.Lock()
					sum += n
					errs = append(errs, err)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil || sum != 50 || remaining(t, db, "c") != 0 {
			t.Errorf("took %d of 50, left %d, %v", sum, remaining(t, db, "c"), err)
		}
	})
}

func TestIDsAreUnlike(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := store.NewID()
		if len(id) != 26 || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}
