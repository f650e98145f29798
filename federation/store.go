package federation

import (
	"context"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/signing"
)

//go:embed migrations
var migrations embed.FS

// Store keeps receipts in the gateway's database.
type Store struct{ db *store.DB }

// NewStore brings the tables up to date and returns the store.
func NewStore(ctx context.Context, db *store.DB) (*Store, error) {
	if err := db.Migrate(ctx, "federation", migrations); err != nil {
		return nil, err
	}
	return &Store{db}, nil
}

// Record implements Recorder. The receipt is durable when it returns.
func (s *Store) Record(ctx context.Context, r Receipt) error { return insertReceipt(ctx, s.db, r) }

func insertReceipt(ctx context.Context, q store.Querier, r Receipt) error {
	_, err := q.Exec(ctx, `INSERT INTO federation_receipt
		(id, org_id, made, client, sid, credential, service, algorithm, count, binding, cert, signatures)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		r.ID, r.Org, store.Micros(r.Time), r.Client, r.SID, r.Credential, r.Service, int64(r.Algorithm), int64(r.Count),
		hex.EncodeToString(r.Binding[:]), hex.EncodeToString(r.Cert[:]), hex.EncodeToString(r.Signatures[:]))
	if err != nil {
		return fmt.Errorf("insert receipt: %w", err)
	}
	return nil
}

// Receipts returns an organisation's receipts for one approval, oldest first.
func (s *Store) Receipts(ctx context.Context, org, sid string) ([]Receipt, error) {
	return s.receipts(ctx, `org_id = $1 AND sid = $2 ORDER BY made, id`, org, sid)
}

func (s *Store) receipts(ctx context.Context, where string, args ...any) (list []Receipt, err error) {
	rows, err := s.db.Query(ctx, `SELECT id, org_id, made, client, sid, credential, service, algorithm, count, binding, cert, signatures
		FROM federation_receipt WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("select receipts: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r Receipt
		var made, algorithm int64
		var binding, cert, signatures string
		if err := rows.Scan(&r.ID, &r.Org, &made, &r.Client, &r.SID, &r.Credential, &r.Service, &algorithm, &r.Count, &binding, &cert, &signatures); err != nil {
			return nil, fmt.Errorf("scan receipt: %w", err)
		}
		r.Time, r.Algorithm = store.Time(made), signing.Algorithm(algorithm)
		for _, d := range []struct {
			text string
			to   *[32]byte
		}{{binding, &r.Binding}, {cert, &r.Cert}, {signatures, &r.Signatures}} {
			if len(d.text) != hex.EncodedLen(len(d.to)) {
				return nil, fmt.Errorf("receipt %s: digest %q", r.ID, d.text)
			}
			if _, err := hex.Decode(d.to[:], []byte(d.text)); err != nil {
				return nil, fmt.Errorf("receipt %s: %w", r.ID, err)
			}
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
