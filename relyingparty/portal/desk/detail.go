package desk

import (
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/notify"
	"github.com/countersign/countersign/relyingparty/portal/frame"
	"github.com/countersign/countersign/relyingparty/request"
)

// detail is what the page of a request shows.
type detail struct {
	request.Request
	Base     string
	Status   frame.Status
	People   []person
	Days     []day
	Next     []string // what is to come
	Remind   string   // name of whom to remind; empty if nobody is to be reminded
	RemindAt time.Time
	Events   string // address of the events
	Mails    []mailLine
	Done     bool
	Wrong    string
	Reasoned string
}

// day is what happened on one day.
type day struct {
	Name string
	Told []frame.Told
}

type person struct {
	request.Signer
	How    string
	Status frame.Status
}

// mailLine is a message that has not arrived.
type mailLine struct {
	Text string
	Why  string
	Bad  bool
}

func (d *Desk) detail(w http.ResponseWriter, r *http.Request, s *seat) error {
	have, err := d.config.Requests.Request(r.Context(), s.sender, r.PathValue("id"))
	if err != nil {
		return err
	}
	if have.State == request.Draft {
		redirect(w, Path+"/"+have.ID+"/documents")
		return nil
	}
	return d.detailView(w, r, s, have, http.StatusOK, nil)
}

func (d *Desk) detailView(w http.ResponseWriter, r *http.Request, s *seat, have request.Request, status int, wrong error) error {
	data, err := d.tell(r, s, have)
	if err != nil {
		return err
	}
	if wrong != nil {
		web.Fail(r.Context(), wrong)
		data.Wrong = s.say.Explain(wrong)
	}
	s.view.Title, s.view.Data = have.Title, data
	d.script(&s.view)
	return d.show(w, status, "detail", s.view)
}

// tell collects what the page shows.
func (d *Desk) tell(r *http.Request, s *seat, have request.Request) (*detail, error) {
	events, err := d.config.Requests.Events(r.Context(), s.sender, have.ID, 0)
	if err != nil {
		return nil, err
	}
	mails, err := d.config.Requests.Deliveries(r.Context(), s.sender, have.ID)
	if err != nil {
		return nil, err
	}
	data := &detail{Request: have, Base: Path + "/" + have.ID, Done: have.State == request.Completed}
	names, signed, current := map[string]string{}, 0, ""
	for _, g := range have.Signers {
		names[g.ID] = g.Name
		data.People = append(data.People, person{g, s.say.Level(g.Level, d.config.Org) + ", " + s.say.Factor(g.Factor), s.say.Signer(g, have.State.Final())})
		switch {
		case g.State == request.Signed:
			signed++
		case current == "" && have.State == request.Running:
			current = g.Name
			if g.State != request.Signing {
				data.Remind, data.RemindAt = g.Name, d.config.Requests.RemindAt(have)
			}
		}
	}
	data.Status = s.say.Request(have.State, have.By, current, signed, len(have.Signers))
	data.Reasoned = have.Reason
	for _, e := range events {
		one := s.say.Event(e, names)
		if len(data.Days) == 0 || data.Days[len(data.Days)-1].Name != one.Day {
			data.Days = append(data.Days, day{Name: one.Day})
		}
		last := &data.Days[len(data.Days)-1]
		last.Told = append(last.Told, one)
	}
	data.Next = d.next(s, have)
	for _, m := range mails {
		if m.State != notify.Sent {
			data.Mails = append(data.Mails, d.mailLine(s, m))
		}
	}
	if !have.State.Final() {
		data.Events = data.Base + "/events?after=" + itoa(have.Seq)
	}
	return data, nil
}

// next says what is to come.
func (d *Desk) next(s *seat, have request.Request) (list []string) {
	if have.State != request.Running && have.State != request.Sealing {
		return nil
	}
	for _, g := range have.Signers {
		if g.State != request.Signed {
			list = append(list, s.l.T("detail.next.signs", "Name", g.Name))
		}
	}
	return append(list, s.l.T("detail.next.seal"))
}

func (d *Desk) mailLine(s *seat, m notify.Delivery) mailLine {
	if m.State == notify.Failed {
		return mailLine{s.l.T("mail.failed", "To", m.To), m.Error, true}
	}
	if m.Attempts == 0 {
		return mailLine{s.l.T("mail.queued", "To", m.To), "", false}
	}
	return mailLine{s.l.T("mail.retry", "To", m.To, "Count", m.Attempts, "Time", s.l.Clock(m.Next.Local())), m.Error, true}
}

func (d *Desk) events(w http.ResponseWriter, r *http.Request, s *seat) error {
	feed, err := d.config.Requests.Watch(r.Context(), s.sender, r.PathValue("id"), frame.After(r))
	if err != nil {
		return err
	}
	return d.streams.Serve(w, r, feed)
}

func (d *Desk) file(w http.ResponseWriter, r *http.Request, s *seat) error {
	f, err := d.config.Requests.Open(r.Context(), s.sender, r.PathValue("id"), r.PathValue("document"))
	if err != nil {
		return err
	}
	frame.SendFile(w, r, f, false)
	return nil
}

func (d *Desk) remind(w http.ResponseWriter, r *http.Request, s *seat) error {
	return d.act(w, r, s, func() error { return d.config.Requests.Remind(r.Context(), s.sender, r.PathValue("id")) })
}

// act does something to a request and goes back to its page, which says if it was
// refused.
func (d *Desk) act(w http.ResponseWriter, r *http.Request, s *seat, do func() error) error {
	err := do()
	if err == nil {
		redirect(w, Path+"/"+r.PathValue("id"))
		return nil
	}
	if k := fault.Of(err).Kind; k != fault.Conflict && k != fault.TooMany {
		return err
	}
	have, loading := d.config.Requests.Request(r.Context(), s.sender, r.PathValue("id"))
	if loading != nil {
		return loading
	}
	return d.detailView(w, r, s, have, web.Status(fault.Of(err).Kind), err)
}

// withdrawal is what the question before the end of a request shows.
type withdrawal struct {
	request.Request
	Base, Wrong string
	Told        []string // names of who is told
}

func (d *Desk) withdrawPage(w http.ResponseWriter, r *http.Request, s *seat) error {
	return d.withdrawView(w, r, s, nil)
}

func (d *Desk) withdrawView(w http.ResponseWriter, r *http.Request, s *seat, wrong error) error {
	have, err := d.config.Requests.Request(r.Context(), s.sender, r.PathValue("id"))
	if err != nil {
		return err
	}
	if have.State != request.Running {
		redirect(w, Path+"/"+have.ID)
		return nil
	}
	data, status := withdrawal{Request: have, Base: Path + "/" + have.ID}, http.StatusOK
	if wrong != nil {
		data.Wrong, status = s.say.Explain(wrong), web.Status(fault.Of(wrong).Kind)
	}
	for _, g := range have.Signers {
		if !g.Invited.IsZero() {
			data.Told = append(data.Told, g.Name)
		}
	}
	s.view.Title, s.view.Data = s.l.T("withdraw.title"), data
	return d.show(w, status, "withdraw", s.view)
}

func (d *Desk) withdraw(w http.ResponseWriter, r *http.Request, s *seat) error {
	err := d.config.Requests.Withdraw(r.Context(), s.sender, r.PathValue("id"), r.PostFormValue("reason"))
	if fault.Of(err).Code == request.CodeReason {
		return d.withdrawView(w, r, s, err)
	}
	return d.act(w, r, s, func() error { return err })
}
