package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/internal/ci/record"
)

// selected says that the arguments leave tests out: such a run answers for nothing.
func selected(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		return strings.HasPrefix(a, "-") && slices.Contains([]string{"run", "skip", "short"}, strings.TrimPrefix(name, "test."))
	})
}

// runTests runs go test -json with the arguments and keeps its events. It says a
// line for each package and everything that a failed test wrote.
func runTests(ctx context.Context, suite string, args []string, out, errw io.Writer) (err error) {
	state, err := record.State(ctx, ".")
	if err != nil {
		return err
	}
	r := record.Run{Suite: suite, State: state, Started: time.Now().UTC()}
	if err := os.MkdirAll(recordDir, 0o750); err != nil {
		return err
	}
	// A run that is broken off must not leave the older answer standing.
	if err := record.Save(recordDir, r); err != nil {
		return err
	}
	events, err := os.Create(record.EventsFile(recordDir, suite))
	if err != nil {
		return err
	}
	defer events.Close()

	g := record.NewGather()
	runErr := goTest(ctx, args, events, g, out, errw)
	g.Count(&r)
	after, err := record.State(ctx, ".")
	if err != nil {
		return err
	}
	if after != state {
		fmt.Fprintln(errw, "ci: the source changed while the tests ran: this record proves nothing")
	}
	r.Ended = time.Now().UTC()
	r.Complete = ctx.Err() == nil && after == state && len(g.Tests()) > 0 && !selected(args)
	if err := record.Save(recordDir, r); err != nil {
		return err
	}
	sayAll(out, g)
	fmt.Fprintln(out, r.Counts())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if runErr != nil || r.Failed > 0 {
		return errNo
	}
	return nil
}

// goTest streams one go test run into g and the events file.
func goTest(ctx context.Context, args []string, events io.Writer, g *record.Gather, out, errw io.Writer) error {
	c := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 20 * time.Second
	c.Stderr = errw
	pipe, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	w := bufio.NewWriter(events)
	enc := json.NewEncoder(w)
	p := &printer{out: out, lines: map[string][]string{}}
	readErr := record.Read(pipe, func(e record.Event) error {
		g.Add(e)
		p.event(e)
		if e.Action == "output" {
			return nil // shown where it matters; the record is for the answers
		}
		return enc.Encode(e)
	}, func(line string) { fmt.Fprintln(errw, line) })
	// The record of a run that failed is whole, too.
	return errors.Join(w.Flush(), readErr, c.Wait())
}

// printer shows what a person wants of a run.
type printer struct {
	out   io.Writer
	lines map[string][]string // output of tests that have not ended, by package and test
}

func (p *printer) event(e record.Event) {
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "output":
		if p.noise(e.Output) {
			return
		}
		if len(p.lines[key]) < 400 {
			p.lines[key] = append(p.lines[key], e.Output)
		}
	case "build-output":
		fmt.Fprint(p.out, e.Output)
	case record.Pass, record.Skip:
		if e.Test == "" {
			if e.Action == record.Pass { // skipped is what has no tests
				p.end("ok  ", e)
			}
		} else if e.Action == record.Skip {
			fmt.Fprintf(p.out, "skip  %s %s: %s\n", short(e.Package), e.Test, reason(p.lines[key]))
		}
		delete(p.lines, key)
	case record.Fail:
		if e.Test == "" {
			p.end("FAIL", e)
		}
		fmt.Fprint(p.out, strings.Join(p.lines[key], ""))
		delete(p.lines, key)
	}
}

func (p *printer) end(word string, e record.Event) {
	fmt.Fprintf(p.out, "%s  %s  %.1fs\n", word, short(e.Package), e.Elapsed)
}

// noise is what go test prints around tests.
func (p *printer) noise(s string) bool {
	t := strings.TrimSpace(s)
	for _, prefix := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME", "=== ATTR", "--- PASS", "--- SKIP"} {
		if strings.HasPrefix(t, prefix) {
			return true
		}
	}
	return t == "PASS"
}

// reason is the last thing a skipped test said.
func reason(lines []string) string {
	if len(lines) == 0 {
		return "no reason given"
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

func short(pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, "github.com/countersign/countersign"), "/")
}

// sayAll repeats the failed tests at the end, where they are seen.
func sayAll(out io.Writer, g *record.Gather) {
	for _, t := range g.Tests() {
		if t.Outcome == record.Fail {
			fmt.Fprintf(out, "failed: %s\n", filepath.ToSlash(t.ID()))
		}
	}
}
