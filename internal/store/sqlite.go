package store

import (
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"modernc.org/sqlite"
)

// openSQLite opens the file at path twice: one connection that writes, because
// several would starve each other, and a pool that cannot write.
func openSQLite(path string) (*DB, error) {
	if path == "" || path == ":memory:" {
		return nil, errors.New("sqlite: needs the path of a file")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// SQLite gives its -wal and -shm files the mode of the database.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	w, err := openFile(path, 1, false)
	if err != nil {
		return nil, err
	}
	r, err := openFile(path, max(4, runtime.GOMAXPROCS(0)), true)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return &DB{engine: SQLite, read: r, write: newWriter(w)}, nil
}

func openFile(path string, conns int, readOnly bool) (*sql.DB, error) {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", // first: the others may meet a lock
		"journal_mode(WAL)",
		"synchronous(FULL)", // a commit is on disk when it returns
		"foreign_keys(1)",
	}, "_txlock": {"immediate"}, "_dqs": {"0"}}
	if readOnly {
		q.Set("_query_only", "1")
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	c, err := sqlite.NewConnector(u.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(cachingConnector{c})
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}
