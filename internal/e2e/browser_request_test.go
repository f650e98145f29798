package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestTwoPeopleSignOneAfterTheOther goes the whole way in a browser: the sender logs
// in, sends a document to two people; the first signs by a click, the second with a
// passkey of her own; in between the portal is killed. Everybody has the result.
func TestTwoPeopleSignOneAfterTheOther(t *testing.T) {
	for _, row := range []string{"F2", "G12", "K8", "K11"} {
		t.Attr("feature", row)
	}
	s := newRequestSite(t, options{})
	b := s.tab()
	b.authenticator()
	s.passkey(b)
	s.must(t, "admin", "personal-key", ada, s.passkeyCredential)
	s.logIn(b)
	doc := writePDF(t, filepath.Join(t.TempDir(), "Tenancy agreement 14B.pdf"), 1<<20, 7)
	request := s.sends(b, "Tenancy of flat 14B", []string{doc},
		invited{"Blaise Pascal", blaise, "click", "mail", ""}, invited{"Ada Lovelace", ada, "personal", "mail", ""})
	b.sees("Waiting for Blaise Pascal. 0 of 2 signed.")
	b.looksRight("request-running")

	first := b.sibling()
	link := s.link(blaise)
	s.shutBefore(link)
	s.opens(first, blaise, link)
	first.sees("Mira Okonkwo asks you to sign 1 document")
	first.sees("Test document 7")
	first.sees("<b>Mira</b>")
	first.looksRight("room-sign")
	s.readable(first)
	if got := s.caught(ada); len(got) != 0 {
		t.Fatalf("Ada was told before it was her turn: %q", got)
	}
	first.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#yes").click(); document.querySelector("#yes").click()`))
	first.seesAtLast("You have signed 1 document")
	first.front()
	first.sees("Test document 7") // in the viewer again
	first.looksRight("room-signed")
	b.seesAtLast("Waiting for Ada Lovelace. 1 of 2 signed.") // live, without a reload
	s.fetches(b, "Acme Oy")

	if err := s.role("portal").kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.role("portal").start(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := b // where the passkey is
	s.remind(second, request)
	link = s.link(ada)
	s.opens(second, ada, link)
	second.sees("Mira Okonkwo asks you to sign 1 document")
	first.seesAtLast("Opened the documents") // the second one's state, live
	second.click("#yes")
	second.sees("asks you to sign 1 document")
	second.do(chromedp.WaitEnabled(chromedp.CSS("#approve")))
	second.click("#approve")
	second.seesAtLast("Everybody has signed 1 document")
	second.front()
	second.sees("Test document 7") // in the viewer again
	second.looksRight("room-completed")
	first.seesAtLast("Everybody has signed 1 document")

	b.goTo(s.portal + request)
	b.sees("Signed, sealed, checked")
	b.looksRight("request-completed")
	shown := eval[string](b, `document.querySelector(".digest").textContent`)
	if sum := s.fetches(b, "Acme Oy", "Ada", "Acme Oy"); sum != shown { // his click, her key, the seal at the end
		t.Errorf("the page says %s, the file has %s", shown, sum)
	}
	if p := get(t, s.newBrowser(t), s.portal+request+"/files/log", "Accept", "text/html"); p.status != http.StatusSeeOther {
		t.Errorf("who is not logged in gets %d", p.status)
	}
}

// fetches has the sender download the document as it is, which must verify with
// these signatures; it returns its digest.
func (s *requestSite) fetches(b *approvalTab, signers ...string) string {
	s.t.Helper()
	b.click(`aside a[download]`)
	out := s.downloaded("Tenancy agreement 14B.pdf")
	body, err := os.ReadFile(out)
	if err != nil {
		s.t.Fatal(err)
	}
	found := s.verify(s.t, out)[0].Signatures
	if len(found) != len(signers) {
		s.t.Fatalf("signatures: %+v", found)
	}
	for i, want := range signers {
		if !strings.Contains(found[i].Signer, want) || found[i].Verdict != "TOTAL-PASSED" {
			s.t.Errorf("signature %d is %+v, want one by %s", i+1, found[i], want)
		}
	}
	if err := os.Remove(out); err != nil {
		s.t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// shutBefore checks that the link alone shows nothing of the documents.
func (s *requestSite) shutBefore(link string) {
	s.t.Helper()
	c := s.newBrowser(s.t)
	p := get(s.t, c, link, "Accept", "text/html")
	if p.status != http.StatusOK {
		s.t.Fatalf("the link answers %d", p.status)
	}
	for _, word := range []string{"Tenancy", ".pdf", "1 document", "clause 4"} {
		if strings.Contains(p.body, word) {
			s.t.Errorf("before the code the page shows %q", word)
		}
	}
	for _, path := range []string{"/files/log", "/files/x", "/events", "/reject"} {
		if p := get(s.t, c, link+path, "Accept", "text/html"); p.status == http.StatusOK {
			s.t.Errorf("before the code %s is open", path)
		}
	}
}

// remind has the sender remind who is to sign; the portal that was killed has lost
// what was caught.
func (s *requestSite) remind(b *approvalTab, request string) {
	s.t.Helper()
	b.goTo(s.portal + request)
	b.sees("Waiting for Ada Lovelace")
	b.click("main .button.primary")
	b.sees("The next reminder is possible from")
	b.sees("Mira Okonkwo reminded Ada Lovelace") // in the log
	if got := eval[int](b, `fetch(location.pathname + "/remind", {method: "POST"}).then((r) => r.status)`); got != http.StatusTooManyRequests {
		s.t.Errorf("a second reminder within the interval is answered with %d", got)
	}
}
