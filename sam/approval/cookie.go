package approval

import "net/http"

// cookie is what a browser keeps for this origin. Where there is https its name says
// __Host-: then no other host of the domain, the gateway's for example, can set it in
// this one's place (RFC 6265bis §4.1.3.2). Scripts cannot read it.
type cookie struct {
	name string
	path string // where it goes on loopback, where cookies have no such name
	same http.SameSite
}

func (h *Handler) cookieName(c cookie) string {
	if h.secure {
		return "__Host-" + c.name
	}
	return c.name
}

func (h *Handler) readCookie(r *http.Request, c cookie) string {
	got, err := r.Cookie(h.cookieName(c))
	if err != nil {
		return ""
	}
	return got.Value
}

// setCookie sets it for so many seconds; below zero ends it.
func (h *Handler) setCookie(w http.ResponseWriter, c cookie, value string, age int) {
	path := c.path
	if h.secure {
		path = "/" // __Host- demands it
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever the origin is https; loopback origins have no TLS
		Name: h.cookieName(c), Value: value, Path: path, MaxAge: age, HttpOnly: true, SameSite: c.same, Secure: h.secure,
	})
}
