package device_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/approval"
	"github.com/countersign/countersign/sam/device"
	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

const party = "https://rp.example/callback"

// world is a module with its approval origin and a gateway, both on loopback.
type world struct {
	*samtest.Rig

	t       *testing.T
	gateway *httptest.Server
	person  *samtest.Person
	key     *device.Key
	path    string
	intent  func(*samapi.Intent)
	sid     string
	next    string // the approval page of the request
	refuse  string // where the gateway sends the browser instead
	outer   string // the service before the gateway, or ""
	// page, unless nil, stands before the approval origin.
	page  func(h http.Handler, w http.ResponseWriter, r *http.Request)
	asked []string // paths of the approval origin
}

func newWorld(t *testing.T) *world {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, intent: func(*samapi.Intent) {}}
	w.Rig = samtest.New(t, storetest.SQLite(t), samtest.Config{Approval: "http://approve.localhost:" + port, Limits: sam.Limits{Pending: 100}})
	h, err := approval.New(approval.Config{Module: w.Module, Origin: w.Config.ApprovalURL, Now: w.Clock.Now, Site: ui.Site{Org: "Nordlys"}})
	if err != nil {
		t.Fatal(err)
	}
	wrapped := web.Wrap(h, web.Config{})
	front := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked = append(w.asked, r.Method+" "+path.Base(r.URL.Path))
		if w.page != nil {
			w.page(wrapped, rw, r)
			return
		}
		wrapped.ServeHTTP(rw, r)
	})
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: front, ReadHeaderTimeout: time.Second}}
	s.Start()
	t.Cleanup(s.Close)
	w.gateway = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.gateway.Close)
	if err := w.RegisterGateway(t.Context(), w.gateway.URL, w.gateway.URL+"/approved"); err != nil {
		t.Fatal(err)
	}
	w.enrol()
	return w
}

// enrol makes a person whose device is the package under test.
func (w *world) enrol() {
	w.t.Helper()
	w.person = w.Enrolled(samapi.DeviceKey)
	e, code := w.Ticket(w.person)
	w.path = filepath.Join(w.t.TempDir(), "device.json")
	var err error
	w.key, err = device.Enrol(w.t.Context(), device.Enrolment{URL: e.URL, Code: code, PIN: samtest.PIN, Name: "laptop", Path: w.path})
	if err != nil {
		w.t.Fatal(err)
	}
	w.person.Device.ID = w.key.Authenticator
	w.Certify(w.person, samtest.Wish{})
}

// serve is a gateway: it binds the way back to the browser that started.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/authorize":
		if w.refuse != "" {
			http.Redirect(rw, r, w.refuse, http.StatusSeeOther)
			return
		}
		in := w.Intent(w.person, samtest.Hash("x"))
		in.Gateway = w.gateway.URL
		w.intent(&in)
		begun, err := w.Begin(r.Context(), in)
		if err != nil {
			http.Error(rw, `{"error":"server_error","error_description":"begin failed"}`, http.StatusInternalServerError)
			return
		}
		w.sid = begun.SID
		http.SetCookie(rw, &http.Cookie{Name: "session", Value: begun.SID, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		w.next = begun.URL
		http.Redirect(rw, r, "/hop", http.StatusFound)
	case "/hop":
		http.Redirect(rw, r, w.next, http.StatusSeeOther)
	case "/approved":
		c, err := r.Cookie("session")
		if err != nil || c.Value != r.URL.Query().Get("sid") {
			http.Error(rw, `{"error":"access_denied","error_description":"another browser"}`, http.StatusForbidden)
			return
		}
		out, err := w.Outcome(r.Context(), c.Value, r.URL.Query().Get("handle"))
		if err != nil {
			http.Error(rw, "{}", http.StatusBadRequest)
			return
		}
		http.Redirect(rw, r, w.after()+"?state="+out.State, http.StatusSeeOther)
	default:
		http.NotFound(rw, r)
	}
}

