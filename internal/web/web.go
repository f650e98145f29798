// Package web is what every HTTP server here does around its handlers, with the
// standard library only: limits, security headers, the client's address, one log
// record per request, health, start and stop. It knows no router, so that the
// signature activation module can use it too.
package web

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// DefaultMaxBody is the size of a request's body where nothing else is said.
const DefaultMaxBody = 256 << 10

// ErrorWriter answers a request that failed, in the form that the clients of a
// protocol expect. It calls [Fail] so that the cause is logged.
type ErrorWriter func(w http.ResponseWriter, r *http.Request, err error)

// Config says how [Wrap] treats requests.
type Config struct {
	// Log gets one record per request.
	Log *slog.Logger
	// Name is put into every record, e.g. "gateway".
	Name string
	// Secure says that browsers reach this server by https, directly or through a
	// proxy: they are told to use nothing else from then on.
	Secure bool
	// Local says that no browser reaches this server, for it is behind a socket of
	// this machine's: it sends no headers that are for browsers.
	Local bool
	// Proxies are the addresses whose X-Forwarded-For and X-Request-Id are believed.
	Proxies []netip.Prefix
	// MaxBody is the largest body in bytes; 0 is DefaultMaxBody, -1 is no bound.
	MaxBody int64
	// Error answers requests that are refused before a handler sees them, and
	// those whose handler panics; nil is Problem.
	Error ErrorWriter
	// Observe is told of every answer, for metrics; may be nil.
	Observe func(Observation)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Observation is what metrics want to know of an answer.
type Observation struct {
	Name     string // Config.Name
	Route    string // the route's pattern, never the path; "" when there was none
	Method   string // one of the methods of RFC 9110 or PATCH, else "other"
	Status   int
	Duration time.Duration
	Bytes    int64 // of the body of the answer
}

// Wrap puts everything that holds for all requests around a handler: a request id,
// the client's address, the log record, recovery from panics, security headers and
// the limit of the body.
func Wrap(h http.Handler, c Config) http.Handler {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Error == nil {
		c.Error = Problem
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	h = limitBody(h, c)
	h = headers(h, c)
	h = recoverer(h, c)
	return recorder(h, c)
}

// limitBody refuses a body that says it is too large, and cuts one that does not.
func limitBody(h http.Handler, c Config) http.Handler {
	if c.MaxBody < 0 {
		return h
	}
	return LimitBody(c.MaxBody, c.Error)(h)
}

// LimitBody is a middleware for routes with a limit below that of the server.
func LimitBody(limit int64, refuse ErrorWriter) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength > limit {
				w.Header().Set("Connection", "close") // the body will not be read
				refuse(w, r, errTooLarge(limit))
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, limit)
			h.ServeHTTP(w, r)
		})
	}
}

func errTooLarge(limit int64) *fault.Error {
	return fault.New(fault.TooLarge, "the request's body is larger than %d bytes", limit).WithCode("too_large")
}

// headers sets what a browser must not guess. Handlers of pages replace the
// Content-Security-Policy by one that lets in what their page needs.
func headers(h http.Handler, c Config) http.Handler {
	type header struct {
		name  string // in canonical form
		value []string
	}
	var list []header
	add := func(name, value string) { list = append(list, header{http.CanonicalHeaderKey(name), []string{value}}) }
	add("Cache-Control", "no-store")
	if !c.Local {
		add("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		add("X-Content-Type-Options", "nosniff")
		add("X-Frame-Options", "DENY")
		add("Referrer-Policy", "no-referrer")
		add("Cross-Origin-Opener-Policy", "same-origin")
		add("Cross-Origin-Resource-Policy", "same-origin")
		add("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	}
	if c.Secure {
		add("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		for _, one := range list {
			head[one.name] = one.value // shared: Set puts another in its place, Add copies
		}
		h.ServeHTTP(w, r)
	})
}

// SameOrigin is a middleware for the routes of pages: a request that changes
// something and comes from a page of another origin is refused. Requests of
// programs, which are not browsers, pass. trusted are origins that may post all
// the same, e.g. "https://portal.example".
func SameOrigin(refuse ErrorWriter, trusted ...string) (func(http.Handler) http.Handler, error) {
	p := http.NewCrossOriginProtection()
	for _, origin := range trusted {
		if err := p.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := p.Check(r); err != nil {
				refuse(w, r, fault.New(fault.Forbidden, "the request comes from a page of another site").WithCode("cross_origin").Because(err))
				return
			}
			h.ServeHTTP(w, r)
		})
	}, nil
}
