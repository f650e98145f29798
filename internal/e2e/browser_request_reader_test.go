package e2e_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestPagesFollowTheBrowserAndMailsThePerson: the browser's language decides, the
// reader's choice goes before it and stays; mails are in the language of the person.
func TestPagesFollowTheBrowserAndMailsThePerson(t *testing.T) {
	t.Attr("feature", "M1")
	s := newRequestSite(t, options{})
	b := s.tab()
	s.logIn(b)
	s.sends(b, "Lease of the barn", []string{s.document()}, invited{"Blaise Pascal", blaise, "click", "mail", ""})
	s.sends(b, "Miete der Scheune", []string{s.document()}, invited{name: "Ada Lovelace", mail: ada, level: "click", factor: "none", lang: "de"})
	if text := strings.Join(s.caught(blaise), ""); !strings.Contains(text, "asks you to read and sign") {
		t.Errorf("the English mail says %s", text)
	}
	german := s.link(ada)
	if text := strings.Join(s.caught(ada), ""); strings.Contains(text, "asks you") || !strings.Contains(text, "bittet Sie") {
		t.Errorf("the German mail says %s", text)
	}
	english := s.link(blaise)
	b.speaks("de")
	b.goTo(s.portal + "/requests")
	b.sees("Vorgänge")
	b.looksRight("list-de")
	b.goTo(english)
	b.sees("bittet Sie um Ihre Unterschrift") // the browser, not the person
	b.click(`nav.brief a[lang="en"]`)
	b.sees("asks you to sign")
	b.goTo(german)
	b.sees("asks you to sign") // the choice stays
	b.click(`nav.brief a[lang="de"]`)
	b.sees("bittet Sie um Ihre Unterschrift")
	b.click(".button.primary")
	b.sees("1 Dokument unterschreiben")
	b.looksRight("room-sign-de")
}

// TestTheDocumentIsReadInThePageAndHasTheDigestThatIsShown looks at what a signer
// reads: who asks and what of it was checked, subject and message as written, the
// digests, the download; and that it works without scripts.
func TestTheDocumentIsReadInThePageAndHasTheDigestThatIsShown(t *testing.T) {
	for _, row := range []string{"F1", "F3", "F4", "F5", "F7", "F13", "H4", "A4"} {
		t.Attr("feature", row)
	}
	s := newRequestSite(t, options{})
	b := s.tab()
	s.logIn(b)
	doc := s.document()
	request := s.sends(b, `Lease & <i>annex</i>`, []string{doc}, invited{"Ada Lovelace", ada, "click", "none", ""})
	link := s.link(ada)
	b.goTo(link)
	b.click(".button.primary")
	b.do(chromedp.WaitVisible(chromedp.CSS("#room")))
	b.sees("Mira Okonkwo, Countersign Test: checked")
	b.sees("Lease & <i>annex</i>")
	b.sees("Stated by the sender")
	b.sees("Please read clause 4 once more.\nWarm regards, <b>Mira</b>")
	b.sees("Test document 7")
	s.readable(b)
	b.looksRight("room-read")
	b.click("details summary")
	shown := [2]string{eval[string](b, `document.querySelector("#sha256").textContent`), eval[string](b, `document.querySelector("#sha512").textContent`)}
	b.click("#download")
	s.digests(s.downloaded("Lease.pdf"), shown)
	s.digests(doc, shown)
	if err := os.Remove(filepath.Join(s.downloads, "Lease.pdf")); err != nil {
		t.Fatal(err)
	}

	// Without scripts it is signed all the same, and two tabs sign once.
	other := b.sibling()
	other.goTo(link)
	other.do(chromedp.WaitVisible(chromedp.CSS("#yes")))
	if n := eval[int](b, `document.querySelectorAll(".primary").length`); n != 1 {
		t.Errorf("the page has %d primary buttons", n)
	}
	b.scripts(false)
	b.do(chromedp.Reload())
	b.sees("Open the document")
	b.click("#yes")
	other.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#yes")?.click(); document.querySelector("#yes")?.click()`))
	b.seesAtLast("Everybody has signed 1 document")
	b.do(chromedp.Reload())
	b.sees("Everybody has signed 1 document")
	b.scripts(true)
	b.goTo(s.portal + request)
	b.sees("Signed, sealed, checked")
	if n := strings.Count(b.text(), "Ada Lovelace said yes"); n != 1 {
		t.Errorf("%d times yes", n)
	}
	b.click("main .button.primary")
	list := s.verify(t, s.downloaded("Lease.pdf"))[0].Signatures
	if len(list) != 2 || !strings.Contains(list[0].Signer, "Acme Oy") || list[1].Verdict != "TOTAL-PASSED" {
		t.Errorf("signatures: %+v", list)
	}
}

// digests holds a file against what a page shows.
func (s *requestSite) digests(file string, shown [2]string) {
	s.t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	short, long := sha256.Sum256(body), sha512.Sum512(body)
	if got := [2]string{hex.EncodeToString(short[:]), hex.EncodeToString(long[:])}; got != shown {
		s.t.Errorf("%s has %v, the page shows %v", file, got, shown)
	}
}
