// Package viewer holds the PDF viewer of the portal's pages: pdf.js, taken from npm
// when the program is built. A program that was built without npm has none; its
// pages say so and work all the same. Other packages' scripts import web/_viewer.ts.
package viewer

import (
	"embed"
	"io/fs"

	"github.com/countersign/countersign/internal/ui"
)

//go:embed all:dist
var dist embed.FS

// New serves the viewer's files below a prefix; policy is that of its worker. The
// address of its folder is Folder("pdfjs"), and an error if there is none.
func New(prefix, policy string) (*ui.Bundle, error) {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	return ui.NewBundle(ui.BundleConfig{Prefix: prefix, Dist: built, Policy: policy})
}
