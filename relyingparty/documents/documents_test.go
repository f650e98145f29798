package documents_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/relyingparty/documents"
	"github.com/countersign/countersign/signing"
)

func open(t *testing.T, db *store.DB, dir string) *documents.Store {
	t.Helper()
	s, err := documents.New(t.Context(), documents.Config{DB: db, Dir: dir, MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// files lists what lies in the folder, without folders.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDocumentIsKeptAsItCame(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		dir := t.TempDir()
		s := open(t, db, dir)
		data := adestest.NewPDF(t).Data
		sum256, sum512 := sha256.Sum256(data), sha512.Sum512(data)
		var ids []string
		for _, name := range []string{"lease.pdf", "copy of lease.pdf"} {
			d, err := s.Put(t.Context(), "acme", name, iotest.OneByteReader(bytes.NewReader(data)))
			if err != nil {
				t.Fatal(err)
			}
			if d.Name != name || d.Size != int64(len(data)) || !bytes.Equal(d.SHA256, sum256[:]) || !bytes.Equal(d.SHA512, sum512[:]) {
				t.Errorf("%+v", d)
			}
			ids = append(ids, d.ID)
		}
		s = open(t, db, dir) // another process
		f, d, err := s.Open(t.Context(), "acme", ids[0])
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(got, data) || f.Close() != nil {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
		if err := s.Verify(t.Context(), d); err != nil {
			t.Error(err)
		}
		if n := len(files(t, dir)); n != 1 {
			t.Errorf("the same content lies there %d times", n)
		}
		for i, id := range ids {
			if err := s.Delete(t.Context(), "acme", id); err != nil {
				t.Fatal(err)
			}
			if n := len(files(t, dir)); n != 1-i {
				t.Errorf("after %d deletions there are %d files", i+1, n)
			}
		}
		if _, err := s.Document(t.Context(), "acme", ids[0]); !errors.Is(err, fault.NotFound) {
			t.Errorf("deleted: %v", err)
		}
	})
}

func TestOneOrganisationSeesNoDocumentOfAnother(t *testing.T) {
	t.Attr("control", "A14")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := open(t, db, t.TempDir())
		d, err := s.Put(t.Context(), "acme", "a.pdf", bytes.NewReader(adestest.NewPDF(t).Data))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Document(t.Context(), "other", d.ID); !errors.Is(err, fault.NotFound) {
			t.Errorf("describe: %v", err)
		}
		if _, _, err := s.Open(t.Context(), "other", d.ID); !errors.Is(err, fault.NotFound) {
			t.Errorf("open: %v", err)
		}
		if err := s.Delete(t.Context(), "other", d.ID); !errors.Is(err, fault.NotFound) {
			t.Errorf("delete: %v", err)
		}
		if _, err := s.Document(t.Context(), "acme", d.ID); err != nil {
			t.Errorf("its own: %v", err)
		}
	})
}

