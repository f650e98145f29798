package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// result is what a command did.
type result struct {
	args     []string
	code     int
	out, err string
	used     used // only of a command that was watched
}

func (r *result) String() string {
	return fmt.Sprintf("countersign %s: exit %d\n%s%s", strings.Join(r.args, " "), r.code, r.out, r.err)
}

// environ is the environment of commands. Later values win.
func (in *installation) environ(more ...string) []string {
	env := plainEnviron()
	for _, k := range slices.Sorted(maps.Keys(in.env)) {
		env = append(env, k+"="+in.env[k])
	}
	return append(env, more...)
}

// run runs a command as a person would.
func (in *installation) run(t testing.TB, args ...string) *result {
	t.Helper()
	return in.runWith(t.Context(), t, nil, args...)
}

// runWith is run with more in the environment.
func (in *installation) runWith(ctx context.Context, t testing.TB, env []string, args ...string) *result {
	t.Helper()
	c := exec.CommandContext(ctx, program(t, "countersign"), args...)
	c.Env, c.Dir = in.environ(env...), in.dir
	return finish(t, c, args)
}

// finish runs a prepared command and keeps what it said.
func finish(t testing.TB, c *exec.Cmd, args []string) *result {
	t.Helper()
	var out, err bytes.Buffer
	c.Stdout, c.Stderr, c.WaitDelay = &out, &err, 5*time.Second
	if e := c.Run(); e != nil {
		if _, ok := errors.AsType[*exec.ExitError](e); !ok {
			t.Fatalf("run %q: %v", args, e)
		}
	}
	return &result{args: args, code: c.ProcessState.ExitCode(), out: out.String(), err: err.String()}
}

// must is run for what has to succeed.
func (in *installation) must(t testing.TB, args ...string) *result {
	t.Helper()
	r := in.run(t, args...)
	if r.code != 0 {
		t.Fatal(r)
	}
	return r
}

func (in *installation) decode(t testing.TB, r *result, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.out), into); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
}
