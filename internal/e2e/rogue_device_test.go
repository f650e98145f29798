package e2e_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/device"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
)

// holder is a person with an enrolled device key, and the browser it is in.
type holder struct {
	r       *rogue
	key     *device.Key
	http    *http.Client
	opening samapi.OpenSession // the last that was accepted
}

// overheard is what the rogue has seen of Ada's device, as if TLS had hidden nothing.
type overheard struct {
	left  string          // the session of hers that she has ended
	begun samapi.Begun    // opened in her browser and approved by her device
	yes   samapi.Approval // with this
}

func (r *rogue) holder(file string) *holder {
	r.t.Helper()
	key, err := device.Load(file)
	if err != nil {
		r.t.Fatal(err)
	}
	return &holder{r: r, key: key, http: r.in.newBrowser(r.t)}
}

func (h *holder) sign(digest []byte) []byte {
	h.r.t.Helper()
	sig, err := h.key.Private().Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		h.r.t.Fatal(err)
	}
	return sig
}

// open answers a fresh nonce in the name of a device, with this one's key.
func (h *holder) open(authenticator string) samapi.OpenSession {
	h.r.t.Helper()
	_, b := h.r.post(h.http, h.r.in.approval+"/app/api/nonce", struct{}{})
	var n samapi.Nonce
	decode(h.r.t, b, &n)
	c, err := samapi.SessionChallenge(n.Module, authenticator, n.Nonce)
	if err != nil {
		h.r.t.Fatal(err)
	}
	return samapi.OpenSession{Authenticator: authenticator, Nonce: n.Nonce, Signature: h.sign(c)}
}

// session opens a session and returns its token.
func (h *holder) session() string {
	h.r.t.Helper()
	h.opening = h.open(h.key.Authenticator)
	h.must(h.r.post(h.http, h.r.in.approval+"/app/api/session", h.opening))
	u, err := url.Parse(h.r.in.approval + "/app/api/inbox")
	if err != nil {
		h.r.t.Fatal(err)
	}
	for _, c := range h.http.Jar.Cookies(u) {
		if c.Name == "device" {
			return c.Value
		}
	}
	h.r.t.Fatal("the session has no cookie")
	return ""
}

// must is for what the rightful user does.
func (h *holder) must(status int, body []byte) []byte {
	h.r.t.Helper()
	if status >= http.StatusBadRequest {
		h.r.t.Fatalf("the rightful user is refused: %d %s", status, body)
	}
	return body
}

// stillReads checks that the device's session, inbox and requests work.
func (h *holder) stillReads() {
	h.r.t.Helper()
	at, sid := h.r.in.approval+"/app/api/", h.r.begin(hash()).SID
	for _, path := range []string{"inbox", "requests/" + sid} {
		if b := h.must(h.r.get(h.http, at+path)); !strings.Contains(string(b), sid) {
			h.r.t.Errorf("%s of the rightful device does not have %s: %s", path, sid, b)
		}
	}
	if b := h.must(h.r.first(h.http, at+"events")); !strings.Contains(string(b), sid) {
		h.r.t.Errorf("events of the rightful device do not have %s: %s", sid, b)
	}
	h.must(h.r.post(h.http, at+"requests/"+sid+"/reject", map[string]any{"reason": "a test", "notMe": false}))
}

// yes is what the device says to a request.
func (h *holder) yes(b samapi.Begun) samapi.Approval {
	h.r.t.Helper()
	page, view, _ := strings.Cut(b.URL, "?")
	challenge := sad.Challenge(h.must(h.r.get(h.http, page+"/sad?"+view)))
	return samapi.Approval{Authenticator: h.key.Authenticator, Signature: h.sign(challenge[:]), PIN: pin, Number: h.r.number(b)}
}

// number is what the browser shows that started the request.
func (r *rogue) number(b samapi.Begun) string {
	r.t.Helper()
	_, body := r.get(r.browser, b.URL)
	var shown struct{ Number string }
	decode(r.t, body, &shown)
	return shown.Number
}

// overhearDevices has Ada's device do all that the app does. It also makes the block
// that the rogue would like to be rid of: Ada says twice that a request was not hers,
// and only the first time the registration authority lifts what follows.
func (r *rogue) overhearDevices() {
	r.t.Helper()
	r.ada, r.mallory = r.holder(r.in.signer.Device), r.holder(r.own.who.Device)
	r.overheard.left = r.ada.session()
	r.ada.must(r.post(r.ada.http, r.in.approval+"/app/api/leave", struct{}{}))
	r.ada.session()
	r.mallory.session()
	r.disown()
	r.liftBlock()
	if got := r.blocked(); got != "" {
		r.t.Fatalf("after the block was lifted: %s", got)
	}
	r.disown()

	o := &r.overheard
	o.begun = r.begin(hash())
	if p := get(r.t, r.ada.http, o.begun.URL, "Accept", "text/html"); p.status != http.StatusOK {
		r.t.Fatalf("Ada's browser is refused: %d %s", p.status, p.body)
	}
	o.yes = r.ada.yes(o.begun)
	path, view, _ := strings.Cut(o.begun.URL, "?")
	var done struct{ State, To string }
	decode(r.t, r.ada.must(r.post(r.ada.http, path+"/approve?"+view, o.yes)), &done)
	if done.State != samapi.Approved || done.To == "" {
		r.t.Fatalf("Ada's approval in her own browser: %+v", done)
	}
}

