package oauth

import (
	"html/template"
	"net/http"
	"strings"
)

// errorPage is what a person sees when there is nowhere to send the browser.
var errorPage = template.Must(template.New("error").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Cannot continue</title></head>
<body><main><h1>This request cannot continue</h1><p>{{.Description}}</p><p>Code: <code>{{.Code}}</code></p></main></body>
</html>
`))

// page shows an error here: as a page to a browser and as JSON to a program.
func (s *Server) page(w http.ResponseWriter, r *http.Request, err error) {
	e := asOAuth(err)
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.writeError(w, r, e)
		return
	}
	s.logError(r, e)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; form-action 'none'")
	w.WriteHeader(e.status)
	_ = errorPage.Execute(w, struct{ Code, Description string }{e.code, e.description}) // the connection is gone if this fails
}