// script answers as told, one answer after the other.
type script struct {
	t       *testing.T
	answers []func(device.Request) (device.Answer, error)
	asked   []device.Request
}

func (s *script) Decide(_ context.Context, r device.Request) (device.Answer, error) {
	s.asked = append(s.asked, r)
	if len(s.asked) > len(s.answers) {
		s.t.Errorf("asked %d times: %v", len(s.asked), r.Refused)
		return device.Answer{}, errors.New("no more answers")
	}
	return s.answers[len(s.asked)-1](r)
}

func yes(r device.Request) (device.Answer, error) {
	return device.Answer{Approve: true, PIN: samtest.PIN, Number: " " + r.Shown + " "}, nil
}

func (w *world) approve(answers ...func(device.Request) (device.Answer, error)) (string, *script, error) {
	w.t.Helper()
	s := &script{t: w.t, answers: answers}
	d := device.Device{Key: w.key, Prompt: s, Now: w.Clock.Now}
	end, err := d.Approve(w.t.Context(), w.gateway.URL+"/authorize")
	return end, s, err
}

func TestApprovalGoesFromGatewayToRelyingParty(t *testing.T) {
	w := newWorld(t)
	end, s, err := w.approve(yes)
	if err != nil || end != party+"?state=approved" {
		t.Fatalf("ended at %q, %v", end, err)
	}
	r := s.asked[0]
	if r.SAD.Party.Name != "Northgate Housing" || r.SAD.Documents[0].Name != "Contract 1.pdf" || len(r.Shown) != 2 || r.Checked[0] != 0 || r.Refused != nil {
		t.Errorf("shown %+v", r)
	}
	got, err := w.Sign(t.Context(), w.SignRequest(w.person, &samtest.Pending{Begun: samapi.Begun{SID: w.sid}}, samtest.Hash("x")))
	if err != nil || len(got.Signatures) != 1 {
		t.Errorf("sign: %v", err)
	}
}

func TestWrongPINAndNumberAreAskedAgain(t *testing.T) {
	w := newWorld(t)
	end, s, err := w.approve(
		func(r device.Request) (device.Answer, error) {
			return device.Answer{Approve: true, PIN: samtest.Wrong(samtest.PIN), Number: r.Shown}, nil
		},
		func(r device.Request) (device.Answer, error) {
			return device.Answer{Approve: true, PIN: samtest.PIN, Number: samtest.Wrong(r.Shown)}, nil
		},
		yes,
	)
	if err != nil || end != party+"?state=approved" {
		t.Fatalf("ended at %q, %v", end, err)
	}
	if fault.Of(s.asked[1].Refused).Code != samapi.CodePIN || fault.Of(s.asked[2].Refused).Code != samapi.CodeNumber {
		t.Errorf("refused with %v and %v", s.asked[1].Refused, s.asked[2].Refused)
	}
}

func TestRejectionReachesTheRelyingParty(t *testing.T) {
	w := newWorld(t)
	end, _, err := w.approve(func(device.Request) (device.Answer, error) { return device.Answer{Reason: "not mine"}, nil })
	if err != nil || end != party+"?state=rejected" {
		t.Fatalf("ended at %q, %v", end, err)
	}
	_, err = w.Sign(t.Context(), w.SignRequest(w.person, &samtest.Pending{Begun: samapi.Begun{SID: w.sid}}, samtest.Hash("x")))
	if fault.Of(err).Code != samapi.CodeRejected {
		t.Errorf("sign: %v", err)
	}
}

func TestInterruptedPersonLeavesTheRequestPending(t *testing.T) {
	w := newWorld(t)
	stop := errors.New("interrupted")
	if _, _, err := w.approve(func(device.Request) (device.Answer, error) { return device.Answer{}, stop }); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
	_, err := w.Sign(t.Context(), w.SignRequest(w.person, &samtest.Pending{Begun: samapi.Begun{SID: w.sid}}, samtest.Hash("x")))
	if fault.Of(err).Code != samapi.CodeNotApproved {
		t.Errorf("sign: %v", err)
	}
}

