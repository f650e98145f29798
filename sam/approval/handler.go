package approval

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
)

//go:embed templates/*.html locales/*.json
var files embed.FS

//go:embed all:dist
var dist embed.FS

// Config is what New needs.
type Config struct {
	Module Module
	Site   ui.Site
	// Origin is the approval origin; pages of others may not post here.
	Origin string
	// RPID is the WebAuthn relying party ID. Default: the host of Origin.
	RPID string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Approvals and Views bound how often one client address may approve or
	// enrol, and look at requests. Default: 5 a second with bursts of 30, and 20
	// with bursts of 100.
	Approvals, Views *web.Limiter
	// Stop ends what would not end by itself, the streams of events. It is closed
	// when the server stops; nil is never.
	Stop <-chan struct{}
}

// Bounds of requests. A body holds an assertion at most.
const (
	maxBody     = 16 << 10
	maxForm     = 4 << 10
	refreshTime = 3  // seconds
	readingTime = 20 // the same, while somebody reads the details
)

// policy is the Content-Security-Policy of pages with a script: all of it comes
// from this origin, nothing inline runs, and script addresses pass one policy.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types default"

// localizer speaks the reader's language.
type localizer = *i18n.Localizer

// Handler serves the approval origin.
type Handler struct {
	module  Module
	origin  string
	rpID    string
	foot    string
	org     string
	said    []string // the messages "js.…" that scripts say
	secure  bool
	pages   *ui.Pages
	bundle  *ui.Bundle
	now     func() time.Time
	stop    <-chan struct{}
	streams streams // of events
	mux     http.Handler
}

// New makes the handler of the approval origin. What holds for all requests, the
// log record and the security headers among it, is put around it by web.Wrap.
func New(c Config) (*Handler, error) {
	if c.Module == nil || c.Origin == "" {
		return nil, errors.New("approval origin: module and origin are needed")
	}
	origin, err := url.Parse(c.Origin)
	if err != nil {
		return nil, fmt.Errorf("approval origin: %w", err)
	}
	h := &Handler{
		module: c.Module, origin: c.Origin, rpID: c.RPID, foot: c.Site.Foot, org: c.Site.Org, secure: origin.Scheme == "https",
		now: c.Now, stop: c.Stop,
	}
	if h.rpID == "" {
		h.rpID = strings.ToLower(origin.Hostname())
	}
	if h.now == nil {
		h.now = time.Now
	}
	if c.Approvals == nil {
		c.Approvals = &web.Limiter{Rate: 5, Burst: 30}
	}
	if c.Views == nil {
		c.Views = &web.Limiter{Rate: 20, Burst: 100}
	}
	if err := h.load(c.Site); err != nil {
		return nil, fmt.Errorf("approval origin: %w", err)
	}
	if h.mux, err = h.routes(c); err != nil {
		return nil, fmt.Errorf("approval origin: %w", err)
	}
	return h, nil
}

// load reads templates, messages and scripts.
func (h *Handler) load(site ui.Site) error {
	var err error
	if site.Texts, err = i18n.Load(files); err != nil {
		return err
	}
	for _, key := range site.Texts.Keys() {
		if rest, ok := strings.CutPrefix(key, "js."); ok {
			h.said = append(h.said, rest)
		}
	}
	dir, err := fs.Sub(files, "templates")
	if err != nil {
		return err
	}
	if h.pages, err = ui.New(dir, site); err != nil {
		return err
	}
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return err
	}
	h.bundle, err = ui.NewBundle(ui.BundleConfig{Prefix: "/assets/", Dist: built})
	return err
}

// script adds a script to a page, if it was built.
func (h *Handler) script(v *ui.View, name string) {
	if path, err := h.bundle.Path(name); err == nil {
		v.Scripts, v.Policy = append(v.Scripts, path), policy
	}
}

func (h *Handler) routes(c Config) (http.Handler, error) {
	mux := http.NewServeMux()
	views := web.Limit(c.Views, web.ClientKey, h.refuse)
	strict := web.Limit(c.Approvals, web.ClientKey, h.refuse)
	same, err := web.SameOrigin(h.refuse, c.Origin)
	if err != nil {
		return nil, err
	}
	body := web.LimitBody(maxBody, h.refuse)
	route := func(pattern string, do func(http.ResponseWriter, *http.Request) error, around ...func(http.Handler) http.Handler) {
		var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			web.SetRoute(r.Context(), pattern)
			if err := do(w, r); err != nil {
				h.refuse(w, r, err)
			}
		})
		for _, a := range around {
			handler = a(handler)
		}
		mux.Handle(pattern, handler)
	}
	route("GET /a/{sid}", h.show, h.pages.Choices, views)
	route("GET /a/{sid}/sad", h.sad, views)
	route("GET /a/{sid}/qr.svg", h.qr, views)
	route("GET /a/{sid}/events", h.requestEvents, views)
	route("GET /a/{sid}/return", h.back, views)
	route("POST /a/{sid}/approve", h.approve, body, same, strict)
	route("POST /a/{sid}/reject", h.reject, body, same, strict)
	route("GET /p/{sid}", h.phone, h.pages.Choices, views)
	route("GET /p/{sid}/sad", h.phoneSAD, views)
	route("GET /p/{sid}/events", h.phoneEvents, views)
	route("POST /p/{sid}/reject", h.phoneReject, body, same, strict)
	route("GET /enrol/{id}", h.enrolment, h.pages.Choices, views)
	route("POST /enrol/{id}", h.enrol, body, same, strict)

	route("GET /app/{$}", h.app, h.pages.Choices, views)
	route("GET /app/r/{sid}", h.app, h.pages.Choices, views)
	route("GET /app/manifest.webmanifest", h.manifest, views)
	route("GET /app/sw.js", h.worker, views)
	route("POST /app/api/nonce", h.nonce, body, same, strict)
	route("POST /app/api/session", h.openSession, body, same, strict)
	route("POST /app/api/leave", h.closeSession, body, same, strict)
	route("GET /app/api/inbox", h.inbox, views)
	route("GET /app/api/events", h.inboxEvents, views)
	route("GET /app/api/requests/{sid}", h.deviceView, views)
	route("POST /app/api/requests/{sid}/reject", h.deviceReject, body, same, strict)
	route("POST /app/api/device/remove", h.removeDevice, body, same, strict)

	mux.Handle("GET "+ui.Prefix, h.pages.Assets())
	mux.Handle("GET /assets/", h.bundle)
	route("/", func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.NotFound, "there is no such page here")
	}, views)
	return mux, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }
