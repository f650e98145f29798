package approval

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/i18n"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// shown is how many documents a page lists before the reader asks for the rest.
const shown = 5

// content is what the templates of requests show.
type content struct {
	samapi.Shown

	Docs    []document // the first ones, or all
	Hidden  int        // those that do not fit
	Details bool       // fingerprints in full, and what the command line needs
	Print   string     // of the certificate
	SAD     *sad.SAD
	Until   string
	Left    string
	Self    string // address of this page
	More    string // the same with the details
	Less    string // and without
	Return  string
	Reject  string
	Live    string // address of the events
	QR      string // address of the code for the phone; empty where there is none
	App     string // address of the request in the app
	Phone   bool   // this is the phone's page: it asks for the number
	Passkey passkeyData
}

// passkeyData is what the script needs to ask for a passkey.
type passkeyData struct {
	Built   bool
	Use     bool   // the key is bound to passkeys
	SAD     string // address of the bytes
	Approve string
	View    string
	RPID    string
	Allowed string // JSON
	Texts   map[string][2]string
}

// document is a document as pages list it.
type document struct {
	Name  string
	Size  int64
	Words [6]string // as every screen shows it
	Value string
	// Checked says that it is the document's own digest, which the module held
	// against what is to be signed; else it is the digest to be signed, of which
	// nobody knows the document.
	Checked bool
}

// requestContent is what is common to the pages of a request.
func (h *Handler) requestContent(s samapi.Shown, l *i18n.Localizer, all bool) (*content, error) {
	c := &content{Shown: s, Details: all}
	var err error
	if c.SAD, err = sad.Parse(s.SAD); err != nil {
		return nil, err
	}
	docs, err := documentsOf(c.SAD)
	if err != nil {
		return nil, err
	}
	first := len(docs)
	if !all && first > shown+1 { // no fold for a single one
		first = shown
	}
	c.Docs, c.Hidden = docs[:first], len(docs)-first
	c.Print = "SHA-256 " + groups(c.SAD.Cert)
	now := h.now()
	c.Until = l.Time(s.Expires)
	if s.Expires.YearDay() == now.UTC().YearDay() {
		c.Until = l.Clock(s.Expires)
	}
	c.Left = left(l, s.Expires.Sub(now))
	return c, nil
}

// requestView is the page for a request in its present state, in the browser that
// started it.
func (h *Handler) requestView(s samapi.Shown, r *http.Request) (string, ui.View, error) {
	v, l := h.begin(r, s.Lang)
	c, err := h.requestContent(s, l, r.URL.Query().Get("details") != "")
	if err != nil {
		return "", v, err
	}
	c.Self, c.More, c.Less = h.origin+at(r, ""), at(r, "")+"&details=1", at(r, "")
	c.Return, c.Reject, c.Live = at(r, "/return"), at(r, "/reject"), at(r, "/events")
	c.QR, c.App = at(r, "/qr.svg"), "/app/r/"+url.PathEscape(s.SID)
	v.Data = c
	switch s.State {
	case samapi.Pending:
		h.script(&v, "request.js")
		c.Passkey = h.passkeys(s, l, "/a/"+url.PathEscape(s.SID), at(r, "/sad"))
		c.Passkey.View = view(r)
		v.Refresh = &ui.Refresh{Seconds: refreshTime, NoScript: len(v.Scripts) > 0}
		if c.Details { // they are no <details>: the page loads itself again, which would close it
			v.Refresh.Seconds = readingTime
		}
		v.Title = l.T("request.title.device")
		if c.Passkey.Use {
			v.Title = l.T("request.title.passkey")
		}
		return "waiting", v, nil
	case samapi.Approved:
		v.Title = l.T("done.title.approved")
	case samapi.Rejected:
		v.Title = l.T("done.title.rejected")
	default:
		v.Title = l.T("done.title.ended")
	}
	if !s.Returned {
		v.Refresh = &ui.Refresh{Seconds: 0, URL: c.Return}
	}
	return "ended", v, nil
}

// phoneView is the page of the phone that came by the code: for passkeys, whose
// phone has nothing of ours on it.
func (h *Handler) phoneView(s samapi.Shown, r *http.Request) (string, ui.View, error) {
	v, l := h.begin(r, s.Lang)
	c, err := h.requestContent(s, l, true)
	if err != nil {
		return "", v, err
	}
	c.Phone, c.Details = true, false
	c.Live, c.Reject = phoneAt(r, "/events"), phoneAt(r, "/reject")
	v.Data = c
	if s.State != samapi.Pending {
		c.Returned = true // from here no way leads back
		v.Title = l.T("done.title." + map[string]string{samapi.Approved: "approved", samapi.Rejected: "rejected"}[s.State])
		if s.State == samapi.Expired {
			v.Title = l.T("done.title.ended")
		}
		return "ended", v, nil
	}
	h.script(&v, "request.js")
	c.Passkey = h.passkeys(s, l, "/a/"+url.PathEscape(s.SID), phoneAt(r, "/sad"))
	v.Title = l.T("request.title.passkey")
	return "phone", v, nil
}

// passkeys is what a page gives to its script.
func (h *Handler) passkeys(s samapi.Shown, l *i18n.Localizer, base, sadPath string) passkeyData {
	p := passkeyData{
		Built: h.bundle.Has("request.js"), Use: s.Key.Mechanism == samapi.WebAuthn,
		SAD: sadPath, Approve: base + "/approve", RPID: h.rpID, Texts: h.texts(l),
	}
	type allowed struct {
		Authenticator string `json:"authenticator"`
		Handle        string `json:"handle"`
	}
	list := []allowed{}
	for _, k := range s.Passkey {
		list = append(list, allowed{k.Authenticator, base64.StdEncoding.EncodeToString(k.Handle)})
	}
	b, err := json.Marshal(list)
	if err == nil { // of strings, it never fails
		p.Allowed = string(b)
	}
	return p
}

// texts are the messages that scripts say, each in the form for one and for others.
func (h *Handler) texts(l *i18n.Localizer) map[string][2]string {
	out := map[string][2]string{}
	for _, key := range h.said {
		one, other := l.Raw("js." + key)
		out[key] = [2]string{one, other}
	}
	return out
}

func documentsOf(s *sad.SAD) ([]document, error) {
	h, err := signing.HashByOID(s.HashOID)
	if err != nil {
		return nil, err
	}
	var docs []document
	for _, doc := range s.Documents {
		digest := doc.DTBSR
		d := document{Name: doc.Name, Size: doc.Size, Checked: len(doc.SignedAttrs) > 0}
		if d.Checked {
			digest = doc.DocHash
		}
		d.Words, d.Value = signing.Words(digest), h.String()+" "+groups(digest)
		docs = append(docs, d)
	}
	return docs, nil
}

// groups writes a digest as the command line does.
func groups(b []byte) string {
	var parts []string
	for part := range slices.Chunk(b, 4) {
		parts = append(parts, hex.EncodeToString(part))
	}
	return strings.Join(parts, " ")
}

func left(l *i18n.Localizer, d time.Duration) string {
	if d < time.Minute {
		return l.T("minutes.none")
	}
	return l.N("minutes", int(d.Round(time.Minute).Minutes()))
}
