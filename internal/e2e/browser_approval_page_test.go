package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// speaks makes the tab's browser want a language.
func (b *approvalTab) speaks(lang string) {
	b.t.Helper()
	v, err := chromedp.CallBrowser(b.ctx, browser.GetVersion, struct{}{})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: v.UserAgent, AcceptLanguage: lang}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *approvalTab) scripts(on bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on}); err != nil {
		b.t.Fatal(err)
	}
}

func TestPageFollowsTheDevice(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	p := s.Person(samtest.Wish{})
	t.Run("by events", func(t *testing.T) {
		q := s.Started(s.intentOf(p, samtest.Hash("tenancy"), samtest.Hash("rules")))
		b.goTo(s.local(q.URL))
		b.sees("Open the request on the device that holds your approval key")
		b.sees(q.Number)
		b.sees("Point the camera of your phone")
		b.looksRight("waiting")
		if _, err := s.Approve(t.Context(), q.SID, p.Yes(q)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		b.sees("Back at the gateway")
		t.Logf("the page knew after %s", time.Since(start).Round(time.Millisecond))
	})
	t.Run("without scripts", func(t *testing.T) {
		q := s.Started(s.intentOf(p, samtest.Hash("x")))
		b.scripts(false)
		b.goTo(s.local(q.URL))
		b.sees(q.Number)
		if _, err := s.Approve(t.Context(), q.SID, p.Yes(q)); err != nil {
			t.Fatal(err)
		}
		b.sees("Back at the gateway")
		r := s.Started(s.intentOf(p, samtest.Hash("y")))
		b.goTo(s.local(r.URL))
		b.types("#reason", "not mine")
		b.do(chromedp.Submit(chromedp.CSS(`form[action*="/reject"]`)))
		b.sees("Back at the gateway")
		if v, err := s.View(t.Context(), r.SID, r.View); err != nil || v.Reason != "not mine" {
			t.Errorf("%+v, %v", v, err)
		}
		b.scripts(true)
	})
	t.Run("expired", func(t *testing.T) {
		q := s.Started(s.intentOf(p, samtest.Hash("z")))
		s.Clock.Add(301 * time.Second)
		b.scripts(false) // else it goes on by itself; here too, but after a moment
		b.goTo(s.local(q.URL))
		b.scripts(true)
		b.sees("Back at the gateway")
		b.goTo(s.local(strings.Replace(q.URL, q.SID, "nosuch", 1)))
		b.sees("This request is not known here")
		b.looksRight("unknown")
	})
}

// TestPagesHoldTheExtremes: many documents, long names, German.
func TestPagesHoldTheExtremes(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	b.speaks("de")
	b.authenticator()
	p := s.Enrolled(samapi.WebAuthn)
	e, code := s.Ticket(p)
	b.goTo(s.local(e.URL))
	b.sees("Passkey hinzufügen")
	b.types("#code", code)
	b.types("#name", "Adas Telefon")
	b.click("#add")
	b.sees("Ihr Passkey ist hinzugefügt")
	s.Certify(p, samtest.Wish{Multisign: 200})
	var digests [][]byte
	for i := range 60 {
		digests = append(digests, samtest.Hash(fmt.Sprint(i)))
	}
	in := s.intentOf(p, digests...)
	in.ClientName = "Wohnungsbaugenossenschaft Nordlicht-Hafencity und Umgebung eingetragene Genossenschaft"
	for i := range in.Documents {
		in.Documents[i].Label = strings.Repeat("Mietvertragsnebenkostenabrechnung", 3) + fmt.Sprintf("_%02d_endgültig.pdf", i+1)
		in.Documents[i].Size = 98_765_432
	}
	q := s.Started(in)
	b.goTo(s.local(q.URL))
	b.sees("60 Dokumente freigeben")
	b.sees("55 weitere Dokumente zeigen")
	b.sees("Keine qualifizierte")
	b.looksRight("extreme-de")
	b.goTo(s.local(q.URL) + "&details=1")
	b.sees("_60_endgültig.pdf")
	b.looksRight("extreme-details-de")
	b.click("#approve")
	b.sees("Back at the gateway")
}

func TestSignerChoosesLanguageAndThemeOnThePage(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	b.goTo(s.base + "/app/")
	b.sees("This browser is no device yet")
	b.click(`a[hreflang="de"]`)
	b.sees("Dieser Browser ist noch kein Gerät")
	b.goTo(s.base + "/app/?theme=dark")
	b.sees("Dieser Browser ist noch kein Gerät")
	if got := eval[string](b, `document.documentElement.dataset.theme + " " + location.search`); got != "dark " {
		t.Errorf("theme and query: %q", got)
	}
	b.looksRight("app-none-de")
	// The skip link is the first stop of the keyboard and leads to the content.
	b.do(chromedp.KeyEvent("\t"))
	if got := eval[string](b, `document.activeElement.className + " " + document.activeElement.getAttribute("href")`); got != "skip #main" {
		t.Errorf("the first stop is %q", got)
	}
}

// TestSignerConfirmsInTheApp is the app from its installation to its end.
func TestSignerConfirmsInTheApp(t *testing.T) {
	t.Attr("feature", "R2")
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	p := s.appPerson(b)
	b.list(s)
	eval[bool](b, `navigator.serviceWorker.ready.then(() => true)`)
	b.goTo(s.base + "/app/")
	wrong, err := chromedp.Call(b.ctx, cdppage.GetInstallabilityErrors, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range wrong.InstallabilityErrors {
		if e.ErrorID != "in-incognito" { // what a test's profile is
			t.Errorf("it cannot be installed: %s %v", e.ErrorID, e.ErrorArguments)
		}
	}
	// Who asks, which documents, digest words, key.
	q := s.Started(s.intentOf(p, samtest.Hash("tenancy")))
	b.sees("1 request waits for you")
	b.opens(q)
	words := signing.Words(samtest.Hash("tenancy"))
	for _, text := range append(words[:], "Northgate Housing asks you to sign 1 document", "Contract 1.pdf", p.Subject.CommonName, "Advanced signature") {
		b.sees(text)
	}
	// Number entry.
	b.types("#number", samtest.Wrong(q.Number))
	b.types("#pin", samtest.PIN)
	b.click(`button[type="submit"]`)
	b.sees("That is not the number on the other screen")
	b.types("#number", q.Number)
	b.types("#pin", samtest.PIN)
	b.click(`button[type="submit"]`)
	b.sees("You approved 1 document")
	if got := s.state(q); got != samapi.Approved {
		t.Fatalf("approved in the app, the module says %s", got)
	}
	// Reject.
	q = s.Started(s.intentOf(p, samtest.Hash("rules")))
	b.goTo(s.base + "/app/r/" + q.SID)
	b.click(`[data-do="reject"]`)
	b.click(`[data-do="yes"]`)
	b.sees("The request is rejected")
	if got := s.state(q); got != samapi.Rejected {
		t.Fatalf("rejected in the app, the module says %s", got)
	}
	// A revoked device is refused, also with everything right.
	s.Clock.Add(2 * time.Minute)
	q = s.Started(s.intentOf(p, samtest.Hash("more")))
	b.goTo(s.base + "/app/r/" + q.SID)
	b.types("#number", q.Number)
	b.types("#pin", samtest.PIN)
	order := samapi.RevokeDevice{Order: s.Order(), Authenticator: s.phoneOf(p).ID, Reason: "lost"}
	if err := s.RevokeDevice(t.Context(), s.Seal(samapi.DomainRevokeDevice, order)); err != nil {
		t.Fatal(err)
	}
	b.click(`button[type="submit"]`)
	b.sees("This device was removed")
	if got := s.state(q); got != samapi.Pending {
		t.Fatalf("approved with a revoked device, the module says %s", got)
	}
}

// TestOnePhoneDoesItAll: page and app in one browser of the size of a phone.
func TestOnePhoneDoesItAll(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch))
	p := s.appPerson(b)
	q := s.Started(s.intentOf(p, samtest.Hash("tenancy")))
	b.goTo(s.local(q.URL))
	b.sees(q.Number)
	if href := eval[string](b, `document.querySelector('a[target="_blank"]').getAttribute("href")`); href != "/app/r/"+q.SID {
		t.Errorf("the way to the app is %q", href)
	}
	b.goTo(s.base + "/app/r/" + q.SID)
	b.types("#number", q.Number)
	b.types("#pin", samtest.PIN)
	b.click(`button[type="submit"]`)
	b.sees("You approved 1 document")
	b.goTo(s.local(q.URL))
	b.sees("Back at the gateway")
	if s.returned().Get("sid") != q.SID {
		t.Errorf("came back with %v", s.returned())
	}
}

// TestAppSaysWhenTheServiceIsAway, and goes on by itself.
func TestAppSaysWhenTheServiceIsAway(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	p := s.appPerson(b)
	b.list(s)
	eval[bool](b, `navigator.serviceWorker.ready.then(() => true)`)
	b.goTo(s.base + "/app/") // now through the service worker, which keeps the shell
	b.sees("Nothing waits for you")
	s.away.Store(true)
	b.goTo(s.base + "/app/r/nosuch")
	b.sees("The trust service does not answer")
	b.looksRight("app-lost")
	b.do(chromedp.Evaluate[chromedp.Void](`history.pushState(null, "", "/app/"); 0`))
	s.away.Store(false)
	q := s.Started(s.intentOf(p, samtest.Hash("x")))
	b.sees("1 request waits for you")
	b.opens(q)
	s.Clock.Add(301 * time.Second)
	b.sees("This request has ended") // by itself
	b.looksRight("app-expired")
}
