package desk

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/request"
)

// draft is what the three pages of a new request show.
type draft struct {
	request.Request
	Base    string
	Step    int
	Refused []refused // files that were not added
	Wrong   string
	Signing []signerForm
	SMS     bool
	Date    string // of the deadline, as a form has it
	First   string // name of who is invited first
	Levels  []string
	Org     string
}

// refused is a file that was not added, and why.
type refused struct{ Name, Why string }

// open loads a draft; a request that was sent is shown on its own page instead.
func (d *Desk) open(w http.ResponseWriter, r *http.Request, s *seat) (*draft, error) {
	have, err := d.config.Requests.Request(r.Context(), s.sender, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if have.State != request.Draft {
		redirect(w, Path+"/"+have.ID)
		return nil, nil //nolint:nilnil // it was answered
	}
	return &draft{Request: have, Base: Path + "/" + have.ID, SMS: d.config.SMS, Org: d.config.Org}, nil
}

func (d *Desk) draftView(w http.ResponseWriter, s *seat, status int, page string, data *draft) error {
	s.view.Title, s.view.Data = s.l.T(page+".title"), data
	d.script(&s.view)
	return d.show(w, status, page, s.view)
}

func (d *Desk) documentsPage(w http.ResponseWriter, r *http.Request, s *seat) error {
	data, err := d.open(w, r, s)
	if data == nil {
		return err
	}
	data.Step = 1
	return d.draftView(w, s, http.StatusOK, "documents", data)
}

// slowest is how long one file may take to arrive.
const slowest = 15 * time.Minute

// upload takes files, one after the other as they arrive. One that is refused does
// not lose the others. A script gets an empty answer or a problem detail for each.
func (d *Desk) upload(w http.ResponseWriter, r *http.Request, s *seat) error {
	out := http.NewResponseController(w)
	for _, set := range []func(time.Time) error{out.SetReadDeadline, out.SetWriteDeadline} {
		if err := set(time.Now().Add(slowest)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return fault.New(fault.Invalid, "this is no form with files").Because(err)
	}
	var bad []refused
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fault.New(fault.Invalid, "the files did not arrive whole; send them again").WithCode("upload_broken").Because(err)
		}
		if p.FileName() == "" {
			continue
		}
		_, err = d.config.Requests.AddDocument(r.Context(), s.sender, r.PathValue("id"), p.FileName(), p)
		if err == nil {
			continue
		}
		web.Fail(r.Context(), err)
		bad = append(bad, refused{p.FileName(), s.say.Explain(err)})
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return d.uploaded(w, r, bad)
	}
	if len(bad) == 0 {
		redirect(w, Path+"/"+r.PathValue("id")+"/documents")
		return nil
	}
	data, err := d.open(w, r, s)
	if data == nil {
		return err
	}
	data.Step, data.Refused = 1, bad
	return d.draftView(w, s, http.StatusUnprocessableEntity, "documents", data)
}

// uploaded answers a script.
func (d *Desk) uploaded(w http.ResponseWriter, r *http.Request, bad []refused) error {
	if len(bad) > 0 {
		web.ProblemStatus(w, r, http.StatusUnprocessableEntity, "refused", bad[0].Why)
		return nil
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *Desk) remove(w http.ResponseWriter, r *http.Request, s *seat) error {
	id := r.PathValue("id")
	err := d.config.Requests.RemoveDocument(r.Context(), s.sender, id, r.PathValue("document"))
	if err != nil && !errors.Is(err, fault.NotFound) { // pressed twice
		return err
	}
	redirect(w, Path+"/"+id+"/documents")
	return nil
}

// title keeps the title and goes on to the signers.
func (d *Desk) title(w http.ResponseWriter, r *http.Request, s *seat) error {
	data, err := d.open(w, r, s)
	if data == nil {
		return err
	}
	data.Step, data.Title = 1, strings.TrimSpace(r.PostFormValue("title"))
	switch {
	case len(data.Documents) == 0:
		data.Wrong = s.l.T("documents.none")
	case data.Title == "":
		data.Wrong = s.l.T("documents.untitled")
	default:
		err = d.config.Requests.Update(r.Context(), s.sender, data.ID, request.NewDraft{
			Title: data.Title, Message: data.Message, Lang: data.Lang, Deadline: data.Deadline,
		})
		if err == nil {
			redirect(w, data.Base+"/signers")
			return nil
		}
		if !refusedHere(err) {
			return err
		}
		data.Wrong = s.say.Explain(err)
	}
	return d.draftView(w, s, http.StatusUnprocessableEntity, "documents", data)
}

func (d *Desk) discard(w http.ResponseWriter, r *http.Request, s *seat) error {
	err := d.config.Requests.Discard(r.Context(), s.sender, r.PathValue("id"))
	if err != nil && !errors.Is(err, fault.NotFound) { // pressed twice
		return err
	}
	redirect(w, Path)
	return nil
}

func (d *Desk) reviewPage(w http.ResponseWriter, r *http.Request, s *seat) error {
	data, err := d.open(w, r, s)
	if data == nil {
		return err
	}
	return d.reviewView(w, s, http.StatusOK, data)
}

func (d *Desk) reviewView(w http.ResponseWriter, s *seat, status int, data *draft) error {
	data.Step = 3
	if data.Date == "" {
		data.Date = data.Deadline.Local().Format(time.DateOnly)
	}
	for _, g := range data.Signers {
		data.Levels = append(data.Levels, s.say.Level(g.Level, d.config.Org)+", "+s.say.Factor(g.Factor))
	}
	if len(data.Signers) > 0 {
		data.First = data.Signers[0].Name
	}
	return d.draftView(w, s, status, "review", data)
}

// review keeps message and deadline, and sends.
func (d *Desk) review(w http.ResponseWriter, r *http.Request, s *seat) error {
	data, err := d.open(w, r, s)
	if data == nil {
		return err // sent already: by the other tab, or a second click
	}
	data.Message, data.Date = r.PostFormValue("message"), r.PostFormValue("deadline")
	day, err := time.ParseInLocation(time.DateOnly, data.Date, time.Local)
	switch {
	case err != nil || !endOfDay(day).After(d.config.Now()) || endOfDay(day).After(d.config.Now().Add(d.config.Longest)):
		data.Wrong = s.l.T("review.deadline.wrong", "Days", int(d.config.Longest.Hours()/24))
		return d.reviewView(w, s, http.StatusUnprocessableEntity, data)
	case r.PostFormValue("do") == "back":
		err = d.keepDraft(r, s, data, day)
		if err == nil {
			redirect(w, data.Base+"/signers")
			return nil
		}
	default:
		if err = d.keepDraft(r, s, data, day); err == nil {
			err = d.config.Requests.Send(r.Context(), s.sender, data.ID)
		}
		if err == nil || fault.Of(err).Code == request.CodeState {
			redirect(w, data.Base)
			return nil
		}
	}
	if !refusedHere(err) {
		return err
	}
	web.Fail(r.Context(), err)
	data.Wrong = s.say.Explain(err)
	return d.reviewView(w, s, web.Status(fault.Of(err).Kind), data)
}

func (d *Desk) keepDraft(r *http.Request, s *seat, data *draft, day time.Time) error {
	return d.config.Requests.Update(r.Context(), s.sender, data.ID, request.NewDraft{
		Title: data.Title, Message: data.Message, Lang: data.Lang, Deadline: endOfDay(day),
	})
}