// disown has Ada say of a request of the rogue's client that it was not hers.
func (r *rogue) disown() {
	r.t.Helper()
	in := r.intent(hash())
	in.Client = r.own.id
	b, err := r.in.sockets().Module().Begin(r.t.Context(), in)
	if err != nil {
		r.t.Fatal(err)
	}
	r.ada.must(r.post(r.ada.http, r.in.approval+"/app/api/requests/"+b.SID+"/reject", map[string]any{"reason": "", "notMe": true}))
	if got := r.blocked(); got != samapi.CodeClientBlocked {
		r.t.Fatalf("after Ada said that it was not her: %q", got)
	}
}

// liftBlock is the registration authority's order that lets the client ask again.
func (r *rogue) liftBlock() {
	r.t.Helper()
	order := r.seal("lift-block", samapi.DomainLiftBlock, samapi.LiftBlock{Order: r.fresh(), Signer: "ada", Client: r.own.id, Reason: "looked into"})
	if err := r.in.sockets().Module().LiftBlock(r.t.Context(), order); err != nil {
		r.t.Fatal(err)
	}
}

// blocked is what the rogue's client hears when it asks Ada.
func (r *rogue) blocked() string {
	r.t.Helper()
	in := r.intent(hash())
	in.Client = r.own.id
	if _, err := r.in.sockets().Module().Begin(r.t.Context(), in); err != nil {
		return fault.Of(err).Code
	}
	return ""
}

// first is the first event of a stream, or the refusal in its place.
func (r *rogue) first(c *http.Client, address string) (int, []byte) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	var event []byte
	for lines := bufio.NewScanner(res.Body); lines.Scan() && (res.StatusCode != http.StatusOK || lines.Text() != ""); {
		event = append(append(event, lines.Bytes()...), '\n')
	}
	if len(event) == 0 {
		r.t.Fatalf("%s: %d without an event", address, res.StatusCode)
	}
	return res.StatusCode, event
}

