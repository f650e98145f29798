package approval

import (
	"net/http"
	"net/url"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
)

// claimAge is how long a browser keeps its claim, in seconds. Approvals live shorter.
const claimAge = 3600

func claimCookie(r *http.Request) string { return "claim-" + r.PathValue("sid") }

// claimOf is the secret of the browser that opened the request's page first.
func claimOf(r *http.Request) string {
	c, err := r.Cookie(claimCookie(r))
	if err != nil {
		return ""
	}
	return c.Value
}

// claim gives the page to the first browser that opens it, and to no other.
func (h *Handler) claim(w http.ResponseWriter, r *http.Request) error {
	fresh, mine, err := h.module.Claim(r.Context(), r.PathValue("sid"), view(r), claimOf(r))
	switch {
	case err != nil:
		return err
	case !mine:
		return fault.New(fault.Forbidden, "this request was opened in another browser, and goes on there").WithCode(samapi.CodeOtherBrowser)
	case fresh != "":
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever the origin is https; loopback origins have no TLS
			Name: claimCookie(r), Value: fresh, Path: "/a/" + url.PathEscape(r.PathValue("sid")), MaxAge: claimAge,
			HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: h.secure,
		})
	}
	return nil
}
