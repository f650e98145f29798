package sam

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// credential is a signer's key, its certificate and how it is activated.
type credential struct {
	link

	blob  []byte   // the wrapped key; empty when it was destroyed
	chain [][]byte // DER, leaf first
}

// link is the link record: what the MAC holds together (EN 419 241-1 SRC_SKS.1.5).
// Key and chain are in it by their hashes.
type link struct {
	ID         string          `json:"id"`
	Signer     string          `json:"signer"`
	Mechanism  string          `json:"mechanism"`
	SCAL       int             `json:"scal"`
	KeyType    signing.KeyType `json:"keyType"`
	SPKI       []byte          `json:"spki"`
	BlobHash   []byte          `json:"blobHash"`
	KEK        int             `json:"kek"`
	ChainHash  []byte          `json:"chainHash"`
	CertHash   string          `json:"certHash"` // hex SHA-256 of the leaf, or empty
	Multisign  int             `json:"multisign"`
	MinWysiwys int             `json:"minWysiwys"`
	State      string          `json:"state"`
	Made       time.Time       `json:"made"`
	Version    int64           `json:"version"`
}

func (c *credential) record() string { return "credential/" + c.ID }

// wrapped is the key as the keystore knows it.
func (c *credential) wrapped() keystore.WrappedKey {
	return keystore.WrappedKey{Blob: c.blob, KEK: c.KEK, Type: c.KeyType, SPKI: c.SPKI}
}

// algorithms are what the key may sign with, for one digest algorithm.
func (c *credential) algorithms(hashOID string) []signing.Algorithm {
	return slices.DeleteFunc(slices.Clone(c.KeyType.Algorithms()), func(a signing.Algorithm) bool {
		return signing.HashOID(a.Hash()) != hashOID
	})
}

// seal computes the hashes of the link record and its MAC.
func (m *Module) seal(ctx context.Context, c *credential) (chain string, mac []byte, err error) {
	text, err := json.Marshal(c.chain)
	if err != nil {
		return "", nil, err
	}
	c.digest(text)
	mac, err = m.mac(ctx, macLink, &c.link)
	return string(text), mac, err
}

func (c *credential) digest(chain []byte) {
	blob, all := sha256.Sum256(c.blob), sha256.Sum256(chain)
	c.BlobHash, c.ChainHash, c.CertHash = blob[:], all[:], ""
	if len(c.chain) > 0 {
		leaf := sha256.Sum256(c.chain[0])
		c.CertHash = hex.EncodeToString(leaf[:])
	}
}

const selectCredential = //nolint:gosec // a query, no secret
`SELECT c.id, c.signer, c.mechanism, c.scal, c.key_type, c.spki, c.blob, c.kek, c.chain, c.cert_hash,
	c.multisign, c.min_wysiwys, c.state, c.made, c.version, c.mac,
	COALESCE((SELECT MAX(h.version) FROM sam_head h WHERE h.record = 'credential/' || c.id), 0)
	FROM sam_credential c `

