package i18n

import (
	"net/http"

	"golang.org/x/text/language"
)

// Cookie is the name of the cookie in which a reader's choice is kept.
const Cookie = "lang"

// most is how many languages of a request are looked at.
const most = 10

// FromRequest returns the languages that a reader wants, the best first: the one
// that was chosen here, then those of the browser.
func FromRequest(r *http.Request) []string {
	var langs []string
	if c, err := r.Cookie(Cookie); err == nil {
		if t, err := language.Parse(c.Value); err == nil {
			langs = append(langs, t.String())
		}
	}
	header := r.Header.Get("Accept-Language")
	if len(header) > 1000 {
		return langs
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return langs // a header that nobody understands is none
	}
	for _, t := range tags {
		if len(langs) == most {
			break
		}
		if t != language.Und && t.String() != "mul" { // "*"
			langs = append(langs, t.String())
		}
	}
	return langs
}
