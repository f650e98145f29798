package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// pin is a package that npm has. Only its archive is fetched: no installation, no
// scripts, no dependencies, so that every npm from Node 18 on will do.
type pin struct{ name, version, sha512 string }

var (
	pdfjs      = pin{"pdfjs-dist", "6.5.438", "vg8Pw1x+AFKy4AMDvhuWl5cOYV8d698UoEANoFFhc79hqXDnZQqnOXoxw3HG907WHOg1JYOvLhP756boddFxpA=="}
	typescript = pin{"typescript", "5.9.3", "jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw=="}
	axe        = pin{"axe-core", "4.14.1", "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="}
)

// forTests fetches axe-core, which judges the accessibility of pages. Without npm the
// tests say that they left it out, and in CI they fail.
func (b *builder) forTests(ctx context.Context) error {
	_, err := b.unpacked(ctx, axe)
	if errors.Is(err, errNoNPM) {
		fmt.Fprintf(os.Stderr, "LEFT OUT: axe-core for the tests of pages: %v\n", err)
		return nil
	}
	return err
}

// errNoNPM says that the package is not here and npm neither.
var errNoNPM = errors.New("npm is not installed (Debian: apt install npm)")

// unpacked returns the folder of a package, fetched at the first time.
func (b *builder) unpacked(ctx context.Context, p pin) (string, error) {
	dir := filepath.Join(b.cache, "npm", p.name+"-"+p.version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errNoNPM
	}
	fmt.Printf("Fetching %s %s from npm (once) ...\n", p.name, p.version) //nolint:forbidigo // a build tool
	work, err := os.MkdirTemp("", "npm-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	c := exec.CommandContext(ctx, npm, "pack", "--silent", p.name+"@"+p.version) //nolint:gosec // our own arguments
	c.Dir = work
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm pack %s: %w\n%s", p.name, err, bytes.TrimSpace(out))
	}
	archive, err := os.ReadFile(filepath.Join(work, p.name+"-"+p.version+".tgz")) //nolint:gosec // in our own folder
	if err != nil {
		return "", err
	}
	if sum := sha512.Sum512(archive); base64.StdEncoding.EncodeToString(sum[:]) != p.sha512 {
		return "", fmt.Errorf("%s %s from npm has another checksum than the one that is pinned; it is not used", p.name, p.version)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // not secret
		return "", err
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), p.name+".part-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	if err := untar(part, archive); err != nil {
		return "", fmt.Errorf("unpack %s: %w", p.name, err)
	}
	if err := os.Rename(part, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) //nolint:gosec // not secret
}

// untar unpacks the regular files of an npm archive, without its top folder.
func untar(dir string, archive []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, name, ok := strings.Cut(path.Clean(h.Name), "/")
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		body, err := io.ReadAll(t)
		if err != nil {
			return err
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(name, body, 0o644); err != nil {
			return err
		}
	}
}
