package approval_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/i18n/i18ntest"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam/approval"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

func TestPagesSpeakEveryLanguage(t *testing.T) {
	c := i18ntest.Check(t, os.DirFS("."), "templates/*.html", "*.go")
	said := regexp.MustCompile(`say\("([a-z.]+)"|"((?:error|done|own|doc|live)\.[a-z.]+)"`)
	scripts, err := filepath.Glob("web/*.ts")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	found := 0
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range said.FindAllStringSubmatch(string(text), -1) {
			found++
			if key := "js." + m[1] + m[2]; !c.Has(key) {
				t.Errorf("%s says %q, which nobody wrote", name, key)
			}
		}
	}
	if found < 40 {
		t.Errorf("%d messages in all scripts: the pattern is wrong", found)
	}
}

// cookie opens a session for the device over HTTP.
func (d *door) cookie(dev *samtest.Device) string {
	d.t.Helper()
	var n samapi.Nonce
	got := d.post("/app/api/nonce", struct{}{})
	got.want(d.t, http.StatusOK)
	if err := json.Unmarshal([]byte(got.body), &n); err != nil {
		d.t.Fatal(err)
	}
	got = d.post("/app/api/session", d.Opening(dev, n.Nonce))
	got.want(d.t, http.StatusOK)
	all := got.Cookies()
	if len(all) != 1 || !all[0].HttpOnly || all[0].SameSite != http.SameSiteStrictMode || all[0].Path != "/app/api/" || all[0].Value == "" {
		d.t.Fatalf("cookies %v", all)
	}
	if strings.Contains(got.body, all[0].Value) {
		d.t.Error("the token is in the body, where scripts read it")
	}
	return all[0].Name + "=" + all[0].Value
}

func TestAppAnswersADeviceInItsSession(t *testing.T) {
	d := open(t, samtest.Config{})
	p := d.Person(samtest.Wish{})
	q := d.Request(p, samtest.Hash("x"))
	for _, path := range []string{"/app/api/inbox", "/app/api/requests/" + q.SID, "/app/api/events"} {
		d.json(path).want(t, http.StatusUnauthorized, `"code":"session_invalid"`)
	}
	session := d.cookie(p.Device)
	get := func(path string) reply {
		return d.do(http.MethodGet, path, "application/json", "", "", "Cookie", session)
	}
	post := func(path, body string, header ...string) reply {
		return d.do(http.MethodPost, path, "application/json", "application/json", body, append(header, "Cookie", session)...)
	}
	get("/app/api/inbox").want(t, http.StatusOK, q.SID, "Contract 1.pdf", `"signerName":"`+p.Subject.CommonName+`"`)
	var a struct {
		SAD   []byte
		Words [][6]string
	}
	got := get("/app/api/requests/" + q.SID)
	got.want(t, http.StatusOK, samtest.Gateway)
	if err := json.Unmarshal([]byte(got.body), &a); err != nil || string(a.SAD) != string(q.Raw) || len(a.Words) != 1 || a.Words[0] != signing.Words(samtest.Hash("x")) {
		t.Errorf("answer %s, %v", got.body, err)
	}
	if strings.Contains(got.body, `"number"`) {
		t.Errorf("the number is in %s", got.body)
	}
	get("/app/api/requests/nosuch").want(t, http.StatusNotFound)
	reject := "/app/api/requests/" + q.SID + "/reject"
	post(reject, `{"reason":"x","notMe":true}`).want(t, http.StatusBadRequest)
	post(reject, `{"reason":"x","other":1}`).want(t, http.StatusBadRequest)
	post(reject, `{"reason":"x"}`, "Sec-Fetch-Site", "cross-site").want(t, http.StatusForbidden)
	post(reject, `{"reason":"not <now>"}`).want(t, http.StatusOK, samapi.Rejected)
	if v, err := d.View(t.Context(), q.SID, q.View); err != nil || v.Reason != "not <now>" {
		t.Errorf("%+v, %v", v, err)
	}
	post("/app/api/leave", `{}`).want(t, http.StatusOK)
	get("/app/api/inbox").want(t, http.StatusUnauthorized)
	session = d.cookie(p.Device)
	post("/app/api/device/remove", `{}`).want(t, http.StatusOK)
	get("/app/api/inbox").want(t, http.StatusForbidden, `"code":"device_revoked"`)
}

