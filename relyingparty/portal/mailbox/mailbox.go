// Package mailbox shows the messages that a demonstration's catcher took in place of
// a mail server. It is for demonstrations and tests only: everybody who reaches the
// portal reads everybody's mail there.
package mailbox

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/notify"
)

//go:embed pages/*.html locales/*.json
var files embed.FS

// Path is where the messages are listed, below the portal's address.
const Path = "/mail"

// Config is what New needs; all are required but Test.
type Config struct {
	Catcher *notify.Catcher
	Origin  string // the portal's address: links that begin with it can be followed
	Org     string
	Test    bool
}

// Mailbox serves the pages.
type Mailbox struct {
	config Config
	pages  *ui.Pages
	links  *regexp.Regexp
}

// New reads pages and texts.
func New(c Config) (*Mailbox, error) {
	if c.Catcher == nil || c.Origin == "" {
		return nil, errors.New("mailbox: a catcher and the portal's address are needed")
	}
	texts, err := i18n.Load(files)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	dir, err := fs.Sub(files, "pages")
	if err != nil {
		return nil, err
	}
	m := &Mailbox{config: c, links: regexp.MustCompile(regexp.QuoteMeta(c.Origin) + `/[A-Za-z0-9/_.-]*[A-Za-z0-9/_-]`)}
	m.pages, err = ui.New(dir, ui.Site{Org: c.Org, Home: "/", Test: c.Test, Texts: texts})
	return m, err
}

// Mount adds the routes.
func (m *Mailbox) Mount(mux httpd.Mux) {
	pages := mux.With(m.pages.Choices)
	pages.HandleFunc(http.MethodGet, Path, m.list)
	pages.HandleFunc(http.MethodGet, Path+"/{id}", m.message)
}

func (m *Mailbox) list(w http.ResponseWriter, r *http.Request) {
	v, l := m.pages.Begin(r)
	v.Title, v.Data = l.T("mail.title"), m.config.Catcher.Messages(r.URL.Query().Get("to"))
	m.write(w, r, "list", v)
}

// piece is text of a message, or an address in it that can be followed.
type piece struct{ Text, Link string }

type shown struct {
	notify.Caught
	Pieces []piece
}

func (m *Mailbox) message(w http.ResponseWriter, r *http.Request) {
	c, ok := m.config.Catcher.Message(r.PathValue("id"))
	if !ok {
		web.Problem(w, r, fault.New(fault.NotFound, "there is no such message, or no longer"))
		return
	}
	data, at := shown{Caught: c}, 0
	for _, span := range m.links.FindAllStringIndex(c.Text, -1) {
		data.Pieces = append(data.Pieces, piece{Text: c.Text[at:span[0]]}, piece{c.Text[span[0]:span[1]], c.Text[span[0]:span[1]]})
		at = span[1]
	}
	data.Pieces = append(data.Pieces, piece{Text: c.Text[at:]})
	v, _ := m.pages.Begin(r)
	v.Title, v.Data = c.Subject, data
	m.write(w, r, "message", v)
}

func (m *Mailbox) write(w http.ResponseWriter, r *http.Request, page string, v ui.View) {
	if err := m.pages.Write(w, http.StatusOK, page, v); err != nil {
		web.Problem(w, r, err)
	}
}
