package approval_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/approval"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

var _ approval.Module = (*sam.Module)(nil)

// door is the approval origin of a rig, served for real.
type door struct {
	*samtest.Rig

	t    *testing.T
	base string
	jar  http.CookieJar // of the one browser
}

func open(t *testing.T, c samtest.Config) *door {
	t.Helper()
	r := samtest.New(t, storetest.SQLite(t), c)
	h, err := approval.New(approval.Config{
		Module: r.Module, Origin: samtest.Approval, Now: r.Clock.Now,
		Site: ui.Site{Org: "Nordlys", Test: true, Foot: "This page is served by the module that guards your key."},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(web.Wrap(h, web.Config{Name: "approval"}))
	t.Cleanup(s.Close)
	return newDoor(t, r, s.URL)
}

func newDoor(t *testing.T, r *samtest.Rig, base string) *door {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &door{r, t, base, jar}
}

type reply struct {
	*http.Response

	body string
}

func (d *door) do(method, path, accept, kind, body string, header ...string) reply {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	for _, c := range d.jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	d.jar.SetCookies(req.URL, resp.Cookies())
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return reply{resp, string(b)}
}

func (d *door) page(path string) reply { return d.do(http.MethodGet, path, "text/html,*/*", "", "") }

func (d *door) json(path string) reply { return d.do(http.MethodGet, path, "application/json", "", "") }

func (d *door) post(path string, v any) reply {
	d.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.do(http.MethodPost, path, "application/json", "application/json", string(b))
}

// inline is what the policy forbids: scripts with a text that is no data, handlers, styles.
var inline = regexp.MustCompile(`(?i)<script>|<script type="(text|module)|\son[a-z]+="|\sstyle="|<style|javascript:`)

// want checks status and content of a page, and what every page must have.
func (r reply) want(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("status %d, want %d: %s", r.StatusCode, status, r.body)
	}
	for _, text := range texts {
		if !strings.Contains(r.body, text) {
			t.Errorf("no %q in:\n%s", text, r.body)
		}
	}
	if strings.Contains(r.Header.Get("Content-Type"), "html") {
		if got := r.Header.Get("Content-Security-Policy"); got != ui.Policy && !strings.Contains(got, "script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'") {
			t.Errorf("policy %q", got)
		}
		if inline.MatchString(r.body) || strings.Contains(r.body, "ZgotmplZ") || strings.Contains(r.body, "<no value>") {
			t.Errorf("script or style inside of the page, or failed escape, in:\n%s", r.body)
		}
	}
	if r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("it may be cached: %q", r.Header.Get("Cache-Control"))
	}
}

// TestDetailsStayOpenWhileThePageLoadsItself: fingerprints as the device shows them,
// the command line, and all names, on the page with the number.
func TestDetailsStayOpenWhileThePageLoadsItself(t *testing.T) {
	d := open(t, samtest.Config{})
	p := d.Person(samtest.Wish{})
	var hashes [][]byte
	for i := range 9 {
		hashes = append(hashes, samtest.Hash(strconv.Itoa(i)))
	}
	in := d.Intent(p, hashes...)
	doc := samtest.Hash("document")
	one := &in.Documents[0]
	one.SignedAttrs, one.DTBSR = samtest.Attributes{Digest: doc, CertDigest: samtest.Hash(string(p.Leaf.Raw))}.DER()
	one.DocHash = doc
	q := d.Started(in)
	path := strings.TrimPrefix(q.URL, samtest.Approval)
	first := d.page(path)
	first.want(t, http.StatusOK, "Contract 5.pdf", "4 more documents")
	if strings.Contains(first.body, "Contract 6.pdf") || strings.Contains(first.body, "SHA-256") {
		t.Errorf("the first page shows everything:\n%s", first.body)
	}
	groups := func(h []byte) string {
		return strings.TrimSpace(regexp.MustCompile("........").ReplaceAllString(samtest.Hex(h), "$0 "))
	}
	d.page(path+"&details=1").want(t, http.StatusOK, `<p class="figure">`+q.Number+`</p>`, "Contract 9.pdf", q.URL, `content="20"`,
		"SHA-256 "+groups(doc), "SHA-256 "+groups(hashes[8]), "SHA-256 "+groups(samtest.Hash(string(p.Leaf.Raw))), q.SID, p.Credential,
		"Checked: this is what is to be signed", "not checked which document it is of", inWords(doc), inWords(hashes[8]))
	d.page(path[:len(path)-1]+"&details=1").want(t, http.StatusNotFound)
}

// inWords is how the page shows a digest in words.
func inWords(digest []byte) string {
	w := signing.Words(digest)
	return "<span>" + strings.Join(w[:], "</span> <span>") + "</span>"
}

