package store

import (
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Micros is a time as the database holds it: microseconds since 1970. The zero
// time is 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the time that the database holds as us, in UTC; 0 is the zero time.
func Time(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// NewID returns a new id: 26 lower-case letters and digits (base32), at least
// 128 random bits.
func NewID() string { return strings.ToLower(rand.Text()) }

// IsUnique says whether a statement failed because a row with that key exists.
func IsUnique(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return sqlState(err) == "23505"
}

// serialization says whether PostgreSQL undid a transaction because of another
// one that ran at the same time.
func serialization(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
