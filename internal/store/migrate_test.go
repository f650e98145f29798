package store_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

// dsns runs test with the name of a fresh database of each engine.
func dsns(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, storetest.SQLiteDSN(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, storetest.PostgresDSN(t)) })
}

func TestMigrationsRunOnceAndRowsOutliveTheProcess(t *testing.T) {
	dsns(t, func(t *testing.T, dsn string) {
		for i := range 2 {
			db := storetest.Open(t, dsn)
			migrated(t, db)
			if i == 0 {
				put(t, db, "kept", 4)
			}
			if got := remaining(t, db, "kept"); got != 4 {
				t.Errorf("opening %d: %d", i, got)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestPackagesMigrateIndependently(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		other := fstest.MapFS{"0001_other.sql": {Data: []byte("-- +goose Up\nCREATE TABLE other (id TEXT PRIMARY KEY);\n")}}
		if err := db.Migrate(t.Context(), "other", other); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), `INSERT INTO other (id) VALUES ('x')`); err != nil {
			t.Error(err)
		}
	})
}

// A SQLite file belongs to one process.
func TestSeveralProcessesMigrateAtOnce(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	var wg sync.WaitGroup
	for range 4 {
		db := storetest.Open(t, dsn)
		wg.Go(func() {
			if err := db.Migrate(t.Context(), "counters", counters); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestMigrationIsRefused(t *testing.T) {
	newer := maps.Clone(counters)
	newer["migrations/0003_newer.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE newer (id TEXT);\n")}
	broken := fstest.MapFS{"0001_broken.sql": {Data: []byte("-- +goose Up\nCREATE TABLE half (id TEXT);\nCREATE NONSENSE;\n")}}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if err := db.Migrate(t.Context(), "counters", newer); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			what, name, want string
			files            fs.FS
		}{
			{"a database of a newer program", "counters", "start the newer program", counters},
			{"a name that is no identifier", "a-b; DROP", "lower-case", counters},
			{"no files", "none", "no *.sql", fstest.MapFS{}},
			{"an engine that is none", "odd", "no engine", fstest.MapFS{"0001_a.mysql.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}},
			{"wrong SQL", "broken", "NONSENSE", broken},
		} {
			if err := db.Migrate(t.Context(), c.name, c.files); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.what, err, c.want)
			}
		}
		if _, err := db.Exec(t.Context(), `INSERT INTO half (id) VALUES ('x')`); err == nil {
			t.Error("half of a broken migration was kept")
		}
	})
}

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                          "no engine",
		"mysql://x":                 "no engine",
		"sqlite:":                   "path of a file",
		"sqlite::memory:":           "path of a file",
		"sqlite:/nowhere/at/all.db": "no such file",
		"postgres://app@127.0.0.1:1/x?sslmode=disable": "connect",
		"postgres://u:secret@h:notaport/x":             "URL",
		"postgres://u@h/x?pool_max_conns=0":            "pool_max_conns",
	} {
		db, err := store.Open(t.Context(), dsn)
		if err == nil {
			t.Errorf("%s: opened; close: %v", dsn, db.Close())
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", dsn, err, want)
		}
	}
}

func TestSQLiteFileIsTheOwnersOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name?#%.db")
	db := storetest.Open(t, "sqlite:"+path)
	migrated(t, db)
	for _, file := range []string{path, path + "-wal"} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	var mode, sync string
	if err := errors.Join(db.QueryRow(t.Context(), `PRAGMA journal_mode`).Scan(&mode),
		db.QueryRow(t.Context(), `PRAGMA synchronous`).Scan(&sync)); err != nil || mode != "wal" || sync != "2" {
		t.Errorf("journal %s, synchronous %s, %v: commits are not durable", mode, sync, err)
	}
}

func TestTimesSurviveTheDatabase(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 789123456, time.FixedZone("x", 3600))
	if got := store.Time(store.Micros(at)); !got.Equal(at.Truncate(time.Microsecond)) || got.Location() != time.UTC {
		t.Errorf("got %v, want %v in UTC", got, at)
	}
	if !store.Time(store.Micros(time.Time{})).IsZero() || store.Micros(time.Time{}) != 0 {
		t.Error("the zero time is not kept")
	}
}
