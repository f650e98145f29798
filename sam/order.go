package sam

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// authority is a registration authority whose orders are obeyed.
type authority struct {
	Key     string    `json:"key"`
	Name    string    `json:"name"`
	SPKI    []byte    `json:"spki"`
	State   string    `json:"state"`
	Added   time.Time `json:"added"`
	Version int64     `json:"version"`
}

func (a *authority) record() string { return "authority/" + a.Key }

const selectAuthority = `SELECT a.key_id, a.name, a.spki, a.state, a.added, a.version, a.mac,
	COALESCE((SELECT MAX(h.version) FROM sam_head h WHERE h.record = 'authority/' || a.key_id), 0)
	FROM sam_authority a `

func (m *Module) authorityByKey(ctx context.Context, q store.Querier, key string) (*authority, error) {
	ctx = m.reading(ctx)
	a, err := m.scanAuthority(ctx, q, q.QueryRow(ctx, selectAuthority+`WHERE a.key_id = $1`, key))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.Forbidden, "no registration authority is registered with this key").WithCode(samapi.CodeOrder)
	}
	return a, err
}

func (m *Module) scanAuthority(ctx context.Context, q store.Querier, row scanner) (*authority, error) {
	var (
		a           authority
		added, head int64
		mac         []byte
	)
	if err := row.Scan(&a.Key, &a.Name, &a.SPKI, &a.State, &added, &a.Version, &mac, &head); err != nil {
		return nil, fmt.Errorf("read registration authority: %w", err)
	}
	a.Added = store.Time(added)
	if err := m.verify(ctx, macAuthority, a.record(), &a, mac); err != nil {
		return nil, err
	}
	return &a, m.fresh(ctx, q, a.record(), a.Version, head)
}

// order is an RA's order whose signature, age and addressee were checked. Only
// openOrder makes one; carry runs it once.
type order struct {
	domain string
	head   samapi.Order
	by     *authority
	at     time.Time
	self   string // who gave it, where it is not a registration authority
}

// openOrder verifies a sealed order and decodes it into payload, whose head is *head.
func (m *Module) openOrder(ctx context.Context, domain string, s signing.Signed, payload any, head *samapi.Order) (*order, error) {
	now, err := m.clock.read()
	if err != nil {
		return nil, err
	}
	by, err := m.authorityByKey(ctx, m.db, s.Key)
	if err != nil {
		return nil, m.alarm(ctx, err)
	}
	if by.State != stateActive {
		return nil, fault.New(fault.Forbidden, "the key of this registration authority was revoked").WithCode(samapi.CodeOrder)
	}
	pub, err := x509.ParsePKIXPublicKey(by.SPKI)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", by.record(), err)
	}
	b, err := s.Open(domain, pub)
	if err != nil {
		return nil, fault.New(fault.Forbidden, "the order's signature does not verify").WithCode(samapi.CodeOrder).Because(err)
	}
	if err := signing.DecodeCanonical(b, payload); err != nil {
		return nil, fault.New(fault.Invalid, "the order is not in the form of %s", domain).WithCode(samapi.CodeOrder).Because(err)
	}
	switch {
	case head.Version != 1:
		err = fault.New(fault.Invalid, "the order has version %d, this module knows 1", head.Version)
	case head.Module != m.issuer:
		err = fault.New(fault.Invalid, "the order is for another module")
	case len(head.ID) < 22 || len(head.ID) > 64:
		err = fault.New(fault.Invalid, "the order's id must have 22 to 64 characters")
	case !head.Expires.After(now):
		err = fault.New(fault.Expired, "the order has expired")
	case head.Expires.After(now.Add(samapi.MaxOrderLife)):
		err = fault.New(fault.Invalid, "the order expires more than %s ahead", samapi.MaxOrderLife)
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return nil, f.WithCode(samapi.CodeOrder)
	}
	return &order{domain: domain, head: *head, by: by, at: now}, nil
}

