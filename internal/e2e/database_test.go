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

func readEvents(ctx context.Context, db *store.DB) ([]event, error) {
	var list []event
	for _, query := range []string{"SELECT at, leaf FROM audit_entry ORDER BY pos", "SELECT at, leaf FROM audit_outbox ORDER BY id"} {
		rows, err := db.Query(ctx, query)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var (
				at   int64
				leaf string
			)
			if err := rows.Scan(&at, &leaf); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			var raw struct {
				Type, Subject, Actor, SID string
				Data                      json.RawMessage
			}
			if err := json.Unmarshal([]byte(leaf), &raw); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			list = append(list, event{raw.Type, raw.Subject, raw.Actor, raw.SID, store.Time(at), raw.Data})
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return list, nil
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
