package oauth

import (
	"crypto/subtle"
	"net/http"
	"time"
)

// browser is the secret of the browser that started an authorization: the way back
// works in that one only. There is a cookie for each authorization, so that two at
// a time do not disturb each other and none can be planted beforehand.
type browser string

// newBrowser makes the secret and notes its digest in the request.
func newBrowser(r *request) browser {
	b := browser(randomText())
	r.browserHash = digestHex(string(b))
	return b
}

// cookieName names the cookie of an authorization. __Host- keeps other hosts of
// the domain from setting it (RFC 6265bis §4.1.3.2), where there is https.
func (s *Server) cookieName(requestID string) string {
	name := "countersign-authorize-" + digestHex(requestID)[:16]
	if s.secure {
		return "__Host-" + name
	}
	return name
}

func (s *Server) setBrowser(w http.ResponseWriter, requestID string, b browser, until time.Time) {
	http.SetCookie(w, s.cookie(requestID, string(b), max(1, int(until.Sub(s.now())/time.Second))))
}

func (s *Server) forgetBrowser(w http.ResponseWriter, requestID string) {
	http.SetCookie(w, s.cookie(requestID, "", -1))
}

// cookie is Lax: the way back is a navigation from another site.
func (s *Server) cookie(requestID, value string, seconds int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure wherever there is https
		Name: s.cookieName(requestID), Value: value, Path: "/", MaxAge: seconds,
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	}
}

// isBrowser reports whether r comes from the browser that started req.
func (s *Server) isBrowser(r *http.Request, req *request) bool {
	c, err := r.Cookie(s.cookieName(req.id))
	return err == nil && req.browserHash != "" &&
		subtle.ConstantTimeCompare([]byte(digestHex(c.Value)), []byte(req.browserHash)) == 1
}
