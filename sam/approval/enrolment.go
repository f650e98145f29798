package approval

import (
	"encoding/base64"
	"net/http"

	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam/samapi"
)

// enrolmentContent is what the page for a new device shows.
type enrolmentContent struct {
	samapi.OpenEnrolment

	Passkey   bool
	Built     bool
	Post      string // where the device enrols
	Challenge string // base64: what a passkey is made with
	RPID      string
	Org       string
	App       string
	Texts     map[string][2]string
}

// enrolment is the page on which a browser becomes a device. What it posts is what
// the command line posts.
func (h *Handler) enrolment(w http.ResponseWriter, r *http.Request) error {
	e, err := h.module.OpenEnrolment(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	v, l := h.begin(r)
	c := enrolmentContent{
		OpenEnrolment: e, Passkey: e.Mechanism == samapi.WebAuthn, Post: r.URL.Path, RPID: h.rpID, Org: h.org, App: "/app/",
		Built: h.bundle.Has("enrol.js"), Texts: h.texts(l),
	}
	v.Title = l.T("enrol.title")
	if c.Passkey {
		challenge, err := samapi.EnrolChallenge(e.ID, e.Mechanism, nil)
		if err != nil {
			return err
		}
		c.Challenge, v.Title = base64.StdEncoding.EncodeToString(challenge), l.T("enrol.passkey.title")
	}
	v.Data = &c
	h.script(&v, "enrol.js")
	return h.pages.Write(w, http.StatusOK, "enrol", v)
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
