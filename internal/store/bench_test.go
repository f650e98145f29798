package store_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

// BenchmarkTx is one durable insert, by one writer and by sixteen at once.
func BenchmarkTx(b *testing.B) {
	for _, e := range []struct {
		name string
		open func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		for _, writers := range []int{1, 16} {
			b.Run(e.name+map[int]string{1: "/one", 16: "/sixteen"}[writers], func(b *testing.B) {
				db := e.open(b)
				if err := db.Migrate(b.Context(), "counters", counters); err != nil {
					b.Fatal(err)
				}
				b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
				insert := func() {
					err := db.Tx(b.Context(), func(ctx context.Context, tx *store.Tx) error {
						_, err := tx.Exec(ctx, `INSERT INTO counter (id, org_id, remaining, at) VALUES ($1, 'o', $2, $3)`, store.NewID(), 1, 2)
						return err
					})
					if err != nil {
						b.Error(err)
					}
				}
				b.ResetTimer()
				if writers == 1 {
					for b.Loop() {
						insert()
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						insert()
					}
				})
			})
		}
	}
}

// BenchmarkRead is one read by key.
func BenchmarkRead(b *testing.B) {
	db := storetest.SQLite(b)
	if err := db.Migrate(b.Context(), "counters", counters); err != nil {
		b.Fatal(err)
	}
	if _, err := db.Exec(b.Context(), `INSERT INTO counter (id, org_id, remaining, at) VALUES ('x', 'o', 1, 2)`); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var n int
		if err := db.QueryRow(context.Background(), `SELECT remaining FROM counter WHERE id = $1`, "x").Scan(&n); err != nil {
			b.Fatal(err)
		}
	}
}
