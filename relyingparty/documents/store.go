package documents

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// Document describes a document of that organisation.
func (s *Store) Document(ctx context.Context, org, id string) (Document, error) {
	d := Document{ID: id, Org: org}
	var (
		sum256, sum512 string
		made           int64
	)
	err := s.config.DB.QueryRow(ctx, `SELECT name, size, sha256, sha512, made FROM document WHERE id = $1 AND org_id = $2`, id, org).
		Scan(&d.Name, &d.Size, &sum256, &sum512, &made)
	if errors.Is(err, sql.ErrNoRows) {
		return Document{}, fault.New(fault.NotFound, "there is no such document")
	}
	if err != nil {
		return Document{}, fmt.Errorf("read document: %w", err)
	}
	d.Made = store.Time(made)
	if d.SHA256, err = hex.DecodeString(sum256); err != nil {
		return Document{}, fmt.Errorf("digest of document %s: %w", id, err)
	}
	if d.SHA512, err = hex.DecodeString(sum512); err != nil {
		return Document{}, fmt.Errorf("digest of document %s: %w", id, err)
	}
	return d, nil
}

// Open opens the file of a document of that organisation for reading. The caller
// closes it.
func (s *Store) Open(ctx context.Context, org, id string) (*os.File, Document, error) {
	d, err := s.Document(ctx, org, id)
	if err != nil {
		return nil, Document{}, err
	}
	f, err := os.Open(s.path(d.SHA256))
	if err != nil {
		return nil, Document{}, fmt.Errorf("open document %s: %w", id, err)
	}
	return f, d, nil
}

// Path is the file of a document. It must not be changed.
func (s *Store) Path(d Document) string { return s.path(d.SHA256) }

func (s *Store) path(sum []byte) string {
	name := hex.EncodeToString(sum)
	return filepath.Join(s.config.Dir, name[:2], name)
}

// insert lists a document whose file is in its place.
func (s *Store) insert(ctx context.Context, d Document) error {
	_, err := s.config.DB.Exec(ctx, `INSERT INTO document (id, org_id, name, size, sha256, sha512, made) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		d.ID, d.Org, d.Name, d.Size, hex.EncodeToString(d.SHA256), hex.EncodeToString(d.SHA512), store.Micros(d.Made))
	if err != nil {
		return fmt.Errorf("list document: %w", err)
	}
	return nil
}

// Delete forgets a document. Its file goes when no other document has the same
// content.
func (s *Store) Delete(ctx context.Context, org, id string) error {
	s.files.Lock() // Put does not move a file into its place meanwhile
	defer s.files.Unlock()
	d, err := s.Document(ctx, org, id)
	if err != nil {
		return err
	}
	left := 0
	err = s.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM document WHERE id = $1 AND org_id = $2`, id, org); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM document WHERE sha256 = $1`, hex.EncodeToString(d.SHA256)).Scan(&left)
	})
	if err != nil {
		return fmt.Errorf("delete document: %w", err)
	}
	if left > 0 {
		return nil
	}
	if err := os.Remove(s.path(d.SHA256)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete document: %w", err)
	}
	return nil
}

// Verify reads a document's file and compares it with its digest: what was changed
// on disk is noticed before anybody signs or is given it.
func (s *Store) Verify(ctx context.Context, d Document) error {
	f, err := os.Open(s.path(d.SHA256))
	if err != nil {
		return fault.New(fault.Internal, "the stored file of %s is missing; tell the operator", d.Name).WithCode(CodeDamaged).Because(err)
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	in := &source{ctx: ctx, r: f}
	n, err := io.Copy(h, in)
	if err != nil {
		return fmt.Errorf("read document %s: %w", d.ID, err)
	}
	if n != d.Size || !bytes.Equal(h.Sum(nil), d.SHA256) {
		return fault.New(fault.Internal, "the stored file of %s was changed on disk; tell the operator", d.Name).WithCode(CodeDamaged)
	}
	return nil
}
