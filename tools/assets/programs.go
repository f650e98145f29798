package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/countersign/countersign/ades/fonts"
)

// direct is where the direct page's files go.
const direct = "relyingparty/portal/direct/dist"

// wasm are the programs for browsers: where they come from and where they go. The
// first is built with the tag assemble, which leaves out what only reads signatures:
// crypto/x509 and all that comes with it.
var wasm = []struct{ source, tags, dist, name string }{
	{"./cmd/countersign-wasm", "assemble", direct, "assemble.wasm"},
	{"./cmd/countersign-wasm/verify", "", direct, "verify.wasm"},
}

// noInline makes the programs a tenth smaller on the way to the browser.
const noInline = "-gcflags=all=-l"

// programs builds the WebAssembly programs. The same source gives the same bytes,
// wherever it is built. Beside them goes the font of visible signatures.
func (b *builder) programs(ctx context.Context, dists map[string]files) error {
	for _, p := range wasm {
		if _, err := os.Stat(filepath.Join(b.root, p.source)); err != nil {
			return err
		}
		out := filepath.Join(b.cache, "wasm", p.name)
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil { //nolint:gosec // not secret
			return err
		}
		if _, err := os.Stat(out); err != nil {
			fmt.Printf("Building %s for browsers (the first time about a minute) ...\n", p.name) //nolint:forbidigo // a build tool
		}
		if _, err := b.command(ctx, []string{"GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0"},
			"build", "-trimpath", "-buildvcs=false", "-tags="+p.tags, "-ldflags=-s -w", noInline, "-o", out, p.source); err != nil {
			return fmt.Errorf("build %s: %w", p.source, err)
		}
		body, err := os.ReadFile(out) //nolint:gosec // in our own folder
		if err != nil {
			return err
		}
		if dists[p.dist] == nil {
			dists[p.dist] = files{}
		}
		dists[p.dist][p.name] = body
	}
	dists[direct]["sha2.wasm"] = sha2Program()
	dists[direct]["signature.ttf"] = fonts.Regular()
	return nil
}
