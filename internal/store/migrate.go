package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/pressly/goose/v3"
)

// migrationName is the form of the name of a package and so of its version table.
var migrationName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

// Migrate brings the tables of one package up to date. files has NNNN_name.sql
// (goose format) at its top or in a folder "migrations"; where the engines must
// differ, NNNN_name.sqlite.sql and NNNN_name.postgres.sql stand side by side.
// name is the package's own, and the versions are kept under it. On PostgreSQL
// several processes may call it at once; a SQLite file belongs to one.
func (db *DB) Migrate(ctx context.Context, name string, files fs.FS) error {
	if err := outside(ctx); err != nil {
		return err
	}
	if !migrationName.MatchString(name) {
		return fmt.Errorf("migrate %q: the name is not lower-case letters, digits and _", name)
	}
	if err := db.migrate(ctx, name, files); err != nil {
		return fmt.Errorf("migrate %s: %w", name, err)
	}
	return nil
}

func (db *DB) migrate(ctx context.Context, name string, files fs.FS) (err error) {
	if sub, err := fs.Sub(files, "migrations"); err == nil {
		if _, err := fs.Stat(sub, "."); err == nil {
			files = sub
		}
	}
	other, err := db.otherEngine(files)
	if err != nil {
		return err
	}
	dialect, pool := goose.DialectSQLite3, db.read
	if db.write != nil {
		pool = db.write.db
		free, err := db.write.hold(ctx)
		if err != nil {
			return err
		}
		defer free()
	} else {
		dialect = goose.DialectPostgres
		unlock, err := db.lockMigrations(ctx, name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unlock()) }()
	}
	p, err := goose.NewProvider(dialect, pool, files,
		goose.WithTableName("goose_"+name), goose.WithExcludeNames(other), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("the database is at version %d and this program knows only %d: start the newer program", have, want)
	}
	_, err = p.Up(ctx)
	return err
}

// otherEngine names the files that are not for this engine.
func (db *DB) otherEngine(files fs.FS) ([]string, error) {
	all, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("there are no *.sql files")
	}
	var other []string
	for _, file := range all {
		engine := strings.TrimPrefix(path.Ext(strings.TrimSuffix(file, ".sql")), ".")
		switch Engine(engine) {
		case "", db.engine:
		case SQLite, PostgreSQL:
			other = append(other, file)
		default:
			return nil, fmt.Errorf("%s: %q is no engine", file, engine)
		}
	}
	return other, nil
}

// lockMigrations keeps other processes from the same migrations.
func (db *DB) lockMigrations(ctx context.Context, name string) (unlock func() error, err error) {
	c, err := db.read.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var schema sql.NullString
	if err := c.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&schema); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte("countersign migrations\x00" + schema.String + "\x00" + name))
	id := int64(h.Sum64()) //nolint:gosec // any 64 bits will do
	if _, err := c.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, id); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return func() error {
		_, err := c.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, id)
		return errors.Join(err, c.Close())
	}, nil
}