func TestAppShellIsTheSameForEverybody(t *testing.T) {
	d := open(t, samtest.Config{})
	one, two := d.page("/app/"), d.page("/app/r/0123456789012345678901")
	one.want(t, http.StatusOK, "Waiting for you", `rel="manifest"`, "scripts")
	if one.body != strings.ReplaceAll(two.body, "/app/r/0123456789012345678901?lang", "/app/?lang") {
		t.Error("the shell differs by its address")
	}
	m := d.json("/app/manifest.webmanifest")
	var manifest struct {
		StartURL string `json:"start_url"`
		Scope    string
		Display  string
		Icons    []struct{ Src, Sizes, Type string }
	}
	if err := json.Unmarshal([]byte(m.body), &manifest); err != nil || manifest.StartURL != "/app/" || manifest.Scope != "/app/" || manifest.Display != "standalone" || len(manifest.Icons) == 0 {
		t.Fatalf("manifest %s, %v", m.body, err)
	}
	if icon := d.page(manifest.Icons[0].Src); icon.StatusCode != http.StatusOK {
		t.Errorf("icon: %d", icon.StatusCode)
	}
	german := d.do(http.MethodGet, "/app/", "text/html", "", "", "Accept-Language", "de-AT")
	german.want(t, http.StatusOK, `<html lang="de">`, "Wartet auf Sie", "English")
}

func TestPageSpeaksTheLanguageOfTheRequest(t *testing.T) {
	d := open(t, samtest.Config{})
	p := d.Person(samtest.Wish{})
	in := d.Intent(p, samtest.Hash("x"))
	in.Lang = "de"
	path := strings.TrimPrefix(d.Started(in).URL, samtest.Approval)
	d.do(http.MethodGet, path, "text/html", "", "", "Accept-Language", "en").want(t, http.StatusOK, `<html lang="de">`, "bittet Sie, 1 Dokument zu signieren")
	d.do(http.MethodGet, path, "text/html", "", "", "Cookie", "lang=en").want(t, http.StatusOK, `<html lang="en">`, "asks you to sign 1 document")
	to := d.page(path + "&lang=en")
	if to.StatusCode != http.StatusSeeOther || to.Header.Get("Location") != path {
		t.Errorf("choosing a language: %d to %q", to.StatusCode, to.Header.Get("Location"))
	}
}

func TestCodeForThePhoneHasNeitherNumberNorWayBack(t *testing.T) {
	d := open(t, samtest.Config{})
	for _, mechanism := range []string{samapi.DeviceKey, samapi.WebAuthn} {
		p := d.Person(samtest.Wish{Mechanism: mechanism})
		q := d.Request(p, samtest.Hash("x"))
		path := strings.TrimPrefix(q.URL, samtest.Approval)
		got := d.page(strings.Replace(path, "?", "/qr.svg?", 1))
		if got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != "image/svg+xml" || !strings.HasPrefix(got.body, "<svg ") {
			t.Errorf("%s: %d %s", mechanism, got.StatusCode, got.body)
		}
		d.page("/a/"+q.SID+"/qr.svg?v=x").want(t, http.StatusNotFound)
		token, err := d.PhoneToken(t.Context(), q.SID, q.View)
		if err != nil {
			t.Fatal(err)
		}
		phone := "/p/" + q.SID + "?t=" + url.QueryEscape(token)
		page := d.page(phone)
		page.want(t, http.StatusOK, "asks you to sign 1 document", "Or reject it")
		if strings.Contains(page.body, ">"+q.Number+"<") || strings.Contains(page.body, "/return") || strings.Contains(page.body, q.View) {
			t.Errorf("the phone's page has the number or the way back:\n%s", page.body)
		}
		if raw := d.page(strings.Replace(phone, "?", "/sad?", 1)); raw.body != string(q.Raw) {
			t.Errorf("SAD of %d bytes", len(raw.body))
		}
		d.page("/p/"+q.SID+"?t=x").want(t, http.StatusNotFound, "This request is not known here")
		sent := d.do(http.MethodPost, strings.Replace(phone, "?", "/reject?", 1), "text/html", "application/x-www-form-urlencoded", "reason=no")
		sent.want(t, http.StatusSeeOther)
		d.page(phone).want(t, http.StatusOK, "The request is rejected", "Reason: no")
	}
}