// TestDeviceRecomputesTheDigest holds the document beside what is to be signed.
func TestDeviceRecomputesTheDigest(t *testing.T) {
	w := newWorld(t)
	doc := samtest.Hash("document")
	w.intent = func(in *samapi.Intent) {
		a := samtest.Attributes{Digest: doc, CertDigest: samtest.Hash(string(w.person.Leaf.Raw))}
		in.Documents[0].SignedAttrs, in.Documents[0].DTBSR = a.DER()
		in.Documents[0].DocHash = doc
	}
	run := func(own []byte, have bool) (string, *script, error) {
		s := &script{t: t, answers: []func(device.Request) (device.Answer, error){yes}}
		d := device.Device{Key: w.key, Prompt: s, Now: w.Clock.Now, Digest: func(context.Context, sad.Doc) ([]byte, bool, error) { return own, have, nil }}
		end, err := d.Approve(t.Context(), w.gateway.URL+"/authorize")
		return end, s, err
	}
	if end, s, err := run(doc, true); err != nil || s.asked[0].Checked[0] != 2 || end != party+"?state=approved" {
		t.Errorf("the document: ended at %q, %+v, %v", end, s.asked, err)
	}
	if _, s, err := run(nil, false); err != nil || s.asked[0].Checked[0] != 1 {
		t.Errorf("without the document: %+v, %v", s.asked, err)
	}
	_, s, err := run(samtest.Hash("another"), true)
	if fault.Of(err).Code != samapi.CodeMismatch || len(s.asked) != 0 {
		t.Errorf("another document: asked %d times, %v", len(s.asked), err)
	}
	_, err = w.Sign(t.Context(), w.SignRequest(w.person, &samtest.Pending{Begun: samapi.Begun{SID: w.sid}}, doc))
	if fault.Of(err).Code != samapi.CodeRejected {
		t.Errorf("the device did not reject: %v", err)
	}
}

