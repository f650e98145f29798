package sam

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// signer is a person or organisation that a registration authority has proved.
type signer struct {
	ID        string          `json:"id"`
	Subject   signing.Subject `json:"subject"`
	Assurance string          `json:"assurance"`
	Authority string          `json:"authority"`
	Added     time.Time       `json:"added"`
	Version   int64           `json:"version"`
}

func (s *signer) record() string { return "signer/" + s.ID }

// assurances are the levels of CIR (EU) 2015/1502, weakest first.
var assurances = []string{"low", "substantial", "high"}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

const selectSigner = `SELECT s.id, s.subject, s.assurance, s.authority, s.added, s.version, s.mac,
	COALESCE((SELECT MAX(h.version) FROM sam_head h WHERE h.record = 'signer/' || s.id), 0)
	FROM sam_signer s `

// signerByID reads a signer and checks that the record is the module's own.
func (m *Module) signerByID(ctx context.Context, q store.Querier, id string) (*signer, error) {
	ctx = m.reading(ctx)
	s, err := m.scanSigner(ctx, q, q.QueryRow(ctx, selectSigner+`WHERE s.id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "there is no signer %q", id)
	}
	return s, err
}

func (m *Module) scanSigner(ctx context.Context, q store.Querier, row scanner) (*signer, error) {
	var (
		r    signerRow
		head int64
	)
	err := row.Scan(&r.id, &r.subject, &r.assurance, &r.authority, &r.added, &r.version, &r.mac, &head)
	if err != nil {
		return nil, fmt.Errorf("read signer: %w", err)
	}
	known, ok := m.memory.signers.get(r.id)
	if !ok || known.row != r {
		if known, err = m.readSigner(ctx, &r); err != nil {
			return nil, err
		}
		m.memory.signers.keep(r.id, known)
	}
	s := known.signer // callers make its next version of it
	return &s, m.fresh(ctx, q, s.record(), s.Version, head)
}

// signerRow is a signer as stored.
type signerRow struct {
	id, subject, assurance, authority, mac string
	added, version                         int64
}

// heldSigner is a row and what was made of it.
type heldSigner struct {
	row    signerRow
	signer signer
}

// readSigner checks the MAC of a stored signer.
func (m *Module) readSigner(ctx context.Context, r *signerRow) (*heldSigner, error) {
	s := signer{ID: r.id, Assurance: r.assurance, Authority: r.authority, Added: store.Time(r.added), Version: r.version}
	if err := signing.DecodeCanonical([]byte(r.subject), &s.Subject); err != nil {
		return nil, tampered(s.record(), "its subject is unreadable")
	}
	if err := m.verify(ctx, macSigner, s.record(), &s, []byte(r.mac)); err != nil {
		return nil, err
	}
	return &heldSigner{*r, s}, nil
}

// scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// insertSigner stores a new signer inside tx; an id that is taken is a fault.
func (m *Module) insertSigner(ctx context.Context, tx *store.Tx, s *signer) error {
	subject, err := signing.EncodeCanonical(&s.Subject)
	if err != nil {
		return err
	}
	mac, err := m.mac(ctx, macSigner, s)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `INSERT INTO sam_signer (id, subject, assurance, authority, added, version, mac)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		s.ID, string(subject), s.Assurance, s.Authority, store.Micros(s.Added), s.Version, mac)
	if err != nil {
		return fmt.Errorf("insert signer: %w", err)
	}
	if n != 1 {
		return fault.New(fault.Conflict, "the signer %q was registered at the same moment", s.ID)
	}
	return advance(ctx, tx, s.record(), s.Version)
}

// checkSubject refuses a subject that no certificate could carry.
func checkSubject(s signing.Subject) error {
	for _, f := range []struct{ name, value string }{
		{"commonName", s.CommonName},
		{"givenName", s.GivenName},
		{"surname", s.Surname},
		{"organization", s.Organization},
		{"serialNumber", s.SerialNumber},
		{"email", s.Email},
	} {
		if clean, err := cleanText(f.value, maxName); err != nil || clean != f.value {
			return fault.New(fault.Invalid, "the subject's %s has control characters, spaces at its ends, or is too long", f.name).WithCode(samapi.CodeOrder)
		}
	}
	switch {
	case s.CommonName == "":
		return fault.New(fault.Invalid, "the subject has no commonName").WithCode(samapi.CodeOrder)
	case len(s.Country) != 2 || s.Country[0] < 'A' || s.Country[0] > 'Z' || s.Country[1] < 'A' || s.Country[1] > 'Z':
		return fault.New(fault.Invalid, "the subject's country must be two capital letters (ISO 3166-1)").WithCode(samapi.CodeOrder)
	}
	return nil
}
