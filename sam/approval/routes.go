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
	req, err := h.module.View(r.Context(), r.PathValue("sid"), view(r))
	if err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", req.SID)
	if wantsPage(r) {
		page, v, err := requestPage(req, r, h.origin, h.now())
		if err != nil {
			return err
		}
		return h.pages.Write(w, http.StatusOK, page, v)
	}
	web.WriteJSON(w, r, http.StatusOK, status{
		SID: req.SID, State: req.State, Number: req.Number, Expires: req.Expires, Reason: req.Reason,
		SAD: at(r, "/sad"), Return: at(r, "/return"),
	})
	return nil
}

// sad gives the SAD's exact bytes: what the device parses, shows and signs.
func (h *Handler) sad(w http.ResponseWriter, r *http.Request) error {
	req, err := h.module.View(r.Context(), r.PathValue("sid"), view(r))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(req.SAD) // the client has gone if it fails
	return nil
}

// back sends the browser to the gateway once the request is decided.
func (h *Handler) back(w http.ResponseWriter, r *http.Request) error {
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
}

// approve takes a device's approval.
func (h *Handler) approve(w http.ResponseWriter, r *http.Request) error {
	var yes samapi.Approval
	if err := web.ReadStrictJSON(r, &yes); err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", r.PathValue("sid"))
	state, err := h.module.Approve(r.Context(), r.PathValue("sid"), yes)
	if err != nil {
		return err
	}
	web.WriteJSON(w, r, http.StatusOK, stateAnswer{state})
	return nil
}

// reject ends a request: JSON from programs, a form from the page.
func (h *Handler) reject(w http.ResponseWriter, r *http.Request) error {
	form := isForm(r)
	var q struct {
		Reason string `json:"reason"`
	}
	if form {
		if r.ContentLength > maxForm {
			return fault.New(fault.TooLarge, "the reason is too long")
		}
		if err := r.ParseForm(); err != nil {
			return web.BodyError(err)
		}
		q.Reason = r.PostForm.Get("reason")
	} else if err := web.ReadStrictJSON(r, &q); err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", r.PathValue("sid"))
	if err := h.module.Reject(r.Context(), r.PathValue("sid"), view(r), q.Reason); err != nil {
		return err
	}
	if form {
		w.Header().Set("Location", at(r, ""))
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	web.WriteJSON(w, r, http.StatusOK, stateAnswer{samapi.Rejected})
	return nil
}

// enrol makes a device an authenticator.
func (h *Handler) enrol(w http.ResponseWriter, r *http.Request) error {
	var q samapi.Enrol
	if err := web.ReadStrictJSON(r, &q); err != nil {
		return err
	}
	done, err := h.module.Enrol(r.Context(), r.PathValue("id"), q)
	if err != nil {
		return err
	}
	web.WriteJSON(w, r, http.StatusCreated, done)
	return nil
}
