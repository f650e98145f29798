package pki

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/signing"
)

// PartyRole is whose statements a registered key makes.
type PartyRole string

// The parties.
const (
	// Module is a signature activation module: its key seals key records.
	Module PartyRole = "sam"
	// RA is a registration authority: its key seals proofing records and revocations.
	RA PartyRole = "ra"
)

// Party is a registered key.
type Party struct {
	KeyID   string    `json:"keyId"` // signing.KeyID
	Role    PartyRole `json:"role"`
	Name    string    `json:"name"`
	SPKI    []byte    `json:"spki"` // DER SubjectPublicKeyInfo
	Added   time.Time `json:"added"`
	Removed time.Time `json:"removed,omitzero"`
}

// Register makes the statements of a key count. It is for the local operator
// only: whoever can register keys can have certificates issued. A key has one
// role for ever, and one that was removed does not come back.
func (a *Authority) Register(ctx context.Context, role PartyRole, name string, spki []byte) (Party, error) {
	if role != Module && role != RA {
		return Party{}, fault.New(fault.Invalid, "role %q is neither sam nor ra", role)
	}
	if err := checkText("name", name, upperBound); err != nil {
		return Party{}, err
	}
	id, err := recordKey(spki)
	if err != nil {
		return Party{}, err
	}
	var out Party
	err = a.cfg.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		out = Party{KeyID: id, Role: role, Name: name, SPKI: spki, Added: a.cfg.Now().UTC().Truncate(time.Microsecond)}
		n, err := tx.Exec(ctx, `INSERT INTO pki_party (key_id, role, name, spki, added, removed) VALUES ($1, $2, $3, $4, $5, 0)
			ON CONFLICT DO NOTHING`, out.KeyID, string(out.Role), out.Name, out.SPKI, store.Micros(out.Added))
		if err != nil {
			return err
		}
		if n == 0 {
			out, err = sameParty(ctx, tx, out)
			return err
		}
		return a.record(ctx, tx, audit.Event{Type: "pki.party.registered", Subject: out.KeyID, Actor: "operator", Data: out})
	})
	return out, err
}

// sameParty lets a registration that is repeated succeed, and no other.
func sameParty(ctx context.Context, tx *store.Tx, p Party) (Party, error) {
	old, err := party(ctx, tx, p.KeyID)
	switch {
	case err != nil:
		return Party{}, err
	case !old.Removed.IsZero():
		return Party{}, fault.New(fault.Conflict, "this key was removed: make a new one").WithCode("key_removed")
	case old.Role != p.Role:
		return Party{}, fault.New(fault.Conflict, "this key is registered as %s: module and registration authority must not be one", old.Role).WithCode("key_role")
	}
	return old, nil
}

// recordKey checks a public key for signed records and returns its id.
func recordKey(spki []byte) (string, error) {
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return "", fault.New(fault.Invalid, "the key is no DER SubjectPublicKeyInfo")
	}
	again, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil || !bytes.Equal(again, spki) {
		return "", fault.New(fault.Invalid, "the key is not encoded the one way that counts")
	}
	t, err := signing.KeyTypeOf(pub)
	if err != nil || t == signing.KeyEd25519 {
		return "", fault.New(fault.Invalid, "records are sealed with P-256, P-384, P-521, RSA-3072 or RSA-4096 keys")
	}
	return signing.KeyID(pub)
}

// Remove ends the trust in a key. What was issued on its statements stays.
func (a *Authority) Remove(ctx context.Context, keyID string) error {
	return a.cfg.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE pki_party SET removed = $1 WHERE key_id = $2 AND removed = 0`, store.Micros(a.cfg.Now()), keyID)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.NotFound, "no registered key has that id")
		}
		return a.record(ctx, tx, audit.Event{Type: "pki.party.removed", Subject: keyID, Actor: "operator"})
	})
}

// Parties lists the registered keys, removed ones included.
func (a *Authority) Parties(ctx context.Context) ([]Party, error) {
	rows, err := a.cfg.DB.Query(ctx, `SELECT key_id, role, name, spki, added, removed FROM pki_party ORDER BY added, key_id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Party{}
	for rows.Next() {
		p, err := scanParty(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

func party(ctx context.Context, q store.Querier, keyID string) (Party, error) {
	return scanParty(q.QueryRow(ctx, `SELECT key_id, role, name, spki, added, removed FROM pki_party WHERE key_id = $1`, keyID))
}

func scanParty(row scanner) (Party, error) {
	var (
		p              Party
		role           string
		added, removed int64
	)
	err := row.Scan(&p.KeyID, &role, &p.Name, &p.SPKI, &added, &removed)
	p.Role, p.Added, p.Removed = PartyRole(role), store.Time(added), store.Time(removed)
	return p, err
}

// open verifies a statement with the registered key that it names.
func (a *Authority) open(ctx context.Context, role PartyRole, domain string, s signing.Signed) (Party, []byte, error) {
	what := map[PartyRole]string{Module: "an activation module", RA: "a registration authority"}[role]
	p, err := party(ctx, a.cfg.DB, s.Key)
	if noRows(err) || err == nil && (p.Role != role || !p.Removed.IsZero()) {
		return Party{}, nil, fault.New(fault.Forbidden, "not signed by %s that is registered here", what).WithCode("unknown_" + string(role))
	}
	if err != nil {
		return Party{}, nil, fmt.Errorf("look for key %s: %w", s.Key, err)
	}
	pub, err := parseSPKI(p.SPKI)
	if err != nil {
		return Party{}, nil, err
	}
	payload, err := s.Open(domain, pub)
	if err != nil {
		return Party{}, nil, fault.New(fault.Forbidden, "the signature of %s does not verify", what).WithCode("bad_" + string(role) + "_signature").Because(err)
	}
	return p, payload, nil
}

func parseSPKI(spki []byte) (crypto.PublicKey, error) {
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("read registered key: %w", err)
	}
	return pub, nil
}