func TestDeviceSignsOnlyWhatIsForIt(t *testing.T) {
	w := newWorld(t)
	never := func(device.Request) (device.Answer, error) {
		t.Error("the person was asked")
		return device.Answer{}, nil
	}
	mine := *w.key
	w.key = &mine
	for name, edit := range map[string]func(*device.Key){
		"another module's":        func(k *device.Key) { k.Module = "https://other.example" },
		"another signer's":        func(k *device.Key) { k.Signer = "mallory" },
		"not one of its devices'": func(k *device.Key) { k.Authenticator = "other" },
	} {
		k := mine
		edit(&k)
		w.key = &k
		if _, _, err := w.approve(never); !errors.Is(err, fault.Forbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.key = &mine
	w.Clock.Add(-time.Second) // the device's clock stands at the end of the request
	d := device.Device{Key: w.key, Prompt: &script{t: t}, Now: func() time.Time { return w.Clock.Now().Add(300 * time.Second) }}
	if _, err := d.Approve(t.Context(), w.gateway.URL+"/authorize"); !errors.Is(err, fault.Expired) {
		t.Errorf("expired by the device's clock: %v", err)
	}
}

// TestOtherOriginsAreTheEnd: whoever is not the approval origin is not shown to the
// person, and nothing is sent there.
func TestOtherOriginsAreTheEnd(t *testing.T) {
	w := newWorld(t)
	asked := 0
	phisher := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	t.Cleanup(phisher.Close)
	for _, to := range []string{party + "?error=access_denied", phisher.URL + "/a/x?v=y", strings.Replace(w.Config.ApprovalURL, "approve.", "approve2.", 1) + "/a/x?v=y"} {
		w.refuse = to
		end, _, err := w.approve()
		if err != nil || end != to {
			t.Errorf("ended at %q, %v; want %q", end, err, to)
		}
	}
	if asked != 0 {
		t.Errorf("the other origin was asked %d times", asked)
	}
	w.refuse = w.gateway.URL + "/authorize" // circles
	if _, _, err := w.approve(); !errors.Is(err, fault.Unavailable) {
		t.Errorf("circles: %v", err)
	}
	w.refuse = w.gateway.URL + "/nothing"
	if _, _, err := w.approve(); !errors.Is(err, fault.Unavailable) {
		t.Errorf("a page instead of a redirect: %v", err)
	}
}

// TestWayBackStaysAtTheGateway: a request of one gateway cannot lead the browser to
// another, even if both are registered.
func TestWayBackStaysAtTheGateway(t *testing.T) {
	w := newWorld(t)
	if err := w.RegisterGateway(t.Context(), "https://other.example", "https://other.example/approved"); err != nil {
		t.Fatal(err)
	}
	w.intent = func(in *samapi.Intent) { in.Gateway = "https://other.example" }
	if _, _, err := w.approve(yes); !errors.Is(err, fault.Forbidden) {
		t.Errorf("got %v", err)
	}
}

func TestApprovalPageItselfMayBeTheStart(t *testing.T) {
	w := newWorld(t)
	in := w.Intent(w.person, samtest.Hash("x"))
	in.Gateway = w.gateway.URL
	begun, err := w.Begin(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	d := device.Device{Key: w.key, Prompt: &script{t: t, answers: []func(device.Request) (device.Answer, error){yes}}, Now: w.Clock.Now}
	end, err := d.Approve(t.Context(), begun.URL)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(end)
	if err != nil || !strings.HasPrefix(end, w.gateway.URL+"/approved?") {
		t.Fatalf("ended at %q", end)
	}
	if out, err := w.Outcome(t.Context(), begun.SID, u.Query().Get("handle")); err != nil || out.State != samapi.Approved {
		t.Errorf("outcome %+v, %v", out, err)
	}
}

func TestKeyFileIsPrivate(t *testing.T) {
	w := newWorld(t)
	info, err := os.Stat(w.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file %v, %v", info.Mode(), err)
	}
	k, err := device.Load(w.path)
	if err != nil || k.Authenticator != w.key.Authenticator || k.Approval != w.Config.ApprovalURL {
		t.Fatalf("loaded %+v, %v", k, err)
	}
	data, err := os.ReadFile(w.path)
	if err != nil || strings.Contains(string(data), samtest.PIN) {
		t.Errorf("the key file has the PIN, or %v", err)
	}
	if err := os.Chmod(w.path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := device.Load(w.path); !errors.Is(err, fault.Invalid) {
		t.Errorf("readable by others: %v", err)
	}
	if _, err := device.Load(w.path + "x"); !errors.Is(err, fault.NotFound) {
		t.Errorf("no file: %v", err)
	}
	e, code := w.Ticket(w.person)
	again := device.Enrolment{URL: e.URL, Code: code, PIN: samtest.PIN, Name: "laptop", Path: w.path}
	if _, err := device.Enrol(t.Context(), again); !errors.Is(err, fault.Conflict) {
		t.Errorf("over an existing key: %v", err)
	}
	again.Path += "2"
	again.Code = samapi.NewActivationCode()
	if _, err := device.Enrol(t.Context(), again); fault.Of(err).Code != samapi.CodeActivation {
		t.Errorf("wrong code: %v", err)
	}
	if _, err := os.Stat(again.Path); err == nil {
		t.Error("a key that was not enrolled is left behind")
	}
	again.Code = code
	if _, err := device.Enrol(t.Context(), again); err != nil {
		t.Errorf("the right code: %v", err)
	}
	again.URL = "https://approve.example/elsewhere"
	again.Path += "3"
	if _, err := device.Enrol(t.Context(), again); !errors.Is(err, fault.Invalid) {
		t.Errorf("no enrolment URL: %v", err)
	}
}

func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(`{"v":1,"approval":"https://a","module":"m","authenticator":"x","key":"AA=="}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := device.Load(path); err == nil && (k.Version != 1 || k.Authenticator == "") {
			t.Errorf("%q is taken for a key", data)
		}
	})
}
