package e2e_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

// passkeyPerson registers a signer whose key is bound to passkeys and enrols the
// tab's passkey on the page that the link leads to.
func (s *approvalSite) passkeyPerson(b *approvalTab) *samtest.Person {
	s.t.Helper()
	p := s.Enrolled(samapi.WebAuthn) // registers the person, with a passkey that stays at home
	e, code := s.Ticket(p)
	b.goTo(s.local(e.URL))
	b.sees("Add a passkey")
	b.types("#code", code)
	b.types("#name", "Ada’s laptop")
	b.click("#add")
	b.sees("Your passkey was added")
	b.sees("It approves signatures of " + p.Subject.CommonName)
	s.Certify(p, samtest.Wish{})
	return p
}

// intentOf is an intent whose documents' signed attributes the module can check.
func (s *approvalSite) intentOf(p *samtest.Person, documents ...[]byte) samapi.Intent {
	in := s.Intent(p, documents...)
	for i, digest := range documents {
		doc := &in.Documents[i]
		doc.SignedAttrs, doc.DTBSR = samtest.Attributes{Digest: digest, CertDigest: samtest.Hash(string(p.Leaf.Raw))}.DER()
		doc.DocHash = digest
	}
	return in
}

// state is a request's state by the module.
func (s *approvalSite) state(q *samtest.Pending) string {
	s.t.Helper()
	v, err := s.View(s.t.Context(), q.SID, q.View)
	if err != nil {
		s.t.Fatal(err)
	}
	return v.State
}

func TestPasskeyEnrolsAndApprovesInTheBrowser(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	b.authenticator()
	t.Run("the link and the code", func(t *testing.T) {
		p := s.Enrolled(samapi.WebAuthn)
		e, _ := s.Ticket(p)
		b.goTo(s.local(e.URL))
		b.sees("Add a passkey")
		b.looksRight("enrol-passkey")
		b.click("#add")
		b.sees("Type the activation code")
		b.types("#code", samapi.NewActivationCode())
		b.types("#name", "Mallory’s laptop")
		b.click("#add")
		b.sees("The activation code is wrong")
		b.looksRight("enrol-wrong-code")
		b.goTo(s.base + "/enrol/nosuch")
		b.sees("This link cannot be used any more")
	})
	p := s.passkeyPerson(b)
	q := s.Started(s.intentOf(p, samtest.Hash("tenancy"), samtest.Hash("rules")))
	b.goTo(s.local(q.URL))
	b.sees("Northgate Housing asks you to sign 2 documents")
	for _, text := range []string{"Contract 1.pdf", "1.2 KB", "Stated by the sender", "Advanced signature", "Not a qualified one", "Registered here"} {
		b.sees(text)
	}
	b.looksRight("approve-passkey")
	b.click("#approve")
	b.sees("Back at the gateway")
	out, err := s.Outcome(t.Context(), q.SID, s.returned().Get("handle"))
	if err != nil || out.State != samapi.Approved || out.Count != 2 {
		t.Fatalf("outcome %+v, %v", out, err)
	}
	b.goTo(s.local(q.URL))
	b.sees("You approved 2 documents")
	b.looksRight("approved")
}

func TestPasskeyThatMisbehavesApprovesNothing(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	a := b.authenticator()
	p := s.passkeyPerson(b)
	q := s.Started(s.intentOf(p, samtest.Hash("x")))
	b.goTo(s.local(q.URL))
	refused := func(name, text string) {
		t.Helper()
		b.do(chromedp.WaitEnabled(chromedp.CSS("#approve")))
		b.click("#approve")
		b.sees(text)
		if got := s.state(q); got != samapi.Pending {
			t.Fatalf("%s: the request is %s", name, got)
		}
	}
	b.override(a, true, false)
	refused("bad signature", "The approval was not accepted")
	b.looksRight("approve-passkey-refused")
	b.override(a, false, true)
	refused("no user verification, said by the device", "The approval was not accepted")
	b.override(a, false, false)
	b.userVerified(a, false)
	refused("no user verification, seen by the browser", "The passkey was not used")
	b.userVerified(a, true)

	t.Run("another origin", func(t *testing.T) { otherOrigin(t, s, b, p, q) })
	t.Run("replay", func(t *testing.T) { replayed(t, s, b, p) })

	b.goTo(s.local(q.URL))
	b.click("#approve")
	b.sees("Back at the gateway")
	if got := s.state(q); got != samapi.Approved {
		t.Errorf("the same passkey, behaving: %s", got)
	}
}