func TestPageShowsTheNumberUntilTheRequestIsDecided(t *testing.T) {
	d := open(t, samtest.Config{})
	p := d.Person(samtest.Wish{})
	in := d.Intent(p, samtest.Hash("x"), samtest.Hash("y"))
	in.ClientName = "North <gate>"
	q := d.Started(in)
	path := strings.TrimPrefix(q.URL, samtest.Approval)
	d.page(path).want(t, http.StatusOK, "North &lt;gate&gt; asks you to sign 2 documents", `<p class="figure">`+q.Number+`</p>`,
		"Contract 1.pdf", "Contract 2.pdf", "5 minutes", `<meta http-equiv="refresh" content="3">`, "Test installation", p.Subject.CommonName,
		`href="`+strings.ReplaceAll(path, "&", "&amp;")+`&amp;details=1"`)

	var s struct{ SID, State, Number, SAD, Return string }
	got := d.json(path)
	got.want(t, http.StatusOK)
	if err := json.Unmarshal([]byte(got.body), &s); err != nil || s.SID != q.SID || s.State != samapi.Pending || s.Number != q.Number {
		t.Fatalf("JSON %s, %v", got.body, err)
	}
	if raw := d.json(s.SAD); raw.body != string(q.Raw) || raw.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("SAD of %d bytes, %s; want %d", len(raw.body), raw.Header.Get("Content-Type"), len(q.Raw))
	}
	d.json(s.Return).want(t, http.StatusConflict, `"code":"unfinished"`)

	d.post("/a/"+q.SID+"/approve", p.Yes(q)).want(t, http.StatusOK, `{"state":"approved"}`)
	d.page(path).want(t, http.StatusOK, "You approved 2 documents", `content="0; url=/a/`+q.SID+`/return?v=`)
	back := d.page(s.Return)
	back.want(t, http.StatusSeeOther)
	to, err := url.Parse(back.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), samtest.Return+"?") {
		t.Fatalf("sent to %q", back.Header.Get("Location"))
	}
	if _, err := d.Outcome(t.Context(), q.SID, to.Query().Get("handle")); err != nil {
		t.Fatal(err)
	}
	done := d.page(path)
	done.want(t, http.StatusOK, "You approved 2 documents", "You can close this page")
	if strings.Contains(done.body, "refresh") {
		t.Error("a finished page loads itself again")
	}
	d.page(s.Return).want(t, http.StatusConflict, "The way back was used before")
}

func TestPageOfEachEnd(t *testing.T) {
	d := open(t, samtest.Config{Limits: sam.Limits{Pending: 100}})
	p := d.Person(samtest.Wish{})
	start := func() (*samtest.Pending, string) {
		q := d.Request(p, samtest.Hash("x"))
		return q, strings.TrimPrefix(q.URL, samtest.Approval)
	}
	t.Run("rejected by a form", func(t *testing.T) {
		_, path := start()
		sent := d.do(http.MethodPost, strings.Replace(path, "?", "/reject?", 1), "text/html", "application/x-www-form-urlencoded", "reason=not+%3Cmine%3E")
		sent.want(t, http.StatusSeeOther)
		if sent.Header.Get("Location") != path {
			t.Errorf("sent to %s, want %s", sent.Header.Get("Location"), path)
		}
		d.page(path).want(t, http.StatusOK, "The request is rejected", "Reason: not &lt;mine&gt;", "Nothing was signed", "/return?v=")
	})
	t.Run("rejected by a program", func(t *testing.T) {
		_, path := start()
		d.post(strings.Replace(path, "?", "/reject?", 1), map[string]string{"reason": "no"}).want(t, http.StatusOK, `{"state":"rejected"}`)
		d.post(strings.Replace(path, "?", "/reject?", 1), map[string]string{"reason": "no"}).want(t, http.StatusConflict, `"code":"rejected"`)
	})
	t.Run("expired", func(t *testing.T) {
		q, path := start()
		d.Clock.Add(301 * time.Second)
		d.page(path).want(t, http.StatusOK, "This request has ended", "Nobody approved it")
		d.post("/a/"+q.SID+"/approve", p.Yes(q)).want(t, http.StatusGone, `"code":"sad_expired"`)
	})
	t.Run("unknown", func(t *testing.T) {
		q, path := start()
		d.page("/a/none?v=x").want(t, http.StatusNotFound, "This request is not known here")
		d.page("/a/"+q.SID).want(t, http.StatusNotFound, "This request is not known here")
		d.page(path+"x").want(t, http.StatusNotFound, "This request is not known here")
		d.json("/a/"+q.SID+"/sad?v=x").want(t, http.StatusNotFound, `"kind":"not found"`)
		d.page("/").want(t, http.StatusNotFound)
		d.page("/nothing/here").want(t, http.StatusNotFound)
	})
	t.Run("internal trouble", func(t *testing.T) {
		_, path := start()
		d.Exec(`ALTER TABLE sam_request RENAME TO hidden`)
		got := d.page(path)
		got.want(t, http.StatusInternalServerError, "The trust service does not answer", "Nothing was signed")
		if strings.Contains(got.body, "sam_request") {
			t.Error("the page tells about the database")
		}
		d.Exec(`ALTER TABLE hidden RENAME TO sam_request`)
	})
}

