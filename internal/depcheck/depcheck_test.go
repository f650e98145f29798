package depcheck_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/depcheck"
)

const root = "../.."

func check(t *testing.T, r depcheck.Rules, goos, goarch string, patterns ...string) {
	t.Helper()
	lookAtTree(t)
	list, err := depcheck.List(t.Context(), root, goos, goarch, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, p := range list {
		if strings.HasPrefix(p.ImportPath, r.Module+"/") {
			ours++
		}
	}
	if ours < 3 {
		t.Fatalf("go list found %d packages of ours: nothing was checked", ours)
	}
	for _, v := range r.Check(list) {
		t.Error(v)
	}
}

// lookAtTree tells go test that the result depends on the source files; the go
// command that reads them is invisible to its cache.
func lookAtTree(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		if d != nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHousePlanIsKept(t *testing.T) {
	t.Attr("control", "D15")
	check(t, depcheck.House(), runtime.GOOS, runtime.GOARCH, "./...")
}

func TestHousePlanIsKeptInTheBrowser(t *testing.T) {
	check(t, depcheck.Browser(), "js", "wasm", "./ades/...", "./signing", "./cmd/countersign-wasm/...")
}

func TestAssemblingProgramStaysSmall(t *testing.T) {
	check(t, depcheck.Assembling(), "js", "wasm", "-tags=assemble", "./cmd/countersign-wasm")
}

// The plan and the tree know each other: a rule for a package that has gone is
// removed with it. Packages that are still to come are listed here.
func TestRulesNamePackagesThatExist(t *testing.T) {
	planned := []string{
		"internal/jobs", "internal/i18n", "internal/e2e/...", "conformance/...", "tools/...", "keystore/pkcs11", "sam/device",
		"cmd/countersign-sam", "cmd/countersign",
	}
	r := depcheck.House()
	for i, floor := range r.Floors {
		for _, p := range floor {
			dir := filepath.Join(root, strings.TrimSuffix(p, "/..."))
			if _, err := os.Stat(dir); err != nil && !slices.Contains(planned, p) {
				t.Errorf("floor %d has %s, which does not exist", i+1, p)
			}
		}
	}
	for _, n := range r.Never {
		if n.Why == "" {
			t.Errorf("no reason why %v never reaches %v", n.From, n.To)
		}
	}
}

// A checker that finds nothing must be one that can find something.
func TestCheckerBites(t *testing.T) {
	r := depcheck.Rules{
		Module:      "m",
		Floors:      [][]string{{"low", "low2"}, {"tree/...", "mid"}, {"top", "tree/special"}},
		Neighbours:  []depcheck.Edge{{From: "low2", To: "low", Why: "w"}},
		Never:       []depcheck.Never{{From: []string{"tree/..."}, To: []string{"net/http", "lib.org/bad/..."}, Why: "documents stay"}},
		Homes:       []depcheck.Home{{Library: "lib.org/good", Packages: []string{"mid"}}, {Library: "lib.org/any", Packages: []string{"..."}}, {Library: "lib.org/any/but", Packages: []string{"top"}}},
		TestFloor:   2,
		TestSupport: []string{"mid/testing"},
		Ignore:      []string{"deps"},
	}
	std := []depcheck.Package{{ImportPath: "fmt", Standard: true}, {ImportPath: "net/http", Standard: true, Imports: []string{"fmt"}}}
	lib := func(path string, imports ...string) depcheck.Package {
		return depcheck.Package{ImportPath: path, Imports: imports}
	}
	our := func(name string, imports ...string) depcheck.Package { return lib("m/"+name, imports...) }
	for _, c := range []struct {
		name string
		list []depcheck.Package
		want []string
	}{
		{"all is well", []depcheck.Package{
			our("low", "fmt"), our("low2", "m/low"), our("tree", "m/low", "m/tree/a"), our("tree/a", "fmt", "lib.org/any/x"), our("mid", "m/low", "lib.org/good/sub", "net/http"),
			our("mid/testing", "m/low"), our("mid/midtest", "m/mid/testing"), our("top", "m/mid", "m/tree/special2", "lib.org/any/but"), our("tree/special", "m/tree/a"), our("tree/special2"), our("deps", "m/top", "lib.org/unknown"),
			lib("lib.org/good/sub", "fmt"), lib("lib.org/any/x"),
		}, nil},
		{"upwards", []depcheck.Package{our("low", "m/top"), our("top")}, []string{"low (floor 1) imports top (floor 3)"}},
		{"sideways", []depcheck.Package{our("mid", "m/tree/a"), our("tree/a")}, []string{"mid (floor 2) imports tree/a (floor 2)"}},
		{"a neighbour the other way", []depcheck.Package{our("low", "m/low2"), our("low2")}, []string{"low (floor 1) imports low2"}},
		{"from the tree to what is above it", []depcheck.Package{our("tree/a", "m/tree/special"), our("tree/special")}, []string{"tree/a (floor 2) imports tree/special (floor 3)"}},
		{"no floor", []depcheck.Package{our("new", "fmt")}, []string{"new is on no floor"}},
		{"a similar name", []depcheck.Package{our("lower"), our("treehouse")}, []string{"lower is on no floor", "treehouse is on no floor"}},
		{"never, directly", []depcheck.Package{our("tree/a", "net/http")}, []string{"tree/a must never reach net/http: documents stay (tree/a → net/http)"}},
		{"never, through us", []depcheck.Package{our("tree/a", "m/low"), our("low", "net/http")}, []string{"(tree/a → low → net/http)"}},
		{"never, through a library", []depcheck.Package{our("tree", "lib.org/any"), lib("lib.org/any", "lib.org/bad/x"), lib("lib.org/bad/x")}, []string{"tree must never reach lib.org/bad/x"}},
		{"away from home", []depcheck.Package{our("top", "lib.org/good"), lib("lib.org/good")}, []string{"top imports lib.org/good, whose home is mid"}},
		{"away from the closer home", []depcheck.Package{our("mid", "lib.org/any/but/x")}, []string{"mid imports lib.org/any/but/x, whose home is top"}},
		{"without a home", []depcheck.Package{our("mid", "lib.org/unknown"), our("top", "lib.org/goodness")}, []string{"lib.org/unknown, a library without a home", "lib.org/goodness, a library without a home"}},
		{"test support in a program", []depcheck.Package{our("top", "m/mid/testing"), our("mid/testing")}, []string{"top imports mid/testing, which is for tests"}},
		{"test support by its name", []depcheck.Package{our("mid", "m/low/lowtest"), our("low/lowtest")}, []string{"mid imports low/lowtest, which is for tests"}},
		{"test support upwards", []depcheck.Package{our("low/lowtest", "m/top"), our("top")}, []string{"low/lowtest (floor 2) imports top (floor 3)"}},
		{"what cannot be read", []depcheck.Package{{ImportPath: "m/low", Error: &struct{ Err string }{"syntax error"}}}, []string{"m/low: syntax error"}},
	} {
		got := r.Check(append(c.list, std...))
		if len(got) != len(c.want) {
			t.Errorf("%s: %d violations, want %d: %q", c.name, len(got), len(c.want), got)
			continue
		}
		for _, want := range c.want {
			if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
				t.Errorf("%s: %q is not in %q", c.name, want, got)
			}
		}
	}
}

// The same for the real rules: each one is broken once.
func TestEveryRuleOfTheHouseBites(t *testing.T) {
	r := depcheck.House()
	full := func(p string) string {
		p = strings.TrimSuffix(p, "/...")
		if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") || first == "net" || first == "database" || first == "os" {
			return p
		}
		return r.Module + "/" + p
	}
	for _, n := range r.Never {
		for _, from := range n.From {
			for _, to := range n.To {
				list := []depcheck.Package{
					{ImportPath: full(from), Imports: []string{"between"}},
					{ImportPath: "between", Imports: []string{full(to)}, Standard: true},
					{ImportPath: full(to)},
				}
				if got := strings.Join(r.Check(list), "\n"); !strings.Contains(got, n.Why) {
					t.Errorf("%s reaches %s unseen: %s", from, to, got)
				}
			}
		}
	}
	for _, h := range r.Homes {
		if slices.Contains(h.Packages, "...") {
			continue
		}
		list := []depcheck.Package{{ImportPath: r.Module + "/signing", Imports: []string{h.Library}}, {ImportPath: h.Library}}
		if got := strings.Join(r.Check(list), "\n"); !strings.Contains(got, "whose home is") {
			t.Errorf("%s outside of its home unseen: %s", h.Library, got)
		}
	}
}
