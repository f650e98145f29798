package room

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/portal/frame"
	"github.com/countersign/countersign/relyingparty/portal/viewer"
	"github.com/countersign/countersign/relyingparty/request"
)

//go:embed pages/*.html locales/*.json
var files embed.FS

//go:embed all:dist
var dist embed.FS

const (
	assetPath  = "/room/assets/"
	viewerPath = "/room/viewer/"
)

// policy is the Content-Security-Policy: everything comes from, and goes to, the
// portal itself. The viewer needs WebAssembly for some pictures, and fonts and
// pictures that it takes out of documents.
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; font-src 'self' data:; worker-src 'self'; " +
	"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types default"

// workerPolicy is that of the viewer's worker.
const workerPolicy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; font-src data:; connect-src 'self'"

// Config is what New needs; Requests and Origin are required.
type Config struct {
	Requests *request.Service
	// Origin is the portal's public address, without a slash at its end.
	Origin string
	Org    string // on every page
	Test   bool
	// Stop, when closed, ends open streams of events.
	Stop <-chan struct{}
}

// Room serves the pages.
type Room struct {
	config  Config
	pages   *ui.Pages
	texts   *i18n.Catalog
	common  *frame.Texts
	assets  *ui.Bundle
	viewer  *ui.Bundle
	streams *frame.Streams
}

// New reads pages, texts and scripts.
func New(c Config) (*Room, error) {
	if c.Requests == nil || c.Origin == "" || strings.HasSuffix(c.Origin, "/") {
		return nil, errors.New("signers' pages: requests and the portal's address are needed")
	}
	m := &Room{config: c, streams: frame.NewStreams(c.Stop)}
	return m, m.read()
}

func (m *Room) read() (err error) {
	if m.texts, err = i18n.Load(files); err != nil {
		return fmt.Errorf("signers' pages: %w", err)
	}
	if m.common, err = frame.Load(); err != nil {
		return err
	}
	dir, err := fs.Sub(files, "pages")
	if err != nil {
		return err
	}
	if m.pages, err = ui.New(dir, ui.Site{Org: m.config.Org, Test: m.config.Test, Texts: m.texts}); err != nil {
		return fmt.Errorf("signers' pages: %w", err)
	}
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return err
	}
	if m.assets, err = ui.NewBundle(ui.BundleConfig{Prefix: assetPath, Dist: built}); err != nil {
		return err
	}
	m.viewer, err = viewer.New(viewerPath, workerPolicy)
	return err
}

// maxForm is the largest form.
const maxForm = 64 << 10

// Mount adds the routes.
func (m *Room) Mount(mux httpd.Mux) error {
	same, err := web.SameOrigin(m.refuse)
	if err != nil {
		return err
	}
	mux.Handle(http.MethodGet, assetPath+"{file...}", m.assets)
	mux.Handle(http.MethodGet, viewerPath+"{file...}", m.viewer)
	forms := mux.With(web.LimitBody(maxForm, m.refuse), same, m.pages.Choices)
	on := func(method, path string, h handler) { forms.HandleFunc(method, path, m.answer(h)) }
	const one = request.LinkPath + "{link}"
	on(http.MethodGet, one, m.page)
	on(http.MethodPost, one+"/code", m.sendCode)
	on(http.MethodPost, one+"/enter", m.enter)
	on(http.MethodPost, one+"/sign", m.sign)
	on(http.MethodGet, one+"/reject", m.rejectPage)
	on(http.MethodPost, one+"/reject", m.reject)
	on(http.MethodGet, one+"/files/{document}", m.file)
	on(http.MethodGet, one+"/events", m.events)
	on(http.MethodGet, request.ReturnPath, m.returned)
	return nil
}

type handler func(w http.ResponseWriter, r *http.Request) error

func (m *Room) answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			m.refuse(w, r, err)
		}
	}
}

// failure is what the page of a refusal shows.
type failure struct{ Title, Detail, Back, Support string }

func (m *Room) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.Of(err)
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		web.Problem(w, r, f)
		return
	}
	web.Fail(r.Context(), err)
	v, l := m.pages.Begin(r)
	c := failure{Title: l.T("failure.title"), Detail: m.common.For(l.Lang()).Explain(err), Support: web.RequestID(r.Context())}
	switch {
	case f.Code == request.CodeLink:
		c.Title = l.T("failure.link")
	case r.PathValue("link") != "":
		c.Back = self(r)
	}
	v.Title, v.Data = c.Title, c
	if err := m.show(w, web.Status(f.Kind), "failure", v); err != nil {
		web.Problem(w, r, err)
	}
}

func (m *Room) show(w http.ResponseWriter, status int, page string, v ui.View) error {
	v.Policy, v.Foot = policy, m.texts.For(v.Lang).T("foot")
	return m.pages.Write(w, status, page, v)
}

func (m *Room) script(v *ui.View) {
	if p, err := m.assets.Path("room.js"); err == nil {
		v.Scripts = []string{p}
	}
}

// self is the address of a signer's page.
func self(r *http.Request) string { return request.LinkPath + r.PathValue("link") }

// redirect sends the browser to a path of this portal by GET.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}
