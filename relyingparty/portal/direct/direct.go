package direct

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/portal/viewer"
	"github.com/countersign/countersign/relyingparty/signer"
)

//go:embed pages/*.html locales/*.json
var files embed.FS

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed all:dist
var dist embed.FS

// Paths below the portal's address.
const (
	Path       = "/direct"
	ReturnPath = "/direct/return" // where authorisations come back to
	apiPath    = "/direct/api/"
	assetPath  = "/direct/api/assets/"
	viewerPath = "/direct/api/viewer/"
)

// maxBody is what any route takes at most: no document fits into it that is worth
// the name, and none is asked for.
const maxBody = 256 << 10

// Service signs digests. *signer.Signer is one.
type Service interface {
	Credentials(ctx context.Context) ([]*signer.Credential, error)
	Credential(ctx context.Context, id string) (*signer.Credential, error)
	Begin(ctx context.Context, c *signer.Credential, documents []signer.Digests) (*signer.Authorization, error)
	Complete(ctx context.Context, c *signer.Credential, a *signer.Authorization, final string, documents []signer.Digests) ([][]byte, error)
	Token(ctx context.Context, imprint []byte, hash, nonce string) ([]byte, error)
	Evidence(ctx context.Context, leaves, known []*x509.Certificate) (pades.Evidence, error)
}

// Config is what New needs. DB, Origin and Service are required.
type Config struct {
	DB *store.DB
	// Origin is the portal's public address, without a slash at its end.
	Origin string
	// Service is asked for when it is first needed: its secret may come later than
	// this process. An error is told and the next request asks again.
	Service func(ctx context.Context) (Service, error)
	// Anchors are the trust anchors by which the browser judges signed documents.
	Anchors []*x509.Certificate
	// Level is what signatures are made to; the zero value is B-LTA.
	Level pades.Level
	// OrgID is whose rows these are; Org is its name on every page.
	OrgID, Org string
	Test       bool
	Now        func() time.Time
}

// Direct serves the page and its API.
type Direct struct {
	config Config
	rows   rows
	pages  *ui.Pages
	texts  *i18n.Catalog
	assets *ui.Bundle
	viewer *ui.Bundle
	policy string
}

// New brings the database up to date and reads pages, texts and scripts.
func New(ctx context.Context, c Config) (*Direct, error) {
	if c.DB == nil || c.Service == nil || c.Origin == "" || strings.HasSuffix(c.Origin, "/") {
		return nil, errors.New("direct page: database, service and origin are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OrgID == "" {
		c.OrgID = "default"
	}
	sql, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "direct", sql); err != nil {
		return nil, err
	}
	d := &Direct{config: c, rows: rows{c.DB, c.OrgID, c.Now}, policy: policy(c.Origin)}
	return d, d.read()
}

// read reads what is embedded.
func (d *Direct) read() error {
	var err error
	if d.texts, err = i18n.Load(files); err != nil {
		return fmt.Errorf("direct page: %w", err)
	}
	dir, err := fs.Sub(files, "pages")
	if err != nil {
		return err
	}
	if d.pages, err = ui.New(dir, ui.Site{Org: d.config.Org, Home: "/", Test: d.config.Test, Texts: d.texts}); err != nil {
		return fmt.Errorf("direct page: %w", err)
	}
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return err
	}
	if d.assets, err = ui.NewBundle(ui.BundleConfig{Prefix: assetPath, Dist: built, Policy: workerPolicy(d.config.Origin)}); err != nil {
		return err
	}
	d.viewer, err = viewer.New(viewerPath, workerPolicy(d.config.Origin))
	return err
}

// policy is the Content-Security-Policy of the page: it can send nothing anywhere
// but to its own API, and forms nowhere.
func policy(origin string) string {
	return "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; font-src 'self' data:; worker-src 'self'; " +
		"connect-src " + origin + apiPath + "; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; " +
		"require-trusted-types-for 'script'; trusted-types default"
}

// workerPolicy is the same for workers, which have one of their own.
func workerPolicy(origin string) string {
	return "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; font-src data:; connect-src " + origin + apiPath
}

// Mount adds the routes.
func (d *Direct) Mount(mux httpd.Mux) error {
	same, err := web.SameOrigin(web.Problem)
	if err != nil {
		return err
	}
	limit := web.LimitBody(maxBody, web.Problem)
	pages := mux.With(limit, d.pages.Choices)
	pages.HandleFunc(http.MethodGet, Path, d.page)
	pages.HandleFunc(http.MethodGet, ReturnPath, d.page)
	mux.Handle(http.MethodGet, assetPath+"{file...}", d.assets)
	mux.Handle(http.MethodGet, viewerPath+"{file...}", d.viewer)
	api := mux.With(limit, same)
	for name, h := range map[string]operation{
		"credentials": d.credentials, "authorize": d.authorize, "sign": d.sign, "timestamp": d.timestamp, "evidence": d.evidence, "anchors": d.anchors, "forget": d.forget,
	} {
		api.Handle(http.MethodPost, apiPath+name, d.answer(h))
	}
	return nil
}

// Purge forgets what ended.
func (d *Direct) Purge(ctx context.Context) error { return d.rows.purge(ctx) }

// cookieAge is how long a browser is known, in seconds: somebody who closes it between
// approval and download finds the way back.
const cookieAge = 24 * 3600

// cookie names the browser.
const cookie = "direct"

// browser is the caller's browser as rows know it; "" if it has no cookie of ours.
func browser(r *http.Request) string {
	c, err := r.Cookie(cookie)
	if err != nil || len(c.Value) < 20 || len(c.Value) > 100 {
		return ""
	}
	sum := sha256.Sum256([]byte(c.Value))
	return hex.EncodeToString(sum[:])
}

// remember gives the browser a cookie. It comes back with the signer from the
// approval, which is a navigation from another site: hence Lax.
func (d *Direct) remember(w http.ResponseWriter, r *http.Request) {
	if browser(r) != "" {
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure except on loopback names, where there is no https
		Name: cookie, Value: rand.Text() + rand.Text(), Path: Path, MaxAge: cookieAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(d.config.Origin, "https:"),
	})
}