func TestEnrolmentPageIsOpenUntilTheLinkIsUsed(t *testing.T) {
	d := open(t, samtest.Config{})
	for mechanism, title := range map[string]string{samapi.DeviceKey: "Add this device", samapi.WebAuthn: "Add a passkey"} {
		p := d.Enrolled(mechanism)
		e, code := d.Ticket(p)
		path := strings.TrimPrefix(e.URL, samtest.Approval)
		d.page(path).want(t, http.StatusOK, title, "The link can be used once", `data-mechanism="`+mechanism+`"`)
		_, req := d.NewDevice(e.ID, mechanism, code)
		d.post(path, req).want(t, http.StatusCreated)
		d.page(path).want(t, http.StatusGone, "This link cannot be used any more", "No device was added")
	}
	d.page("/enrol/nosuch").want(t, http.StatusForbidden, "This link cannot be used any more")
}

// events reads a stream until the server ends it or the test does.
func (d *door) events(path string, header ...string) <-chan string {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.t.Context()))
	d.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		d.t.Fatal(err)
	}
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		d.t.Fatalf("status %d, %s", res.StatusCode, got)
	}
	out := make(chan string, 100)
	go func() {
		defer close(out)
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		var event string
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = name
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				out <- event + " " + data
			}
		}
	}()
	return out
}

// next waits for the next event.
func next(t *testing.T, events <-chan string) string {
	t.Helper()
	select {
	case e, ok := <-events:
		if !ok {
			return "closed"
		}
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event within 10 seconds")
		return ""
	}
}

func TestStreamsTellOfChangesAndEndWithTheServer(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	stop := make(chan struct{})
	h, err := approval.New(approval.Config{Module: r.Module, Origin: samtest.Approval, Now: r.Clock.Now, Site: ui.Site{Org: "x"}, Stop: stop})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(web.Wrap(h, web.Config{Name: "approval"}))
	t.Cleanup(s.Close)
	d := newDoor(t, r, s.URL)
	p := d.Person(samtest.Wish{})
	session := d.cookie(p.Device)
	list := d.events("/app/api/events", "Cookie", session)
	if got := next(t, list); got != "state " {
		t.Errorf("an empty list begins with %q", got)
	}
	q := d.Request(p, samtest.Hash("x"))
	path := strings.TrimPrefix(q.URL, samtest.Approval)
	page := d.events(strings.Replace(path, "?", "/events?", 1))
	if got := next(t, page); got != "state pending" {
		t.Errorf("the page's stream begins with %q", got)
	}
	if got := next(t, list); got != "state "+q.SID {
		t.Errorf("a new request: %q", got)
	}
	if _, err := d.Approve(t.Context(), q.SID, p.Yes(q)); err != nil {
		t.Fatal(err)
	}
	if got := next(t, page); got != "state approved" {
		t.Errorf("the page when it was approved: %q", got)
	}
	if got := next(t, list); got != "state " {
		t.Errorf("the list when it was approved: %q", got)
	}
	o := samapi.RevokeDevice{Order: d.Order(), Authenticator: p.Device.ID}
	if err := d.RevokeDevice(t.Context(), d.Seal(samapi.DomainRevokeDevice, o)); err != nil {
		t.Fatal(err)
	}
	if got := next(t, list); got != "end device_revoked" {
		t.Errorf("the list of a device that was revoked: %q", got)
	}
	if got := next(t, list); got != "closed" {
		t.Errorf("after its end: %q", got)
	}
	d.page(strings.Replace(path, "?", "/events?", 1)[:20]).want(t, http.StatusNotFound)
	close(stop)
	if got := next(t, page); got != "closed" {
		t.Errorf("when the server stops: %q", got)
	}
}

