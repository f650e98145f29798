package room

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/portal/frame"
	"github.com/countersign/countersign/relyingparty/request"
	"github.com/countersign/countersign/signing"
)

// reading is what the page with the documents shows.
type reading struct {
	*request.View
	Self, Org string
	Shown     request.Document // the one on the desk
	Number    int              // of it, from 1
	Words     [6]string        // of its digest
	People    []person
	Level     string
	Personal  bool
	Wrong     string
	Events    string
	Viewer    string // folder of the viewer; "" if it was not built
	Script    bool
	Done      bool
	Mail      string
}

type person struct {
	request.Signer
	Me     bool
	Status frame.Status
}

// documents is the page on which a signer reads and signs.
func (m *Room) documents(w http.ResponseWriter, r *http.Request, g *guest, status int, wrong error) error {
	v := g.view
	data := reading{
		View: v, Self: self(r), Org: m.config.Org, Level: g.say.Level(v.Me.Level, m.config.Org), Personal: v.Me.Level == request.Personal,
		Done: v.State == request.LandCompleted, Mail: "mailto:" + v.Email,
	}
	if folder, err := m.viewer.Folder("pdfjs"); err == nil {
		data.Viewer = folder
	}
	data.choose(r.URL.Query().Get("document"))
	for _, o := range v.Signers {
		data.People = append(data.People, person{o, o.ID == v.Me.ID, g.say.Signer(o, data.Done)})
	}
	if wrong != nil {
		web.Fail(r.Context(), wrong)
		data.Wrong = g.say.Explain(wrong)
	} else if r.URL.Query().Has("refused") && v.State == request.LandSign {
		data.Wrong = g.say.Explain(fault.New(fault.Forbidden, "").WithCode(request.CodeRefusedApproval))
	} else if v.State == request.LandSign && v.Me.Problem != "" {
		data.Wrong = g.l.T("sign.failed")
	}
	if !data.Done {
		data.Events = data.Self + "/events?after=" + strconv.FormatInt(v.Seq, 10)
	}
	g.page.Title = g.l.N("sign."+string(v.State)+".title", len(v.Documents))
	m.script(&g.page)
	data.Script = len(g.page.Scripts) > 0
	if v.State == request.LandWorking || v.State == request.LandSigned {
		g.page.Refresh = &ui.Refresh{Seconds: 3, NoScript: data.Script}
	}
	if err := m.config.Requests.Viewed(r.Context(), g.visit, visitor(r)); err != nil {
		return err
	}
	g.page.Data = data
	return m.show(w, status, "sign", g.page)
}

// choose puts a document on the desk: the first if none is named.
func (d *reading) choose(id string) {
	at := 0
	for i, one := range d.Documents {
		if one.ID == id {
			at = i
		}
	}
	if len(d.Documents) == 0 {
		return
	}
	d.Shown, d.Number = d.Documents[at], at+1
	if sum, err := hex.DecodeString(d.Shown.SHA256); err == nil {
		d.Words = signing.Words(sum)
	}
}

// entered is a guest who has a visit; without one the browser is sent to the page
// that asks for the code.
func (m *Room) entered(w http.ResponseWriter, r *http.Request) (*guest, error) {
	g, err := m.guest(r)
	if err != nil {
		return nil, err
	}
	if g.view == nil {
		redirect(w, self(r))
		return nil, nil //nolint:nilnil // it was answered
	}
	return g, nil
}

// sign is a signer's yes. It is done once, however often it is said.
func (m *Room) sign(w http.ResponseWriter, r *http.Request) error {
	g, err := m.entered(w, r)
	if g == nil {
		return err
	}
	if g.view.State != request.LandSign { // a second click, another tab, the back button
		redirect(w, self(r))
		return nil
	}
	if g.view.Me.Level == request.Personal {
		to, err := m.config.Requests.BeginPersonal(r.Context(), g.visit, visitor(r))
		if err != nil {
			return m.unsigned(w, r, g, err)
		}
		return m.leave(w, g, to)
	}
	seq, err := strconv.ParseInt(r.PostFormValue("seq"), 10, 64)
	if err != nil {
		return fault.New(fault.Invalid, "the form is not complete")
	}
	if err := m.config.Requests.Click(r.Context(), g.visit, seq, visitor(r)); err != nil {
		return m.unsigned(w, r, g, err)
	}
	redirect(w, self(r))
	return nil
}

