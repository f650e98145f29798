package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store"
)

// server starts the throw-away server at its first call and returns its DSN.
var server = sync.OnceValues(startServer)

// serverScript makes a cluster and serves it until its standard input ends, which
// is when the test binary ends, however it ends.
const serverScript = `
set -eu
dir=$1 bin=$2 uid=$3
as=""
if [ "$uid" = 0 ]; then
	chown postgres "$dir"
	as="setpriv --reuid=postgres --regid=postgres --clear-groups --"
fi
cd "$dir"
trap 'cd /; rm -rf "$dir"' EXIT
$as "$bin/initdb" -D "$dir/data" -U app --auth=trust --encoding=UTF8 --locale=C --no-sync >"$dir/log" 2>&1
$as "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=400 -c shared_buffers=64MB \
	-c fsync=off -c full_page_writes=off -c timezone=UTC >>"$dir/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -QUIT "$server" 2>/dev/null || true
wait "$server" 2>/dev/null || true
`

func startServer() (dsn string, err error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(bins) == 0 {
		return "", errors.New("neither TEST_POSTGRES nor /usr/lib/postgresql/*/bin/postgres is there: apt-get install postgresql")
	}
	slices.Sort(bins)
	bin := filepath.Dir(bins[len(bins)-1])
	// A socket's path is at most 107 bytes long: not under TMPDIR.
	dir, err := os.MkdirTemp("/tmp", "cspg")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("/bin/sh", "-c", serverScript, "sh", dir, bin, fmt.Sprint(os.Getuid())) //nolint:gosec,noctx // lives as long as the process
	if _, err := cmd.StdinPipe(); err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	dsn = "postgres://app@/postgres?" + url.Values{"host": {dir}, "sslmode": {"disable"}}.Encode()
	if err := await(dsn, gone); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log")) //nolint:gosec // our own file
		return "", fmt.Errorf("start PostgreSQL: %w: %s", err, strings.TrimSpace(string(log)))
	}
	return dsn, nil
}

// await returns when the server answers.
func await(dsn string, gone <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		db, err := store.Open(ctx, dsn)
		if err == nil {
			return db.Close()
		}
		select {
		case <-gone:
			return errors.New("it ended")
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// drop removes a schema. The context of the test has ended by then.
func drop(t testing.TB, dsn, schema string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	db, err := store.Open(ctx, dsn)
	if err != nil {
		t.Errorf("drop schema: %v", err)
		return
	}
	if _, err := db.Exec(ctx, "DROP SCHEMA "+schema+" CASCADE"); err != nil {
		t.Errorf("drop schema: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("drop schema: %v", err)
	}
}
