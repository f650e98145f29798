package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// failed is a database without connections. A *sql.Row that holds an error can be
// had only from one that fails.
var failed = sql.OpenDB(failing{})

// failedRow returns a row whose Scan gives err.
func failedRow(ctx context.Context, err error) *sql.Row {
	return failed.QueryRowContext(context.WithValue(context.WithoutCancel(ctx), failing{}, err), "")
}

// failing is a driver whose every connection fails with the error in the context.
type failing struct{}

// Connect implements driver.Connector.
func (failing) Connect(ctx context.Context) (driver.Conn, error) {
	if err, ok := ctx.Value(failing{}).(error); ok {
		return nil, err
	}
	return nil, errors.New("no error was given")
}

// Driver implements driver.Connector.
func (f failing) Driver() driver.Driver { return f }

// Open implements driver.Driver.
func (f failing) Open(string) (driver.Conn, error) { return f.Connect(context.Background()) }
