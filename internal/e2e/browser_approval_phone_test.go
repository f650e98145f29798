package e2e_test

import (
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/countersign/countersign/sam/samtest"
)

// phone makes a tab one of a phone.
func (b *approvalTab) phone() {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch))
}

// beside opens another tab of the same browser.
func (b *approvalTab) beside() *approvalTab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatalf("open another tab: %v", err)
	}
	return &approvalTab{b.t, ctx}
}

// TestOnePhoneSignsAndApproves goes the whole way with the real processes on one
// phone: enrolment as an app, the document, the request, the approval in the app, the
// signed document.
func TestOnePhoneSignsAndApproves(t *testing.T) {
	t.Attr("feature", "F14")
	s := newDirectSite(t, options{})
	b := s.tab()
	b.phone()
	var ticket struct{ URL, Code string }
	s.decode(t, s.must(t, "admin", "enrol", "--key", s.path("ra.pem"), "--ra", raName, "--signer", "ada", "--given-name", "Ada", "--surname", "Lovelace",
		"--country", "FI", "--serial", "PNOFI-ada", "--assurance", "substantial", "--method", "a test said so", "--mechanism", "devicekey"), &ticket)
	b.goTo(ticket.URL)
	b.types("#code", ticket.Code)
	b.types("#name", "Ada’s phone")
	b.types("#pin", samtest.PIN)
	b.types("#pin2", samtest.PIN)
	b.click("#add")
	b.sees("This device was added")

	doc := writePDF(t, filepath.Join(t.TempDir(), "lease.pdf"), 100<<10, 2)
	b.goTo(s.portal + "/direct")
	b.choose(doc)
	b.do(chromedp.WaitVisible(chromedp.CSS("#sign")))
	eval[bool](b, `(() => { const c = document.querySelector("#credential"); if (c && c.options) { c.value = "`+s.signer.Credential+`"; c.dispatchEvent(new Event("change", {bubbles: true})); } return true; })()`)
	b.click("#sign")
	b.sees("asks you to sign 1 document")
	b.sees("Open the app in this browser")
	number := eval[string](b, `document.querySelector(".figure").textContent`)
	if shown := eval[string](b, `getComputedStyle(document.querySelector(".elsewhere")).display`); shown != "none" {
		t.Errorf("a phone is asked to photograph itself: %s", shown)
	}
	path := eval[string](b, `document.querySelector('a[target="_blank"]').getAttribute("href")`)
	app := b.beside()
	app.phone()
	app.goTo(s.approval + path)
	app.sees("lease.pdf")
	app.types("#number", number)
	app.types("#pin", samtest.PIN)
	if wide := eval[int](app, `document.documentElement.scrollWidth`); wide > 360 {
		t.Errorf("on a phone the app's page is %d wide", wide)
	}
	app.click(`button[type="submit"]`)
	app.sees("You approved 1 document")
	b.sees("Unchanged since it was signed")
	b.click("#download")
	s.verify(t, s.downloaded("lease-signed.pdf"))[0].passed(t, "B-LTA", 2)
}
