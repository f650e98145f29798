package pki

import (
	"context"
	"crypto/x509"
	"net/http"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// AdminHandler serves the local operator. It has no authentication of its own:
// serve it on a Unix socket that only the operator can open, and nowhere else.
//
//	GET    /keys                    []Party
//	POST   /keys                    Registration → Party
//	DELETE /keys/{id}
//	GET    /certificates?after=&limit=   []Certificate, by serial number
//	POST   /certificates/{serial}/revoke {"reason"} → Revoked
//	GET    /health                  Health
func (a *Authority) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		out, err := a.Parties(r.Context())
		a.answer(w, r, out, err)
	})
	mux.HandleFunc("POST /keys", func(w http.ResponseWriter, r *http.Request) {
		serveJSON(a, w, r, func(in Registration) (Party, error) { return a.Register(r.Context(), in.Role, in.Name, in.SPKI) })
	})
	mux.HandleFunc("DELETE /keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		a.answer(w, r, struct{}{}, a.Remove(r.Context(), r.PathValue("id")))
	})
	mux.HandleFunc("GET /certificates", func(w http.ResponseWriter, r *http.Request) {
		limit, err := parseLimit(r.URL.Query().Get("limit"))
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		out, err := a.Certificates(r.Context(), r.URL.Query().Get("after"), limit)
		a.answer(w, r, out, err)
	})
	mux.HandleFunc("POST /certificates/{serial}/revoke", func(w http.ResponseWriter, r *http.Request) {
		serveJSON(a, w, r, func(in revokeOwn) (Revoked, error) {
			reason, err := ParseReason(in.Reason)
			if err != nil {
				return Revoked{}, err
			}
			return a.RevokeOwn(r.Context(), r.PathValue("serial"), reason)
		})
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, a.Health(r.Context()))
	})
	return mux
}

// Registration is a key to be registered.
type Registration struct {
	Role PartyRole `json:"role"`
	Name string    `json:"name"`
	SPKI []byte    `json:"spki"`
}

type revokeOwn struct {
	Reason string `json:"reason"`
}

const maxListed = 500

func parseLimit(s string) (int, error) {
	if s == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxListed {
		return 0, fault.New(fault.Invalid, "limit: a number from 1 to %d", maxListed)
	}
	return n, nil
}

// Certificate is a certificate as the operator sees it.
type Certificate struct {
	Serial     string    `json:"serial"`
	Role       Role      `json:"role"`
	Subject    string    `json:"subject"`
	Signer     string    `json:"signer,omitempty"`
	Credential string    `json:"credential,omitempty"`
	KeyHash    string    `json:"keyHash"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	Revoked    time.Time `json:"revoked,omitzero"`
	Reason     string    `json:"reason,omitempty"`
	DER        []byte    `json:"der"`
}

// Certificates lists at most limit certificates whose serial number comes after
// the given one, in their order; "" begins.
func (a *Authority) Certificates(ctx context.Context, after string, limit int) ([]Certificate, error) {
	rows, err := certificatesAfter(ctx, a.cfg.DB, after, min(limit, maxListed))
	if err != nil {
		return nil, err
	}
	list := make([]Certificate, 0, len(rows))
	for _, r := range rows {
		c := Certificate{
			Serial: r.Serial, Role: r.Role, Subject: r.Subject, Signer: r.Signer, Credential: r.Credential, KeyHash: r.KeyHash,
			NotBefore: r.NotBefore, NotAfter: r.NotAfter, Revoked: r.Revoked, DER: r.DER,
		}
		if !r.Revoked.IsZero() {
			c.Reason = r.Reason.String()
		}
		list = append(list, c)
	}
	return list, nil
}

// Health is how the authority is.
type Health struct {
	Ready    bool               `json:"ready"`
	Findings []string           `json:"findings"` // in words; empty when all is well
	Ends     map[Role]time.Time `json:"ends"`     // notAfter of its own certificates
	Parties  map[PartyRole]int  `json:"parties"`  // registered keys
	Issued   int64              `json:"issued"`   // signers' certificates
	Revoked  int64              `json:"revoked"`  // of them
}

// Ready returns an error while the authority cannot do its work.
func (a *Authority) Ready(ctx context.Context) error {
	if err := a.cfg.DB.Ping(ctx); err != nil {
		return err
	}
	now := a.cfg.Now()
	for _, h := range []*holder{a.root, a.ca, a.responder(), a.timestamper()} {
		if now.Before(h.cert.NotBefore) || now.After(h.cert.NotAfter) {
			return fault.New(fault.Unavailable, "the %s certificate is not valid now", h.row.Role)
		}
	}
	if _, err := a.responder().signBytes([]byte("ready")); err != nil { // the keystore works
		return err
	}
	if a.cfg.ClockTrusted != nil {
		if err := a.cfg.ClockTrusted(ctx); err != nil {
			return fault.New(fault.Unavailable, "the clock is not synchronised").Because(err)
		}
	}
	return nil
}

// Health looks at everything that an operator should know.
func (a *Authority) Health(ctx context.Context) Health {
	h := Health{Findings: []string{}, Ends: map[Role]time.Time{}, Parties: map[PartyRole]int{Module: 0, RA: 0}}
	if err := a.Ready(ctx); err != nil {
		a.cfg.Logger.ErrorContext(ctx, "not ready", "error", err)
		h.Findings = append(h.Findings, "not ready: "+fault.Of(err).Detail)
	} else {
		h.Ready = true
	}
	for _, own := range []*holder{a.root, a.ca, a.responder(), a.timestamper()} {
		h.Ends[own.row.Role] = own.cert.NotAfter
	}
	if left := a.ca.cert.NotAfter.Sub(a.cfg.Now()); left < a.cfg.Validity {
		h.Findings = append(h.Findings, "new certificates end with the issuing CA, sooner than configured: set up a new authority")
	}
	if !namesURL(a.ca.cert, a.url("/root.crl")) {
		h.Findings = append(h.Findings, "the base URL was changed: the CA certificate names "+a.ca.cert.CRLDistributionPoints[0]+", which must stay reachable")
	}
	if err := a.count(ctx, &h); err != nil {
		a.cfg.Logger.ErrorContext(ctx, "count certificates", "error", err)
		h.Findings = append(h.Findings, "the database cannot be read")
	}
	for role, n := range h.Parties {
		if n == 0 {
			h.Findings = append(h.Findings, "no key is registered for role "+string(role)+": nothing can be issued")
		}
	}
	return h
}

func namesURL(c *x509.Certificate, url string) bool {
	return len(c.CRLDistributionPoints) == 1 && c.CRLDistributionPoints[0] == url
}

func (a *Authority) count(ctx context.Context, h *Health) error {
	row := a.cfg.DB.QueryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN revoked > 0 THEN 1 ELSE 0 END), 0) FROM pki_certificate WHERE role = 'signer'`)
	if err := row.Scan(&h.Issued, &h.Revoked); err != nil {
		return err
	}
	parties, err := a.Parties(ctx)
	if err != nil {
		return err
	}
	for _, p := range parties {
		if p.Removed.IsZero() {
			h.Parties[p.Role]++
		}
	}
	return nil
}
