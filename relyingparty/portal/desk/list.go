package desk

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/relyingparty/portal/frame"
	"github.com/countersign/countersign/relyingparty/request"
)

// perPage is how many requests one page of the list has.
const perPage = 20

// line is a request in the list.
type line struct {
	URL, Title, Names string
	Status            frame.Status
	Changed           time.Time
	Withdraw          string // address; empty if it cannot be withdrawn
}

// choice is one of the ways to narrow the list.
type choice struct {
	URL, Text string
	Count     int
	Current   bool
}

type listed struct {
	Choices []choice
	Text    string
	Show    string
	Lines   []line
	More    string // address of the next page
	Any     bool   // there are requests, though perhaps none that fits
}

// groups are the ways to narrow the list, with the states that belong to them.
var groups = []struct {
	name   string
	states []request.State
}{
	{"all", nil},
	{"waiting", []request.State{request.Draft, request.Running, request.Sealing}},
	{"stopped", []request.State{request.Rejected, request.Withdrawn, request.Expired, request.Stopped}},
	{"signed", []request.State{request.Completed}},
}

func (d *Desk) list(w http.ResponseWriter, r *http.Request, s *seat) error {
	counts, err := d.config.Requests.Counts(r.Context(), s.sender)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	page := listed{Text: strings.TrimSpace(q.Get("q")), Show: q.Get("show")}
	f := request.Filter{Text: page.Text, Limit: perPage + 1, Before: q.Get("before")}
	for _, g := range groups {
		c := choice{URL: Path, Text: s.l.T("list." + g.name), Current: page.Show == g.name || (g.states == nil && page.Show == "")}
		for state, n := range counts {
			page.Any = page.Any || n > 0
			if g.states == nil || slices.Contains(g.states, state) {
				c.Count += n
			}
		}
		if g.states != nil {
			c.URL += "?show=" + g.name
		}
		if c.Current {
			f.States = g.states
		}
		page.Choices = append(page.Choices, c)
	}
	list, err := d.config.Requests.List(r.Context(), s.sender, f)
	if err != nil {
		return err
	}
	if len(list) > perPage {
		list = list[:perPage]
		next := url.Values{"before": {list[perPage-1].ID}, "show": {page.Show}, "q": {page.Text}}
		page.More = Path + "?" + next.Encode()
	}
	for _, m := range list {
		page.Lines = append(page.Lines, d.line(s, m))
	}
	s.view.Title, s.view.Data = s.l.T("list.title"), page
	return d.show(w, http.StatusOK, "list", s.view)
}

func (d *Desk) line(s *seat, m request.Summary) line {
	out := line{URL: Path + "/" + m.ID, Title: m.Title, Changed: m.Changed.Local(), Status: s.say.Request(m.State, "", m.Current, m.Signed, m.Signers)}
	if m.State == request.Rejected {
		out.Status.Text = s.l.T("list.rejected")
	}
	if out.Title == "" {
		out.Title = s.l.T("list.untitled")
	}
	if len(m.Names) <= 3 {
		out.Names = strings.Join(m.Names, ", ")
	} else {
		out.Names = s.l.N("list.signers", len(m.Names))
	}
	if m.State == request.Running {
		out.Withdraw = out.URL + "/withdraw"
	}
	return out
}

// create begins a request; a draft of this sender's that is still empty is taken
// again.
func (d *Desk) create(w http.ResponseWriter, r *http.Request, s *seat) error {
	drafts, err := d.config.Requests.List(r.Context(), s.sender, request.Filter{States: []request.State{request.Draft}, Limit: 1})
	if err != nil {
		return err
	}
	if len(drafts) == 1 && drafts[0].Title == "" && drafts[0].Signers == 0 {
		if old, err := d.config.Requests.Request(r.Context(), s.sender, drafts[0].ID); err == nil && len(old.Documents) == 0 && old.Owner == s.sender.User {
			redirect(w, Path+"/"+old.ID+"/documents")
			return nil
		}
	}
	made, err := d.config.Requests.Create(r.Context(), s.sender, request.NewDraft{Lang: s.l.Lang(), Deadline: d.usualDeadline()})
	if err != nil {
		return err
	}
	redirect(w, Path+"/"+made.ID+"/documents")
	return nil
}

// usualDeadline is the end of the day a week from now.
func (d *Desk) usualDeadline() time.Time { return endOfDay(d.config.Now().Local().AddDate(0, 0, 7)) }

func endOfDay(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 23, 59, 0, 0, t.Location())
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
