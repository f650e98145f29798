package approval

import (
	"net/http"
	"net/url"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
)

// claimRest is how long a browser keeps its claim after the request's time, to find
// its way back.
const claimRest = 10 * time.Minute

func claimCookie(r *http.Request) cookie {
	sid := r.PathValue("sid")
	return cookie{name: "claim-" + sid, path: "/a/" + url.PathEscape(sid), same: http.SameSiteLaxMode}
}

// claimOf is the secret of the browser that opened the request's page first.
func (h *Handler) claimOf(r *http.Request) string { return h.readCookie(r, claimCookie(r)) }

// claim gives the page of a request, whose time is over then, to the first browser
// that opens it, and to no other.
func (h *Handler) claim(w http.ResponseWriter, r *http.Request, expires time.Time) error {
	fresh, mine, err := h.module.Claim(r.Context(), r.PathValue("sid"), view(r), h.claimOf(r))
	switch {
	case err != nil:
		return err
	case !mine:
		return fault.New(fault.Forbidden, "this request was opened in another browser, and goes on there").WithCode(samapi.CodeOtherBrowser)
	case fresh != "":
		left := max(0, expires.Sub(h.now())) + claimRest
		h.setCookie(w, claimCookie(r), fresh, int(left.Seconds()))
	}
	return nil
}
