package approval

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"rsc.io/qr"

	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam/samapi"
)

// phoneToken is what the code for the phone carried.
func phoneToken(r *http.Request) string { return r.URL.Query().Get("t") }

// phoneAt is a path of this request that carries its phone token.
func phoneAt(r *http.Request, end string) string {
	return "/p/" + url.PathEscape(r.PathValue("sid")) + end + "?t=" + url.QueryEscape(phoneToken(r))
}

// qr is the code that opens the request on a phone: in the app if the key is bound
// to a device key, on a page of its own if it is bound to passkeys. It holds
// neither the number nor the way back.
func (h *Handler) qr(w http.ResponseWriter, r *http.Request) error {
	s, err := h.module.Shown(r.Context(), r.PathValue("sid"), view(r))
	if err != nil {
		return err
	}
	to := h.origin + "/app/r/" + url.PathEscape(s.SID)
	if s.Key.Mechanism == samapi.WebAuthn {
		token, err := h.module.PhoneToken(r.Context(), s.SID, view(r))
		if err != nil {
			return err
		}
		to = h.origin + "/p/" + url.PathEscape(s.SID) + "?t=" + url.QueryEscape(token)
	}
	svg, err := code(to)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(svg) // the client has gone if it fails
	return nil
}

// quiet is the light edge around a code, in modules (ISO/IEC 18004 §6.3.8).
const quietZone = 4

// code draws a text as a QR code: one path, dark on light in every theme, because
// cameras want it so.
func code(text string) ([]byte, error) {
	c, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, fmt.Errorf("draw code: %w", err)
	}
	var path strings.Builder
	for y := range c.Size {
		for x := 0; x < c.Size; x++ {
			if !c.Black(x, y) {
				continue
			}
			n := 1
			for c.Black(x+n, y) && x+n < c.Size {
				n++
			}
			fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quietZone, y+quietZone, n, n)
			x += n - 1
		}
	}
	size := c.Size + 2*quietZone
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges">`+
		`<path fill="#fff" d="M0 0h%dv%dh-%dz"/><path fill="#000" d="%s"/></svg>`, size, size, size, size, size, path.String()), nil
}

// phone is the page on which a passkey of the phone approves.
func (h *Handler) phone(w http.ResponseWriter, r *http.Request) error {
	s, err := h.module.PhoneView(r.Context(), r.PathValue("sid"), phoneToken(r))
	if err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", s.SID)
	page, v, err := h.phoneView(s, r)
	if err != nil {
		return err
	}
	return h.pages.Write(w, http.StatusOK, page, v)
}

func (h *Handler) phoneSAD(w http.ResponseWriter, r *http.Request) error {
	s, err := h.module.PhoneView(r.Context(), r.PathValue("sid"), phoneToken(r))
	if err != nil {
		return err
	}
	writeSAD(w, s.Request)
	return nil
}

func (h *Handler) phoneReject(w http.ResponseWriter, r *http.Request) error {
	reason, form, err := rejection(r)
	if err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", r.PathValue("sid"))
	if err := h.module.PhoneReject(r.Context(), r.PathValue("sid"), phoneToken(r), reason); err != nil {
		return err
	}
	rejected(w, r, form, phoneAt(r, ""))
	return nil
}
