package ui

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// Bundle serves the files that tools/assets made in a package's dist folder:
// scripts, WebAssembly, fonts. Each has its content's hash in its address, so that
// a browser may keep it for ever, and is sent as it was compressed when it was
// built. A file in a folder has the hash of the whole folder, so that scripts can
// load what lies beside it by a relative name.
type Bundle struct {
	config BundleConfig
	files  map[string]bundled
	hashes map[string]string // by file at the top, or by folder
}

// BundleConfig says what a bundle serves. Dist is required.
type BundleConfig struct {
	// Prefix is where ServeHTTP is mounted; it begins and ends with a slash.
	Prefix string
	// Dist is the dist folder. It may be empty: then nothing was built.
	Dist fs.FS
	// Policy is the Content-Security-Policy of scripts, which binds them when they
	// run as workers. Empty is WorkerPolicy.
	Policy string
}

// WorkerPolicy is the policy of workers that say nothing else: they load from
// their own origin, and nothing becomes code but what is there.
const WorkerPolicy = "default-src 'none'; script-src 'self'; connect-src 'self'"

// ErrNotBuilt says that a file is not there because the assets were not built.
var ErrNotBuilt = errors.New("the pages' scripts were not built: run make assets")

// bundled is a file in its forms; the compressed ones may be missing.
type bundled struct{ plain, brotli, gzip []byte }

// NewBundle reads the folder.
func NewBundle(c BundleConfig) (*Bundle, error) {
	if !strings.HasPrefix(c.Prefix, "/") || !strings.HasSuffix(c.Prefix, "/") {
		return nil, fmt.Errorf("bundle: the prefix %q does not begin and end with a slash", c.Prefix)
	}
	if c.Policy == "" {
		c.Policy = WorkerPolicy
	}
	b := &Bundle{config: c, files: map[string]bundled{}, hashes: map[string]string{}}
	sums := map[string]hash.Hash{}
	err := fs.WalkDir(c.Dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		body, err := fs.ReadFile(c.Dist, name)
		if err != nil {
			return err
		}
		plain := strings.TrimSuffix(strings.TrimSuffix(name, ".br"), ".gz")
		f := b.files[plain]
		switch path.Ext(name) {
		case ".br":
			f.brotli = body
		case ".gz":
			f.gzip = body
		default:
			f.plain = body
			top := unit(name)
			if sums[top] == nil {
				sums[top] = sha256.New()
			}
			fmt.Fprintf(sums[top], "%s %d\n", name, len(body))
			_, _ = sums[top].Write(body) // a hash takes everything
		}
		b.files[plain] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	for top, h := range sums {
		b.hashes[top] = hex.EncodeToString(h.Sum(nil)[:8])
	}
	return b, nil
}

// unit is what shares one hash: a file at the top, or a folder with all in it.
func unit(name string) string {
	top, _, _ := strings.Cut(name, "/")
	return top
}

// Has says whether the file was built.
func (b *Bundle) Has(name string) bool { return b.files[name].plain != nil }

// Path returns the URL path of a file, by its name in the dist folder. The error
// is ErrNotBuilt if it is not there.
func (b *Bundle) Path(name string) (string, error) {
	if !b.Has(name) {
		return "", fmt.Errorf("%s: %w", name, ErrNotBuilt)
	}
	return b.config.Prefix + b.hashes[unit(name)] + "/" + name, nil
}

// Folder returns the URL path of a folder at the top of dist, with a slash at its
// end. The error is ErrNotBuilt if it is not there.
func (b *Bundle) Folder(name string) (string, error) {
	h, ok := b.hashes[name]
	if !ok {
		return "", fmt.Errorf("%s: %w", name, ErrNotBuilt)
	}
	return b.config.Prefix + h + "/" + name + "/", nil
}

// Size returns the bytes that a file takes on the way to a current browser.
func (b *Bundle) Size(name string) int {
	f := b.files[name]
	if f.brotli != nil {
		return len(f.brotli)
	}
	return len(f.plain)
}

// ServeHTTP serves a file below the prefix.
func (b *Bundle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, b.config.Prefix)
	sum, name, cut := strings.Cut(rest, "/")
	f := b.files[name]
	if !ok || !cut || f.plain == nil || b.hashes[unit(name)] != sum {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	b.send(w, r, name, f)
}

// File serves one file at an address of its own that does not change, such as that
// of a service worker, which decides its scope. Browsers ask for it anew each time.
func (b *Bundle) File(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := b.files[name]
		if f.plain == nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", `"`+b.hashes[unit(name)]+`"`)
		b.send(w, r, name, f)
	})
}

// send answers with the smallest form that the browser takes.
func (b *Bundle) send(w http.ResponseWriter, r *http.Request, name string, f bundled) {
	h := w.Header()
	h.Set("Content-Type", typeOf(name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	if script(name) {
		h.Set("Content-Security-Policy", b.config.Policy)
	}
	body := f.plain
	switch {
	case f.brotli != nil && accepts(r, "br"):
		body = f.brotli
		h.Set("Content-Encoding", "br")
	case f.gzip != nil && accepts(r, "gzip"):
		body = f.gzip
		h.Set("Content-Encoding", "gzip")
	}
	if h.Get("Content-Encoding") != "" {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		if tag := h.Get("ETag"); tag != "" && r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if r.Method != http.MethodHead {
			_, _ = w.Write(body) // the client has gone if it fails
		}
		return
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
}

func script(name string) bool { ext := path.Ext(name); return ext == ".js" || ext == ".mjs" }

// typeOf names what browsers are strict about; nothing is guessed from content.
func typeOf(name string) string {
	switch path.Ext(name) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".wasm":
		return "application/wasm"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".json":
		return "application/json"
	case ".webmanifest":
		return "application/manifest+json"
	case ".ttf":
		return "font/ttf"
	case "":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// accepts says whether the browser takes an encoding.
func accepts(r *http.Request, encoding string) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, params, err := mime.ParseMediaType("x/" + strings.TrimSpace(part))
		if err != nil || name != "x/"+encoding {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		return params["q"] == "" || err == nil && q > 0
	}
	return false
}
