package oauth

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
)

//go:embed templates/*.html locales/*.json
var pageFiles embed.FS

// newPages makes the pages that people see: there is one, for what cannot continue.
func newPages(site ui.Site, issuer *url.URL) (*ui.Pages, error) {
	if site.Org == "" {
		site.Org = issuer.Host
	}
	texts, err := i18n.Load(pageFiles)
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	site.Texts = texts
	dir, err := fs.Sub(pageFiles, "templates")
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	return ui.New(dir, site)
}

// refused is what the page says. The description is the protocol's own, in English.
type refused struct{ Title, Description, Advice, Code, Reference string }

// page shows an error here: as a page to a browser and as JSON to a program.
func (s *Server) page(w http.ResponseWriter, r *http.Request, err error) {
	e := asOAuth(err)
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.writeError(w, r, e)
		return
	}
	s.logError(r, e)
	v, l := s.pages.Begin(r)
	v.Switch = nil // the address may be good once
	said := refused{Title: l.T("refused"), Advice: l.T("refused.advice"), Description: e.description, Code: e.code, Reference: web.RequestID(r.Context())}
	if e.status >= http.StatusInternalServerError {
		said.Title, said.Advice = l.T("trouble"), l.T("trouble.advice")
	}
	v.Title, v.Data = said.Title, said
	if err := s.pages.Write(w, e.status, "refused", v); err != nil {
		s.writeError(w, r, fmt.Errorf("show an error: %w", err))
	}
}
