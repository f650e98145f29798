// Package httpd routes HTTP requests: gorilla/mux behind a small interface of our
// own, with the middleware of internal/web around it.
package httpd

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/countersign/countersign/internal/web"
)

// Middleware puts something around a handler.
type Middleware = func(http.Handler) http.Handler

// Mux is where handlers are mounted.
//
// A pattern is a path with variables: {name} is one segment, {name...} at the end
// is the rest, slashes included. Handlers read them with r.PathValue. The route
// that was mounted first wins; GET includes HEAD. Mounting what cannot be mounted,
// or the same twice, panics: the program is wrong.
type Mux interface {
	Handle(method, pattern string, h http.Handler)
	HandleFunc(method, pattern string, h http.HandlerFunc)
	// With returns a Mux on the same router whose handlers get these middlewares,
	// the first outermost, inside of those it has already.
	With(m ...Middleware) Mux
}

// Config says what stands around the routes.
type Config struct {
	Web web.Config
	// NotFound answers when no route has the path; nil is a problem detail.
	NotFound http.Handler
	// MethodNotAllowed answers when the path has other methods only, which stand
	// in the Allow header already; nil is a problem detail.
	MethodNotAllowed http.Handler
	// Elsewhere stands around these two, which With does not reach; it may be nil.
	Elsewhere Middleware
}

// Router is a [Mux] and the handler that serves it. Everything is mounted before
// the first request.
type Router struct {
	branch
	handler http.Handler
}

var _ Mux = (*Router)(nil)

// New makes an empty router.
func New(c Config) *Router {
	if c.NotFound == nil {
		c.NotFound = http.HandlerFunc(notFound)
	}
	if c.MethodNotAllowed == nil {
		c.MethodNotAllowed = http.HandlerFunc(methodNotAllowed)
	}
	// No redirects to a cleaned path: they lose the body of a POST.
	t := &table{router: mux.NewRouter().SkipClean(true), routes: map[string]bool{}, fixed: map[string]map[string]http.Handler{}}
	if c.Elsewhere == nil {
		c.Elsewhere = func(h http.Handler) http.Handler { return h }
	}
	t.router.NotFoundHandler = c.Elsewhere(c.NotFound)
	t.router.MethodNotAllowedHandler = c.Elsewhere(t.allow(c.MethodNotAllowed))
	r := &Router{branch: branch{table: t}}
	r.handler = web.Wrap(t, c.Web)
	return r
}

// ServeHTTP implements http.Handler.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.handler.ServeHTTP(w, req) }

// Routes lists what is mounted, as "METHOD pattern", sorted.
func (r *Router) Routes() []string {
	list := make([]string, 0, len(r.table.routes))
	for route := range r.table.routes {
		list = append(list, route)
	}
	slices.Sort(list)
	return list
}

// table is what all branches of a router share.
type table struct {
	router  *mux.Router
	routes  map[string]bool
	methods []string
	// fixed are the routes without variables that no route before them takes, by path
	// and method: most requests need not be held against one pattern after the other.
	fixed map[string]map[string]http.Handler
}

// ServeHTTP implements http.Handler.
func (t *table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := t.fixed[r.URL.Path][r.Method]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	t.router.ServeHTTP(w, r)
}

// fix notes a route without variables before the router gets it.
func (t *table) fix(method, pattern string, h http.Handler) {
	if strings.ContainsAny(pattern, "{}") || t.fixed[pattern][method] != nil {
		return
	}
	var match mux.RouteMatch
	if t.router.Match(&http.Request{Method: method, URL: &url.URL{Path: pattern}}, &match) && match.MatchErr == nil {
		return // by a pattern with variables that was mounted before
	}
	if t.fixed[pattern] == nil {
		t.fixed[pattern] = map[string]http.Handler{}
	}
	t.fixed[pattern][method] = h
}

// branch is a Mux with middlewares of its own.
type branch struct {
	table *table
	chain []Middleware
}

// Handle implements [Mux].
func (b *branch) Handle(method, pattern string, h http.Handler) {
	t := b.table
	route := method + " " + pattern
	if method == "" || strings.ToUpper(method) != method || !strings.HasPrefix(pattern, "/") || h == nil || t.routes[route] {
		panic(fmt.Sprintf("httpd: cannot mount %q, or it is mounted twice", route))
	}
	t.routes[route] = true
	for _, m := range slices.Backward(b.chain) {
		h = m(h)
	}
	methods := []string{method}
	if method == http.MethodGet {
		methods = append(methods, http.MethodHead)
	}
	for _, m := range methods {
		if !slices.Contains(t.methods, m) {
			t.methods = append(t.methods, m)
		}
	}
	h = named(pattern, h)
	for _, m := range methods {
		t.fix(m, pattern, h)
	}
	r := t.router.Handle(gorilla(pattern), h).Methods(methods...)
	if err := r.GetError(); err != nil {
		panic(fmt.Sprintf("httpd: cannot mount %q: %v", route, err))
	}
}

// HandleFunc implements [Mux].
func (b *branch) HandleFunc(method, pattern string, h http.HandlerFunc) { b.Handle(method, pattern, h) }

// With implements [Mux].
func (b *branch) With(m ...Middleware) Mux {
	return &branch{table: b.table, chain: slices.Concat(b.chain, m)}
}

// gorilla writes a pattern in the router's own language.
func gorilla(pattern string) string {
	if start := strings.LastIndex(pattern, "{"); start >= 0 && strings.HasSuffix(pattern, "...}") {
		return pattern[:start] + strings.TrimSuffix(pattern[start:], "...}") + ":.*}"
	}
	return pattern
}

// named tells the log record the route and gives the handler its variables.
func named(pattern string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.SetRoute(r.Context(), pattern)
		for name, value := range mux.Vars(r) {
			r.SetPathValue(name, value)
		}
		h.ServeHTTP(w, r)
	})
}

// allow adds the methods that the path has.
func (t *table) allow(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, m := range t.methods {
			probe := *r
			probe.Method = m
			var match mux.RouteMatch
			if t.router.Match(&probe, &match) && match.MatchErr == nil {
				allowed = append(allowed, m)
			}
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		h.ServeHTTP(w, r)
	})
}

func notFound(w http.ResponseWriter, r *http.Request) {
	web.ProblemStatus(w, r, http.StatusNotFound, "not_found", "there is nothing at this address")
}

func methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	web.ProblemStatus(w, r, http.StatusMethodNotAllowed, "method", "this address takes "+w.Header().Get("Allow"))
}
