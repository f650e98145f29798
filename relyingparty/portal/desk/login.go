package desk

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"rsc.io/qr"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/account"
	"github.com/countersign/countersign/relyingparty/portal/frame"
	"github.com/countersign/countersign/relyingparty/request"
)

// cookie holds the token of a session.
const cookie = "desk"

func from(r *http.Request) account.Browser {
	return account.Browser{Address: web.ClientAddr(r.Context()).String(), Agent: r.UserAgent()}
}

func token(r *http.Request) string {
	c, err := r.Cookie(cookie)
	if err != nil || len(c.Value) > 200 {
		return ""
	}
	return c.Value
}

// keep gives the browser the token of a session; every step of a login has another.
func (d *Desk) keep(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure except on loopback names, where there is no https
		Name: cookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(d.config.Origin, "https:"),
	})
}

// seat is somebody who is logged in, with their page.
type seat struct {
	session account.Session
	sender  request.Sender
	view    ui.View
	l       *i18n.Localizer
	say     *frame.Speaker
}

type seatHandler func(w http.ResponseWriter, r *http.Request, s *seat) error

// seat lets through who is logged in.
func (d *Desk) seat(h seatHandler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		session, err := d.config.Accounts.Session(r.Context(), token(r), from(r))
		if fault.Of(err).Code == account.CodeSecond {
			return fault.New(fault.Unauthenticated, "the second step of the login is missing").WithCode(account.CodeSession)
		}
		if err != nil {
			return err
		}
		u := session.User
		s := &seat{session: session, sender: request.Sender{
			Org: u.Org, User: u.ID, Name: u.Name, Email: u.Email, All: u.Role == account.Admin, Address: from(r).Address,
		}}
		s.view, s.l = d.pages.Begin(r, frame.Wish(r, u.Lang)...)
		s.say = d.common.For(s.l.Lang())
		s.view.Nav = []ui.Link{
			{URL: Path, Text: s.l.T("nav.requests"), Current: strings.HasPrefix(r.URL.Path, Path)},
			{URL: "/settings", Text: s.l.T("nav.settings"), Current: r.URL.Path == "/settings"},
		}
		return h(w, r, s)
	}
}

// loginForm is what the pages of the login show.
type loginForm struct {
	Email, To, Wrong string
	Secret           string
	Codes            []string
}

// target is the page that somebody wanted before the login, below this portal.
func target(r *http.Request) string {
	to := "/" + strings.TrimPrefix(r.FormValue("to"), "/")
	if to == Path || to == "/settings" || (strings.HasPrefix(to, Path+"/") && !strings.Contains(to, "\\")) {
		return to
	}
	return Path
}

func (d *Desk) loginView(w http.ResponseWriter, r *http.Request, page string, form loginForm, wrong error) error {
	v, l := d.pages.Begin(r)
	status := http.StatusOK
	if wrong != nil {
		web.Fail(r.Context(), wrong)
		form.Wrong = d.common.For(l.Lang()).Explain(wrong)
		status = web.Status(fault.Of(wrong).Kind)
	}
	form.To = strings.TrimPrefix(target(r), "/")
	v.Title, v.Data = l.T(page+".title"), form
	return d.show(w, status, page, v)
}

func (d *Desk) loginPage(w http.ResponseWriter, r *http.Request) error {
	if _, err := d.config.Accounts.Session(r.Context(), token(r), from(r)); err == nil {
		redirect(w, target(r))
		return nil
	}
	return d.loginView(w, r, "login", loginForm{}, nil)
}

// step goes on to what a session still needs.
func (d *Desk) step(w http.ResponseWriter, r *http.Request, s account.Session) {
	d.keep(w, s.Token, 0)
	to := strings.TrimPrefix(target(r), "/")
	switch s.Stage {
	case account.NeedsCode:
		redirect(w, "/login/code?to="+to)
	case account.NeedsSetup:
		redirect(w, "/login/setup?to="+to)
	case account.LoggedIn:
		redirect(w, "/"+to)
	}
}

// refusedHere are the refusals that a form says, and not a page of its own.
func refusedHere(err error) bool {
	k := fault.Of(err).Kind
	return k != fault.Internal && k != fault.Unavailable
}

func (d *Desk) login(w http.ResponseWriter, r *http.Request) error {
	email := r.PostFormValue("email")
	s, err := d.config.Accounts.Login(r.Context(), d.config.OrgID, email, r.PostFormValue("password"), from(r))
	if err != nil {
		if !refusedHere(err) {
			return err
		}
		return d.loginView(w, r, "login", loginForm{Email: email}, err)
	}
	d.step(w, r, s)
	return nil
}

