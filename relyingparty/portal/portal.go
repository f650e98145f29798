// Package portal is the relying party's pages: a start page that names the parts
// of the installation, and the page on which authorisations of programs end.
package portal

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
)

//go:embed pages/*.html
var pages embed.FS

//go:embed migrations/*.sql
var migrations embed.FS

// CallbackPath is where authorisations come back to, below the portal's address.
const CallbackPath = "/callback"

// Config is what New needs. DB is required.
type Config struct {
	DB *store.DB
	// Org is the organisation that runs the portal, shown on every page.
	Org string
	// Test marks every page of a test installation.
	Test bool
	// Links lead to the other parts of the installation.
	Links []Link
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Link is a part of the installation, on the start page.
type Link struct{ Name, Address, What string }

// Portal serves the pages.
type Portal struct {
	config Config
	pages  *ui.Pages
}

// orgID is the organisation of everything in the database: this portal serves one.
const orgID = "default"

// New brings the database up to date and parses the pages.
func New(ctx context.Context, c Config) (*Portal, error) {
	if c.DB == nil {
		return nil, errors.New("open portal: a database is needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	sql, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "portal", sql); err != nil {
		return nil, err
	}
	dir, err := fs.Sub(pages, "pages")
	if err != nil {
		return nil, err
	}
	p, err := ui.New(dir, ui.Site{Org: c.Org, Home: "/", Test: c.Test, Foot: "Documents stay where they are; only digests travel."})
	if err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	return &Portal{config: c, pages: p}, nil
}

// Mount adds the routes.
func (p *Portal) Mount(mux httpd.Mux) {
	mux.HandleFunc(http.MethodGet, "/", p.home)
	mux.HandleFunc(http.MethodGet, CallbackPath, p.callback)
	mux.Handle(http.MethodGet, ui.Prefix+"{file...}", p.pages.Assets())
}

func (p *Portal) home(w http.ResponseWriter, r *http.Request) {
	p.write(w, r, http.StatusOK, "home", ui.View{Title: "Start", Data: p.config.Links})
}

// callback is where the browser ends that a program has sent to an
// authorisation. The code stays in the address, where only the program that
// holds the PKCE verifier can use it; the page neither shows nor keeps it.
func (p *Portal) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	outcome, status, page := "code", http.StatusOK, "returned"
	switch {
	case q.Get("error") == "access_denied":
		outcome, page = "access_denied", "declined"
	case q.Get("error") != "":
		outcome, page = "error", "failed"
	case q.Get("code") == "":
		outcome, status, page = "nothing", http.StatusBadRequest, "failed"
	}
	if err := p.record(r.Context(), outcome); err != nil {
		web.Problem(w, r, err)
		return
	}
	p.write(w, r, status, page, ui.View{Title: "Authorisation"})
}

func (p *Portal) write(w http.ResponseWriter, r *http.Request, status int, page string, v ui.View) {
	w.Header().Set("Content-Security-Policy", ui.Policy)
	if err := p.pages.Write(w, status, page, v); err != nil {
		web.Problem(w, r, err)
	}
}

// record counts what came back: never the code.
func (p *Portal) record(ctx context.Context, outcome string) error {
	_, err := p.config.DB.Exec(ctx, `INSERT INTO portal_return (id, org_id, outcome, at) VALUES ($1, $2, $3, $4)`,
		store.NewID(), orgID, outcome, store.Micros(p.config.Now()))
	if err != nil {
		return fmt.Errorf("record return: %w", err)
	}
	return nil
}

// Returned counts the authorisations that ended here since a moment, by outcome.
func (p *Portal) Returned(ctx context.Context, since time.Time) (_ map[string]int, err error) {
	rows, err := p.config.DB.Query(ctx, `SELECT outcome, COUNT(*) FROM portal_return WHERE org_id = $1 AND at >= $2 GROUP BY outcome`,
		orgID, store.Micros(since))
	if err != nil {
		return nil, fmt.Errorf("count returns: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	out := map[string]int{}
	for rows.Next() {
		var outcome string
		var n int
		if err := rows.Scan(&outcome, &n); err != nil {
			return nil, fmt.Errorf("count returns: %w", err)
		}
		out[outcome] = n
	}
	return out, rows.Err()
}

// keep is how long returns are counted.
const keep = 90 * 24 * time.Hour

// Purge forgets returns that are older than three months.
func (p *Portal) Purge(ctx context.Context) error {
	_, err := p.config.DB.Exec(ctx, `DELETE FROM portal_return WHERE at < $1`, store.Micros(p.config.Now().Add(-keep)))
	return err
}
