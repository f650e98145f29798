package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// viewerDist is where the PDF viewer's files go; its package embeds them.
const viewerDist = "relyingparty/portal/viewer/dist"

// viewerFiles are the parts of pdf.js that browsers load. The legacy build is a
// tenth larger and runs in browsers of the last years too.
var viewerFiles = map[string]string{
	"legacy/build/pdf.min.mjs":        "pdfjs/pdf.min.mjs",
	"legacy/build/pdf.worker.min.mjs": "pdfjs/pdf.worker.min.mjs",
	"LICENSE":                         "pdfjs/LICENSE",
}

// viewerFolders are loaded when a document needs them.
var viewerFolders = []string{"cmaps", "standard_fonts", "wasm", "iccs"}

// unused are files in these folders that the strict policy of the pages rules out
// anyway: replacements for WebAssembly, and an interpreter for scripts in documents.
var unused = []string{"wasm/openjpeg_nowasm_fallback.js", "wasm/jbig2_nowasm_fallback.js", "wasm/quickjs-eval.js", "wasm/quickjs-eval.wasm"}

// viewer adds pdf.js, or says that it is left out.
func (b *builder) viewer(ctx context.Context, dists map[string]files) error {
	dir, err := b.unpacked(ctx, pdfjs)
	if err != nil { // npm missing, or its registry out of reach
		fmt.Fprintf(os.Stderr, "LEFT OUT: the PDF viewer: %v. The pages work without it and say so.\n", err)
		if dists[viewerDist] == nil {
			dists[viewerDist] = files{}
		}
		return nil
	}
	f := dists[viewerDist]
	if f == nil {
		f = files{}
		dists[viewerDist] = f
	}
	for from, to := range viewerFiles {
		body, err := os.ReadFile(filepath.Join(dir, from)) //nolint:gosec // a name from the list above
		if err != nil {
			return err
		}
		f[to] = body
	}
	for _, name := range viewerFolders {
		if err := f.read(filepath.Join(dir, name), "pdfjs/"+name+"/"); err != nil {
			return err
		}
	}
	for _, name := range unused {
		delete(f, "pdfjs/"+name)
	}
	return nil
}
