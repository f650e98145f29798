package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

// portalClient is the portal as a client of the gateway.
const portalClient = "portal"

// directSite is an installation whose portal has the page to sign on, and a browser
// whose passkey may sign there.
type directSite struct {
	*installation

	t         testing.TB
	browser   context.Context
	downloads string

	passkeyCredential string // of the key whose approval is by passkey
}

// newDirectSite starts an installation and registers its portal.
func newDirectSite(t testing.TB, o options) *directSite {
	t.Helper()
	browser := chromium(t)
	o.direct = true
	in := install(t, o)
	s := &directSite{installation: in, t: t, browser: browser, downloads: t.TempDir()}
	s.built()
	secret := in.must(t, "admin", "client", "--id", portalClient, "--name", "Portal of the test", "--new-secret",
		"--redirect", in.portal+"/direct/return", "--signer", in.signer.Signer).out
	in.write(filepath.Join("portal", "client-secret"), []byte(strings.TrimSpace(secret)+"\n"))
	return s
}

// built leaves the test out, aloud, when the pages' scripts were not built.
func (s *directSite) built() {
	s.t.Helper()
	p := get(s.t, s.newBrowser(s.t), s.portal+"/direct")
	switch {
	case strings.Contains(p.body, `id="direct"`):
	case os.Getenv("CI") == "true":
		s.t.Fatal("the pages' scripts were not built: run make assets")
	default:
		s.t.Skip("LEFT OUT: the pages' scripts were not built: run make assets")
	}
}

// tab opens a tab that keeps downloads.
func (s *directSite) tab() *approvalTab {
	s.t.Helper()
	ctx, cancel := chromedp.NewContext(s.browser)
	s.t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		s.t.Fatalf("start the browser: %v", err)
	}
	b := &approvalTab{s.t, ctx}
	b.do(chromedp.EmulateViewport(1280, 800))
	_, err := chromedp.Call(ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: s.downloads,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// passkey gives the first signer a passkey in the tab, and a key of its own.
func (s *directSite) passkey(b *approvalTab) {
	s.t.Helper()
	who := []string{
		"--key", s.path("ra.pem"), "--ra", raName, "--signer", "ada", "--given-name", "Ada", "--surname", "Lovelace",
		"--country", "FI", "--serial", "PNOFI-ada", "--assurance", "substantial", "--method", "a test said so", "--mechanism", "webauthn",
	}
	var ticket struct{ URL, Code string }
	s.decode(s.t, s.must(s.t, append([]string{"admin", "enrol"}, who...)...), &ticket)
	b.goTo(ticket.URL)
	b.types("#code", ticket.Code)
	b.types("#name", "Ada’s laptop")
	b.click("#add")
	b.sees("Your passkey was added")
	var key struct{ Credential string }
	s.decode(s.t, s.must(s.t, append([]string{"admin", "certify", "--pki", s.pki}, who...)...), &key)
	s.passkeyCredential = key.Credential
}

// choose gives the page a file, as a person does who presses the button.
func (b *approvalTab) choose(file string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS("#pdf"), file))
}

// pick chooses the key whose approval is by passkey.
func (s *directSite) pick(b *approvalTab) {
	s.t.Helper()
	b.do(chromedp.WaitVisible(chromedp.CSS("#sign")))
	found := eval[bool](b, `(() => { const s = document.querySelector("#credential"); const o = [...s.options].find((o) => o.value !== "`+s.signer.Credential+`");
		if (!o) return false; s.value = o.value; s.dispatchEvent(new Event("change", {bubbles: true})); return true; })()`)
	if !found {
		s.t.Fatalf("the page offers no key for the passkey:\n%s", b.text())
	}
}

// downloaded waits for a file and returns its path.
func (s *directSite) downloaded(name string) string {
	s.t.Helper()
	path := filepath.Join(s.downloads, name)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if st, err := os.Stat(path); err == nil && st.Size() > 0 {
			return path
		}
	}
	list, _ := os.ReadDir(s.downloads) // for the message only
	s.t.Fatalf("%s was not downloaded; there is %v", name, list)
	return ""
}

// approves presses the button on the approval page, and waits until the signed
// document is there.
func (b *approvalTab) approves() {
	b.t.Helper()
	b.sees("asks you to sign 1 document")
	b.do(chromedp.WaitEnabled(chromedp.CSS("#approve")))
	b.click("#approve")
	b.sees("Unchanged since it was signed")
}

// signatures is how many signatures the module has made.
func (s *directSite) signatures() int { s.t.Helper(); return count(s.events(s.t), "signature.created") }

func TestDirectPageSignsADocumentThatStaysInTheBrowser(t *testing.T) {
	t.Attr("feature", "F4")
	s := newDirectSite(t, options{})
	b := s.tab()
	a := b.authenticator()
	s.passkey(b)
	doc := writePDF(t, filepath.Join(t.TempDir(), "Tenancy agreement 14B.pdf"), 1<<20, 7)
	b.goTo(s.portal + "/direct")
	b.sees("Drop a PDF here")
	s.small(b)
	s.shut(b)
	b.looksRight("direct-choose")
	b.choose(doc)
	b.sees("Place your signature")
	b.sees("Tenancy agreement 14B.pdf")
	b.sees("Test document 7") // text over the page
	s.readable(b)
	b.looksRight("direct-place")
	s.pick(b)
	placed := s.place(b)
	b.looksRight("direct-placed")
	b.click("#sign")
	b.sees("asks you to sign 1 document")
	b.override(a, true, false)
	b.do(chromedp.WaitEnabled(chromedp.CSS("#approve")))
	b.click("#approve")
	b.sees("The approval was not accepted")
	if n := s.signatures(); n != 0 {
		t.Fatalf("a passkey with a bogus signature made %d signatures", n)
	}
	b.override(a, false, false)
	b.approves()
	b.looksRight("direct-done")
	b.click("#download")
	out := s.downloaded("Tenancy agreement 14B-signed.pdf")
	s.verify(t, out)[0].passed(t, "B-LTA", 2)
	s.sits(out, placed)
	b.sees("was downloaded")
	s.emptied(b)
}

