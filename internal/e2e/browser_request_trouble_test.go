package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/countersign/countersign/relyingparty/notify"
)

// TestMailThatCannotBeSentIsShownAndArrivesLater: the mail server is down when the
// request is sent; the sender sees it, and the message goes out when it is back.
func TestMailThatCannotBeSentIsShownAndArrivesLater(t *testing.T) {
	port := freePorts(t, 1)[0]
	w := workflowSettings()
	w["mail"] = map[string]any{"from": "sign@acme.example", "server": loopback(port), "security": "plain"}
	s := newRequestSite(t, options{settings: map[string]map[string]any{"portal": {"workflow": w}}})
	b := s.tab()
	s.logIn(b)
	s.sends(b, "Lease of the barn", []string{s.document()}, invited{"Blaise Pascal", blaise, "click", "mail", ""})
	for end := time.Now().Add(20 * time.Second); !b.shows("the mail server did not take it") && time.Now().Before(end); time.Sleep(time.Second) {
		b.do(chromedp.Reload())
	}
	b.sees("the mail server did not take it")
	b.looksRight("request-mail-down")
	catcher, err := notify.NewCatcher(t.Context(), notify.CatcherConfig{Addr: loopback(port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = catcher.Close() }) // the test is over
	for end := time.Now().Add(90 * time.Second); len(catcher.Messages(blaise)) == 0; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the message did not go out; the page shows %s", b.text())
		}
	}
	b.seesAtLast("accepted by the mail server") // live
}

// TestLongAndLargeDocumentsAreReadAndSigned takes 200 pages, and 100 MB.
func TestLongAndLargeDocumentsAreReadAndSigned(t *testing.T) {
	s := newRequestSite(t, options{})
	b := s.tab()
	s.logIn(b)
	dir := t.TempDir()
	long, large := filepath.Join(dir, "Long.pdf"), writePDF(t, filepath.Join(dir, "Large.pdf"), 100<<20, 5)
	if err := os.WriteFile(long, pagesPDF(200), 0o600); err != nil {
		t.Fatal(err)
	}
	request := s.sends(b, "Long and large", []string{long, large}, invited{"Ada Lovelace", ada, "click", "none", ""})
	b.goTo(s.link(ada))
	b.click(".button.primary")
	b.sees("1 of 200")
	b.sees("Page number 1.")
	b.click("#following")
	b.sees("2 of 200")
	b.sees("Page number 2.")
	b.looksRight("room-long")
	b.click(`.rows a[href*="document="]`)
	b.seesAtLast("Test document 5")
	b.click("#yes")
	b.seesAtLast("Everybody has signed 2 documents")
	b.goTo(s.portal + request)
	b.sees("Signed, sealed, checked")
}

// pagesPDF is a document of so many pages.
func pagesPDF(n int) []byte {
	var b strings.Builder
	var at []int
	object := func(format string, args ...any) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n"+format+"\nendobj\n", append([]any{len(at)}, args...)...)
	}
	b.WriteString("%PDF-1.7\n")
	object("<< /Type /Catalog /Pages 2 0 R >>")
	kids := ""
	for i := range n {
		kids += fmt.Sprintf("%d 0 R ", 4+2*i)
	}
	object("<< /Type /Pages /Count %d /Kids [%s] >>", n, kids)
	object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
	for i := range n {
		text := fmt.Sprintf("BT /F1 18 Tf 72 720 Td (Page number %d.) Tj ET", i+1)
		object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>", 5+2*i)
		object("<< /Length %d >>\nstream\n%s\nendstream", len(text), text)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, offset := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, start)
	return []byte(b.String())
}

// TestSendersSeeTheirOwnRequestsOnly: another account gets a page that says so, and
// whoever is not logged in the login.
func TestSendersSeeTheirOwnRequestsOnly(t *testing.T) {
	s := newRequestSite(t, options{})
	b := s.tab()
	s.logIn(b)
	request := s.sends(b, "Lease of the barn", []string{s.document()}, invited{"Blaise Pascal", blaise, "click", "mail", ""})
	stranger := s.newBrowser(t)
	for path, want := range map[string]int{
		request: http.StatusSeeOther, request + "/files/log": http.StatusSeeOther, "/settings": http.StatusSeeOther,
	} {
		if p := get(t, stranger, s.portal+path, "Accept", "text/html"); p.status != want || !strings.HasPrefix(p.to, s.portal+"/login") {
			t.Errorf("%s answers %d to a stranger and leads to %q", path, p.status, p.to)
		}
	}
	if p := fetch(t, stranger, http.MethodPost, s.portal+request+"/withdraw", "application/x-www-form-urlencoded", "", "Accept", "text/html"); p.status != http.StatusUnauthorized {
		t.Errorf("a stranger's form answers %d", p.status)
	}
	s.must(t, "admin", "account", "olga@acme.example", "--name", "Olga Brandt", "--password-file", s.path("sender-password"))
	s.secret = ""
	b.goTo(s.portal + "/settings")
	b.click(`aside button`)
	b.sees("Log in")
	b.types("#email", "olga@acme.example")
	b.types("#password", senderPassword+"\r")
	b.sees("Set up your second factor")
	s.secret = strings.ReplaceAll(eval[string](b, `document.querySelector("#secret").textContent`), " ", "")
	b.types("#code", s.totp()+"\r")
	b.sees("Keep your recovery codes")
	b.goTo(s.portal + request)
	b.sees("You cannot open this request")
	b.looksRight("no-permission")
}
