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

	"github.com/countersign/countersign/internal/i18n"
)

//go:embed templates locales
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
	TestNote string // default: "Test installation. Not legally binding.", in the reader's language
	Foot     string // one sentence at the foot
	Links    []Link // at the foot
	// Texts are the messages of the templates. Without it, they are in English and
	// have no {{t "key"}}.
	Texts *i18n.Catalog
}

// Link is a link with its text.
type Link struct {
	URL, Text string
	Current   bool   // it leads to the page on which it stands
	Lang      string // of what it leads to, if that is another than the page's
}

// Refresh has the browser load a page after some seconds, without a script.
type Refresh struct {
	Seconds int
	URL     string // path on the same origin; empty is the same page
	// NoScript has only browsers without scripts do so: a script knows better when.
	NoScript bool
}

// Content is the value of the meta element.
func (r *Refresh) Content() string {
	if r.URL == "" {
		return strconv.Itoa(r.Seconds)
	}
	return strconv.Itoa(r.Seconds) + "; url=" + r.URL
}

// View is one page as it is shown. Begin fills in what the request says of it.
type View struct {
	Title    string
	Lang     string // default: en
	Theme    string // light, dark, or empty for the system's
	Refresh  *Refresh
	Policy   string   // Content-Security-Policy; default: Policy
	Scripts  []string // URL paths on the same origin; they need another Policy
	Manifest string   // URL path of the web app manifest
	Nav      []Link   // the main ways of the site
	Switch   []Link   // the same page in other languages
	Foot     string   // default: the site's
	Data     any      // what the page's template gets
}

// Pages renders the templates of one part of the product inside the common frame.
type Pages struct {
	site   Site
	assets *assets
	frame  *i18n.Catalog
	langs  []string
	pages  map[string]map[string]*template.Template // language → page
}

// New parses the templates. Each NAME.html at the top of dir is a page that
// defines "content"; files that begin with an underscore are shared by all pages.
// In templates {{icon "check"}} is an inline icon and {{asset "ui.css"}} the path
// of an asset; with Site.Texts, {{t "key" "Name" .Value}} is a message,
// {{n "key" .Count}} one that counts, {{time .T}}, {{date .T}}, {{clock .T}} and
// {{size .Bytes}} are times and sizes in the reader's language.
func New(dir fs.FS, site Site) (*Pages, error) {
	if site.Org == "" {
		return nil, errors.New("pages: the organisation's name is missing")
	}
	if site.Product == "" {
		site.Product = "Countersign"
	}
	texts, err := i18n.Load(frame)
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	a, err := readAssets()
	if err != nil {
		return nil, err
	}
	icons, err := readIcons()
	if err != nil {
		return nil, err
	}
	p := &Pages{site: site, assets: a, frame: texts, langs: []string{i18n.Default}, pages: map[string]map[string]*template.Template{}}
	if site.Texts != nil {
		p.langs = site.Texts.Languages()
	}
	for _, lang := range p.langs {
		base, err := template.New("").Funcs(p.funcs(lang, icons)).ParseFS(frame, "templates/*.html")
		if err != nil {
			return nil, fmt.Errorf("parse the frame: %w", err)
		}
		if p.pages[lang], err = parse(base, dir); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// funcs are what templates of a language may call.
func (p *Pages) funcs(lang string, icons map[string]template.HTML) template.FuncMap {
	own := p.frame.For(lang)
	said := own // without texts of its own, a part has no keys; times and sizes it has
	if p.site.Texts != nil {
		said = p.site.Texts.For(lang)
	}
	return template.FuncMap{
		"asset": p.assets.path,
		"icon": func(name string) (template.HTML, error) {
			if svg, ok := icons[name]; ok {
				return svg, nil
			}
			return "", fmt.Errorf("no icon %q", name)
		},
		"frame": own.Say,
		"t":     said.Say,
		"n":     said.SayN,
		"time":  said.Time,
		"date":  said.Date,
		"clock": said.Clock,
		"size":  said.Size,
	}
}

func parse(base *template.Template, dir fs.FS) (map[string]*template.Template, error) {
	names, err := fs.Glob(dir, "*.html")
	if err != nil {
		return nil, fmt.Errorf("find templates: %w", err)
	}
	var shared, own []string
	for _, n := range names {
		if strings.HasPrefix(path.Base(n), "_") {
			shared = append(shared, n)
		} else {
			own = append(own, n)
		}
	}
	pages := map[string]*template.Template{}
	for _, n := range own {
		t, err := base.Clone()
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", n, err)
		}
		if _, err := t.ParseFS(dir, append(slices.Clip(shared), n)...); err != nil {
			return nil, fmt.Errorf("template %s: %w", n, err)
		}
		if t.Lookup("content") == nil {
			return nil, fmt.Errorf("template %s does not define content", n)
		}
		pages[strings.TrimSuffix(n, ".html")] = t
	}
	return pages, nil
}

// Assets serves style sheet and icons; mount it at Prefix.
func (p *Pages) Assets() http.Handler { return p.assets }

// Asset returns the URL path of an asset, "icon.svg" for example.
func (p *Pages) Asset(name string) (string, error) { return p.assets.path(name) }

// Begin returns a view in the reader's language and theme, with the ways to the
// other languages, and who speaks that language. langs are wishes that are known
// otherwise, of an account or a request; what the reader chose here goes before
// them, what the browser says after. It needs Site.Texts.
func (p *Pages) Begin(r *http.Request, langs ...string) (View, *i18n.Localizer) {
	wishes := i18n.FromRequest(r)
	if _, err := r.Cookie(i18n.Cookie); err == nil && len(wishes) > 0 {
		langs = append(wishes[:1:1], langs...)
		wishes = wishes[1:]
	}
	texts := p.site.Texts
	if texts == nil {
		texts = p.frame
	}
	l := texts.For(append(langs, wishes...)...)
	v := View{Lang: l.Lang(), Theme: theme(r)}
	names := p.frame.For(l.Lang())
	for _, other := range p.langs {
		if other != l.Lang() {
			v.Switch = append(v.Switch, Link{URL: chosen(r, other), Text: names.T("lang." + other), Lang: other})
		}
	}
	return v, l
}

// Render returns the page as HTML.
func (p *Pages) Render(page string, v View) ([]byte, error) {
	if v.Lang == "" || p.pages[v.Lang] == nil {
		v.Lang = i18n.Default
	}
	if v.Foot == "" {
		v.Foot = p.site.Foot
	}
	t, ok := p.pages[v.Lang][page]
	if !ok {
		return nil, fmt.Errorf("no page %q", page)
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
	if v.Policy == "" {
		v.Policy = Policy
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", v.Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone if it fails
	return nil
}