// certified is a document that its certification forbids to sign.
func certified(t *testing.T) []byte {
	t.Helper()
	p, k := adestest.NewPDF(t), adestest.New(t, adestest.Config{})
	data := bytes.NewReader(p.Data)
	prepared, err := pades.Prepare(data, data.Size(), pades.Options{
		Algorithm: signing.ECDSAWithSHA256, Time: k.Now, Signer: k.Signer.Cert.Raw, Level: pades.B, Certify: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	value, err := k.Signer.Key.Sign(rand.Reader, prepared.DTBSR, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := prepared.Finish(t.Context(), data, value, pades.B, pades.Sources{}, pades.AugmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return append(p.Data, patch.Bytes...)
}

func TestWhatCannotBeSignedIsSaidAtUpload(t *testing.T) {
	whole := adestest.NewPDF(t).Data
	broken := errors.New("connection reset")
	for _, c := range []struct {
		what, name string
		in         io.Reader
		kind       fault.Kind
		code       string
	}{
		{"no PDF", "a.txt", strings.NewReader("hello"), fault.Invalid, pdf.CodeNotPDF},
		{"empty", "a.pdf", strings.NewReader(""), fault.Invalid, documents.CodeEmpty},
		{"truncated", "a.pdf", bytes.NewReader(whole[:len(whole)/2]), fault.Invalid, pdf.CodeDamaged},
		{"certified", "a.pdf", bytes.NewReader(certified(t)), fault.Invalid, pades.CodeCertified},
		{"too large", "a.pdf", io.LimitReader(zeros{}, 1<<20+1), fault.TooLarge, documents.CodeTooLarge},
		{"cut off", "a.pdf", io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(broken)), fault.Invalid, documents.CodeBroken},
		{"no name", "../..", bytes.NewReader(whole), fault.Invalid, documents.CodeName},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, storetest.SQLite(t), dir)
			_, err := s.Put(t.Context(), "acme", c.name, c.in)
			f := fault.Of(err)
			if err == nil || f.Kind != c.kind || f.Code != c.code {
				t.Errorf("got %v (%s %s)", err, f.Kind, f.Code)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestEncryptedDocumentIsRefused(t *testing.T) {
	corpus := os.Getenv("CORPUS")
	if corpus == "" {
		t.Skip("SKIPPED: CORPUS names no folder of PDF files; no encrypted file was tried")
	}
	list, err := filepath.Glob(filepath.Join(corpus, "*.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, path := range list {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte("/Encrypt")) {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := documents.New(t.Context(), documents.Config{DB: storetest.SQLite(t), Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Put(t.Context(), "acme", filepath.Base(path), f)
		if code := fault.Of(err).Code; err != nil && (code == pdf.CodePassword || code == pdf.CodeEncryption || code == pades.CodePermission) {
			refused++
		} else if err != nil {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if refused == 0 {
		t.Error("no encrypted file was refused")
	}
}

func TestChangeOnDiskIsNoticed(t *testing.T) {
	s := open(t, storetest.SQLite(t), t.TempDir())
	d, err := s.Put(t.Context(), "acme", "a.pdf", bytes.NewReader(adestest.NewPDF(t).Data))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.Path(d))
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(s.Path(d), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), d); fault.Of(err).Code != documents.CodeDamaged {
		t.Errorf("changed: %v", err)
	}
	if err := os.Remove(s.Path(d)); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), d); fault.Of(err).Code != documents.CodeDamaged {
		t.Errorf("removed: %v", err)
	}
}

func TestAdoptedRevisionIsTakenOnce(t *testing.T) {
	s := open(t, storetest.SQLite(t), t.TempDir())
	dir, err := s.WorkDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x.pdf")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	for range 2 {
		if d, err := s.Adopt(t.Context(), "acme", "id-1", "a.pdf", path); err != nil || d.ID != "id-1" || d.Size != 3 {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	write("two")
	if _, err := s.Adopt(t.Context(), "acme", "id-1", "a.pdf", path); !errors.Is(err, fault.Conflict) {
		t.Errorf("other content under the same id: %v", err)
	}
}

// TestFullDiskLosesNothing stores on a disk that is full: a tmpfs of a few pages
// where it can be mounted, else a limit on the size of files.
func TestFullDiskLosesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no small disk can be mounted: %v", err)
		}
		t.Skipf("SKIPPED: no small disk can be mounted: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	s := open(t, storetest.SQLite(t), dir)
	small, err := s.Put(t.Context(), "acme", "a.pdf", bytes.NewReader(adestest.NewPDF(t).Data))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(context.WithoutCancel(t.Context()), "acme", "b.pdf", io.LimitReader(zeros{}, 200<<10))
	if f := fault.Of(err); f.Kind != fault.Unavailable || f.Code != documents.CodeDiskFull || !strings.Contains(f.Detail, "b.pdf") {
		t.Errorf("full disk: %v", err)
	}
	if err := s.Verify(t.Context(), small); err != nil {
		t.Errorf("the other document: %v", err)
	}
	if n := len(files(t, dir)); n != 1 {
		t.Errorf("%d files are there", n)
	}
}

func FuzzUpload(f *testing.F) {
	f.Add("a.pdf", []byte("%PDF-1.7\n"))
	f.Add("../x\u202e.pdf", adestest.NewPDF(f).Data)
	s, err := documents.New(context.Background(), documents.Config{DB: storetest.SQLite(f), Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		d, err := s.Put(t.Context(), "acme", name, bytes.NewReader(data))
		if err != nil {
			if fault.Of(err).Kind == fault.Internal {
				t.Errorf("%q: %v", name, err)
			}
			return
		}
		if strings.ContainsAny(d.Name, "/\\\x00\n\u202e") || d.Name == "" || len(d.Name) > 200 || d.Name[0] == '.' {
			t.Errorf("name %q", d.Name)
		}
	})
}
