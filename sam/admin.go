package sam

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// RegisterAuthority lets a registration authority give orders. It is for
// administrators: nobody can register one through the gateway.
func (m *Module) RegisterAuthority(ctx context.Context, name string, spki []byte) (samapi.Authority, error) {
	now, err := m.clock.read()
	if err != nil {
		return samapi.Authority{}, err
	}
	if !idPattern.MatchString(name) {
		return samapi.Authority{}, fault.New(fault.Invalid, "the name of a registration authority must have 1 to 64 of a-z, 0-9, dot, underscore and hyphen")
	}
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return samapi.Authority{}, fault.New(fault.Invalid, "the registration authority's public key is not a DER SubjectPublicKeyInfo")
	}
	if t, err := signing.KeyTypeOf(pub); err != nil || t == signing.KeyEd25519 {
		return samapi.Authority{}, fault.New(fault.Invalid, "a registration authority's key must be P-256, P-384, P-521, RSA-3072 or RSA-4096")
	}
	id, err := signing.KeyID(pub)
	if err != nil {
		return samapi.Authority{}, err
	}
	a := authority{Key: id, Name: name, SPKI: spki, State: stateActive, Added: now, Version: 1}
	err = m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		mac, err := m.mac(ctx, macAuthority, &a)
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `INSERT INTO sam_authority (key_id, name, spki, state, added, version, mac)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`, a.Key, a.Name, a.SPKI, a.State, store.Micros(a.Added), a.Version, mac)
		if err != nil {
			return fmt.Errorf("insert registration authority: %w", err)
		}
		if n != 1 {
			return fault.New(fault.Conflict, "this key is registered already")
		}
		if err := advance(ctx, tx, a.record(), a.Version); err != nil {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventAuthorityAdded, Subject: a.Name, Actor: "admin", Data: change{Record: a.record(), Version: a.Version},
		})
	})
	return a.view(), m.alarm(ctx, err)
}

func (a *authority) view() samapi.Authority {
	return samapi.Authority{Name: a.Name, Key: a.Key, SPKI: a.SPKI, State: a.State, Added: a.Added}
}

// RevokeAuthority ends the obedience to a registration authority's key.
func (m *Module) RevokeAuthority(ctx context.Context, key string) error {
	return m.alarm(ctx, m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		a, err := m.authorityByKey(ctx, tx, key)
		if err != nil {
			return err
		}
		if a.State == stateRevoked {
			return nil
		}
		a.State = stateRevoked
		a.Version++
		mac, err := m.mac(ctx, macAuthority, a)
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `UPDATE sam_authority SET state = $1, version = $2, mac = $3 WHERE key_id = $4 AND version = $5`,
			a.State, a.Version, mac, a.Key, a.Version-1)
		if err != nil {
			return fmt.Errorf("update registration authority: %w", err)
		}
		if n != 1 {
			return fault.New(fault.Conflict, "the registration authority was changed at the same moment")
		}
		if err := advance(ctx, tx, a.record(), a.Version); err != nil {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventAuthorityRevoked, Subject: a.Name, Actor: "admin", Data: change{Record: a.record(), Version: a.Version},
		})
	}))
}

// Authorities lists the registration authorities.
func (m *Module) Authorities(ctx context.Context) ([]samapi.Authority, error) {
	all, err := list(ctx, m, selectAuthority+`ORDER BY a.name, a.key_id`, m.scanAuthority)
	out := make([]samapi.Authority, len(all))
	for i, a := range all {
		out[i] = a.view()
	}
	return out, m.alarm(ctx, err)
}

// Gateways lists the gateways with their return URLs.
func (m *Module) Gateways(ctx context.Context) ([]samapi.Gateway, error) {
	all, err := list(ctx, m, selectGateway+`ORDER BY g.issuer`, m.scanGateway)
	out := make([]samapi.Gateway, len(all))
	for i, g := range all {
		out[i] = samapi.Gateway{Issuer: g.Issuer, ReturnURL: g.ReturnURL, Added: g.Added}
	}
	return out, m.alarm(ctx, err)
}

// Devices lists the devices of a signer, or of everybody if signer is empty.
func (m *Module) Devices(ctx context.Context, signer string) ([]samapi.Device, error) {
	all, err := list(ctx, m, selectAuthenticator+`WHERE a.signer = $1 OR $1 = '' ORDER BY a.enrolled, a.id`, m.scanAuthenticator, signer)
	out := make([]samapi.Device, len(all))
	for i, a := range all {
		out[i] = samapi.Device{ID: a.ID, Signer: a.Signer, Name: a.Name, Mechanism: a.Mechanism, State: a.State, Enrolled: a.Enrolled}
	}
	return out, m.alarm(ctx, err)
}

