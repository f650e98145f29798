package sam

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
)

// States of authenticators and registration authorities.
const (
	stateActive  = "active"
	stateRevoked = "revoked"
)

// authenticator is a signer's device.
type authenticator struct {
	ID        string    `json:"id"`
	Signer    string    `json:"signer"`
	Mechanism string    `json:"mechanism"`
	Name      string    `json:"name"`
	SPKI      []byte    `json:"spki"`
	Handle    []byte    `json:"handle,omitempty"` // WebAuthn credential id
	PIN       []byte    `json:"pin,omitempty"`    // verifier, for devicekey
	State     string    `json:"state"`
	Enrolled  time.Time `json:"enrolled"`
	Version   int64     `json:"version"`

	public *ecdsa.PublicKey // parsed from SPKI; nil of a new device
}

func (a *authenticator) record() string { return "authenticator/" + a.ID }

func (a *authenticator) key() (*ecdsa.PublicKey, error) {
	if a.public != nil {
		return a.public, nil
	}
	pub, err := x509.ParsePKIXPublicKey(a.SPKI)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.record(), err)
	}
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s: key of type %T", a.record(), pub)
	}
	return k, nil
}

const selectAuthenticator = `SELECT a.id, a.signer, a.mechanism, a.name, a.spki, a.handle, a.pin, a.state, a.enrolled, a.version, a.mac,
	COALESCE((SELECT MAX(h.version) FROM sam_head h WHERE h.record = 'authenticator/' || a.id), 0)
	FROM sam_authenticator a `

// authenticatorByID reads a device and checks that the record is the module's own.
func (m *Module) authenticatorByID(ctx context.Context, q store.Querier, id string) (*authenticator, error) {
	h, err := m.heldAuthenticatorByID(ctx, q, id)
	if err != nil {
		return nil, err
	}
	a := h.device
	return &a, nil
}

// heldAuthenticatorByID is authenticatorByID for reading only.
func (m *Module) heldAuthenticatorByID(ctx context.Context, q store.Querier, id string) (*heldAuthenticator, error) {
	ctx = m.reading(ctx)
	h, err := m.scanHeldAuthenticator(ctx, q, q.QueryRow(ctx, selectAuthenticator+`WHERE a.id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "there is no such device").WithCode(samapi.CodeUnknownDevice)
	}
	return h, err
}

// authenticatorsOf returns the active devices of a signer for one mechanism.
func (m *Module) authenticatorsOf(ctx context.Context, q store.Querier, signer, mechanism string) ([]*authenticator, error) {
	ctx = m.reading(ctx)
	rows, err := q.Query(ctx, selectAuthenticator+`WHERE a.signer = $1 AND a.mechanism = $2 ORDER BY a.id`, signer, mechanism)
	if err != nil {
		return nil, fmt.Errorf("read devices: %w", err)
	}
	defer rows.Close()
	var all []*authenticator
	for rows.Next() {
		a, err := m.scanAuthenticator(ctx, q, rows)
		if err != nil {
			return nil, err
		}
		if a.State == stateActive {
			all = append(all, a)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read devices: %w", err)
	}
	return all, nil
}

func (m *Module) scanAuthenticator(ctx context.Context, q store.Querier, row scanner) (*authenticator, error) {
	h, err := m.scanHeldAuthenticator(ctx, q, row)
	if err != nil {
		return nil, err
	}
	a := h.device // callers make its next version of it
	return &a, nil
}

func (m *Module) scanHeldAuthenticator(ctx context.Context, q store.Querier, row scanner) (*heldAuthenticator, error) {
	var (
		s    authenticatorRow
		head int64
	)
	err := row.Scan(&s.id, &s.signer, &s.mechanism, &s.name, &s.spki, &s.handle, &s.pin, &s.state, &s.enrolled, &s.version, &s.mac, &head)
	if err != nil {
		return nil, fmt.Errorf("read device: %w", err)
	}
	known, ok := m.memory.authenticators.get(s.id)
	if !ok || known.row != s {
		if known, err = m.readAuthenticator(ctx, &s); err != nil {
			return nil, err
		}
		m.memory.authenticators.keep(s.id, known)
	}
	return known, m.fresh(ctx, q, known.device.record(), s.version, head)
}

// authenticatorRow is a device as it is stored.
type authenticatorRow struct {
	id, signer, mechanism, name, state string
	spki, handle, pin, mac             string
	enrolled, version                  int64
}

// heldAuthenticator is a row and what was made of it.
type heldAuthenticator struct {
	row    authenticatorRow
	device authenticator
}

// readAuthenticator checks the MAC of a stored device.
func (m *Module) readAuthenticator(ctx context.Context, s *authenticatorRow) (*heldAuthenticator, error) {
	a := authenticator{
		ID: s.id, Signer: s.signer, Mechanism: s.mechanism, Name: s.name, SPKI: []byte(s.spki), Handle: []byte(s.handle),
		PIN: []byte(s.pin), State: s.state, Enrolled: store.Time(s.enrolled), Version: s.version,
	}
	if err := m.verify(ctx, macAuthenticator, a.record(), &a, []byte(s.mac)); err != nil {
		return nil, err
	}
	var err error
	if a.public, err = a.key(); err != nil {
		return nil, err
	}
	return &heldAuthenticator{*s, a}, nil
}

func (m *Module) insertAuthenticator(ctx context.Context, tx *store.Tx, a *authenticator) error {
	mac, err := m.mac(ctx, macAuthenticator, a)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `INSERT INTO sam_authenticator (id, signer, mechanism, name, spki, handle, pin, state, enrolled, version, mac)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
		a.ID, a.Signer, a.Mechanism, a.Name, a.SPKI, a.Handle, a.PIN, a.State, store.Micros(a.Enrolled), a.Version, mac)
	if err != nil {
		return fmt.Errorf("insert device: %w", err)
	}
	if n != 1 {
		return fault.New(fault.Conflict, "this device key was enrolled before; make a new one").WithCode(samapi.CodeAssertion)
	}
	return advance(ctx, tx, a.record(), a.Version)
}

// updateAuthenticator writes the device's next version: a holds its new fields and
// still the version it was read with.
func (m *Module) updateAuthenticator(ctx context.Context, tx *store.Tx, a *authenticator) error {
	old := a.Version
	a.Version++
	mac, err := m.mac(ctx, macAuthenticator, a)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE sam_authenticator SET state = $1, version = $2, mac = $3 WHERE id = $4 AND version = $5`,
		a.State, a.Version, mac, a.ID, old)
	if err != nil {
		return fmt.Errorf("update device: %w", err)
	}
	if n != 1 {
		return fault.New(fault.Conflict, "the device was changed at the same moment")
	}
	return advance(ctx, tx, a.record(), a.Version)
}
