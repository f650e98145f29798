package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store"
)

// postgres says that the roles' databases are PostgreSQL's.
func (in *installation) postgres() bool { return strings.HasPrefix(in.dsn["sam"], "postgres") }

// inDatabase opens a role's database and closes it again. A SQLite file belongs
// to its process, which is stopped meanwhile.
func (in *installation) inDatabase(t testing.TB, name string, do func(ctx context.Context, db *store.DB) error) {
	t.Helper()
	stopped := strings.HasPrefix(in.dsn[name], "sqlite:")
	r := in.role(name)
	if stopped {
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	db, err := store.Open(ctx, in.dsn[name])
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(do(ctx, db), db.Close()); err != nil {
		t.Fatal(err)
	}
	if stopped {
		if err := r.start(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// event is an entry of the module's log.
type event struct {
	Type, Subject, Actor, SID string
	At                        time.Time
	Data                      json.RawMessage
}

// events reads the module's log: what is in the tree, then what waits for its place.
func (in *installation) events(t testing.TB) []event {
	t.Helper()
	var list []event
	in.inDatabase(t, "sam", func(ctx context.Context, db *store.DB) (err error) {
		list, err = readEvents(ctx, db)
		return err
	})
	return list
}

// readEvents reads in one statement: an event moves from one table to the other at any
// moment, and between two of them it would be in neither.
func readEvents(ctx context.Context, db *store.DB) (list []event, err error) {
	rows, err := db.Query(ctx, `SELECT at, leaf FROM (SELECT 0 AS part, pos AS n, at, leaf FROM audit_entry
		UNION ALL SELECT 1 AS part, id AS n, at, leaf FROM audit_outbox) AS log ORDER BY part, n`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			at   int64
			leaf string
		)
		if err := rows.Scan(&at, &leaf); err != nil {
			return nil, err
		}
		var raw struct {
			Type, Subject, Actor, SID string
			Data                      json.RawMessage
		}
		if err := json.Unmarshal([]byte(leaf), &raw); err != nil {
			return nil, err
		}
		list = append(list, event{raw.Type, raw.Subject, raw.Actor, raw.SID, store.Time(at), raw.Data})
	}
	return list, rows.Err()
}

// count counts events of a type.
func count(list []event, kind string) int {
	n := 0
	for _, e := range list {
		if e.Type == kind {
			n++
		}
	}
	return n
}