// unsigned shows the documents again and says why nothing was signed.
func (m *Room) unsigned(w http.ResponseWriter, r *http.Request, g *guest, err error) error {
	f := fault.Of(err)
	if f.Kind == fault.Internal {
		return err
	}
	return m.documents(w, r, g, web.Status(f.Kind), err)
}

// leave sends the browser to the approval page. A form may not lead there
// (form-action 'self'), so this is a page with a link that opens by itself.
func (m *Room) leave(w http.ResponseWriter, g *guest, to string) error {
	g.page.Title = g.l.T("leave.title")
	g.page.Refresh = &ui.Refresh{Seconds: 0, URL: to}
	g.page.Data = struct{ To string }{to}
	return m.show(w, http.StatusOK, "leave", g.page)
}

// returned is where the browser comes back from the approval page.
func (m *Room) returned(w http.ResponseWriter, r *http.Request) error {
	address := m.config.Origin + r.URL.RequestURI()
	signer, err := m.config.Requests.SignerOfReturn(r.Context(), address)
	if err != nil {
		return err
	}
	link, err := m.config.Requests.FinishPersonal(r.Context(), visit(r, signer), address, visitor(r))
	if fault.Of(err).Code == request.CodeRefusedApproval && link != "" {
		link += "?refused"
		err = nil
	}
	if err != nil {
		return err
	}
	u, err := url.Parse(link)
	if err != nil {
		return err
	}
	redirect(w, u.RequestURI())
	return nil
}

// refusal is what the page that asks for a reason shows.
type refusal struct {
	*request.View
	Self, Wrong, Reason string
	Others              []string
	Mail                string
}

func (m *Room) rejectPage(w http.ResponseWriter, r *http.Request) error {
	g, err := m.entered(w, r)
	if g == nil {
		return err
	}
	return m.rejectView(w, r, g, nil)
}

func (m *Room) rejectView(w http.ResponseWriter, r *http.Request, g *guest, wrong error) error {
	if g.view.State != request.LandSign {
		redirect(w, self(r))
		return nil
	}
	data, status := refusal{View: g.view, Self: self(r), Mail: "mailto:" + g.view.Email}, http.StatusOK
	if wrong != nil {
		web.Fail(r.Context(), wrong)
		data.Wrong, data.Reason, status = g.say.Explain(wrong), r.PostFormValue("reason"), web.Status(fault.Of(wrong).Kind)
	}
	for _, o := range g.view.Signers {
		if o.ID != g.view.Me.ID {
			data.Others = append(data.Others, o.Name)
		}
	}
	g.page.Title, g.page.Data = g.l.N("reject.title", len(g.view.Documents)), data
	return m.show(w, status, "reject", g.page)
}

func (m *Room) reject(w http.ResponseWriter, r *http.Request) error {
	g, err := m.entered(w, r)
	if g == nil {
		return err
	}
	if err := m.config.Requests.Reject(r.Context(), g.visit, r.PostFormValue("reason"), visitor(r)); err != nil {
		switch fault.Of(err).Code {
		case request.CodeReason:
			return m.rejectView(w, r, g, err)
		case request.CodeClosed, request.CodeSigned, request.CodeWorking:
			redirect(w, self(r)) // the page says how it stands
			return nil
		}
		return err
	}
	redirect(w, self(r))
	return nil
}

func (m *Room) file(w http.ResponseWriter, r *http.Request) error {
	g, err := m.entered(w, r)
	if g == nil {
		return err
	}
	f, err := m.config.Requests.OpenVisit(r.Context(), g.visit, r.PathValue("document"), visitor(r))
	if err != nil {
		return err
	}
	frame.SendFile(w, r, f, r.URL.Query().Has("show"))
	return nil
}

func (m *Room) events(w http.ResponseWriter, r *http.Request) error {
	g, err := m.guest(r)
	if err != nil {
		return err
	}
	if g.view == nil {
		return fault.New(fault.Unauthenticated, "the code is missing").WithCode(request.CodeVisit)
	}
	feed, err := m.config.Requests.WatchVisit(r.Context(), g.visit, frame.After(r))
	if err != nil {
		return err
	}
	return m.streams.Serve(w, r, feed)
}