// credentialByID reads a credential and checks its link record.
func (m *Module) credentialByID(ctx context.Context, q store.Querier, id string) (*credential, error) {
	ctx = m.reading(ctx)
	c, err := m.scanCredential(ctx, q, q.QueryRow(ctx, selectCredential+`WHERE c.id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "there is no such credential").WithCode(samapi.CodeUnknownCredential)
	}
	return c, err
}

// credentialsOf returns every credential of a signer.
func (m *Module) credentialsOf(ctx context.Context, q store.Querier, signer string) ([]*credential, error) {
	ctx = m.reading(ctx)
	rows, err := q.Query(ctx, selectCredential+`WHERE c.signer = $1 ORDER BY c.made, c.id`, signer)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	defer rows.Close()
	var all []*credential
	for rows.Next() {
		c, err := m.scanCredential(ctx, q, rows)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	return all, nil
}

// credentialRow is a credential as it is stored.
type credentialRow struct {
	id, signer, mechanism, keyType, state string
	spki, blob, chain, cert, mac          string
	scal, kek, multisign, minWysiwys      int
	made, version                         int64
}

// heldCredential is a row and what was made of it.
type heldCredential struct {
	row  credentialRow
	cred credential
}

func (m *Module) scanCredential(ctx context.Context, q store.Querier, row scanner) (*credential, error) {
	var (
		s    credentialRow
		head int64
	)
	err := row.Scan(&s.id, &s.signer, &s.mechanism, &s.scal, &s.keyType, &s.spki, &s.blob, &s.kek, &s.chain, &s.cert,
		&s.multisign, &s.minWysiwys, &s.state, &s.made, &s.version, &s.mac, &head)
	if err != nil {
		return nil, fmt.Errorf("read credential: %w", err)
	}
	known, ok := m.memory.credentials.get(s.id)
	if !ok || known.row != s {
		if known, err = m.readCredential(ctx, &s); err != nil {
			return nil, err
		}
		m.memory.credentials.keep(s.id, known)
	}
	c := known.cred // callers make its next version of it
	return &c, m.fresh(ctx, q, c.record(), c.Version, head)
}

// readCredential checks the link record of a stored credential.
func (m *Module) readCredential(ctx context.Context, s *credentialRow) (*heldCredential, error) {
	c := credential{
		link: link{
			ID: s.id, Signer: s.signer, Mechanism: s.mechanism, SCAL: s.scal, KeyType: signing.KeyType(s.keyType),
			SPKI: []byte(s.spki), KEK: s.kek, Multisign: s.multisign, MinWysiwys: s.minWysiwys,
			State: s.state, Made: store.Time(s.made), Version: s.version,
		},
		blob: []byte(s.blob),
	}
	if err := json.Unmarshal([]byte(s.chain), &c.chain); err != nil {
		return nil, tampered(c.record(), "its certificate chain is unreadable")
	}
	c.digest([]byte(s.chain))
	if s.cert != c.CertHash {
		return nil, tampered(c.record(), "it names another certificate than it holds")
	}
	if err := m.verify(ctx, macLink, c.record(), &c.link, []byte(s.mac)); err != nil {
		return nil, err
	}
	return &heldCredential{*s, c}, nil
}

func (m *Module) insertCredential(ctx context.Context, tx *store.Tx, c *credential) error {
	chain, mac, err := m.seal(ctx, c)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `INSERT INTO sam_credential (id, signer, mechanism, scal, key_type, spki, blob, kek, chain, cert_hash,
		multisign, min_wysiwys, state, made, version, mac)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING`,
		c.ID, c.Signer, c.Mechanism, c.SCAL, string(c.KeyType), c.SPKI, c.blob, c.KEK, chain, c.CertHash,
		c.Multisign, c.MinWysiwys, c.State, store.Micros(c.Made), c.Version, mac)
	if err != nil {
		return fmt.Errorf("insert credential: %w", err)
	}
	if n != 1 {
		return fmt.Errorf("insert credential: the keystore made a key that exists already")
	}
	return advance(ctx, tx, c.record(), c.Version)
}

// updateCredential writes the credential's next version: c holds its new fields and
// still the version it was read with.
func (m *Module) updateCredential(ctx context.Context, tx *store.Tx, c *credential) error {
	old := c.Version
	c.Version++
	chain, mac, err := m.seal(ctx, c)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE sam_credential SET blob = $1, kek = $2, chain = $3, cert_hash = $4, state = $5, version = $6, mac = $7
		WHERE id = $8 AND version = $9`,
		c.blob, c.KEK, chain, c.CertHash, c.State, c.Version, mac, c.ID, old)
	if store.IsUnique(err) {
		return fault.New(fault.Conflict, "this certificate is bound to another key").WithCode(samapi.CodeCertificate)
	}
	if err != nil {
		return fmt.Errorf("update credential: %w", err)
	}
	if n != 1 {
		return fault.New(fault.Conflict, "the credential was changed at the same moment")
	}
	return advance(ctx, tx, c.record(), c.Version)
}

// Credentials returns the credentials that the query names and that exist,
// destroyed ones included, oldest first.
func (m *Module) Credentials(ctx context.Context, q samapi.CredentialQuery) ([]samapi.Credential, error) {
	if len(q.IDs)+len(q.Signers) > 1000 {
		return nil, fault.New(fault.TooLarge, "a query names at most 1000 credentials and signers")
	}
	found := map[string]*credential{}
	for _, id := range q.IDs {
		c, err := m.credentialByID(ctx, m.db, id)
		if errors.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, m.alarm(ctx, err)
		}
		found[c.ID] = c
	}
	for _, s := range q.Signers {
		all, err := m.credentialsOf(ctx, m.db, s)
		if err != nil {
			return nil, m.alarm(ctx, err)
		}
		for _, c := range all {
			found[c.ID] = c
		}
	}
	return m.views(ctx, found)
}

func (m *Module) views(ctx context.Context, found map[string]*credential) ([]samapi.Credential, error) {
	names := map[string]string{}
	out := make([]samapi.Credential, 0, len(found))
	made := make(map[string]time.Time, len(found))
	for _, c := range found {
		if _, ok := names[c.Signer]; !ok {
			s, err := m.signerByID(ctx, m.db, c.Signer)
			if err != nil {
				return nil, m.alarm(ctx, err)
			}
			names[c.Signer] = s.Subject.CommonName
		}
		made[c.ID] = c.Made
		out = append(out, samapi.Credential{
			ID: c.ID, Signer: c.Signer, SignerName: names[c.Signer], KeyType: c.KeyType, SPKI: c.SPKI,
			Chain: c.chain, Mechanism: c.Mechanism, SCAL: c.SCAL, Multisign: c.Multisign, State: c.State,
		})
	}
	slices.SortFunc(out, func(a, b samapi.Credential) int {
		if d := made[a.ID].Compare(made[b.ID]); d != 0 {
			return d
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out, nil
}
