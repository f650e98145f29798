// Package depcheck keeps the house plan true: packages import only from lower
// floors, some parts never reach others, and each library has one home. The rules
// are in rules.go, next to their reasons; docs/ARCHITECTURE.md tells the story.
package depcheck

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// Rules is a house plan. Packages are written without the module's path; a pattern
// "x/..." means x and all below it. The longest pattern that matches counts.
type Rules struct {
	Module string
	// Floors lists the packages of each floor, the lowest first. Every package is
	// on one. Packages below the same pattern may import each other.
	Floors [][]string
	// Neighbours are imports between packages of one floor, each with its reason.
	Neighbours []Edge
	// Never are parts that are not reached, not even through others.
	Never []Never
	// Homes are the libraries and where they may be imported.
	Homes []Home
	// Packages named …test support tests: only tests and other test support import
	// them, and they stand on TestFloor. So do the packages of TestSupport, which
	// have other names.
	TestFloor   int
	TestSupport []string
	// Ignore are packages without rules.
	Ignore []string
}

// Edge is a permitted import.
type Edge struct{ From, To, Why string }

// Never forbids packages to reach others: ours, the standard library's or a
// library's, as import paths or patterns.
type Never struct {
	From, To []string
	Why      string
}

// Home says which of our packages may import a library; "..." is all of them.
type Home struct {
	Library  string // a prefix of import paths
	Packages []string
}

// Package is a package as go list describes it.
type Package struct {
	ImportPath string
	Imports    []string
	Standard   bool
	Error      *struct{ Err string }
}

// List describes the packages that match the patterns and all that they reach,
// for an operating system and architecture, in the module of the folder dir. Files
// that need cgo count.
func List(ctx context.Context, dir, goos, goarch string, patterns ...string) ([]Package, error) {
	args := append([]string{"list", "-deps", "-json=ImportPath,Imports,Standard,Error"}, patterns...)
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the patterns are ours
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch)
	if goos != "js" {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var list []Package
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var p Package
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		list = append(list, p)
	}
}

// Check returns what is against the rules, a sentence each, sorted.
func (r Rules) Check(list []Package) []string {
	g := graph{rules: r, packages: map[string]Package{}}
	for _, p := range list {
		g.packages[p.ImportPath] = p
	}
	for _, p := range list {
		name, ours := g.local(p.ImportPath)
		if p.Error != nil {
			g.found("%s: %s", p.ImportPath, p.Error.Err)
		}
		if !ours || matchesAny(r.Ignore, name) {
			continue
		}
		g.checkFloor(name, p)
		g.checkHomes(name, p)
		g.checkNever(name, p)
	}
	slices.Sort(g.violations)
	return slices.Compact(g.violations)
}

// graph is one check.
type graph struct {
	rules      Rules
	packages   map[string]Package
	violations []string
}

func (g *graph) found(format string, args ...any) {
	g.violations = append(g.violations, fmt.Sprintf(format, args...))
}

// local is the path inside of our module.
func (g *graph) local(importPath string) (name string, ours bool) {
	if importPath == g.rules.Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, g.rules.Module+"/")
}

// floor finds the floor of a package, from 1, and the pattern that put it there.
func (g *graph) floor(name string) (floor int, pattern string) {
	if g.forTests(name) {
		return g.rules.TestFloor, ""
	}
	for i, patterns := range g.rules.Floors {
		for _, p := range patterns {
			if matches(p, name) && len(p) > len(pattern) {
				floor, pattern = i+1, p
			}
		}
	}
	return floor, pattern
}

// forTests says whether a package supports tests.
func (g *graph) forTests(name string) bool {
	last := path.Base(name)
	return (strings.HasSuffix(last, "test") && last != "test") || matchesAny(g.rules.TestSupport, name)
}

func (g *graph) checkFloor(name string, p Package) {
	floor, pattern := g.floor(name)
	if floor == 0 {
		g.found("%s is on no floor: give it one in internal/depcheck and docs/ARCHITECTURE.md", name)
		return
	}
	for _, imported := range p.Imports {
		to, ours := g.local(imported)
		if !ours || matchesAny(g.rules.Ignore, to) {
			continue
		}
		below, other := g.floor(to)
		switch {
		case g.forTests(to):
			if !g.forTests(name) {
				g.found("%s imports %s, which is for tests", name, to)
			}
		case below == 0 || below < floor:
		case below == floor && (pattern == other && strings.HasSuffix(pattern, "/...") || within(name, to) || within(to, name)):
		case below == floor && slices.ContainsFunc(g.rules.Neighbours, func(e Edge) bool { return matches(e.From, name) && matches(e.To, to) }):
		default:
			g.found("%s (floor %d) imports %s (floor %d): imports go down; declare the interface here and join both in cmd", name, floor, to, below)
		}
	}
}

func (g *graph) checkHomes(name string, p Package) {
	for _, lib := range p.Imports {
		if _, ours := g.local(lib); ours || lib == "C" || g.packages[lib].Standard {
			continue
		}
		var home *Home
		for i, h := range g.rules.Homes {
			if (lib == h.Library || strings.HasPrefix(lib, h.Library+"/")) && (home == nil || len(h.Library) > len(home.Library)) {
				home = &g.rules.Homes[i]
			}
		}
		switch {
		case home == nil:
			g.found("%s imports %s, a library without a home: a dependency is a decision", name, lib)
		case !matchesAny(home.Packages, name):
			g.found("%s imports %s, whose home is %s", name, lib, strings.Join(home.Packages, ", "))
		}
	}
}

func (g *graph) checkNever(name string, p Package) {
	for _, n := range g.rules.Never {
		if !matchesAny(n.From, name) {
			continue
		}
		if way := g.reach(p.ImportPath, n.To); way != nil {
			g.found("%s must never reach %s: %s (%s)", name, way[len(way)-1], n.Why, strings.Join(way, " → "))
		}
	}
}

// reach finds a shortest way from a package to one that matches.
func (g *graph) reach(from string, to []string) []string {
	type step struct {
		path string
		prev *step
	}
	seen := map[string]bool{from: true}
	for queue := []*step{{path: from}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if name := g.short(at.path); at.prev != nil && matchesAny(to, name) {
			var way []string
			for s := at; s != nil; s = s.prev {
				way = append(way, g.short(s.path))
			}
			slices.Reverse(way)
			return way
		}
		for _, next := range g.packages[at.path].Imports {
			if !seen[next] {
				seen[next] = true
				queue = append(queue, &step{next, at})
			}
		}
	}
	return nil
}

func (g *graph) short(importPath string) string {
	name, _ := g.local(importPath)
	return name
}

// matches says whether a pattern stands for a package.
func matches(pattern, name string) bool {
	prefix, all := strings.CutSuffix(pattern, "...")
	if !all {
		return pattern == name
	}
	prefix = strings.TrimSuffix(prefix, "/")
	return prefix == "" || name == prefix || within(name, prefix)
}

func within(name, folder string) bool { return strings.HasPrefix(name, folder+"/") }

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}