// list reads records, checked one by one; the first that is not right ends it.
func list[T any](ctx context.Context, m *Module, query string, scan func(context.Context, store.Querier, scanner) (*T, error), args ...any) ([]*T, error) {
	ctx = m.reading(ctx)
	rows, err := m.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*T
	for rows.Next() {
		one, err := scan(ctx, m.db, rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// Status counts what the module holds.
func (m *Module) Status(ctx context.Context) (samapi.Status, error) {
	now, err := m.clock.read()
	if err != nil {
		return samapi.Status{}, err
	}
	s := samapi.Status{Module: m.issuer, Now: now}
	if err := m.db.QueryRow(ctx, `SELECT COUNT(*) FROM sam_signer`).Scan(&s.Signers); err != nil {
		return s, fmt.Errorf("count signers: %w", err)
	}
	for _, c := range []struct {
		into  *map[string]int
		query string
	}{
		{&s.Devices, `SELECT state, COUNT(*) FROM sam_authenticator GROUP BY state`},
		{&s.Credentials, `SELECT state, COUNT(*) FROM sam_credential GROUP BY state`},
		{&s.Requests, `SELECT state, COUNT(*) FROM sam_request GROUP BY state`},
		{&s.Batches, `SELECT state, COUNT(*) FROM sam_batch GROUP BY state`},
	} {
		if *c.into, err = m.count(ctx, c.query); err != nil {
			return s, err
		}
	}
	burned, err := m.strings(ctx, `SELECT positions FROM sam_batch WHERE `+openBatch+` AND state = $1`, batchBurned)
	if err != nil {
		return s, fmt.Errorf("count burned hashes: %w", err)
	}
	for _, text := range burned {
		var positions []int
		if err := json.Unmarshal([]byte(text), &positions); err != nil {
			return s, fmt.Errorf("count burned hashes: %w", err)
		}
		s.Burned += len(positions)
	}
	return s, nil
}

func (m *Module) count(ctx context.Context, query string) (map[string]int, error) {
	rows, err := m.db.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var (
			state string
			n     int
		)
		if err := rows.Scan(&state, &n); err != nil {
			return nil, fmt.Errorf("count: %w", err)
		}
		out[state] = n
	}
	return out, rows.Err()
}

// Rewrap wraps every signer's key under the keystore's current key-encryption key
// and returns how many were changed. After it, older generations protect nothing
// and can be destroyed. It may run while keys are used, and again after a failure.
func (m *Module) Rewrap(ctx context.Context) (int, error) {
	ids, err := m.strings(ctx, `SELECT id FROM sam_credential WHERE state <> $1 ORDER BY id`, samapi.CredentialDestroyed)
	if err != nil {
		return 0, fmt.Errorf("rewrap: %w", err)
	}
	changed := 0
	for _, id := range ids {
		done, err := m.rewrap(ctx, id)
		if err != nil {
			return changed, m.alarm(ctx, fmt.Errorf("rewrap credential %s: %w", id, err))
		}
		if done {
			changed++
		}
	}
	return changed, nil
}

func (m *Module) rewrap(ctx context.Context, id string) (bool, error) {
	c, err := m.credentialByID(ctx, m.db, id)
	if err != nil || c.State == samapi.CredentialDestroyed {
		return false, err
	}
	key, err := m.keys.Rewrap(ctx, c.wrapped())
	if err != nil || key.KEK == c.KEK {
		return false, err
	}
	old := c.KEK
	return true, m.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		next := *c
		next.blob, next.KEK = key.Blob, key.KEK
		if err := m.updateCredential(ctx, tx, &next); err != nil {
			return err
		}
		return m.audit.Append(ctx, tx, audit.Event{
			Type: eventKeyRewrapped, Subject: c.ID, Actor: "admin",
			Data: change{Record: c.record(), Version: next.Version, Details: map[string]int{"from": old, "to": key.KEK}},
		})
	})
}

// Probe exercises the keystore and says what it really does.
func (m *Module) Probe(ctx context.Context) (keystore.Capabilities, error) { return m.keys.Probe(ctx) }

// Ready says whether the module can work: the database answers and the keystore
// computes.
func (m *Module) Ready(ctx context.Context) error {
	if _, err := m.clock.read(); err != nil {
		return err
	}
	if err := m.db.Ping(ctx); err != nil {
		return fault.New(fault.Unavailable, "the database does not answer").Because(err)
	}
	_, err := m.mac(ctx, macRequest, "ready")
	return err
}

