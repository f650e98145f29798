package sam

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/loopback"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
)

// gateway is an authorisation server and the one way back to it.
type gateway struct {
	Issuer    string    `json:"issuer"`
	ReturnURL string    `json:"returnURL"`
	Added     time.Time `json:"added"`
	Version   int64     `json:"version"`
}

func (g *gateway) record() string { return "gateway/" + g.Issuer }

const selectGateway = `SELECT g.issuer, g.return_url, g.added, g.version, g.mac,
	COALESCE((SELECT MAX(h.version) FROM sam_head h WHERE h.record = 'gateway/' || g.issuer), 0)
	FROM sam_gateway g `

func (m *Module) gatewayByIssuer(ctx context.Context, q store.Querier, issuer string) (*gateway, error) {
	ctx = m.reading(ctx)
	g, err := m.scanGateway(ctx, q, q.QueryRow(ctx, selectGateway+`WHERE g.issuer = $1`, issuer))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.Forbidden, "no return URL is registered for the gateway %q", issuer).WithCode(samapi.CodeUnknownGateway)
	}
	return g, err
}

func (m *Module) scanGateway(ctx context.Context, q store.Querier, row scanner) (*gateway, error) {
	var (
		s    gatewayRow
		head int64
	)
	err := row.Scan(&s.issuer, &s.returnURL, &s.added, &s.version, &s.mac, &head)
	if err != nil {
		return nil, fmt.Errorf("read gateway: %w", err)
	}
	known, ok := m.memory.gateways.get(s.issuer)
	if !ok || known.row != s {
		g := gateway{Issuer: s.issuer, ReturnURL: s.returnURL, Added: store.Time(s.added), Version: s.version}
		if err := m.verify(ctx, macGateway, g.record(), &g, []byte(s.mac)); err != nil {
			return nil, err
		}
		known = &heldGateway{s, g}
		m.memory.gateways.keep(s.issuer, known)
	}
	g := known.gateway
	return &g, m.fresh(ctx, q, g.record(), g.Version, head)
}

// gatewayRow is a gateway as stored.
type gatewayRow struct {
	issuer, returnURL, mac string
	added, version         int64
}

// heldGateway is a row and what was made of it.
type heldGateway struct {
	row     gatewayRow
	gateway gateway
}

// RegisterGateway sets the one URL to which browsers are sent back for a gateway.
// It is for administrators.
func (m *Module) RegisterGateway(ctx context.Context, issuer, returnURL string) error {
	now, err := m.clock.read()
	if err != nil {
		return err
	}
	for _, s := range []string{issuer, returnURL} {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || len(s) > 500 ||
			(u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname()))) {
			return fault.New(fault.Invalid, "%q must be an absolute https URL (http only for loopback names)", s)
		}
	}
	g := gateway{Issuer: issuer, ReturnURL: returnURL, Added: now}
	return m.alarm(ctx, m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var newest int64
		if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(version), 0) FROM sam_head WHERE record = $1`, g.record()).Scan(&newest); err != nil {
			return fmt.Errorf("read gateway: %w", err)
		}
		g.Version = newest + 1
		mac, err := m.mac(ctx, macGateway, &g)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO sam_gateway (issuer, return_url, added, version, mac) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (issuer) DO UPDATE SET return_url = $2, added = $3, version = $4, mac = $5`,
			g.Issuer, g.ReturnURL, store.Micros(g.Added), g.Version, mac); err != nil {
			return fmt.Errorf("write gateway: %w", err)
		}
		if err := advance(ctx, tx, g.record(), g.Version); err != nil {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventGatewaySet, Subject: g.Issuer, Actor: "admin",
			Data: change{Record: g.record(), Version: g.Version, Details: map[string]string{"returnURL": g.ReturnURL}},
		})
	}))
}
