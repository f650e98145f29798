package desk

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/account"
	"github.com/countersign/countersign/relyingparty/portal/frame"
	"github.com/countersign/countersign/relyingparty/request"
)

//go:embed pages/*.html locales/*.json
var files embed.FS

//go:embed all:dist
var dist embed.FS

// Path is where the pages begin, below the portal's address.
const Path = "/requests"

const assetPath = "/desk/assets/"

// policy is the Content-Security-Policy: everything comes from, and goes to, the
// portal itself.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Config is what New needs; Accounts, Requests and Origin are required.
type Config struct {
	Accounts *account.Service
	Requests *request.Service
	// Origin is the portal's public address, without a slash at its end.
	Origin string
	// OrgID is whose accounts and requests these are; Org its name on every page.
	OrgID, Org string
	Test       bool
	// SMS says that codes can be sent by text message.
	SMS bool
	// MaxDocument is the largest document in bytes; default 200 MB.
	MaxDocument int64
	// Longest is how far ahead a deadline may lie; default 90 days.
	Longest time.Duration
	// Stop, when closed, ends open streams of events.
	Stop <-chan struct{}
	Now  func() time.Time
}

// Desk serves the pages.
type Desk struct {
	config  Config
	pages   *ui.Pages
	texts   *i18n.Catalog
	common  *frame.Texts
	assets  *ui.Bundle
	streams *frame.Streams
}

// New reads pages, texts and scripts.
func New(c Config) (*Desk, error) {
	if c.Accounts == nil || c.Requests == nil || c.Origin == "" || strings.HasSuffix(c.Origin, "/") {
		return nil, errors.New("desk: accounts, requests and the portal's address are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OrgID == "" {
		c.OrgID = "default"
	}
	if c.MaxDocument == 0 {
		c.MaxDocument = 200 << 20
	}
	if c.Longest == 0 {
		c.Longest = 90 * 24 * time.Hour
	}
	d := &Desk{config: c, streams: frame.NewStreams(c.Stop)}
	return d, d.read()
}

func (d *Desk) read() (err error) {
	if d.texts, err = i18n.Load(files); err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	if d.common, err = frame.Load(); err != nil {
		return err
	}
	dir, err := fs.Sub(files, "pages")
	if err != nil {
		return err
	}
	if d.pages, err = ui.New(dir, ui.Site{Org: d.config.Org, Home: Path, Test: d.config.Test, Texts: d.texts}); err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return err
	}
	d.assets, err = ui.NewBundle(ui.BundleConfig{Prefix: assetPath, Dist: built})
	return err
}

// maxForm is the largest form that is no document.
const maxForm = 256 << 10

// Mount adds the routes. The server must let through bodies of MaxDocument and a
// little more; all routes but the one for documents take 256 KB.
func (d *Desk) Mount(mux httpd.Mux) error {
	same, err := web.SameOrigin(d.refuse)
	if err != nil {
		return err
	}
	mux.Handle(http.MethodGet, assetPath+"{file...}", d.assets)
	forms := mux.With(web.LimitBody(maxForm, d.refuse), same, d.pages.Choices)
	open := func(method, path string, h handler) { forms.HandleFunc(method, path, d.answer(h)) }
	open(http.MethodGet, "/login", d.loginPage)
	open(http.MethodPost, "/login", d.login)
	open(http.MethodGet, "/login/code", d.codePage)
	open(http.MethodPost, "/login/code", d.code)
	open(http.MethodGet, "/login/setup", d.setupPage)
	open(http.MethodGet, "/login/setup.svg", d.setupCode)
	open(http.MethodPost, "/login/setup", d.setup)
	open(http.MethodPost, "/logout", d.logout)
	seated := func(method, path string, h seatHandler) { forms.HandleFunc(method, path, d.answer(d.seat(h))) }
	const one = Path + "/{id}"
	seated(http.MethodGet, Path, d.list)
	seated(http.MethodPost, Path+"/new", d.create)
	seated(http.MethodGet, one, d.detail)
	seated(http.MethodGet, one+"/events", d.events)
	seated(http.MethodGet, one+"/files/{document}", d.file)
	seated(http.MethodGet, one+"/documents", d.documentsPage)
	seated(http.MethodPost, one+"/title", d.title)
	seated(http.MethodPost, one+"/documents/{document}/remove", d.remove)
	seated(http.MethodGet, one+"/signers", d.signersPage)
	seated(http.MethodPost, one+"/signers", d.signers)
	seated(http.MethodGet, one+"/review", d.reviewPage)
	seated(http.MethodPost, one+"/review", d.review)
	seated(http.MethodPost, one+"/remind", d.remind)
	seated(http.MethodGet, one+"/withdraw", d.withdrawPage)
	seated(http.MethodPost, one+"/withdraw", d.withdraw)
	seated(http.MethodPost, one+"/discard", d.discard)
	seated(http.MethodGet, "/settings", d.settingsPage)
	seated(http.MethodPost, "/settings", d.settings)
	uploads := mux.With(web.LimitBody(d.config.MaxDocument*20+maxForm, d.refuse), same)
	uploads.HandleFunc(http.MethodPost, one+"/documents", d.answer(d.seat(d.upload)))
	return nil
}

type handler func(w http.ResponseWriter, r *http.Request) error

func (d *Desk) answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			d.refuse(w, r, err)
		}
	}
}

// failure is what the page of a refusal shows.
type failure struct{ Title, Detail, Support string }

// refuse answers a request that failed: programs get a problem detail, people a page.
func (d *Desk) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.Of(err)
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		web.Problem(w, r, f)
		return
	}
	if f.Code == account.CodeSession && r.Method == http.MethodGet {
		redirect(w, "/login?to="+strings.TrimPrefix(r.URL.EscapedPath(), "/"))
		return
	}
	web.Fail(r.Context(), err)
	v, l := d.pages.Begin(r)
	kind := map[fault.Kind]string{fault.NotFound: "missing", fault.Unauthenticated: "away"}[f.Kind]
	if kind == "" {
		kind = "failure"
	}
	c := failure{Title: l.T(kind + ".title"), Detail: l.T(kind + ".text"), Support: web.RequestID(r.Context())}
	if kind == "failure" {
		c.Detail = d.common.For(l.Lang()).Explain(err)
	}
	v.Title, v.Data = c.Title, c
	if err := d.show(w, web.Status(f.Kind), "failure", v); err != nil {
		web.Problem(w, r, err)
	}
}

// redirect sends the browser to a path of this portal by GET.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}

// show writes a page.
func (d *Desk) show(w http.ResponseWriter, status int, page string, v ui.View) error {
	v.Policy, v.Foot = policy, d.texts.For(v.Lang).T("foot")
	return d.pages.Write(w, status, page, v)
}

// script adds the page's script; a portal that was built without scripts works too.
func (d *Desk) script(v *ui.View) {
	if p, err := d.assets.Path("desk.js"); err == nil {
		v.Scripts = []string{p}
	}
}
