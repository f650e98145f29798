// Package record keeps what test runs did: the events of go test -json, for
// which state of the source they hold, and the counts.
package record

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"time"
)

// Event is one line of test2json, as far as it is read here.
type Event struct {
	Time       time.Time `json:"Time,omitzero"`
	Action     string    `json:"Action"`
	Package    string    `json:"Package,omitempty"`
	ImportPath string    `json:"ImportPath,omitempty"` // of build-output and build-fail
	Test       string    `json:"Test,omitempty"`
	Elapsed    float64   `json:"Elapsed,omitempty"`
	Output     string    `json:"Output,omitempty"`
	Key        string    `json:"Key,omitempty"` // of attr
	Value      string    `json:"Value,omitempty"`
}

// Outcomes of a test.
const (
	Pass = "pass"
	Fail = "fail"
	Skip = "skip"
)

// Test is one test of a run.
type Test struct {
	Package string
	Name    string
	// Outcome is pass, fail or skip. A test that began and never ended failed.
	Outcome string
	// Attrs are what the test says of itself, in the order it said it.
	Attrs []Attr
}

// ID names the test in reports.
func (t *Test) ID() string { return t.Package + "." + t.Name }

// Attr is one T.Attr of a test.
type Attr struct{ Key, Value string }

// Run is what a whole suite did.
type Run struct {
	Suite string `json:"suite"`
	// State names the source the run was made of: a commit, and when the tree
	// differed from it a digest of the difference.
	State string `json:"state"`
	// Complete says that the suite ran to its end, whatever came of it.
	Complete bool      `json:"complete"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	Passed   int       `json:"passed"`
	Failed   int       `json:"failed"`
	Skipped  int       `json:"skipped"`
}

// Counts is the line that a suite ends with.
func (r Run) Counts() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", r.Passed, r.Failed, r.Skipped)
}

// Gather collects the events of one suite. It is not for use by several
// goroutines at once.
type Gather struct {
	tests  map[string]*Test
	order  []*Test
	failed map[string]bool // packages that failed
	hasBad map[string]bool // packages with a failed test
}

// NewGather makes an empty collection.
func NewGather() *Gather {
	return &Gather{tests: map[string]*Test{}, failed: map[string]bool{}, hasBad: map[string]bool{}}
}

// Add takes one event.
func (g *Gather) Add(e Event) {
	if e.Test == "" {
		if e.Action == Fail {
			g.failed[e.Package] = true
		}
		return
	}
	t := g.test(e)
	switch e.Action {
	case Pass, Fail, Skip:
		t.Outcome = e.Action
		if e.Action == Fail {
			g.hasBad[e.Package] = true
		}
	case "attr":
		t.Attrs = append(t.Attrs, Attr{e.Key, e.Value})
	}
}

func (g *Gather) test(e Event) *Test {
	id := e.Package + "\x00" + e.Test
	t := g.tests[id]
	if t == nil {
		t = &Test{Package: e.Package, Name: e.Test}
		g.tests[id] = t
		g.order = append(g.order, t)
	}
	return t
}

// Tests returns the tests in the order they began. A test without an outcome
// failed: its process died. A package that failed without a failed test (it did
// not build, or TestMain failed) is there as a test without a name.
func (g *Gather) Tests() []*Test {
	out := make([]*Test, 0, len(g.order))
	for _, t := range g.order {
		if t.Outcome == "" {
			t.Outcome = Fail
			g.hasBad[t.Package] = true
		}
		out = append(out, t)
	}
	var rest []string
	for p := range g.failed {
		if !g.hasBad[p] {
			rest = append(rest, p)
		}
	}
	sort.Strings(rest)
	for _, p := range rest {
		out = append(out, &Test{Package: p, Name: "(package)", Outcome: Fail})
	}
	return out
}

// Count fills in the counts of r.
func (g *Gather) Count(r *Run) {
	r.Passed, r.Failed, r.Skipped = 0, 0, 0
	for _, t := range g.Tests() {
		switch t.Outcome {
		case Pass:
			r.Passed++
		case Skip:
			r.Skipped++
		default:
			r.Failed++
		}
	}
}

// Read parses a stream of events. Lines that are no JSON are passed to other;
// go test writes some when a build fails.
func Read(r io.Reader, each func(Event) error, other func(string)) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), 16<<20)
	for s.Scan() {
		var e Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil || e.Action == "" {
			if other != nil {
				other(s.Text())
			}
			continue
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return s.Err()
}

// ErrNone says that there is no complete record of a suite for the state asked for.
var ErrNone = errors.New("no complete record")

// Save writes the run beside its events.
func Save(dir string, r Run) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(runFile(dir, r.Suite), append(b, '\n'), 0o600)
}

// Load returns the last run of a suite and its tests, if it was complete and
// made of the given state.
func Load(dir, suite, state string) (Run, []*Test, error) {
	r, tests, err := Last(dir, suite)
	if err == nil && r.State != state {
		return r, nil, fmt.Errorf("%s was last run on %s, the source is now %s: %w", suite, r.State, state, ErrNone)
	}
	return r, tests, err
}

// Last returns the last run of a suite and its tests, if it was complete, whatever
// it was made of.
func Last(dir, suite string) (Run, []*Test, error) {
	b, err := os.ReadFile(runFile(dir, suite))
	if err != nil {
		return Run{}, nil, fmt.Errorf("%s: %w", suite, ErrNone)
	}
	var r Run
	if err := json.Unmarshal(b, &r); err != nil {
		return Run{}, nil, fmt.Errorf("record of %s: %w", suite, err)
	}
	if !r.Complete {
		return r, nil, fmt.Errorf("%s was not run to its end: %w", suite, ErrNone)
	}
	f, err := os.Open(EventsFile(dir, suite))
	if err != nil {
		return r, nil, err
	}
	defer f.Close()
	g := NewGather()
	if err := Read(f, func(e Event) error { g.Add(e); return nil }, nil); err != nil {
		return r, nil, fmt.Errorf("record of %s: %w", suite, err)
	}
	return r, g.Tests(), nil
}

// EventsFile is where the events of a suite lie.
func EventsFile(dir, suite string) string { return filepath.Join(dir, suite+".events.json") }

func runFile(dir, suite string) string { return filepath.Join(dir, suite+".run.json") }
