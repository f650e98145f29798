package approval

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
)

// appContent is the shell of the app: all its words, and no answer of the module.
type appContent struct {
	Built  bool
	Texts  map[string][2]string
	Worker string // address of the service worker
}

// app is the shell of the installable app. It is the same for everybody, so that
// the service worker may keep it; what waits for a device comes by the API.
func (h *Handler) app(w http.ResponseWriter, r *http.Request) error {
	v, l := h.begin(r)
	v.Title, v.Manifest = l.T("app.title"), "/app/manifest.webmanifest"
	h.script(&v, "app.js")
	v.Data = &appContent{Built: h.bundle.Has("app.js"), Texts: h.texts(l), Worker: "/app/sw.js"}
	return h.pages.Write(w, http.StatusOK, "app", v)
}

// manifest is the web app manifest (W3C).
func (h *Handler) manifest(w http.ResponseWriter, r *http.Request) error {
	_, l := h.begin(r)
	icon, err := h.pages.Asset("icon.svg")
	if err != nil {
		return err
	}
	type image struct {
		Source  string `json:"src"`
		Sizes   string `json:"sizes"`
		Type    string `json:"type"`
		Purpose string `json:"purpose"`
	}
	b, err := json.Marshal(map[string]any{
		"id": "/app/", "name": l.T("app.name") + " – " + h.org, "short_name": l.T("app.name"), "lang": l.Lang(), "dir": "ltr",
		"start_url": "/app/", "scope": "/app/", "display": "standalone", "background_color": "#fcfcfa", "theme_color": "#fcfcfa",
		"icons": []image{{icon, "any", "image/svg+xml", "any"}, {icon, "192x192 512x512", "image/svg+xml", "any"}},
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/manifest+json")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Add("Vary", "Accept-Language, Cookie")
	_, _ = w.Write(b) // the client has gone if it fails
	return nil
}

// worker is the app's service worker, at an address that gives it the app's pages.
func (h *Handler) worker(w http.ResponseWriter, r *http.Request) error {
	const name = "sw.worker.js"
	if !h.bundle.Has(name) {
		return fault.New(fault.NotFound, "the pages' scripts were not built")
	}
	h.bundle.File(name).ServeHTTP(w, r)
	return nil
}

// sessionCookie holds a device's session. Requests that come from other sites do not
// carry it.
func sessionCookie() cookie {
	return cookie{name: "device", path: "/app/api/", same: http.SameSiteStrictMode}
}

func (h *Handler) session(r *http.Request) string { return h.readCookie(r, sessionCookie()) }

func (h *Handler) setSession(w http.ResponseWriter, value string, age int) {
	h.setCookie(w, sessionCookie(), value, age)
}

func (h *Handler) nonce(w http.ResponseWriter, r *http.Request) error {
	if err := nothing(r); err != nil {
		return err
	}
	n, err := h.module.Nonce(r.Context())
	if err != nil {
		return err
	}
	web.WriteJSON(w, r, http.StatusOK, n)
	return nil
}

func (h *Handler) openSession(w http.ResponseWriter, r *http.Request) error {
	var q samapi.OpenSession
	if err := web.ReadStrictJSON(r, &q); err != nil {
		return err
	}
	s, err := h.module.OpenSession(r.Context(), q)
	if err != nil {
		return err
	}
	h.setSession(w, s.Token, int(s.Expires.Sub(h.now()).Seconds()))
	web.WriteJSON(w, r, http.StatusOK, s)
	return nil
}

func (h *Handler) closeSession(w http.ResponseWriter, r *http.Request) error {
	if err := nothing(r); err != nil {
		return err
	}
	if err := h.module.CloseSession(r.Context(), h.session(r)); err != nil {
		return err
	}
	h.setSession(w, "", -1)
	web.WriteJSON(w, r, http.StatusOK, struct{}{})
	return nil
}

// nothing reads a body that says nothing.
func nothing(r *http.Request) error {
	var q struct{}
	return web.ReadStrictJSON(r, &q)
}

func (h *Handler) inbox(w http.ResponseWriter, r *http.Request) error {
	in, err := h.module.Inbox(r.Context(), h.session(r))
	if err != nil {
		return err
	}
	web.WriteJSON(w, r, http.StatusOK, in)
	return nil
}

// deviceAnswer is a request as the app gets it: the bytes that the device parses,
// shows and signs, and beside them what is not in them.
type deviceAnswer struct {
	SID     string          `json:"sid"`
	State   string          `json:"state"`
	SAD     []byte          `json:"sad"`
	Words   [][6]string     `json:"words"` // of each document's digest
	Gateway string          `json:"gateway"`
	Key     samapi.KeyFacts `json:"key"`
	Reason  string          `json:"reason,omitempty"`
	Now     time.Time       `json:"now"` // by the module's clock
}

func (h *Handler) deviceView(w http.ResponseWriter, r *http.Request) error {
	s, err := h.module.DeviceView(r.Context(), h.session(r), r.PathValue("sid"))
	if err != nil {
		return err
	}
	web.Annotate(r.Context(), "sid", s.SID)
	parsed, err := sad.Parse(s.SAD)
	if err != nil {
		return err
	}
	docs, err := documentsOf(parsed)
	if err != nil {
		return err
	}
	a := deviceAnswer{SID: s.SID, State: s.State, SAD: s.SAD, Gateway: s.Gateway, Key: s.Key, Reason: s.Reason, Now: h.now()}
	for _, d := range docs {
		a.Words = append(a.Words, d.Words)
	}
	web.WriteJSON(w, r, http.StatusOK, a)
	return nil
}

func (h *Handler) deviceReject(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Reason string `json:"reason"`
		NotMe  bool   `json:"notMe"`
	}
	if err := web.ReadStrictJSON(r, &q); err != nil {
		return err
	}
	if q.NotMe && q.Reason != "" {
		return fault.New(fault.Invalid, "who knows nothing of a request has no reason to give")
	}
	web.Annotate(r.Context(), "sid", r.PathValue("sid"))
	if err := h.module.DeviceReject(r.Context(), h.session(r), r.PathValue("sid"), q.Reason, q.NotMe); err != nil {
		return err
	}
	web.WriteJSON(w, r, http.StatusOK, stateAnswer{State: samapi.Rejected})
	return nil
}

func (h *Handler) removeDevice(w http.ResponseWriter, r *http.Request) error {
	if err := nothing(r); err != nil {
		return err
	}
	if err := h.module.RemoveDevice(r.Context(), h.session(r)); err != nil {
		return err
	}
	h.setSession(w, "", -1)
	web.WriteJSON(w, r, http.StatusOK, struct{}{})
	return nil
}
