package e2e_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// routesIn reads which routes a handler has from its source: every text in the
// functions that looks like one. A route that is added there is found here.
func routesIn(t testing.TB, file, like string, functions ...string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile("^(?:" + like + ")$")
	var routes []string
	seen := 0
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || !slices.Contains(functions, fn.Name.Name) {
			continue
		}
		seen++
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && pattern.MatchString(s) {
					routes = append(routes, s)
				}
			}
			return true
		})
	}
	if seen != len(functions) || len(routes) == 0 {
		t.Fatalf("%s: %d of the functions %v are there, with %d routes: say here where they are now", file, seen, functions, len(routes))
	}
	slices.Sort(routes)
	return slices.Compact(routes)
}

// samRoutes are the operations of the module's socket for the gateway.
func samRoutes(t testing.TB) []string {
	t.Helper()
	return routesIn(t, "sam/samrpc/server.go", `[a-z]+(-[a-z]+)*`, "Handler", "handleLog")
}

// approvalRoutes are those of the approval origin. That of the pages' files is
// "GET " alone: its path is a constant of internal/ui.
func approvalRoutes(t testing.TB) []string {
	t.Helper()
	return routesIn(t, "sam/approval/handler.go", `[A-Z]+ |(?:[A-Z]+ )?/\S*`, "routes")
}

// pkiRoutes are those of the certification authority's public door.
func pkiRoutes(t testing.TB) []string {
	t.Helper()
	return routesIn(t, "pki/http.go", `(?:[A-Z]+ )?/\S+`, "Handler")
}
