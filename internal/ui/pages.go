package ui

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed templates
var frame embed.FS

// Policy is the Content-Security-Policy of pages without scripts. Everything they
// need comes from their own origin.
const Policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Site is what all pages of one installation have in common.
type Site struct {
	Product  string // default: Countersign
	Org      string // who runs it, shown on every page
	Home     string // URL path of the start page; empty if there is none
	Test     bool   // a test installation looks like one
	TestNote string // default: "Test installation. Not legally binding."
	Foot     string // one sentence at the foot
	Links    []Link // at the foot
}

// Link is a link with its text.
type Link struct{ URL, Text string }

// Refresh has the browser load a page after some seconds, without a script.
type Refresh struct {
	Seconds int
	URL     string // path on the same origin; empty is the same page
}

// Content is the value of the meta element.
func (r *Refresh) Content() string {
	if r.URL == "" {
		return strconv.Itoa(r.Seconds)
	}
	return strconv.Itoa(r.Seconds) + "; url=" + r.URL
}

// View is one page as it is shown.
type View struct {
	Title   string
	Lang    string // default: en
	Theme   string // light, dark, or empty for the system's
	Refresh *Refresh
	Data    any // what the page's template gets
}

// Pages renders the templates of one part of the product inside the common frame.
type Pages struct {
	site   Site
	assets *assets
	pages  map[string]*template.Template
}

// New parses the templates. Each NAME.html at the top of dir is a page that
// defines "content"; files that begin with an underscore are shared by all pages.
// In templates {{icon "check"}} is an inline icon and {{asset "ui.css"}} the path
// of an asset.
func New(dir fs.FS, site Site) (*Pages, error) {
	if site.Org == "" {
		return nil, errors.New("pages: the organisation's name is missing")
	}
	if site.Product == "" {
		site.Product = "Countersign"
	}
	if site.TestNote == "" {
		site.TestNote = "Test installation. Not legally binding."
	}
	a, err := readAssets()
	if err != nil {
		return nil, err
	}
	icons, err := readIcons()
	if err != nil {
		return nil, err
	}
	funcs := template.FuncMap{
		"asset": a.path,
		"icon": func(name string) (template.HTML, error) {
			if svg, ok := icons[name]; ok {
				return svg, nil
			}
			return "", fmt.Errorf("no icon %q", name)
		},
	}
	base, err := template.New("").Funcs(funcs).ParseFS(frame, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse the frame: %w", err)
	}
	p := &Pages{site: site, assets: a, pages: map[string]*template.Template{}}
	return p, p.parse(base, dir)
}

func (p *Pages) parse(base *template.Template, dir fs.FS) error {
	names, err := fs.Glob(dir, "*.html")
	if err != nil {
		return fmt.Errorf("find templates: %w", err)
	}
	var shared, own []string
	for _, n := range names {
		if strings.HasPrefix(path.Base(n), "_") {
			shared = append(shared, n)
		} else {
			own = append(own, n)
		}
	}
	for _, n := range own {
		t, err := base.Clone()
		if err != nil {
			return fmt.Errorf("template %s: %w", n, err)
		}
		if _, err := t.ParseFS(dir, append(slices.Clip(shared), n)...); err != nil {
			return fmt.Errorf("template %s: %w", n, err)
		}
		if t.Lookup("content") == nil {
			return fmt.Errorf("template %s does not define content", n)
		}
		p.pages[strings.TrimSuffix(n, ".html")] = t
	}
	return nil
}

// Assets serves style sheet and icons; mount it at Prefix.
func (p *Pages) Assets() http.Handler { return p.assets }

// Render returns the page as HTML.
func (p *Pages) Render(page string, v View) ([]byte, error) {
	t, ok := p.pages[page]
	if !ok {
		return nil, fmt.Errorf("no page %q", page)
	}
	if v.Lang == "" {
		v.Lang = "en"
	}
	var b bytes.Buffer
	err := t.ExecuteTemplate(&b, "frame", struct {
		View
		Site Site
	}{v, p.site})
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", page, err)
	}
	return b.Bytes(), nil
}

// Write answers with the page. Nothing was written if it returns an error.
func (p *Pages) Write(w http.ResponseWriter, status int, page string, v View) error {
	body, err := p.Render(page, v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone if it fails
	return nil
}