// carry runs do in a transaction that also uses up the order.
func (m *Module) carry(ctx context.Context, o *order, do func(ctx context.Context, tx *store.Tx) error) error {
	err := m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `INSERT INTO sam_order (authority, id, domain, done) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			o.by.Key, o.head.ID, o.domain, store.Micros(o.at))
		if err != nil {
			return fmt.Errorf("use up order: %w", err)
		}
		if n != 1 {
			return fault.New(fault.Conflict, "this order was carried out before").WithCode(samapi.CodeOrderReplayed)
		}
		return do(ctx, tx)
	})
	return m.alarm(ctx, err)
}

// actor is the responsible registration authority, for the log.
func (o *order) actor() string {
	if o.self != "" {
		return o.self
	}
	return "ra:" + o.by.Name
}

// EnrolSigner carries out an RA's order to register a signer and let one device
// enrol.
func (m *Module) EnrolSigner(ctx context.Context, s signing.Signed) (samapi.Enrolment, error) {
	var p samapi.EnrolSigner
	o, err := m.openOrder(ctx, samapi.DomainEnrolSigner, s, &p, &p.Order)
	if err != nil {
		return samapi.Enrolment{}, err
	}
	if err := checkEnrolSigner(p, o.at); err != nil {
		return samapi.Enrolment{}, err
	}
	e := enrolment{
		ID: store.NewID(), Order: p.ID, Signer: p.Signer, Mechanism: p.Mechanism,
		CodeHash: p.CodeHash, Expires: store.Time(store.Micros(p.CodeExpires)),
	}
	err = m.carry(ctx, o, func(ctx context.Context, tx *store.Tx) error {
		if err := m.register(ctx, tx, o, p); err != nil {
			return err
		}
		if err := m.insertEnrolment(ctx, tx, &e); err != nil {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventEnrolmentOpened, Subject: p.Signer, Actor: o.actor(),
			Data: map[string]any{"enrolment": e.ID, "mechanism": e.Mechanism, "order": p.ID, "expires": e.Expires},
		})
	})
	if err != nil {
		return samapi.Enrolment{}, err
	}
	return samapi.Enrolment{ID: e.ID, URL: m.approval + "/enrol/" + e.ID, Expires: e.Expires}, nil
}

func checkEnrolSigner(p samapi.EnrolSigner, now time.Time) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, format, args...).WithCode(samapi.CodeOrder)
	}
	switch {
	case !idPattern.MatchString(p.Signer):
		return bad("the signer's id must have 1 to 64 of a-z, 0-9, dot, underscore and hyphen")
	case !slices.Contains(assurances, p.Assurance):
		return bad("the assurance must be low, substantial or high")
	case !slices.Contains(mechanisms, p.Mechanism):
		return bad("the mechanism must be one of %s", strings.Join(mechanisms, ", "))
	case len(p.CodeHash) != 32:
		return bad("the hash of the activation code must have 32 bytes")
	case !p.CodeExpires.After(now) || p.CodeExpires.After(now.Add(maxEnrolment)):
		return bad("the activation code must expire within %d days", int(maxEnrolment.Hours()/24))
	}
	return checkSubject(p.Subject)
}

// register makes the signer, or checks that the one of that name is the same person.
func (m *Module) register(ctx context.Context, tx *store.Tx, o *order, p samapi.EnrolSigner) error {
	have, err := m.signerByID(ctx, tx, p.Signer)
	if err == nil {
		if have.Subject != p.Subject || have.Assurance != p.Assurance {
			return fault.New(fault.Conflict, "the signer %q is registered with another name or assurance", p.Signer).WithCode(samapi.CodeOrder)
		}
		return nil
	}
	if !errors.Is(err, fault.NotFound) {
		return err
	}
	n := &signer{ID: p.Signer, Subject: p.Subject, Assurance: p.Assurance, Authority: o.by.Name, Added: o.at, Version: 1}
	if err := m.insertSigner(ctx, tx, n); err != nil {
		return err
	}
	return m.audit.Append(ctx, tx, audit.Event{
		Type: eventSignerRegistered, Subject: n.ID, Actor: o.actor(),
		Data: change{Record: n.record(), Version: n.Version, Order: p.ID, Details: map[string]string{"assurance": n.Assurance}},
	})
}
