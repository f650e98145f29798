// Package frame is what the portal's pages for requests have in common: refusals
// and states in the reader's language, events as they happen, and files that are
// handed out.
package frame

import (
	"embed"
	"fmt"
	"net/http"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/relyingparty/request"
)

//go:embed locales/*.json
var locales embed.FS

// Texts are the messages of this package.
type Texts struct{ catalog *i18n.Catalog }

// Load reads the messages.
func Load() (*Texts, error) {
	c, err := i18n.Load(locales)
	if err != nil {
		return nil, fmt.Errorf("texts of requests: %w", err)
	}
	return &Texts{c}, nil
}

// For says things in a language.
func (t *Texts) For(lang string) *Speaker { return &Speaker{t.catalog, t.catalog.For(lang)} }

// Speaker speaks one language.
type Speaker struct {
	catalog *i18n.Catalog
	l       *i18n.Localizer
}

// Explain says what was refused and what to do, in one or two sentences.
func (s *Speaker) Explain(err error) string {
	f := fault.Of(err)
	if key := "fault." + f.Code; f.Code != "" && s.catalog.Has(key) {
		return s.l.T(key)
	}
	if key := "kind." + string(f.Kind); s.catalog.Has(key) {
		return s.l.T(key)
	}
	return f.Detail
}

// Status says how something stands: a sign, a word, and what colour may stand with
// them.
type Status struct{ Icon, Class, Text string }

// Signer is how a signer of a request stands.
func (s *Speaker) Signer(g request.Signer, closed bool) Status {
	switch {
	case g.State == request.Signed:
		return Status{"check", "good", s.l.T("signer.signed", "Time", s.l.Time(g.Acted.Local()))}
	case g.State == request.Refused:
		return Status{"cross", "danger", s.l.T("signer.refused", "Time", s.l.Time(g.Acted.Local()))}
	case g.Problem != "" && !closed:
		return Status{"alert", "danger", s.l.T("signer.failed")}
	case closed:
		return Status{"unchecked", "", s.l.T("signer.not")}
	}
	return Status{"clock", "waiting", s.l.T("signer." + string(g.State))}
}

// Request is how a request stands; current is the name of who is to sign.
func (s *Speaker) Request(state request.State, by, current string, signed, signers int) Status {
	switch state {
	case request.Completed:
		return Status{"check", "good", s.l.T("request.completed")}
	case request.Rejected:
		return Status{"cross", "danger", s.l.T("request.rejected", "By", by)}
	case request.Withdrawn:
		return Status{"cross", "danger", s.l.T("request.withdrawn")}
	case request.Expired:
		return Status{"alert", "danger", s.l.T("request.expired")}
	case request.Stopped:
		return Status{"alert", "danger", s.l.T("request.stopped")}
	case request.Running:
		return Status{"clock", "waiting", s.l.T("request.running", "Name", current, "Signed", signed, "Count", signers)}
	case request.Draft, request.Sealing:
	}
	return Status{"clock", "waiting", s.l.T("request." + string(state))}
}

// Level names how somebody signs; org is whose seal a click is sealed with.
func (s *Speaker) Level(level request.Level, org string) string {
	return s.l.T("level."+string(level), "Org", org)
}

// Factor names the second factor of a signer.
func (s *Speaker) Factor(f request.Factor) string { return s.l.T("factor." + string(f)) }

// Told is an event as people read it: when and what happened, and details.
type Told struct {
	Day, Clock, Time, What, More string
}

// Event tells an event. names are those of the signers by id.
func (s *Speaker) Event(e request.Event, names map[string]string) Told {
	d := e.Data
	kind := d["kind"]
	if s.catalog.Has("mail." + kind) {
		kind = s.l.T("mail." + kind)
	}
	who := names[e.Signer]
	if who == "" {
		who = d["signer"]
	}
	name := e.Name
	if name == "" {
		name = s.l.T("machine")
	}
	t := Told{Time: s.l.Time(e.At.Local()), Day: s.l.Date(e.At.Local()), Clock: s.l.Clock(e.At.Local())}
	t.What = s.l.T("event."+string(e.Type), "Name", name, "Signer", who, "Document", d["document"], "Kind", kind, "To", d["to"], "Step", d["step"])
	if more := "more." + string(e.Type); s.catalog.Has(more) {
		t.More = s.l.T(more, "Documents", d["documents"], "Signers", d["signers"], "Digest", d["sha256"], "Reason", d["reason"], "Error", d["error"],
			"Left", d["left"], "Verdict", d["verdict"], "Level", d["level"], "Name", name, "To", d["to"], "Attempts", d["attempts"], "Address", e.Address)
	}
	return t
}

// Wish is the language that somebody is known to speak, for browsers that say
// nothing of languages: what a browser says goes before.
func Wish(r *http.Request, lang string) []string {
	if lang == "" || r.Header.Get("Accept-Language") != "" {
		return nil
	}
	return []string{lang}
}
