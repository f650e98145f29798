// Package documents is the relying party's own store of documents: files on its
// disk, named by their content, listed in its database by organisation. A document
// goes from here to the people of its request and nowhere else.
package documents

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Codes of the faults that Put makes beside those of ades/pdf (pdf_not_pdf,
// pdf_damaged, pdf_password, pdf_encryption, pdf_limit) and ades/pades
// (pdf_certified, pdf_permission).
const (
	CodeEmpty     = "document_empty"
	CodeTooLarge  = "document_too_large"
	CodeName      = "document_name"
	CodeDiskFull  = "disk_full"
	CodeNotStored = "document_not_stored" // permission, or no such folder
	CodeDamaged   = "stored_document_damaged"
	CodeBroken    = "upload_broken" // the sender's side ended before the file did
)

// Config is what New needs. DB and Dir are required.
type Config struct {
	DB *store.DB
	// Dir is the folder of the files, readable by its owner only. It is made when
	// it is not there.
	Dir string
	// MaxSize is the largest document in bytes; the default is 200 MB.
	MaxSize int64
	Now     func() time.Time
}

// Document is a file in the store. It never changes: another revision is another
// document.
type Document struct {
	ID     string
	Org    string
	Name   string // as the sender's computer named it, made safe to show and to save
	Size   int64
	SHA256 []byte
	SHA512 []byte
	Made   time.Time
}

// Store keeps documents. All methods may be called at once; a folder belongs to
// one process.
type Store struct {
	config Config

	// files keeps a file from being removed between its placing and its listing.
	files sync.RWMutex
}

// New brings the tables up to date, makes the folder, and removes what an upload
// that was cut off left behind.
func New(ctx context.Context, c Config) (*Store, error) {
	if c.DB == nil || c.Dir == "" {
		return nil, errors.New("open documents: a database and a folder are needed")
	}
	if c.MaxSize == 0 {
		c.MaxSize = 200 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	sql, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "documents", sql); err != nil {
		return nil, err
	}
	for _, dir := range []string{c.Dir, filepath.Join(c.Dir, partDir), filepath.Join(c.Dir, workDir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	s := &Store{config: c}
	return s, s.removeParts()
}
