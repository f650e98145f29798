package room

import (
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/portal/frame"
	"github.com/countersign/countersign/relyingparty/request"
)

func visitor(r *http.Request) request.Visitor {
	return request.Visitor{Address: web.ClientAddr(r.Context()).String(), Agent: r.UserAgent()}
}

// visit is the secret of this browser's visit as a signer; "" without one.
func visit(r *http.Request, signer string) string {
	c, err := r.Cookie("v_" + signer)
	if err != nil || len(c.Value) > 200 {
		return ""
	}
	return c.Value
}

func (m *Room) keep(w http.ResponseWriter, signer, secret string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure except on loopback names, where there is no https
		Name: "v_" + signer, Value: secret, Path: "/", MaxAge: 12 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(m.config.Origin, "https:"),
	})
}

// guest is who stands before the page: with the link alone, or with a visit too.
type guest struct {
	landing request.Landing
	visit   string
	view    *request.View // nil without a visit
	page    ui.View
	l       *i18n.Localizer
	say     *frame.Speaker
}

// guest finds out who it is. It changes nothing.
func (m *Room) guest(r *http.Request) (*guest, error) {
	link := r.PathValue("link")
	if len(link) > 200 {
		return nil, fault.New(fault.NotFound, "this link is not known").WithCode(request.CodeLink)
	}
	landing, err := m.config.Requests.Landing(r.Context(), link)
	if err != nil {
		return nil, err
	}
	g := &guest{landing: landing, visit: visit(r, landing.Signer)}
	if g.visit != "" {
		v, err := m.config.Requests.Visit(r.Context(), link, g.visit)
		switch fault.Of(err).Code {
		case request.CodeVisit, request.CodeNotYourTurn, request.CodeClosed:
			g.visit = "" // what the link alone shows says why
		default:
			if err != nil {
				return nil, err
			}
			g.view = &v
		}
	}
	g.page, g.l = m.pages.Begin(r, frame.Wish(r, landing.Lang)...)
	g.say = m.common.For(g.l.Lang())
	return g, nil
}

// entry is what the pages before the code show.
type entry struct {
	request.Landing
	Self, Org string
	Mode      string // digits or letters, for the keyboard of phones
	Wrong     string
	Code      bool // a code was sent and is good
	Until     time.Time
	Closed    string // key of the texts of a request that ended
	Mail      string // address for a mail to the sender
}

// page is a signer's page in whatever state.
func (m *Room) page(w http.ResponseWriter, r *http.Request) error {
	g, err := m.guest(r)
	if err != nil {
		return err
	}
	if g.view != nil {
		return m.documents(w, r, g, http.StatusOK, nil)
	}
	return m.entry(w, r, g, http.StatusOK, nil)
}

func (m *Room) entry(w http.ResponseWriter, r *http.Request, g *guest, status int, wrong error) error {
	e := entry{Landing: g.landing, Self: self(r), Org: m.config.Org, Code: !g.landing.CodeEnds.IsZero(), Until: g.landing.CodeEnds.Local(), Mode: "text", Mail: "mailto:" + g.landing.Email}
	if e.Digits {
		e.Mode = "numeric"
	}
	if wrong != nil {
		web.Fail(r.Context(), wrong)
		e.Wrong = g.say.Explain(wrong)
		if fault.Of(wrong).Code == request.CodeWrongCode {
			e.Wrong += " " + g.l.N("enter.left", e.CodeTries)
		}
	}
	page := "enter"
	switch g.landing.State {
	case request.LandNotYet:
		page = "turn"
		m.script(&g.page)
		g.page.Refresh = &ui.Refresh{Seconds: 30, NoScript: true}
	case request.LandSign, request.LandWorking, request.LandSigned, request.LandCompleted: // the code is asked for
	case request.LandRejected, request.LandWithdrawn, request.LandExpired, request.LandStopped:
		page, e.Closed = "closed", string(g.landing.State)
		g.page.Title = g.l.T("closed." + e.Closed)
	}
	if g.page.Title == "" {
		g.page.Title = g.l.T(page + ".title")
	}
	g.page.Data = e
	return m.show(w, status, page, g.page)
}

// again answers a form of the first page that was refused.
func (m *Room) again(w http.ResponseWriter, r *http.Request, err error) error {
	if k := fault.Of(err).Kind; k == fault.Internal || k == fault.Unavailable || k == fault.NotFound {
		return err
	}
	g, missing := m.guest(r)
	if missing != nil {
		return missing
	}
	return m.entry(w, r, g, web.Status(fault.Of(err).Kind), err)
}

func (m *Room) sendCode(w http.ResponseWriter, r *http.Request) error {
	if err := m.config.Requests.SendCode(r.Context(), r.PathValue("link"), visitor(r)); err != nil {
		return m.again(w, r, err)
	}
	redirect(w, self(r))
	return nil
}

func (m *Room) enter(w http.ResponseWriter, r *http.Request) error {
	g, err := m.guest(r)
	if err != nil {
		return err
	}
	if g.view != nil { // the code was typed twice, or in another tab
		redirect(w, self(r))
		return nil
	}
	secret, err := m.config.Requests.Enter(r.Context(), r.PathValue("link"), r.PostFormValue("code"), visitor(r))
	if err != nil {
		return m.again(w, r, err)
	}
	m.keep(w, g.landing.Signer, secret)
	redirect(w, self(r))
	return nil
}
