package approval

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam/samapi"
)

//go:embed templates/*.html
var templates embed.FS

// Module is what the approval origin needs of the activation module.
type Module interface {
	View(ctx context.Context, sid, view string) (samapi.Request, error)
	Approve(ctx context.Context, sid string, yes samapi.Approval) (string, error)
	Reject(ctx context.Context, sid, view, reason string) error
	Return(ctx context.Context, sid, view string) (string, error)
	Enrol(ctx context.Context, id string, req samapi.Enrol) (samapi.Enrolled, error)
}

// Config is what New needs.
type Config struct {
	Module Module
	Site   ui.Site
	// Origin is the approval origin; pages of others may not post here.
	Origin string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Approvals and Views bound how often one client address may approve or
	// enrol, and look at requests. Default: 5 a second with bursts of 30, and 20
	// with bursts of 100.
	Approvals, Views *web.Limiter
}

// Bounds of requests. A body holds an assertion at most.
const (
	maxBody     = 16 << 10
	maxForm     = 4 << 10
	refreshTime = 3  // seconds
	readingTime = 20 // the same, while somebody reads the details
)

// Handler serves the approval origin.
type Handler struct {
	module Module
	origin string
	pages  *ui.Pages
	now    func() time.Time
	mux    http.Handler
}

// New makes the handler of the approval origin. What holds for all requests, the
// log record and the security headers among it, is put around it by web.Wrap.
func New(c Config) (*Handler, error) {
	if c.Module == nil || c.Origin == "" {
		return nil, errors.New("approval origin: module and origin are needed")
	}
	if c.Site.Foot == "" {
		c.Site.Foot = foot
	}
	dir, err := fs.Sub(templates, "templates")
	if err != nil {
		return nil, err
	}
	pages, err := ui.New(dir, c.Site)
	if err != nil {
		return nil, fmt.Errorf("approval origin: %w", err)
	}
	h := &Handler{module: c.Module, origin: c.Origin, pages: pages, now: c.Now}
	if h.now == nil {
		h.now = time.Now
	}
	if c.Approvals == nil {
		c.Approvals = &web.Limiter{Rate: 5, Burst: 30}
	}
	if c.Views == nil {
		c.Views = &web.Limiter{Rate: 20, Burst: 100}
	}
	if h.mux, err = h.routes(c); err != nil {
		return nil, fmt.Errorf("approval origin: %w", err)
	}
	return h, nil
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
	route("GET /a/{sid}", h.show, views)
	route("GET /a/{sid}/sad", h.sad, views)
	route("GET /a/{sid}/return", h.back, views)
	route("POST /a/{sid}/approve", h.approve, body, same, strict)
	route("POST /a/{sid}/reject", h.reject, body, same, strict)
	route("POST /enrol/{id}", h.enrol, body, same, strict)
	mux.Handle("GET "+ui.Prefix, h.pages.Assets())
	route("/", func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.NotFound, "there is no such page here")
	}, views)
	return mux, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// problem is how a refusal looks to programs.
type problem struct {
	Kind   string `json:"kind"`
	Code   string `json:"code,omitempty"`
	Detail string `json:"detail"`
}

// refuse answers a request that failed: programs as JSON, browsers as a page.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	web.Fail(r.Context(), err)
	f := fault.Of(err)
	if !wantsPage(r) {
		web.WriteJSON(w, r, web.Status(f.Kind), problem{Kind: string(f.Kind), Code: f.Code, Detail: f.Detail})
		return
	}
	page, v := failurePage(f, web.RequestID(r.Context()))
	if err := h.pages.Write(w, web.Status(f.Kind), page, v); err != nil {
		web.Fail(r.Context(), err)
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}
