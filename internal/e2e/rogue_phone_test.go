package e2e_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"rsc.io/qr/coding"

	"github.com/countersign/countersign/sam/sad"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

// phone is Grace's, with a passkey, and a request of the rogue's that waits for her.
type phone struct {
	r       *rogue
	device  *samtest.Device
	begun   samapi.Begun
	link    string            // what the code on the request's page says
	earlier *samapi.Assertion // of Grace's, over a request that she approved
}

// overhearPhone gives Grace a passkey and a key that is bound to it, has her approve
// a request on her phone, and begins another one.
func (r *rogue) overhearPhone() {
	t := r.t
	t.Helper()
	who := []string{
		"--key", r.in.path("ra.pem"), "--ra", raName, "--signer", "grace", "--given-name", "Grace", "--surname", "Hopper",
		"--country", "FI", "--serial", "PNOFI-grace", "--assurance", "substantial", "--method", "a test said so", "--mechanism", samapi.WebAuthn,
	}
	var ticket struct{ URL, Code string }
	r.in.decode(t, r.in.must(t, append([]string{"admin", "enrol"}, who...)...), &ticket)
	origin, err := url.Parse(r.in.approval)
	if err != nil {
		t.Fatal(err)
	}
	d := &samtest.Device{Key: newECKey(t), Handle: make([]byte, 32), Origin: r.in.approval, RPID: origin.Hostname()}
	_, _ = rand.Read(d.Handle) // never fails
	p := &phone{r: r, device: d}
	challenge, err := samapi.EnrolChallenge(ticket.URL[strings.LastIndex(ticket.URL, "/")+1:], samapi.WebAuthn, nil)
	if err != nil {
		t.Fatal(err)
	}
	var enrolled samapi.Enrolled
	decode(t, p.must(r.post(r.browser, ticket.URL, samapi.Enrol{Code: ticket.Code, Mechanism: samapi.WebAuthn, Name: "Grace's phone", WebAuthn: &samapi.Registration{
		ID: d.Handle, ClientDataJSON: d.ClientData("webauthn.create", challenge), AuthenticatorData: d.Attested(),
	}})), &enrolled)
	d.ID = enrolled.Authenticator
	var key struct{ Credential string }
	r.in.decode(t, r.in.must(t, append([]string{"admin", "certify", "--pki", r.in.pki}, who...)...), &key)
	r.phone = p
	p.ask(key.Credential)
	p.earlier = p.assertion(d)
	p.stillApproves()
	p.ask(key.Credential)
}

// ask begins a request for Grace and reads the code on its page.
func (p *phone) ask(credential string) {
	r := p.r
	r.t.Helper()
	in := r.intent(hash())
	in.Credential = credential
	var err error
	if p.begun, err = r.in.sockets().Module().Begin(r.t.Context(), in); err != nil {
		r.t.Fatal(err)
	}
	page, view, _ := strings.Cut(p.begun.URL, "?")
	p.link = r.readCode(string(p.must(r.get(r.browser, page+"/qr.svg?"+view))))
	if !strings.HasPrefix(p.link, r.in.approval+"/p/"+p.begun.SID+"?t=") {
		r.t.Fatalf("the code for the phone says %q", p.link)
	}
}

func (p *phone) must(status int, body []byte) []byte {
	p.r.t.Helper()
	if status >= http.StatusBadRequest {
		p.r.t.Fatalf("the rightful user is refused: %d %s", status, body)
	}
	return body
}

// at is a path of the phone's page, with its token.
func (p *phone) at(end string) string { return strings.Replace(p.link, "?", end+"?", 1) }

// assertion is a passkey's over the request, for the phone's page gives its bytes.
func (p *phone) assertion(d *samtest.Device) *samapi.Assertion {
	p.r.t.Helper()
	challenge := sad.Challenge(p.must(p.r.get(p.r.browser, p.at("/sad"))))
	return d.Assert(challenge[:])
}

func (p *phone) yes(a *samapi.Assertion) samapi.Approval {
	return samapi.Approval{Authenticator: p.device.ID, WebAuthn: a, Number: p.r.number(p.begun)}
}

func (p *phone) approveAt() string { return p.r.in.approval + "/a/" + p.begun.SID + "/approve" }

// stillApproves has Grace approve on her phone.
func (p *phone) stillApproves() {
	p.r.t.Helper()
	if b := p.must(p.r.first(p.r.browser, p.at("/events"))); !strings.Contains(string(b), samapi.Pending) {
		p.r.t.Errorf("events of the phone: %s", b)
	}
	var done struct{ State, To string }
	decode(p.r.t, p.must(p.r.post(p.r.browser, p.approveAt(), p.yes(p.assertion(p.device)))), &done)
	if done.State != samapi.Approved || done.To != "" {
		p.r.t.Errorf("Grace's approval on the phone: %+v", done)
	}
}