// withDevices is what the rogue tries with a session of its own device, with what it
// overheard of Ada's, and with the device that was taken from Eve.
func (r *rogue) withDevices() map[string][]attempt {
	at := func(path string) string { return r.in.approval + path }
	o, sid := r.overheard, r.pending.SID
	page, view, _ := strings.Cut(r.pending.URL, "?")
	theirs, theirView, _ := strings.Cut(o.begun.URL, "?")
	number := r.number(r.pending)
	read := func(name, path, refused string) attempt {
		return attempt{name: name, do: func() (int, []byte) { return r.get(r.mallory.http, at(path)) }, refused: refused, without: sid}
	}
	send := func(name, address string, v any, refused string) attempt {
		return attempt{name: name, do: func() (int, []byte) { return r.post(r.mallory.http, address, v) }, refused: refused}
	}
	fresh := func(f func(*samapi.OpenSession)) samapi.OpenSession {
		q := r.mallory.open(r.ada.key.Authenticator)
		f(&q)
		return q
	}
	with := func(f func(*samapi.Approval)) samapi.Approval {
		y := o.yes
		y.Number = number
		f(&y)
		return y
	}
	inbox, one := "/app/api/inbox", "/app/api/requests/"+sid
	m := map[string][]attempt{
		"GET /a/{sid}": {{name: "in its browser, what Ada has open in hers", do: r.pageOf(r.browser, o.begun.URL, "opened in another browser", samapi.CodeOtherBrowser), refused: samapi.CodeOtherBrowser}},
		"GET /a/{sid}/return": {
			{name: "after the approval, from another browser than Ada's", do: func() (int, []byte) { return r.get(r.browser, theirs+"/return?"+theirView) }, refused: samapi.CodeOtherBrowser},
		},
		"GET /a/{sid}/events": {{name: "of its own request", do: func() (int, []byte) { return r.first(r.browser, page+"/events?"+view) }}},
		"POST /a/{sid}/approve": {
			send("Ada's approval again", theirs+"/approve?"+theirView, o.yes, samapi.CodeSADInvalid),
			send("Ada's approval of another request", page+"/approve?"+view, with(func(*samapi.Approval) {}), samapi.CodeAssertion),
			send("Ada's signature for a session", page+"/approve?"+view, with(func(y *samapi.Approval) { y.Signature = r.ada.opening.Signature }), samapi.CodeAssertion),
			send("its own device's session and signature", page+"/approve?"+view, with(func(y *samapi.Approval) { y.Signature = r.mallory.yes(r.pending).Signature }), samapi.CodeAssertion),
		},
		"POST /app/api/session": {
			send("Ada's opening again", at("/app/api/session"), r.ada.opening, samapi.CodeSession),
			send("Ada's opening with a fresh nonce", at("/app/api/session"), fresh(func(q *samapi.OpenSession) { q.Signature = r.ada.opening.Signature }), samapi.CodeSession),
			send("its own device's key in the name of Ada's", at("/app/api/session"), fresh(func(*samapi.OpenSession) {}), samapi.CodeSession),
			send("Ada's signature for an approval", at("/app/api/session"), fresh(func(q *samapi.OpenSession) { q.Signature = o.yes.Signature }), samapi.CodeSession),
			send("a device that was revoked", at("/app/api/session"), r.eve.open(r.eve.key.Authenticator), samapi.CodeDeviceRevoked),
			send("its own device's, to be taken for Ada's", at("/app/api/session"), map[string]any{"authenticator": r.ada.key.Authenticator, "signer": "ada"}, "json"),
		},
		"GET /app/api/inbox":          {read("its own device's", inbox, "")},
		"GET /app/api/events":         {{name: "its own device's", do: func() (int, []byte) { return r.first(r.mallory.http, at("/app/api/events")) }, without: sid}},
		"GET /app/api/requests/{sid}": {read("Ada's, with its own device", one, samapi.CodeSADInvalid), read("none", "/app/api/requests/none", samapi.CodeSADInvalid)},
		"POST /app/api/requests/{sid}/reject": {
			send("Ada's, with its own device", at(one+"/reject"), map[string]any{"reason": "rogue", "notMe": false}, samapi.CodeSADInvalid),
			send("Ada's, as not its own", at(one+"/reject"), map[string]any{"reason": "", "notMe": true}, samapi.CodeSADInvalid),
		},
		"POST /app/api/device/remove": {send("Ada's, with its own device", at("/app/api/device/remove"), map[string]any{"authenticator": r.ada.key.Authenticator}, "json")},
		"POST /app/api/leave":         {send("Ada's session, from its own", at("/app/api/leave"), map[string]any{"authenticator": r.ada.key.Authenticator}, "json")},
	}
	// What it has is no session, wherever one is needed.
	for name, token := range map[string]string{
		"a session that Ada has left": o.left, "its access token": r.accessToken(), "the view of a request": strings.TrimPrefix(view, "v="),
		"the nonce of a session": r.ada.opening.Nonce,
	} {
		for _, route := range []string{"GET /app/api/inbox", "GET /app/api/events", "GET /app/api/requests/{sid}", "POST /app/api/requests/{sid}/reject", "POST /app/api/device/remove"} {
			m[route] = append(m[route], attempt{name: name, refused: samapi.CodeSession, do: func() (int, []byte) { return r.bearing(token, strings.ReplaceAll(route, "{sid}", sid)) }})
		}
	}
	return m
}

// bearing makes a request with a token in the place of a session.
func (r *rogue) bearing(token, route string) (int, []byte) {
	r.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	body := "{}"
	if strings.HasSuffix(path, "/reject") {
		body = `{"reason":"rogue"}`
	}
	p := fetch(r.t, &http.Client{Transport: r.in.transport(), Timeout: 10 * time.Second}, method, r.in.approval+path, "application/json", body, "Cookie", "device="+token)
	return p.status, []byte(p.body)
}

// pageOf is what a browser sees, as programs are told it: if the page says so, it is
// the refusal with that code.
func (r *rogue) pageOf(c *http.Client, address, says, code string) func() (int, []byte) {
	return func() (int, []byte) {
		p := get(r.t, c, address, "Accept", "text/html")
		if p.status == http.StatusOK || !strings.Contains(p.body, says) {
			return p.status, []byte(p.body)
		}
		b, err := json.Marshal(map[string]string{"code": code})
		if err != nil {
			r.t.Fatal(err)
		}
		return p.status, b
	}
}

// accessToken is one of a client's own.
func (r *rogue) accessToken() string {
	r.t.Helper()
	token, err := r.own.client.ServiceToken(r.t.Context())
	if err != nil {
		r.t.Fatal(fmt.Errorf("a token of its own: %w", err))
	}
	return token.Value
}

// and puts what else is tried beside what is tried.
func and(m, more map[string][]attempt) map[string][]attempt {
	for route, list := range more {
		m[route] = slices.Concat(m[route], list)
	}
	return m
}