// assertion asks the tab's passkey for one, as the approval page's script does.
const assertion = `(async (sad, rp, handle) => {
	const bytes = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
	const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b)));
	const domain = new TextEncoder().encode("countersign-sad-v1\u0000");
	const raw = bytes(sad);
	const data = new Uint8Array(domain.length + raw.length);
	data.set(domain);
	data.set(raw, domain.length);
	const challenge = await crypto.subtle.digest("SHA-256", data);
	const got = await navigator.credentials.get({publicKey: {challenge, rpId: rp, allowCredentials: [{type: "public-key", id: bytes(handle)}], userVerification: "required"}});
	const r = got.response;
	return JSON.stringify({id: text(got.rawId), clientDataJSON: text(r.clientDataJSON), authenticatorData: text(r.authenticatorData), signature: text(r.signature)});
})`

// assert has the passkey sign the request's challenge on the page that is open.
func (s *approvalSite) assert(b *approvalTab, q *samtest.Pending) samapi.Approval {
	s.t.Helper()
	shown, err := s.Shown(s.t.Context(), q.SID, q.View)
	if err != nil {
		s.t.Fatal(err)
	}
	k := shown.Passkey[0]
	for _, other := range shown.Passkey { // the one that this tab has
		if other.Name == "Ada’s laptop" {
			k = other
		}
	}
	args, err := json.Marshal([]any{q.Raw, "approve.localhost", k.Handle})
	if err != nil {
		s.t.Fatal(err)
	}
	yes := samapi.Approval{Authenticator: k.Authenticator, Number: q.Number, WebAuthn: &samapi.Assertion{}}
	got := eval[string](b, assertion+"(..."+string(args)+")")
	if err := json.Unmarshal([]byte(got), yes.WebAuthn); err != nil {
		s.t.Fatal(err)
	}
	return yes
}

// otherOrigin: a site on a name below the approval origin's may ask for its passkeys
// by the rules of WebAuthn. What they sign there says where, and is refused.
func otherOrigin(t *testing.T, s *approvalSite, b *approvalTab, _ *samtest.Person, q *samtest.Pending) {
	b.goTo(strings.Replace(s.base, "approve.", "evil.approve.", 1) + "/")
	b.sees("Another site")
	yes := s.assert(b, q)
	if !strings.Contains(string(yes.WebAuthn.ClientDataJSON), "evil.approve.localhost") {
		t.Fatalf("the assertion is of %s", yes.WebAuthn.ClientDataJSON)
	}
	if state, err := s.Approve(t.Context(), q.SID, yes); err == nil || state == samapi.Approved {
		t.Errorf("an assertion of another origin: %s, %v", state, err)
	}
}

// replayed: an assertion is good for its request alone, and once.
func replayed(t *testing.T, s *approvalSite, b *approvalTab, p *samtest.Person) {
	one := s.Started(s.intentOf(p, samtest.Hash("one")))
	two := s.Started(s.intentOf(p, samtest.Hash("one")))
	b.goTo(s.local(one.URL))
	b.sees("asks you to sign")
	yes := s.assert(b, one)
	if state, err := s.Approve(t.Context(), two.SID, yes); err == nil {
		t.Errorf("another request with the same documents takes it: %s", state)
	}
	if _, err := s.Approve(t.Context(), one.SID, yes); err != nil {
		t.Fatalf("its own request: %v", err)
	}
	if state, err := s.Approve(t.Context(), one.SID, yes); err == nil {
		t.Errorf("a second time: %s", state)
	}
}

// TestPasskeyApprovesOnAPhone goes the way of the code: another page, which asks for
// the number of the first one and has no way back.
func TestPasskeyApprovesOnAPhone(t *testing.T) {
	s := newApprovalSite(t)
	phone := s.open(chromium(t))
	phone.authenticator()
	p := s.passkeyPerson(phone)
	q := s.Started(s.intentOf(p, samtest.Hash("tenancy")))
	first := s.open(chromium(t)) // another browser
	first.goTo(s.local(q.URL))
	first.sees("Point the camera of your phone at this code")
	first.sees(q.Number)
	token, err := s.PhoneToken(t.Context(), q.SID, q.View)
	if err != nil {
		t.Fatal(err)
	}
	phone.do(chromedp.EmulateViewport(360, 740))
	phone.goTo(s.base + "/p/" + q.SID + "?t=" + url.QueryEscape(token))
	phone.sees("Do these words match the other screen?")
	if strings.Contains(phone.text(), "\n"+q.Number+"\n") {
		t.Error("the phone's page shows the number")
	}
	phone.looksRight("phone-passkey")
	phone.types("#number", samtest.Wrong(q.Number))
	phone.click("#approve")
	phone.sees("That is not the number on the other screen")
	phone.do(chromedp.WaitEnabled(chromedp.CSS("#approve")))
	phone.types("#number", q.Number)
	start := time.Now()
	phone.click("#approve")
	phone.sees("Go on at the other screen")
	first.sees("Back at the gateway") // by its own events
	t.Logf("both screens knew after %s", time.Since(start).Round(time.Millisecond))
	if got := s.state(q); got != samapi.Approved {
		t.Errorf("the request is %s", got)
	}
	phone.goTo(s.base + "/p/" + q.SID + "?t=wrong")
	phone.sees("This request is not known here")
}