func (d *Desk) codePage(w http.ResponseWriter, r *http.Request) error {
	return d.loginView(w, r, "code", loginForm{}, nil)
}

func (d *Desk) code(w http.ResponseWriter, r *http.Request) error {
	s, err := d.config.Accounts.Code(r.Context(), token(r), r.PostFormValue("code"), from(r))
	switch {
	case fault.Of(err).Code == account.CodeSession:
		redirect(w, "/login?to="+strings.TrimPrefix(target(r), "/"))
		return nil
	case err != nil && refusedHere(err):
		return d.loginView(w, r, "code", loginForm{}, err)
	case err != nil:
		return err
	}
	d.step(w, r, s)
	return nil
}

func (d *Desk) setupPage(w http.ResponseWriter, r *http.Request) error { return d.setupView(w, r, nil) }

func (d *Desk) setupView(w http.ResponseWriter, r *http.Request, wrong error) error {
	s, err := d.config.Accounts.SetUp(r.Context(), token(r), from(r))
	if fault.Of(err).Kind == fault.Unauthenticated || fault.Of(err).Code == account.CodeSecond {
		redirect(w, "/login?to="+strings.TrimPrefix(target(r), "/"))
		return nil
	}
	if err != nil {
		return err
	}
	return d.loginView(w, r, "setup", loginForm{Secret: frame.Groups(s.Secret)}, wrong)
}

// setupCode is the second factor's secret as a picture for a camera.
func (d *Desk) setupCode(w http.ResponseWriter, r *http.Request) error {
	s, err := d.config.Accounts.SetUp(r.Context(), token(r), from(r))
	if err != nil {
		return err
	}
	c, err := qr.Encode(s.URL, qr.M)
	if err != nil {
		return fmt.Errorf("draw code: %w", err)
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(picture(c)) // the client has gone if it fails
	return nil
}

// picture draws a code, with a light edge of four modules (ISO/IEC 18004 §6.3.8).
func picture(c *qr.Code) []byte {
	const edge = 4
	var path strings.Builder
	for y := range c.Size {
		for x := range c.Size {
			if c.Black(x, y) {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+edge, y+edge)
			}
		}
	}
	size := c.Size + 2*edge
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges">`+
		`<path fill="#fff" d="M0 0h%dv%dh-%dz"/><path d="%s"/></svg>`, size, size, size, size, size, path.String())
}

// setup ends the set-up of the second factor and shows the recovery codes, once.
func (d *Desk) setup(w http.ResponseWriter, r *http.Request) error {
	s, codes, err := d.config.Accounts.Confirm(r.Context(), token(r), r.PostFormValue("code"), from(r))
	switch {
	case fault.Of(err).Code == account.CodeSession:
		redirect(w, "/login?to="+strings.TrimPrefix(target(r), "/"))
		return nil
	case err != nil && refusedHere(err):
		return d.setupView(w, r, err)
	case err != nil:
		return err
	}
	d.keep(w, s.Token, 0)
	return d.loginView(w, r, "recovery", loginForm{Codes: codes}, nil)
}

func (d *Desk) logout(w http.ResponseWriter, r *http.Request) error {
	if err := d.config.Accounts.Logout(r.Context(), token(r)); err != nil {
		return err
	}
	d.keep(w, "", -1)
	redirect(w, "/login")
	return nil
}

// settingsForm is what the page of the account shows.
type settingsForm struct {
	User  account.User
	Wrong string
	Done  bool
}

func (d *Desk) settingsPage(w http.ResponseWriter, _ *http.Request, s *seat) error {
	return d.settingsView(w, http.StatusOK, s, settingsForm{})
}

func (d *Desk) settingsView(w http.ResponseWriter, status int, s *seat, f settingsForm) error {
	f.User = s.session.User
	s.view.Title, s.view.Data = s.l.T("settings.title"), f
	return d.show(w, status, "settings", s.view)
}

func (d *Desk) settings(w http.ResponseWriter, r *http.Request, s *seat) error {
	if r.PostFormValue("new") != r.PostFormValue("again") {
		return d.settingsView(w, http.StatusBadRequest, s, settingsForm{Wrong: s.l.T("settings.differ")})
	}
	err := d.config.Accounts.SetPassword(r.Context(), token(r), r.PostFormValue("old"), r.PostFormValue("new"), from(r))
	if err != nil {
		if !refusedHere(err) || errors.Is(err, fault.NotFound) {
			return err
		}
		web.Fail(r.Context(), err)
		return d.settingsView(w, web.Status(fault.Of(err).Kind), s, settingsForm{Wrong: s.say.Explain(err)})
	}
	return d.settingsView(w, http.StatusOK, s, settingsForm{Done: true})
}
