// Package storetest gives tests fresh databases: SQLite always, and PostgreSQL
// where it can be had.
//
// PostgreSQL is the server that TEST_POSTGRES names, or a throw-away server
// started from /usr/lib/postgresql/*/bin, one per test binary, gone when the
// binary ends. Without either the PostgreSQL half is skipped aloud, and fails
// when CI=true.
package storetest

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/store"
)

// Each runs test on each engine with a database of its own.
func Each(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns an empty SQLite database.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, SQLiteDSN(t))
}

// SQLiteDSN names an empty SQLite database.
func SQLiteDSN(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "test.db")
}

// Postgres returns an empty PostgreSQL database.
func Postgres(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, PostgresDSN(t))
}

// PostgresDSN names an empty schema of a PostgreSQL server; it is dropped at the
// end of the test.
func PostgresDSN(t testing.TB) string {
	t.Helper()
	base := os.Getenv("TEST_POSTGRES")
	if base == "" {
		dsn, err := server()
		switch {
		case err == nil:
			base = dsn
		case os.Getenv("CI") == "true":
			t.Fatalf("PostgreSQL is needed with CI=true: %v", err)
		default:
			t.Skipf("NOT TESTED on PostgreSQL: %v", err)
		}
	}
	schema := "t_" + store.NewID()
	admin := Open(t, base)
	if _, err := admin.Exec(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatalf("create schema: %v", err)
	}
	t.Cleanup(func() { drop(t, base, schema) })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("TEST_POSTGRES is no URL: %v", err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// Open opens a database that is closed at the end of the test.
func Open(t testing.TB, dsn string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatalf("open test database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !strings.Contains(err.Error(), "closed") {
			t.Errorf("close test database: %v", err)
		}
	})
	return db
}
