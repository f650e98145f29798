package direct

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/web"
)

// view is what the template gets. All that the scripts need stands in attributes.
type view struct {
	Script   string // "" if it was not built
	Worker   string
	Assemble string
	Verify   string
	Hash     string
	Font     string // of visible signatures
	Viewer   string // folder of pdf.js; "" if it was not built
	API      string
	Home     string
	Lang     string
	Level    string
	Texts    string // JSON: the messages that the scripts say
	Returned bool
}

// page is the one page. Its script decides by the address and by what waits in this
// browser what it shows first.
func (d *Direct) page(w http.ResponseWriter, r *http.Request) {
	v, l := d.pages.Begin(r)
	v.Title = l.T("direct.title")
	v.Policy = d.policy
	data, err := d.view(l)
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	data.Returned = r.URL.Path == ReturnPath
	if data.Returned {
		v.Switch = nil // the address has a code for one use, which is not to be repeated
	}
	if data.Script != "" {
		v.Scripts = []string{data.Script}
	}
	v.Data = data
	d.remember(w, r)
	if err := d.pages.Write(w, http.StatusOK, "direct", v); err != nil {
		web.Problem(w, r, err)
	}
}

func (d *Direct) view(l *i18n.Localizer) (*view, error) {
	texts, err := d.say(l)
	if err != nil {
		return nil, err
	}
	v := &view{API: apiPath, Home: Path, Lang: l.Lang(), Level: d.config.Level.String(), Texts: texts}
	for to, name := range map[*string]string{&v.Script: "direct.js", &v.Worker: "assembly.worker.js", &v.Assemble: "assemble.wasm", &v.Verify: "verify.wasm", &v.Hash: "sha2.wasm", &v.Font: "signature.ttf"} {
		if *to, err = d.assets.Path(name); err != nil {
			return &view{}, nil //nolint:nilerr // the page says that it was not built
		}
	}
	if folder, err := d.viewer.Folder("pdfjs"); err == nil {
		v.Viewer = folder
	}
	return v, nil
}

// say collects the messages of the scripts, with place holders in braces.
func (d *Direct) say(l *i18n.Localizer) (string, error) {
	texts := map[string]string{}
	for _, key := range d.texts.Keys() {
		name, ok := strings.CutPrefix(key, "js.")
		if !ok {
			continue
		}
		text, err := l.Say(key, "A", "{A}", "B", "{B}")
		if err != nil {
			return "", err
		}
		texts[name] = text
	}
	b, err := json.Marshal(texts)
	return string(b), err
}
