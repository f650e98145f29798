package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	chaosDuration = flag.Duration("chaos.duration", time.Minute, "how long processes are killed under load")
	chaosOut      = flag.String("chaos.out", "", "file for the counts of the kill test, as JSON")
)

// root is the module.
const root = "../.."

func TestMain(m *testing.M) {
	if path := os.Getenv(connectTo); path != "" {
		if _, err := os.Stdout.WriteString(connect(path)); err != nil {
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if dir := built; dir != "" {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// built is the folder of the programs once they are there.
var built string

// programs builds both programs, once for all tests.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "countersign-e2e-bin")
	if err != nil {
		return "", err
	}
	built = dir
	c := exec.Command("go", "build", "-o", dir+"/", "./cmd/countersign", "./cmd/countersign-sam", "./cmd/evilpeer")
	c.Dir, c.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs: %w: %s", err, out)
	}
	return dir, lookAtTree()
})

// lookAtTree tells go test that the result depends on the source files; the go
// command that reads them is invisible to its cache.
func lookAtTree() error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // somebody's temporary file
			return nil
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == ".demo" || d.Name() == ".test" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) == ".test":
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".sql", ".html", ".css", ".js", ".mod", ".sum":
			_, err = os.Stat(path)
		}
		return err
	})
}

// program names one of the programs.
func program(t testing.TB, name string) string {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// plainEnviron is the environment without what somebody exported for another
// installation.
func plainEnviron() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "COUNTERSIGN_") {
			env = append(env, e)
		}
	}
	return env
}