// attempts are what the rogue tries with the phone's address, which it reads off the
// code of its own request, with passkeys of its own, and with Grace's assertions: one
// over an earlier request, and one over this, as if she had touched the key and not
// typed the number.
func (p *phone) attempts() map[string][]attempt {
	r := p.r
	own := &samtest.Device{Key: r.key, Handle: p.device.Handle, Origin: p.device.Origin, RPID: p.device.RPID}
	elsewhere := &samtest.Device{Key: p.device.Key, Handle: p.device.Handle, Origin: r.in.issuer, RPID: p.device.RPID}
	read := func(name, address, refused string) attempt {
		return attempt{name: name, do: func() (int, []byte) { return r.get(r.browser, address) }, refused: refused, without: p.view()}
	}
	send := func(name, address string, v any, refused string) attempt {
		return attempt{name: name, do: func() (int, []byte) { return r.post(r.browser, address, v) }, refused: refused}
	}
	with := func(a *samapi.Assertion, f func(*samapi.Approval)) samapi.Approval {
		y := p.yes(a)
		f(&y)
		return y
	}
	same := func(*samapi.Approval) {}
	genuine := p.assertion(p.device)
	adas := func(end string) string { return strings.Replace(p.at(end), p.begun.SID, r.pending.SID, 1) }
	// Grace has the page open in her browser.
	graces := r.in.newBrowser(r.t)
	if q := get(r.t, graces, p.begun.URL, "Accept", "text/html"); q.status != http.StatusOK {
		r.t.Fatalf("Grace's browser is refused: %d %s", q.status, q.body)
	}
	return map[string][]attempt{
		"GET /p/{sid}":        {read("its own request", p.at(""), ""), read("Ada's request with the token of Grace's", adas(""), samapi.CodeSADInvalid)},
		"GET /p/{sid}/sad":    {read("its own request", p.at("/sad"), ""), read("Ada's request with the token of Grace's", adas("/sad"), samapi.CodeSADInvalid)},
		"GET /p/{sid}/events": {read("Ada's request with the token of Grace's", adas("/events"), samapi.CodeSADInvalid)},
		"POST /p/{sid}/reject": {
			send("Ada's request with the token of Grace's", adas("/reject"), map[string]string{"reason": "rogue"}, samapi.CodeSADInvalid),
		},
		"POST /a/{sid}/approve": {
			send("its own passkey in Grace's name", p.approveAt(), with(p.assertion(own), same), samapi.CodeAssertion),
			send("Grace's assertion over another request", p.approveAt(), with(p.earlier, same), samapi.CodeAssertion),
			send("Grace's passkey on a page of its own", p.approveAt(), with(p.assertion(elsewhere), same), samapi.CodeAssertion),
			send("Grace's assertion without the number", p.approveAt(), with(genuine, func(y *samapi.Approval) { y.Number = "" }), samapi.CodeNumber),
			send("Grace's assertion with the view, from another browser than hers", p.approveAt(), with(genuine, func(y *samapi.Approval) { y.Number, y.View = "", p.view() }), samapi.CodeOtherBrowser),
			send("Grace's assertion on Ada's request", r.in.approval+"/a/"+r.pending.SID+"/approve", with(genuine, same), samapi.CodeUnknownDevice),
			send("Grace's assertion as Ada's device", r.in.approval+"/a/"+r.pending.SID+"/approve", with(genuine, func(y *samapi.Approval) { y.Authenticator = r.ada.key.Authenticator }), samapi.CodeAssertion),
		},
		"POST /app/api/session": {
			{name: "Grace's passkey, which opens none", do: func() (int, []byte) {
				q := r.mallory.open(p.device.ID)
				c, err := samapi.SessionChallenge(r.in.approval, p.device.ID, q.Nonce)
				if err != nil {
					r.t.Fatal(err)
				}
				q.Signature = p.device.Sign(c)
				return r.post(r.browser, r.in.approval+"/app/api/session", q)
			}, refused: samapi.CodeSession},
		},
	}
}

func (p *phone) view() string {
	_, view, _ := strings.Cut(p.begun.URL, "?v=")
	return view
}

var codeRun = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-\d+z`)

// readCode reads a QR code as a camera would whose picture has no errors: the dark
// modules of the drawing, with the mask taken off that gives a text.
func (r *rogue) readCode(svg string) string {
	r.t.Helper()
	const edge = 4
	box := regexp.MustCompile(`viewBox="0 0 (\d+) `).FindStringSubmatch(svg)
	if box == nil {
		r.t.Fatalf("no code: %.200s", svg)
	}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			r.t.Fatal(err)
		}
		return n
	}
	size := number(box[1]) - 2*edge
	dark := make([][]bool, size)
	for y := range dark {
		dark[y] = make([]bool, size)
	}
	for _, run := range codeRun.FindAllStringSubmatch(svg, -1) {
		for i := range number(run[3]) {
			dark[number(run[2])-edge][number(run[1])-edge+i] = true
		}
	}
	for mask := range coding.Mask(8) {
		plan, err := coding.NewPlan(coding.Version((size-17)/4), coding.M, mask)
		if err != nil {
			r.t.Fatal(err)
		}
		if text, ok := unmask(plan, dark); ok {
			return text
		}
	}
	r.t.Fatalf("the code cannot be read: %.200s", svg)
	return ""
}

// unmask reads the text of a plan's data modules, if it is one segment of bytes
// (ISO/IEC 18004 §7.4) and the plan's fixed modules are those of the picture.
func unmask(plan *coding.Plan, dark [][]bool) (string, bool) {
	b := make([]byte, plan.DataBytes)
	for y, row := range plan.Pixel {
		for x, p := range row {
			on := dark[y][x] != (p&coding.Invert != 0)
			switch o := p.Offset(); {
			case p.Role() == coding.Format && dark[y][x] != (p&coding.Black != 0):
				return "", false
			case p.Role() == coding.Data && on && int(o/8) < len(b):
				b[o/8] |= 1 << (7 - o%8)
			}
		}
	}
	if len(b) < 3 || b[0]>>4 != 4 {
		return "", false
	}
	at := func(i int) byte { return b[i]<<4 | b[i+1]>>4 } // behind the four bits of the mode
	n, start := int(at(0)), 1
	if plan.Version > 9 {
		n, start = n<<8|int(at(1)), 2
	}
	if start+n+1 > len(b) {
		return "", false
	}
	text := make([]byte, n)
	for i := range text {
		text[i] = at(start + i)
	}
	return string(text), true
}