// readable checks that the page's text can be selected, and is in what a screen reader
// reads.
func (s *directSite) readable(b *approvalTab) {
	s.t.Helper()
	selected := eval[string](b, `(() => { const e = document.querySelector(".sheet > .text"); const r = document.createRange(); r.selectNodeContents(e); const g = getSelection(); g.removeAllRanges(); g.addRange(r); const text = g.toString(); g.removeAllRanges(); return text })()`)
	if !strings.Contains(selected, "Test document 7") {
		s.t.Errorf("selected: %q", selected)
	}
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, n := range tree.Nodes {
		if n.Name != nil && strings.Contains(string(n.Name.Value), "Test document 7") && !n.Ignored {
			return
		}
	}
	s.t.Error("a screen reader does not find the page's text")
}

// small checks that what a first visit loads stays below 200 KB.
func (s *directSite) small(b *approvalTab) {
	s.t.Helper()
	n := eval[int](b, `[...performance.getEntriesByType("resource"), ...performance.getEntriesByType("navigation")].reduce((n, e) => n + e.transferSize, 0)`)
	s.t.Logf("the first view takes %d bytes", n)
	if n == 0 || n > 200<<10 {
		s.t.Errorf("the first view takes %d bytes", n)
	}
}

// shut checks that the page cannot send anything elsewhere than to its API.
func (s *directSite) shut(b *approvalTab) {
	s.t.Helper()
	for _, to := range []string{s.portal + "/", s.portal + "/direct", s.issuer + "/csc/v2/info", "https://example.org/"} {
		if got := eval[string](b, `fetch("`+to+`", {method: "POST", body: "x", mode: "no-cors"}).then(() => "sent", (e) => e.name)`); got != "TypeError" {
			s.t.Errorf("the page could send to %s: %s", to, got)
		}
	}
	for name, script := range map[string]string{
		"a script of another origin": `(() => { try { new Worker("https://example.org/x.js"); return "made" } catch (e) { return e.name } })()`,
		"markup":                     `(() => { try { document.body.innerHTML = "<p>x"; return "made" } catch (e) { return e.name } })()`,
		"a form":                     `(() => { const f = document.createElement("form"); f.action = "` + s.portal + `/x"; f.method = "POST"; document.body.append(f); f.submit(); f.remove(); return location.pathname })()`,
	} {
		if got := eval[string](b, script); got == "made" || got == "/x" {
			s.t.Errorf("%s: %s", name, got)
		}
	}
}

// box is where the signature stands on the page, in points.
type box struct{ X, Y, Width, Height float64 }

// place switches the visible signature on, and moves and sizes it by mouse, keys and
// numbers.
func (s *directSite) place(b *approvalTab) box {
	s.t.Helper()
	b.click("#visible")
	at := func() box {
		return eval[box](b, `(() => { const r = document.querySelector(".box .edge"); const n = (a) => Number(r.getAttribute(a));
			return {X: n("x"), Y: n("y"), Width: n("width"), Height: n("height")} })()`)
	}
	first := at()
	for _, key := range []string{"ArrowRight", "ArrowRight", "ArrowUp"} {
		b.key(key, false)
	}
	b.key("ArrowRight", true)
	keyed := at()
	if want := (box{first.X + 12, first.Y - 6, first.Width + 6, first.Height}); keyed != want {
		s.t.Errorf("by keys from %+v to %+v, want %+v", first, keyed, want)
	}
	screen := eval[map[string]float64](b, `(() => { const r = document.querySelector(".box .edge").getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2, scale: r.width / Number(document.querySelector(".box .edge").getAttribute("width"))} })()`)
	b.drag(screen["x"], screen["y"], screen["x"]+60*screen["scale"], screen["y"]-90*screen["scale"], false)
	dragged := at()
	if near(dragged.X, keyed.X+60) || near(dragged.Y, keyed.Y-90) {
		s.t.Errorf("by mouse from %+v to %+v", keyed, dragged)
	}
	b.drag(screen["x"]+60*screen["scale"], screen["y"]-90*screen["scale"], screen["x"], screen["y"]-90*screen["scale"], true)
	touched := at()
	if near(touched.X, dragged.X-60) || near(touched.Y, dragged.Y) {
		s.t.Errorf("by touch from %+v to %+v", dragged, touched)
	}
	b.click("#position summary")
	b.types("#box-x", "50")
	b.do(chromedp.Blur(chromedp.CSS("#box-x")))
	typed := at()
	if near(typed.X, 50*72/25.4) {
		s.t.Errorf("50 mm from the left is %f points", typed.X)
	}
	return typed
}

func near(got, want float64) (off bool) { return got < want-1.5 || got > want+1.5 }
