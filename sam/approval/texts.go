package approval

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// All words of the pages are in this file and in templates/.

const (
	foot   = "This page is served by the module that guards your key."
	moment = "2 January 2006, 15:04 MST"
	clock  = "15:04 MST"
)

// shown is how many names of documents a page lists before the reader asks for the
// rest.
const shown = 5

// content is what the templates show.
type content struct {
	samapi.Request

	Asks    string   // "Northgate asks you to sign 2 documents"
	Count   string   // "2 documents"
	First   []string // names of documents
	Rest    []string // those that do not fit
	Others  string   // "195 more documents"
	More    string   // address of this page with the details
	Less    string   // and without
	Details *details
	Asked   string
	Until   string
	Ended   string
	Left    string
	Self    string // address of this page
	Return  string
	Reject  string
	Title   string
	Detail  string
	Advice  string
	Support string
}

// requestPage is the page for a request in its present state.
func requestPage(req samapi.Request, r *http.Request, origin string, now time.Time) (string, ui.View, error) {
	first := min(shown, len(req.Names))
	if first == len(req.Names)-1 {
		first++ // no fold for a single one
	}
	c := content{
		First: req.Names[:first], Rest: req.Names[first:], Others: fmt.Sprintf("%d more documents", len(req.Names)-first),
		Request: req, Count: documents(len(req.Names)),
		Asked: req.Issued.Format(moment), Until: req.Expires.Format(moment), Ended: req.Ended.Format(moment),
		Left: left(req.Expires.Sub(now)), Self: origin + at(r, ""), Return: at(r, "/return"), Reject: at(r, "/reject"),
		More: at(r, "") + "&details=1", Less: at(r, ""),
	}
	if req.Expires.YearDay() == now.UTC().YearDay() {
		c.Until = req.Expires.Format(clock)
	}
	c.Asks = req.Party + " asks you to sign " + c.Count
	v := ui.View{Data: &c}
	home := &ui.Refresh{Seconds: 0, URL: c.Return}
	switch req.State {
	case samapi.Pending:
		v.Title, v.Refresh = "Approve on your device", &ui.Refresh{Seconds: refreshTime}
		if r.URL.Query().Get("details") == "" {
			return "waiting", v, nil
		}
		// They are no <details>: the page loads itself again, which would close it.
		v.Refresh.Seconds = readingTime
		var err error
		c.Details, err = detailsOf(req.SAD)
		return "waiting", v, err
	case samapi.Approved:
		c.Title = "You approved " + c.Count
		v.Title = "Approved"
	case samapi.Rejected:
		c.Title = "The request is rejected"
		v.Title = "Rejected"
	default:
		c.Title = "This request has ended"
		v.Title = "Ended"
	}
	if !req.Returned {
		v.Refresh = home
	}
	return "ended", v, nil
}

// details are for those who compare.
type details struct {
	Prints      []fingerprint
	Certificate string
	Credential  string
}

// fingerprint is what a document's name stands for.
type fingerprint struct {
	Name  string
	Words [6]string // as the device shows it
	Value string
	// Document says that it is the document's own digest, which the module held
	// against what is to be signed; else it is the digest to be signed, of which
	// nobody knows the document.
	Document bool
}

func detailsOf(raw []byte) (*details, error) {
	s, err := sad.Parse(raw)
	if err != nil {
		return nil, err
	}
	h, err := signing.HashByOID(s.HashOID)
	if err != nil {
		return nil, err
	}
	d := &details{Certificate: "SHA-256 " + groups(s.Cert), Credential: s.Credential}
	for _, doc := range s.Documents {
		digest := doc.DTBSR
		f := fingerprint{Name: doc.Name, Document: len(doc.SignedAttrs) > 0}
		if f.Document {
			digest = doc.DocHash
		}
		f.Words, f.Value = signing.Words(digest), h.String()+" "+groups(digest)
		d.Prints = append(d.Prints, f)
	}
	return d, nil
}

// groups writes a digest as the command line does.
func groups(b []byte) string {
	var parts []string
	for part := range slices.Chunk(b, 4) {
		parts = append(parts, hex.EncodeToString(part))
	}
	return strings.Join(parts, " ")
}

func documents(n int) string {
	if n == 1 {
		return "1 document"
	}
	return fmt.Sprintf("%d documents", n)
}

func left(d time.Duration) string {
	switch m := int(d.Round(time.Minute).Minutes()); {
	case d < time.Minute:
		return "less than a minute"
	case m == 1:
		return "1 minute"
	default:
		return fmt.Sprintf("%d minutes", m)
	}
}

// failurePage is the page for a request that cannot be answered.
func failurePage(f *fault.Error, id string) (string, ui.View) {
	c := content{Detail: f.Detail, Support: id}
	switch {
	case f.Kind == fault.NotFound:
		c.Title = "This request is not known here"
		c.Detail = "The address is wrong, or the request is over and its record was put away. Nothing was signed by opening it."
		c.Advice = "Go back to the page that sent you here and begin again."
	case f.Code == samapi.CodeUnfinished:
		c.Title = "Not decided yet"
		c.Advice = "Approve or reject the request on your device first."
	case f.Kind == fault.TooMany:
		c.Title = "Too many requests at once"
		c.Advice = "Wait a minute and load the page again. Nothing was lost."
	case f.Kind == fault.Internal || f.Kind == fault.Unavailable:
		c.Title = "The trust service does not answer"
		c.Detail = "The request could not be read just now. Nothing was signed, and nothing was lost."
		c.Advice = "Load the page again in a minute. If it lasts, tell the trust service the reference below."
	default:
		c.Title = "That was not possible"
		c.Advice = "Go back to the page that sent you here. Nothing was signed by this."
	}
	return "failure", ui.View{Title: c.Title, Data: &c}
}
