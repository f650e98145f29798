package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var files embed.FS

// Prefix is where Assets must be served.
const Prefix = "/ui/"

// types are the assets that browsers fetch, and what they are.
var types = map[string]string{
	"ui.css":   "text/css; charset=utf-8",
	"icon.svg": "image/svg+xml",
}

// asset is a file with the hash of its content in its name, so that a browser may
// keep it for ever.
type asset struct {
	kind string
	body []byte
}

// assets are the files by their hashed names, and those names by the plain ones.
type assets struct {
	byHash map[string]asset
	named  map[string]string
}

func readAssets() (*assets, error) {
	a := &assets{map[string]asset{}, map[string]string{}}
	for name, kind := range types {
		body, err := files.ReadFile("assets/" + name)
		if err != nil {
			return nil, fmt.Errorf("read asset: %w", err)
		}
		sum := sha256.Sum256(body)
		ext := path.Ext(name)
		hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		a.byHash[hashed] = asset{kind, body}
		a.named[name] = Prefix + hashed
	}
	return a, nil
}

// path returns the URL path of an asset.
func (a *assets) path(name string) (string, error) {
	p, ok := a.named[name]
	if !ok {
		return "", fmt.Errorf("no asset %q", name)
	}
	return p, nil
}

// ServeHTTP serves an asset below Prefix.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a.byHash[strings.TrimPrefix(r.URL.Path, Prefix)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(f.body) // the client has gone if it fails
}

// readIcons returns the symbols of icons.svg as inline SVG, by name.
func readIcons() (map[string]template.HTML, error) {
	data, err := files.ReadFile("assets/icons.svg")
	if err != nil {
		return nil, fmt.Errorf("read icons: %w", err)
	}
	var sheet struct {
		Symbols []struct {
			ID      string `xml:"id,attr"`
			ViewBox string `xml:"viewBox,attr"`
			Inner   string `xml:",innerxml"`
		} `xml:"symbol"`
	}
	if err := xml.Unmarshal(data, &sheet); err != nil {
		return nil, fmt.Errorf("read icons: %w", err)
	}
	icons := make(map[string]template.HTML, len(sheet.Symbols))
	for _, s := range sheet.Symbols {
		class := "icon"
		switch s.ID {
		case "next", "back": // they point the way of reading
			class = "icon turns"
		}
		attr := ` class="` + class + `"`
		if s.ID == "mark" {
			attr = ""
		}
		icons[s.ID] = template.HTML(`<svg` + attr + ` viewBox="` + s.ViewBox + `" aria-hidden="true">` + s.Inner + `</svg>`) //nolint:gosec // embedded file, no input
	}
	return icons, nil
}
