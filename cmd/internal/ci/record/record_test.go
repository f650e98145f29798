package record_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/cmd/internal/ci/record"
)

const events = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestGood"}
{"Action":"attr","Package":"p","Test":"TestGood","Key":"feature","Value":"B1"}
{"Action":"attr","Package":"p","Test":"TestGood","Key":"control","Value":"D24"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"run","Package":"p","Test":"TestBad"}
{"Action":"attr","Package":"p","Test":"TestBad","Key":"feature","Value":"B2"}
{"Action":"fail","Package":"p","Test":"TestBad"}
{"Action":"run","Package":"p","Test":"TestAlsoB2"}
{"Action":"attr","Package":"p","Test":"TestAlsoB2","Key":"feature","Value":"B2"}
{"Action":"pass","Package":"p","Test":"TestAlsoB2"}
{"Action":"run","Package":"p","Test":"TestSkipped"}
{"Action":"attr","Package":"p","Test":"TestSkipped","Key":"feature","Value":"B3"}
{"Action":"skip","Package":"p","Test":"TestSkipped"}
{"Action":"run","Package":"p","Test":"TestDied"}
{"Action":"attr","Package":"p","Test":"TestDied","Key":"feature","Value":"B4"}
{"Action":"fail","Package":"p"}
{"Action":"fail","Package":"unbuilt"}
not json
`

func gather(t *testing.T, text string) *record.Gather {
	t.Helper()
	g := record.NewGather()
	if err := record.Read(strings.NewReader(text), func(e record.Event) error { g.Add(e); return nil }, nil); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestATestWithoutAnEndAndAPackageThatDoesNotBuildAreFailures(t *testing.T) {
	var r record.Run
	gather(t, events).Count(&r)
	if got, want := r.Counts(), "2 passed, 3 failed, 1 skipped"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestARowIsProvenOnlyWhenEveryTestThatClaimsItPassed(t *testing.T) {
	rows := []record.Row{{"id": "B1"}, {"id": "B2"}, {"id": "B3"}, {"id": "B4"}, {"id": "B5"}}
	want := []record.Feature{
		{ID: "B1", Proven: true, Tests: []string{"p.TestGood"}},
		{ID: "B2", Tests: []string{"p.TestAlsoB2", "p.TestBad"}},
		{ID: "B3", Tests: []string{"p.TestSkipped"}},
		{ID: "B4", Tests: []string{"p.TestDied"}},
		{ID: "B5", Tests: []string{}},
	}
	if d := cmp.Diff(want, record.Features(rows, gather(t, events).Tests())); d != "" {
		t.Error(d)
	}
}

func TestAControlIsOutsideOnlyWhenNoProgramCouldShowIt(t *testing.T) {
	rows := []record.Row{
		{"id": "D24", "evidence": "test"},
		{"id": "E17", "evidence": "doc"},
		{"id": "C08", "evidence": "doc + auto: key-event coverage"},
		{"id": "D25", "evidence": "test"},
	}
	var got []string
	for _, c := range record.Controls(rows, gather(t, events).Tests()) {
		got = append(got, c.ID+" "+c.State)
	}
	if d := cmp.Diff([]string{"D24 proven", "E17 outside", "C08 gap", "D25 gap"}, got); d != "" {
		t.Error(d)
	}
}

func TestAClaimOfARowThatDoesNotExistIsFound(t *testing.T) {
	got := record.Unknown([]record.Row{{"id": "B1"}, {"id": "B2"}, {"id": "B3"}}, gather(t, events).Tests(), "feature")
	if d := cmp.Diff([]string{"B4"}, got); d != "" {
		t.Error(d)
	}
}

func TestARecordHoldsForItsStateAndOnlyWhenComplete(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(record.EventsFile(dir, "test"), []byte(events), 0o600); err != nil {
		t.Fatal(err)
	}
	r := record.Run{Suite: "test", State: "abc", Started: time.Now()}
	check := func(state string, ok bool) {
		t.Helper()
		if err := record.Save(dir, r); err != nil {
			t.Fatal(err)
		}
		_, tests, err := record.Load(dir, "test", state)
		if ok != (err == nil) || ok != (len(tests) > 0) || !ok && !errors.Is(err, record.ErrNone) {
			t.Errorf("state %s, complete %v: %d tests, %v", state, r.Complete, len(tests), err)
		}
	}
	check("abc", false)
	r.Complete = true
	check("abc", true)
	check("def", false)
}

func TestTheStateNamesEveryDifferenceFromTheCommit(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]string{}
	state := func(what string) string {
		t.Helper()
		s, err := record.State(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[s]; ok {
			t.Errorf("%s and %s have the same state %s", what, other, s)
		}
		seen[s] = what
		return s
	}
	if _, err := record.State(t.Context(), dir); err == nil {
		t.Error("a folder that is no checkout has a state")
	}
	git("init", "-q")
	write("a", "1")
	state("nothing committed")
	git("add", ".")
	git("commit", "-q", "-m", "a")
	clean := state("clean")
	write("a", "2")
	state("changed")
	write("a", "3")
	state("changed otherwise")
	write("a", "1")
	write("b", "1")
	state("new file")
	write("b", "2")
	state("other new file")
	if err := os.Remove(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if again, err := record.State(t.Context(), dir); err != nil || again != clean {
		t.Errorf("back at the commit: %s, %v; want %s", again, err, clean)
	}
	if len(clean) != 40 {
		t.Errorf("a clean tree has the state %q, want the commit", clean)
	}
}

func TestATableNamesItsRowsById(t *testing.T) {
	name := filepath.Join(t.TempDir(), "t.tsv")
	if err := os.WriteFile(name, []byte("id\tfeature\tevidence\nB1\t\"quoted\" word\ttest\nB2\n\nB3\t\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rows, err := record.Table(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]record.Row{{"id": "B1", "feature": `"quoted" word`, "evidence": "test"}, {"id": "B2"}, {"id": "B3", "feature": `"`}}, rows); d != "" {
		t.Error(d)
	}
}
