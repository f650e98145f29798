package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

func TestFailedStatementEndsTheTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		put(t, db, "taken", 1)
		err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			put(t, tx, "before", 1)
			_, err := tx.Exec(ctx, `INSERT INTO counter (id, org_id, remaining, at) VALUES ('taken', 'o', 1, 0)`)
			if !store.IsUnique(err) {
				t.Errorf("second row of the same key: %v, want a unique violation", err)
			}
			if _, err := tx.Exec(ctx, `UPDATE counter SET remaining = 7 WHERE id = 'taken'`); err == nil {
				t.Error("a statement ran after the failed one")
			}
			var n int
			if err := tx.QueryRow(ctx, `SELECT 1`).Scan(&n); !store.IsUnique(err) {
				t.Errorf("a query after the failed one: %v", err)
			}
			return nil // forgets the error
		})
		if !store.IsUnique(err) {
			t.Errorf("Tx returned %v, want the error of the statement", err)
		}
		if a, b := remaining(t, db, "before"), remaining(t, db, "taken"); a != -1 || b != 1 {
			t.Errorf("before %d, taken %d: something was kept", a, b)
		}
	})
}

func TestOtherErrorsAreNotUniqueViolations(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		_, err := db.Exec(t.Context(), `INSERT INTO entry (counter) VALUES ('nobody')`)
		if err == nil || store.IsUnique(err) || store.IsUnique(nil) || store.IsUnique(errors.New("unique")) {
			t.Errorf("foreign key violation: %v, unique: %v", err, store.IsUnique(err))
		}
	})
}

func TestTransactionInsideATransactionIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		err := db.Tx(t.Context(), func(ctx context.Context, _ *store.Tx) error {
			if err := db.Migrate(ctx, "counters", counters); !errors.Is(err, store.ErrNested) {
				t.Errorf("Migrate inside: %v", err)
			}
			var n int
			if err := db.QueryRow(ctx, `SELECT 1`).Scan(&n); !errors.Is(err, store.ErrNested) {
				t.Errorf("QueryRow inside: %v", err)
			}
			if _, err := columns(ctx, db, `SELECT 1`); !errors.Is(err, store.ErrNested) {
				t.Errorf("Query inside: %v", err)
			}
			if _, err := db.Exec(ctx, `DELETE FROM counter`); !errors.Is(err, store.ErrNested) {
				t.Errorf("Exec inside: %v", err)
			}
			return db.Tx(ctx, func(context.Context, *store.Tx) error { return nil })
		})
		if !errors.Is(err, store.ErrNested) {
			t.Errorf("Tx inside: %v", err)
		}
	})
}

func TestCancelledTransactionLeavesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Tx(ctx, func(_ context.Context, tx *store.Tx) error {
			put(t, tx, "a", 1)
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Tx returned %v", err)
		}
		if got := remaining(t, db, "a"); got != -1 {
			t.Errorf("a row of the cancelled transaction is there: %d", got)
		}
		if err := db.Tx(ctx, func(context.Context, *store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("with a dead context: %v", err)
		}
		put(t, db, "b", 1) // the database still works
	})
}

// Two transactions that each look before they write would both succeed under
// weaker isolation: the sum of both must never go below zero.
func TestTransactionsBehaveAsIfOneAfterTheOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		for round := range 10 {
			a, b := fmt.Sprintf("a%d", round), fmt.Sprintf("b%d", round)
			put(t, db, a, 1)
			put(t, db, b, 1)
			take := func(id string) error {
				return db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
					var sum int
					err := tx.QueryRow(ctx, `SELECT CAST(SUM(remaining) AS BIGINT) FROM counter WHERE id IN ($1, $2)`, a, b).Scan(&sum)
					if err != nil || sum < 2 {
						return err
					}
					time.Sleep(time.Millisecond)
					_, err = tx.Exec(ctx, `UPDATE counter SET remaining = remaining - 2 WHERE id = $1`, id)
					return err
				})
			}
			var wg sync.WaitGroup
			for _, id := range []string{a, b} {
				wg.Go(func() {
					if err := take(id); err != nil {
						t.Errorf("take: %v", err)
					}
				})
			}
			wg.Wait()
			if sum := remaining(t, db, a) + remaining(t, db, b); sum != 0 {
				t.Fatalf("round %d: the sum is %d, want 0", round, sum)
			}
		}
	})
}

