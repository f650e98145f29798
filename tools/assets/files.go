package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/andybalholm/brotli"
)

// files are the contents of a dist folder by their slash-separated names.
type files map[string][]byte

// read adds all files below dir under a prefix.
func (f files) read(dir, prefix string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		body, err := os.ReadFile(path) //nolint:gosec // below a folder of ours
		f[prefix+filepath.ToSlash(name)] = body
		return err
	})
}

// The names that a file's compressed forms have beside it.
const (
	brotliExt = ".br"
	gzipExt   = ".gz"
)

// ignored stays in a dist folder, so that it is there to be embedded.
const ignored = ".gitignore"

// put makes the folder hold exactly these files, with their compressed forms. It
// writes only what changed.
func (c compressor) put(dist string, want files) error {
	if err := os.MkdirAll(dist, 0o755); err != nil { //nolint:gosec // part of the source tree
		return err
	}
	if err := same(filepath.Join(dist, ignored), []byte("*\n!.gitignore\n")); err != nil {
		return err
	}
	for name, body := range want {
		if err := c.place(filepath.Join(dist, filepath.FromSlash(name)), body); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dist, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ignored {
			return err
		}
		name, err := filepath.Rel(dist, path)
		if err != nil {
			return err
		}
		plain := strings.TrimSuffix(strings.TrimSuffix(filepath.ToSlash(name), brotliExt), gzipExt)
		if _, ok := want[plain]; ok {
			return nil
		}
		return os.Remove(path) //nolint:gosec // a folder of our own
	})
}

// same writes a file unless it has this content.
func same(path string, body []byte) error {
	old, err := os.ReadFile(path) //nolint:gosec // below a folder of ours
	if err == nil && bytes.Equal(old, body) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // part of the source tree
		return err
	}
	tmp := path + ".part"
	if err := os.WriteFile(tmp, body, 0o644); err != nil { //nolint:gosec // part of the source tree
		return err
	}
	return os.Rename(tmp, path)
}

// worthwhile is the size from which a file is compressed, if it becomes a tenth
// smaller.
const worthwhile = 1 << 10

// slow is the size from which the best compression takes many seconds. Such files
// get it in builds that are handed out, and the result is kept in the cache.
const slow = 1 << 20

// compressor makes the compressed forms.
type compressor struct {
	cache string
	best  bool
}

// place writes a file and its compressed forms. The plain file comes last: it says
// that the others are there.
func (c compressor) place(path string, body []byte) error {
	old, err := os.ReadFile(path) //nolint:gosec // below a folder of ours
	if err == nil && bytes.Equal(old, body) && (!c.best || len(body) <= slow) {
		return nil
	}
	for ext, compress := range map[string]func([]byte) ([]byte, error){brotliExt: c.brotli, gzipExt: gzipped} {
		small := body
		if len(body) >= worthwhile {
			if small, err = compress(body); err != nil {
				return err
			}
		}
		if len(small) > len(body)*9/10 {
			if err := os.Remove(path + ext); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			continue
		}
		if err := same(path+ext, small); err != nil {
			return err
		}
	}
	return same(path, body)
}

func (c compressor) brotli(body []byte) ([]byte, error) {
	if len(body) <= slow {
		return brotlied(body, brotli.BestCompression)
	}
	sum := sha256.Sum256(body)
	kept := filepath.Join(c.cache, "brotli", hex.EncodeToString(sum[:])+brotliExt)
	if small, err := os.ReadFile(kept); err == nil { //nolint:gosec // in our cache
		return small, nil
	}
	if !c.best {
		return brotlied(body, 9)
	}
	small, err := brotlied(body, brotli.BestCompression)
	if err != nil {
		return nil, err
	}
	return small, same(kept, small)
}

func brotlied(body []byte, level int) ([]byte, error) {
	var b bytes.Buffer
	w := brotli.NewWriterLevel(&b, level)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

func gzipped(body []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}