// Checkpoint signs the event log as it is now.
func (m *Module) Checkpoint(ctx context.Context) (samapi.Checkpoint, error) {
	if err := m.audit.Sequence(ctx); err != nil {
		return samapi.Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := m.audit.Checkpoint(ctx)
	if err != nil {
		return samapi.Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return samapi.Checkpoint{Size: c.Size, Note: string(c.Note)}, nil
}

// Bundle is the log's proof of one activation, as the JSON of an audit.Bundle.
func (m *Module) Bundle(ctx context.Context, sid string) (json.RawMessage, error) {
	b, err := m.audit.Bundle(ctx, sid)
	if err != nil {
		return nil, err
	}
	return json.Marshal(b)
}

// Verify reads back every protected record and the whole log, and compares each
// record's version with the newest that the log knows: also a backup that was put
// back together with sam_head is seen then.
func (m *Module) Verify(ctx context.Context) (samapi.Verification, error) {
	v := samapi.Verification{Findings: []samapi.Finding{}}
	newest, err := m.logged(ctx)
	if err != nil {
		return v, err
	}
	c := &checker{m: m, v: &v, newest: newest}
	for _, err := range []error{
		check(ctx, c, `SELECT key_id FROM sam_authority`, m.authorityByKey, func(a *authority) (string, int64) { return a.record(), a.Version }),
		check(ctx, c, `SELECT issuer FROM sam_gateway`, m.gatewayByIssuer, func(g *gateway) (string, int64) { return g.record(), g.Version }),
		check(ctx, c, `SELECT id FROM sam_signer`, m.signerByID, func(s *signer) (string, int64) { return s.record(), s.Version }),
		check(ctx, c, `SELECT id FROM sam_authenticator`, m.authenticatorByID, func(a *authenticator) (string, int64) { return a.record(), a.Version }),
		check(ctx, c, `SELECT id FROM sam_credential`, m.credentialByID, func(a *credential) (string, int64) { return a.record(), a.Version }),
		check(ctx, c, `SELECT id FROM sam_block`, m.storedBlock, func(b *block) (string, int64) { return b.record(), b.Version }),
	} {
		if err != nil {
			return v, err
		}
	}
	for record := range newest { // what the log knows and the database does not
		kind, id, _ := strings.Cut(record, "/")
		v.Findings = append(v.Findings, samapi.Finding{Kind: kind, ID: id, What: "the log knows it, and it is gone"})
	}
	slices.SortFunc(v.Findings, func(a, b samapi.Finding) int { return strings.Compare(a.Kind+a.ID, b.Kind+b.ID) })
	report, err := m.audit.Verify(ctx)
	if report != nil {
		v.LogSize = report.Size
	}
	if errors.Is(err, audit.ErrTampered) {
		v.LogError = err.Error()
		return v, nil
	}
	return v, err
}

// logged returns the newest version of each record that the log knows.
func (m *Module) logged(ctx context.Context) (map[string]int64, error) {
	if err := m.audit.Sequence(ctx); err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	newest := map[string]int64{}
	for _, kind := range []string{
		eventAuthorityAdded, eventAuthorityRevoked, eventGatewaySet, eventSignerRegistered, eventDeviceEnrolled,
		eventClientBackOff, eventClientBlocked, eventClientUnblocked, eventDeviceRevoked, eventKeyAssigned, eventCertificateBound, eventSuspended, eventResumed, eventKeyDestroyed, eventKeyRewrapped,
	} {
		all, err := m.audit.Records(ctx, audit.Filter{Type: kind})
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		for _, r := range all {
			var c change
			if err := json.Unmarshal(r.Data, &c); err != nil {
				return nil, fmt.Errorf("read the log: event %d: %w", r.Pos, err)
			}
			newest[c.Record] = max(newest[c.Record], c.Version)
		}
	}
	return newest, nil
}

type checker struct {
	m      *Module
	v      *samapi.Verification
	newest map[string]int64 // records not met yet
}

// check reads all records of one kind.
func check[T any](ctx context.Context, c *checker, query string, read func(context.Context, store.Querier, string) (*T, error), version func(*T) (string, int64)) error {
	ids, err := c.m.strings(ctx, query)
	if err != nil {
		return err
	}
	for _, id := range ids {
		c.v.Records++
		one, err := read(ctx, c.m.db, id)
		if t, ok := errors.AsType[*errTampered](err); ok {
			kind, name, _ := strings.Cut(t.record, "/")
			c.v.Findings = append(c.v.Findings, samapi.Finding{Kind: kind, ID: name, What: t.what})
			delete(c.newest, t.record)
			continue
		}
		if err != nil {
			return err
		}
		record, have := version(one)
		kind, name, _ := strings.Cut(record, "/")
		if want := c.newest[record]; want != have {
			c.v.Findings = append(c.v.Findings, samapi.Finding{Kind: kind, ID: name, What: fmt.Sprintf("it has version %d, the log's newest is %d", have, want)})
		}
		delete(c.newest, record)
	}
	return nil
}