// Transactions that wait for each other are committed together, and still each
// one is kept or undone by itself.
func TestMembersOfOneCommitFailAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		no := errors.New("no")
		var (
			wg    sync.WaitGroup
			start = make(chan struct{})
		)
		first := make(chan struct{})
		wg.Go(func() {
			err := db.Tx(t.Context(), func(_ context.Context, tx *store.Tx) error {
				put(t, tx, "first", 1)
				close(first)
				time.Sleep(20 * time.Millisecond) // the others queue up
				return nil
			})
			if err != nil {
				t.Errorf("first: %v", err)
			}
		})
		<-first
		for i := range 40 {
			wg.Go(func() {
				<-start
				id := fmt.Sprintf("m%d", i)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				defer func() {
					if r := recover(); (r != nil) != (i%4 == 2) {
						t.Errorf("%s: recovered %v", id, r)
					}
				}()
				err := db.Tx(ctx, func(_ context.Context, tx *store.Tx) error {
					put(t, tx, id, i)
					switch i % 4 {
					case 1:
						return no
					case 2:
						panic("no")
					case 3:
						cancel()
					}
					return nil
				})
				want := []error{nil, no, nil, context.Canceled}[i%4]
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", id, err, want)
				}
				if err == nil && remaining(t, db, id) != i {
					t.Errorf("%s: not there when Tx returned", id)
				}
			})
		}
		close(start)
		wg.Wait()
		var kept int
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM counter`).Scan(&kept); err != nil || kept != 11 {
			t.Errorf("%d rows kept, want 11 (%v)", kept, err)
		}
	})
}

func TestWaitingForTheWriterEndsWithTheContext(t *testing.T) {
	db := storetest.SQLite(t)
	migrated(t, db)
	entered, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := db.Tx(t.Context(), func(_ context.Context, tx *store.Tx) error {
			put(t, tx, "slow", 1)
			close(entered)
			<-leave
			return nil
		})
		if err != nil {
			t.Errorf("slow: %v", err)
		}
	})
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := db.Exec(ctx, `DELETE FROM counter`); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Exec while another writes: %v", err)
	}
	if got := remaining(t, db, "slow"); got != -1 {
		t.Errorf("a reader sees %d before the commit", got)
	}
	close(leave)
	wg.Wait()
	if got := remaining(t, db, "slow"); got != 1 {
		t.Errorf("after the commit: %d", got)
	}
}

// Close waits for those who write; everybody is told how it went.
func TestCloseLeavesNobodyWaiting(t *testing.T) {
	path := storetest.SQLiteDSN(t)
	db := storetest.Open(t, path)
	migrated(t, db)
	var (
		wg             sync.WaitGroup
		told           [30]error
		entered, leave = make(chan struct{}), make(chan struct{})
	)
	wg.Go(func() {
		err := db.Tx(t.Context(), func(context.Context, *store.Tx) error {
			close(entered)
			<-leave
			return nil
		})
		if err != nil {
			t.Errorf("first: %v", err)
		}
	})
	<-entered
	for i := range told {
		wg.Go(func() {
			_, told[i] = db.Exec(t.Context(), `INSERT INTO counter (id, org_id, remaining, at) VALUES ($1, 'o', 1, 0)`, fmt.Sprint(i))
		})
	}
	time.Sleep(20 * time.Millisecond) // they stand in line, and Close behind them
	wg.Go(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(20 * time.Millisecond)
	close(leave)
	wg.Wait()
	again := storetest.Open(t, path)
	for i, err := range told {
		if there := remaining(t, again, fmt.Sprint(i)) == 1; there != (err == nil) {
			t.Errorf("row %d is there: %v, but its writer was told %v", i, there, err)
		}
	}
	if _, err := db.Exec(t.Context(), `DELETE FROM counter`); err == nil {
		t.Error("a closed database writes")
	}
}

func TestQueryOutsideOfATransactionCannotWriteOnSQLite(t *testing.T) {
	db := storetest.SQLite(t)
	migrated(t, db)
	var id string
	err := db.QueryRow(t.Context(), `INSERT INTO counter (id, org_id, remaining, at) VALUES ('x', 'o', 1, 0) RETURNING id`).Scan(&id)
	if err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("write through Query: %v", err)
	}
}

// The compiled statement is in use by the outer rows when the inner query of the
// same text runs.
func TestSameQueryRunsInsideItsOwnRows(t *testing.T) {
	db := storetest.SQLite(t)
	migrated(t, db)
	for i := range 3 {
		put(t, db, fmt.Sprintf("c%d", i), i)
	}
	const query = `SELECT id FROM counter ORDER BY id`
	err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		var got []string
		for range 2 {
			outer, err := tx.Query(ctx, query)
			if err != nil {
				return err
			}
			defer outer.Close()
			for outer.Next() {
				var o, in string
				if err := errors.Join(outer.Scan(&o), tx.QueryRow(ctx, query).Scan(&in)); err != nil {
					return err
				}
				got = append(got, o+in)
			}
			if err := outer.Err(); err != nil {
				return err
			}
		}
		if s := strings.Join(got, " "); s != "c0c0 c1c0 c2c0 c0c0 c1c0 c2c0" {
			t.Errorf("read %s", s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// More texts than are kept compiled, and a schema that changes under them.
func TestStatementsAreCompiledAgainWhenNeeded(t *testing.T) {
	db := storetest.SQLite(t)
	migrated(t, db)
	put(t, db, "c", 5)
	for i := range 400 {
		var n int
		if err := db.QueryRow(t.Context(), fmt.Sprintf(`SELECT remaining + %d FROM counter`, i%200)).Scan(&n); err != nil || n != 5+i%200 {
			t.Fatalf("query %d: %d, %v", i, n, err)
		}
	}
	const all = `SELECT * FROM counter`
	for _, change := range []string{
		`CREATE INDEX counter_org ON counter (org_id)`,
		`ALTER TABLE counter ADD COLUMN more TEXT`,
		`ALTER TABLE counter DROP COLUMN more`,
	} {
		if got := remaining(t, db, "c"); got != 5 {
			t.Fatalf("before %s: %d", change, got)
		}
		if _, err := db.Exec(t.Context(), change); err != nil {
			t.Fatalf("%s: %v", change, err)
		}
		names, err := columns(t.Context(), db, all)
		want := 5
		if strings.Contains(change, "ADD") {
			want = 6
		}
		if err != nil || len(names) != want {
			t.Errorf("after %s: columns %v, %v", change, names, err)
		}
	}
}

func columns(ctx context.Context, q store.Querier, query string) ([]string, error) {
	rows, err := q.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	return names, errors.Join(err, rows.Err())
}
