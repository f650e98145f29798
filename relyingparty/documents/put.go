package documents

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// Folders of files under way: uploads, and what others of this installation make.
const (
	partDir = "part"
	workDir = "work"
)

// WorkDir is a folder on the same file system for files that are to be adopted.
func (s *Store) WorkDir() (string, error) { return filepath.Abs(filepath.Join(s.config.Dir, workDir)) }

// Put takes a document from its sender: it is streamed to disk and hashed, then
// checked whether it can be signed, and is durable when Put returns. A file that
// cannot be signed is refused now, with the reason, and nothing of it is kept.
func (s *Store) Put(ctx context.Context, org, name string, r io.Reader) (Document, error) {
	name, err := cleanName(name)
	if err != nil {
		return Document{}, err
	}
	return s.put(ctx, Document{ID: store.NewID(), Org: org, Name: name}, r, checkSignable)
}

// Adopt takes a file that this installation made itself, such as a signed
// revision. id is the document's, chosen before the file was made: a repeated Adopt
// of the same content under the same id changes nothing.
func (s *Store) Adopt(ctx context.Context, org, id, name, path string) (Document, error) {
	f, err := os.Open(path) //nolint:gosec // our own
	if err != nil {
		return Document{}, fmt.Errorf("adopt document: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	d, err := s.put(ctx, Document{ID: id, Org: org, Name: name}, f, nil)
	if err != nil {
		return Document{}, err
	}
	have, err := s.Document(ctx, org, id)
	if err != nil {
		return Document{}, err
	}
	if string(have.SHA256) != string(d.SHA256) {
		return Document{}, fault.New(fault.Conflict, "this document is in the store with other content")
	}
	return have, nil
}

func (s *Store) put(ctx context.Context, d Document, r io.Reader, check func(*os.File, int64) error) (_ Document, err error) {
	part, err := os.CreateTemp(filepath.Join(s.config.Dir, partDir), "*")
	if err != nil {
		return Document{}, notStored(d.Name, err)
	}
	defer func() {
		_ = part.Close() // it was synced, or is thrown away
		_ = os.Remove(part.Name())
	}()
	sum256, sum512 := sha256.New(), sha512.New()
	in := &source{ctx: ctx, r: io.LimitReader(r, s.config.MaxSize+1)}
	d.Size, err = io.Copy(io.MultiWriter(part, sum256, sum512), in)
	switch {
	case in.err != nil && ctx.Err() != nil:
		return Document{}, ctx.Err()
	case in.err != nil:
		return Document{}, fault.New(fault.Invalid, "%s did not arrive whole; send it again", d.Name).WithCode(CodeBroken).Because(in.err)
	case err != nil:
		return Document{}, notStored(d.Name, err)
	case d.Size == 0:
		return Document{}, fault.New(fault.Invalid, "%s is empty", d.Name).WithCode(CodeEmpty)
	case d.Size > s.config.MaxSize:
		return Document{}, fault.New(fault.TooLarge, "%s is larger than %d MB, which is the most that is taken here", d.Name, s.config.MaxSize>>20).WithCode(CodeTooLarge)
	}
	if check != nil {
		if err := check(part, d.Size); err != nil {
			return Document{}, about(d.Name, err)
		}
	}
	if err := part.Sync(); err != nil {
		return Document{}, notStored(d.Name, err)
	}
	d.SHA256, d.SHA512, d.Made = sum256.Sum(nil), sum512.Sum(nil), store.Time(store.Micros(s.config.Now()))
	return d, s.place(ctx, d, part.Name())
}

// place moves a file to where its content belongs and lists it.
func (s *Store) place(ctx context.Context, d Document, part string) error {
	s.files.RLock() // Delete does not remove the file meanwhile
	defer s.files.RUnlock()
	path := s.path(d.SHA256)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return notStored(d.Name, err)
	}
	if err := os.Rename(part, path); err != nil { // the same content may be there: it is replaced by itself
		return notStored(d.Name, err)
	}
	for _, dir := range []string{filepath.Dir(path), s.config.Dir} {
		if err := syncFolder(dir); err != nil {
			return notStored(d.Name, err)
		}
	}
	return s.insert(ctx, d)
}

// source remembers the sender's errors, to tell them from those of the disk.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	n, err := s.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// notStored is trouble with our own disk.
func notStored(name string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return fault.New(fault.Unavailable, "%s could not be stored: no space is left here. Nothing was lost; tell the operator and send it again later", name).
			WithCode(CodeDiskFull).Because(err)
	}
	return fault.New(fault.Unavailable, "%s could not be stored; tell the operator and send it again later", name).WithCode(CodeNotStored).Because(err)
}

// about names the file in a refusal, which matters when there are several.
func about(name string, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind == fault.Internal {
		return fmt.Errorf("check %s: %w", name, err)
	}
	return fault.New(f.Kind, "%s: %s", name, f.Detail).WithCode(f.Code).Because(err)
}

// cleanName makes a file's name safe to show and to save: the last part of a path,
// without control characters and marks that reorder text.
func cleanName(name string) (string, error) {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, name))
	name = strings.TrimLeft(name, ".")
	if name == "" {
		return "", fault.New(fault.Invalid, "the file has no name; give it one that ends in .pdf").WithCode(CodeName)
	}
	for len(name) > 200 { // keep the extension
		_, n := utf8.DecodeLastRuneInString(strings.TrimSuffix(name, filepath.Ext(name)))
		base := strings.TrimSuffix(name, filepath.Ext(name))
		if n == 0 || len(filepath.Ext(name)) > 100 {
			return "", fault.New(fault.Invalid, "the file's name is too long").WithCode(CodeName)
		}
		name = base[:len(base)-n] + filepath.Ext(name)
	}
	return name, nil
}

func syncFolder(path string) error {
	d, err := os.Open(path) //nolint:gosec // our own
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeParts removes what uploads of an earlier process left behind.
func (s *Store) removeParts() error {
	dir := filepath.Join(s.config.Dir, partDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
