package approval

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam/samapi"
)

// status is a request as programs see it.
type status struct {
	SID     string    `json:"sid"`
	State   string    `json:"state"`
	Number  string    `json:"number,omitempty"`
	Expires time.Time `json:"expires"`
	SAD     string    `json:"sad"`
	Return  string    `json:"return"`
	Reason  string    `json:"reason,omitempty"`
	// SADBytes are what SAD leads to, while the request is pending.
	SADBytes []byte `json:"sadBytes,omitempty"`
}

// wantsPage says whether a browser asks.
func wantsPage(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") || isForm(r)
}

func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded"
}

// at is a path of this request that carries its view token.
func at(r *http.Request, end string) string {
	return "/a/" + url.PathEscape(r.PathValue("sid")) + end + "?v=" + url.QueryEscape(view(r))
}

func view(r *http.Request) string { return r.URL.Query().Get("v") }

// show is the page of the browser that started the request: it has the number.
func (h *Handler) show(w http.ResponseWriter, r *http.Request) error {
	if wantsPage(r) {
		return h.showPage(w, r)
	}
	req, err := h.module.View(r.Context(), r.PathValue("sid"), view(r))
	if err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", req.SID)
	s := status{
		SID: req.SID, State: req.State, Number: req.Number, Expires: req.Expires, Reason: req.Reason,
		SAD: at(r, "/sad"), Return: at(r, "/return"),
	}
	if req.State == samapi.Pending {
		s.SADBytes = req.SAD
	}
	web.WriteJSON(w, r, http.StatusOK, s)
	return nil
}

func (h *Handler) showPage(w http.ResponseWriter, r *http.Request) error {
	s, err := h.module.Shown(r.Context(), r.PathValue("sid"), view(r))
	if err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", s.SID)
	if err := h.claim(w, r, s.Expires); err != nil {
		return err
	}
	page, v, err := h.requestView(s, r)
	if err != nil {
		return err
	}
	return h.pages.Write(w, http.StatusOK, page, v)
}

// sad gives the SAD's exact bytes: what the device parses, shows and signs.
func (h *Handler) sad(w http.ResponseWriter, r *http.Request) error {
	req, err := h.module.View(r.Context(), r.PathValue("sid"), view(r))
	if err != nil {
		return err
	}
	writeSAD(w, req)
	return nil
}

func writeSAD(w http.ResponseWriter, req samapi.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(req.SAD) // the client has gone if it fails
}

// back sends the browser to the gateway once the request is decided.
func (h *Handler) back(w http.ResponseWriter, r *http.Request) error {
	if err := h.module.Mine(r.Context(), r.PathValue("sid"), h.claimOf(r)); err != nil {
		return err
	}
	to, err := h.module.Return(r.Context(), r.PathValue("sid"), view(r))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

type stateAnswer struct {
	State string `json:"state"`
	// To is where the browser that started the request goes now, for its own device:
	// who has no view token does not get it.
	To string `json:"to,omitempty"`
}

// approve takes a device's approval.
func (h *Handler) approve(w http.ResponseWriter, r *http.Request) error {
	var yes samapi.Approval
	if err := web.ReadStrictJSON(r, &yes); err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", r.PathValue("sid"))
	yes.Claim = h.claimOf(r)
	started := view(r)
	if started != "" && h.module.Mine(r.Context(), r.PathValue("sid"), yes.Claim) != nil {
		started = "" // the way back is the browser's that opened the page
	}
	d, err := h.module.Decide(r.Context(), r.PathValue("sid"), started, yes)
	if err != nil {
		return err
	}
	web.WriteJSON(w, r, http.StatusOK, stateAnswer{d.State, d.Return})
	return nil
}

// reject ends a request: JSON from programs, a form from the page.
func (h *Handler) reject(w http.ResponseWriter, r *http.Request) error {
	reason, form, err := rejection(r)
	if err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", r.PathValue("sid"))
	if err := h.module.Reject(r.Context(), r.PathValue("sid"), view(r), reason); err != nil {
		return err
	}
	rejected(w, r, form, at(r, ""))
	return nil
}

// rejection reads why somebody rejects.
func rejection(r *http.Request) (reason string, form bool, err error) {
	if !isForm(r) {
		var q struct {
			Reason string `json:"reason"`
		}
		err := web.ReadStrictJSON(r, &q)
		return q.Reason, false, err
	}
	if r.ContentLength > maxForm {
		return "", true, fault.New(fault.TooLarge, "the reason is too long")
	}
	if err := r.ParseForm(); err != nil {
		return "", true, web.BodyError(err)
	}
	return r.PostForm.Get("reason"), true, nil
}

// rejected answers: browsers go to the page that shows it.
func rejected(w http.ResponseWriter, r *http.Request, form bool, page string) {
	if form {
		w.Header().Set("Location", page)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	web.WriteJSON(w, r, http.StatusOK, stateAnswer{State: samapi.Rejected})
}