func TestOtherSitesCannotPost(t *testing.T) {
	d := open(t, samtest.Config{})
	p := d.Person(samtest.Wish{})
	q := d.Request(p, samtest.Hash("x"))
	path := strings.Replace(strings.TrimPrefix(q.URL, samtest.Approval), "?", "/reject?", 1)
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://mallory.example"},
		{"Origin", "null"},
	} {
		got := d.do(http.MethodPost, path, "text/html", "application/x-www-form-urlencoded", "reason=x", header...)
		if got.StatusCode != http.StatusForbidden {
			t.Errorf("%v: status %d", header, got.StatusCode)
		}
	}
	if got := d.do(http.MethodPost, path, "text/html", "application/x-www-form-urlencoded", "reason=x", "Sec-Fetch-Site", "same-origin"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("its own page: status %d, %s", got.StatusCode, got.body)
	}
}

func TestBodiesAreBoundedAndStrict(t *testing.T) {
	d := open(t, samtest.Config{})
	p := d.Person(samtest.Wish{})
	q := d.Request(p, samtest.Hash("x"))
	good, err := json.Marshal(p.Yes(q))
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		body   string
		kind   string
		status int
	}{
		"too long":        {`{"pin":"` + strings.Repeat("1", 17<<10) + `"}`, "application/json", http.StatusRequestEntityTooLarge},
		"unknown member":  {strings.Replace(string(good), `"pin"`, `"pinn"`, 1), "application/json", http.StatusBadRequest},
		"two values":      {string(good) + string(good), "application/json", http.StatusBadRequest},
		"cut short":       {string(good[:len(good)-1]), "application/json", http.StatusBadRequest},
		"not JSON":        {"pin=271828", "application/json", http.StatusBadRequest},
		"as text":         {string(good), "text/plain", http.StatusBadRequest},
		"empty":           {"", "application/json", http.StatusBadRequest},
		"nothing in it":   {"{}", "application/json", http.StatusForbidden},
		"wrong signature": {strings.Replace(string(good), `"signature":"ME`, `"signature":"MF`, 1), "application/json", http.StatusForbidden},
	} {
		got := d.do(http.MethodPost, "/a/"+q.SID+"/approve", "application/json", row.kind, row.body)
		if got.StatusCode != row.status {
			t.Errorf("%s: status %d, want %d: %s", name, got.StatusCode, row.status, got.body)
		}
	}
	d.do(http.MethodPost, "/a/"+q.SID+"/approve", "application/json", "application/json", string(good)).want(t, http.StatusOK, "approved")
}

func TestDevicesEnrolHere(t *testing.T) {
	for _, mechanism := range []string{samapi.DeviceKey, samapi.WebAuthn} {
		t.Run(mechanism, func(t *testing.T) {
			d := open(t, samtest.Config{})
			p := d.Enrolled(mechanism)
			e, code := d.Ticket(p)
			path := strings.TrimPrefix(e.URL, samtest.Approval)
			dev, req := d.NewDevice(e.ID, mechanism, code)
			_ = dev
			wrong := req
			wrong.Code = samapi.NewActivationCode()
			d.post(path, wrong).want(t, http.StatusForbidden, `"code":"activation_invalid"`)
			var done samapi.Enrolled
			got := d.post(path, req)
			got.want(t, http.StatusCreated)
			if err := json.Unmarshal([]byte(got.body), &done); err != nil || done.Signer != p.ID || done.Module != samtest.Approval || done.Authenticator == "" {
				t.Errorf("answer %s, %v", got.body, err)
			}
			d.post(path, req).want(t, http.StatusForbidden)
		})
	}
}

func TestGuessingIsSlow(t *testing.T) {
	d := open(t, samtest.Config{})
	p := d.Person(samtest.Wish{})
	q := d.Request(p, samtest.Hash("x"))
	limited := 0
	for range 60 {
		if d.post("/a/"+q.SID+"/approve", samapi.Approval{}).StatusCode == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 10 {
		t.Errorf("of 60 attempts at once %d were refused for being too many", limited)
	}
}

// FuzzApproval posts any JSON as an approval of a pending request.
func FuzzApproval(f *testing.F) {
	r := samtest.New(f, storetest.SQLite(f), samtest.Config{})
	h, err := approval.New(approval.Config{
		Module: r.Module, Origin: samtest.Approval, Site: ui.Site{Org: "x"},
		Approvals: &web.Limiter{Rate: 1e9, Burst: 1e9},
	})
	if err != nil {
		f.Fatal(err)
	}
	p := r.Person(samtest.Wish{})
	q := r.Request(p, samtest.Hash("x"))
	yes := p.Yes(q)
	yes.PIN = "" // what the fuzzer makes of it must never be right
	seed, err := json.Marshal(yes)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"webauthn":{"id":"AA==","clientDataJSON":"e30=","authenticatorData":"","signature":""}}`))
	f.Add([]byte(`{"PIN":"1","pin":"2"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/a/"+q.SID+"/approve", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code < 400 || w.Code >= 500 {
			t.Errorf("%q gives status %d: %s", body, w.Code, w.Body)
		}
	})
}
