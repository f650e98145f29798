package ui

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/countersign/countersign/internal/i18n"
)

// themeCookie is the cookie in which a reader's choice of theme is kept.
const themeCookie = "theme"

// choiceAge is how long a choice is remembered, in seconds: a year.
const choiceAge = 365 * 24 * 3600

// themes are the values of the cookie; any other is the system's theme.
var themes = []string{"light", "dark"}

func theme(r *http.Request) string {
	c, err := r.Cookie(themeCookie)
	if err != nil || !slices.Contains(themes, c.Value) {
		return ""
	}
	return c.Value
}

// chosen is the address of the same page that chooses a language.
func chosen(r *http.Request, lang string) string {
	q := r.URL.Query()
	q.Set("lang", lang)
	u := url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: q.Encode()}
	return u.RequestURI()
}

// Choices is a middleware for pages: "?lang=de" and "?theme=dark" are written into
// cookies, and the browser is sent to the same address without them. "theme=system"
// forgets the theme. It works without a script.
func (p *Pages) Choices(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead || r.URL.RawQuery == "" {
			h.ServeHTTP(w, r)
			return
		}
		q := r.URL.Query()
		var chose bool
		if lang := q.Get("lang"); slices.Contains(p.langs, lang) {
			http.SetCookie(w, choice(i18n.Cookie, lang))
			chose = true
		}
		if t := q.Get("theme"); slices.Contains(themes, t) || t == "system" {
			http.SetCookie(w, choice(themeCookie, t))
			chose = true
		}
		if !chose {
			h.ServeHTTP(w, r)
			return
		}
		q.Del("lang")
		q.Del("theme")
		u := url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: q.Encode()}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", local(u.RequestURI()))
		w.WriteHeader(http.StatusSeeOther)
	})
}

// local keeps a path on this origin: "//other.example" is an address of another.
func local(path string) string {
	for len(path) > 1 && path[0] == '/' && (path[1] == '/' || path[1] == '\\') {
		path = path[1:]
	}
	return path
}

func choice(name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: choiceAge, HttpOnly: true, SameSite: http.SameSiteLaxMode} //nolint:gosec // a language is no secret, and loopback origins have no TLS
}