// TestForwardedAddressIsOfNoUse: somebody begins a request and sends its address to
// the signer, to get back what the signer approves there.
func TestForwardedAddressIsOfNoUse(t *testing.T) {
	victim := open(t, samtest.Config{})
	attacker := newDoor(t, victim.Rig, victim.base)
	p := victim.Person(samtest.Wish{Mechanism: samapi.WebAuthn})
	start := func() (*samtest.Pending, string, samapi.Approval) {
		q := victim.Request(p, samtest.Hash("x"))
		yes := p.Yes(q)
		yes.Number, yes.View = "", q.View
		return q, strings.TrimPrefix(q.URL, samtest.Approval), yes
	}
	t.Run("the signer opened it first", func(t *testing.T) {
		q, path, yes := start()
		victim.page(path).want(t, http.StatusOK, "asks you to sign")
		victim.post("/a/"+q.SID+"/approve", yes).want(t, http.StatusOK)
		attacker.page(path).want(t, http.StatusForbidden, "This request was opened in another browser", "somebody else did")
		back := strings.Replace(path, "?", "/return?", 1)
		attacker.json(back).want(t, http.StatusForbidden, `"code":"other_browser"`)
		attacker.page(back).want(t, http.StatusForbidden)
		victim.page(back).want(t, http.StatusSeeOther)
	})
	t.Run("the attacker opened it first", func(t *testing.T) {
		q, path, yes := start()
		attacker.page(path).want(t, http.StatusOK)
		victim.page(path).want(t, http.StatusForbidden, "This request was opened in another browser")
		victim.post("/a/"+q.SID+"/approve", yes).want(t, http.StatusForbidden, `"code":"other_browser"`)
		if v, err := victim.View(t.Context(), q.SID, q.View); err != nil || v.State != samapi.Pending {
			t.Errorf("%+v, %v", v, err)
		}
		yes.Number, yes.View = q.Number, "" // with the number, which the attacker told
		got := victim.post("/a/"+q.SID+"/approve?v="+q.View, yes)
		got.want(t, http.StatusOK)
		if strings.Contains(got.body, `"to"`) {
			t.Errorf("the way back is told to another browser: %s", got.body)
		}
	})
	t.Run("nobody opened it, as with the command line", func(t *testing.T) {
		q, path, yes := start()
		victim.post("/a/"+q.SID+"/approve", yes).want(t, http.StatusOK)
		victim.json(strings.Replace(path, "?", "/return?", 1)).want(t, http.StatusSeeOther)
	})
}

// FuzzSession posts any JSON as a device's answer to a nonce.
func FuzzSession(f *testing.F) {
	r := samtest.New(f, storetest.SQLite(f), samtest.Config{})
	h, err := approval.New(approval.Config{
		Module: r.Module, Origin: samtest.Approval, Site: ui.Site{Org: "x"},
		Approvals: &web.Limiter{Rate: 1e9, Burst: 1e9},
	})
	if err != nil {
		f.Fatal(err)
	}
	o := r.Opening(r.Enrolled(samapi.DeviceKey).Device, r.Fresh())
	if _, err := r.OpenSession(f.Context(), o); err != nil { // from now on it is used
		f.Fatal(err)
	}
	seed, err := json.Marshal(o)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"authenticator":"x","nonce":"","signature":"AA=="}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/app/api/session", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code < 400 || w.Code >= 500 || len(w.Result().Cookies()) > 0 {
			t.Errorf("%q gives status %d and %v: %s", body, w.Code, w.Result().Cookies(), w.Body)
		}
	})
}
