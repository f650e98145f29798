package e2e_test

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/countersign/countersign/sam/samapi"
)

// onApp is what the rogue tries on the pages for devices and phones. Of Ada's device
// it knows the id, of its own requests every address.
func (r *rogue) onApp(fetch func(name, address, refused string) attempt, send func(name, address string, v any, refused string) attempt, own func([]byte) []byte, ada string) map[string][]attempt {
	at := func(path string) string { return r.in.approval + path }
	sid := r.pending.SID
	page, view, _ := strings.Cut(r.pending.URL, "?v=")
	approved := at("/a/" + r.approved.sid)
	phone := func(end, token string) string { return at("/p/" + sid + end + "?t=" + url.QueryEscape(token)) }
	opening := func(nonce string) samapi.OpenSession {
		c, err := samapi.SessionChallenge(r.in.approval, ada, nonce)
		if err != nil {
			r.t.Fatal(err)
		}
		return samapi.OpenSession{Authenticator: ada, Nonce: nonce, Signature: own(c)}
	}
	fresh := func() string {
		_, b := r.post(r.browser, at("/app/api/nonce"), struct{}{})
		var n samapi.Nonce
		decode(r.t, b, &n)
		return n.Nonce
	}
	api := at("/app/api/requests/" + sid)
	return map[string][]attempt{
		"GET /a/{sid}/qr.svg": {fetch("its own request", page+"/qr.svg?v="+view, ""), fetch("without the view", page+"/qr.svg", samapi.CodeSADInvalid), fetch("Ada's", approved+"/qr.svg?v="+view, samapi.CodeSADInvalid)},
		"GET /a/{sid}/events": {fetch("without the view", page+"/events", samapi.CodeSADInvalid), fetch("Ada's", approved+"/events?v="+view, samapi.CodeSADInvalid)},
		"GET /p/{sid}":        {fetch("without the token", phone("", ""), samapi.CodeSADInvalid), fetch("with the page's", phone("", view), samapi.CodeSADInvalid), fetch("no request", at("/p/none?t=x"), samapi.CodeSADInvalid)},
		"GET /p/{sid}/sad":    {fetch("with the page's token", phone("/sad", view), samapi.CodeSADInvalid)},
		"GET /p/{sid}/events": {fetch("with the page's token", phone("/events", view), samapi.CodeSADInvalid)},
		"POST /p/{sid}/reject": {
			send("without the token", phone("/reject", ""), map[string]string{"reason": "rogue"}, samapi.CodeSADInvalid),
			send("with the page's token", phone("/reject", view), map[string]string{"reason": "rogue"}, samapi.CodeSADInvalid),
		},
		"GET /enrol/{id}": {fetch("Ada's, without the code", at("/enrol/"+r.enrolment.ID), ""), fetch("an enrolment that is not there", at("/enrol/none"), samapi.CodeActivation)},

		"GET /app/{$}":                  {fetch("read", at("/app/"), "")},
		"GET /app/r/{sid}":              {fetch("of its own request", at("/app/r/"+sid), "")},
		"GET /app/manifest.webmanifest": {fetch("read", at("/app/manifest.webmanifest"), "")},
		"GET /app/sw.js":                {fetch("read", at("/app/sw.js"), "")},
		"GET /assets/":                  {fetch("a script", at(r.scriptFile()), "")},
		"POST /app/api/nonce":           {send("a question", at("/app/api/nonce"), struct{}{}, ""), send("more than that", at("/app/api/nonce"), map[string]string{"authenticator": ada}, "json")},
		"POST /app/api/session": {
			send("its own key in the name of Ada's device", at("/app/api/session"), opening(fresh()), samapi.CodeSession),
			send("a nonce of its own", at("/app/api/session"), opening(strings.Repeat("A", 43)), samapi.CodeSession),
			send("no device", at("/app/api/session"), samapi.OpenSession{Nonce: fresh()}, samapi.CodeSession),
		},
		"POST /app/api/leave":                 {send("no session", at("/app/api/leave"), struct{}{}, "")},
		"GET /app/api/inbox":                  {fetch("no session", at("/app/api/inbox"), samapi.CodeSession)},
		"GET /app/api/events":                 {fetch("no session", at("/app/api/events"), samapi.CodeSession)},
		"GET /app/api/requests/{sid}":         {fetch("no session", api, samapi.CodeSession)},
		"POST /app/api/requests/{sid}/reject": {send("no session", api+"/reject", map[string]any{"reason": "rogue", "notMe": false}, samapi.CodeSession)},
		"POST /app/api/device/remove":         {send("no session", at("/app/api/device/remove"), struct{}{}, samapi.CodeSession)},
	}
}

// scriptFile is the path of the app's script.
func (r *rogue) scriptFile() string {
	r.t.Helper()
	p := get(r.t, r.browser, r.in.approval+"/app/", "Accept", "text/html")
	path := regexp.MustCompile(`/assets/[0-9a-f]+/app\.js`).FindString(p.body)
	if path == "" {
		r.t.Fatal("the app has no script: run make assets first")
	}
	return path
}
