package e2e_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// document is a small file to be signed.
func (s *requestSite) document() string {
	s.t.Helper()
	return writePDF(s.t, filepath.Join(s.t.TempDir(), "Lease.pdf"), 4<<10, 7)
}

var both = []invited{{"Blaise Pascal", blaise, "click", "mail", ""}, {"Ada Lovelace", ada, "click", "none", ""}}

func TestARejectionClosesTheRequestForEverybody(t *testing.T) {
	t.Attr("feature", "F9")
	s := newRequestSite(t, options{})
	b := s.tab()
	s.logIn(b)
	request := s.sends(b, "Lease of the barn", []string{s.document()}, both...)
	first := b.sibling()
	link := s.link(blaise)
	s.opens(first, blaise, link)
	first.click(`.pair a.button`)
	first.sees("This ends the request for everybody")
	first.looksRight("room-reject")
	first.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#reason").removeAttribute("required")`))
	first.click(".button.primary")
	first.sees("Please give a reason")
	first.types("#reason", "The deposit should be two months’ rent.")
	first.click(".button.primary")
	first.sees("The request was rejected")
	first.looksRight("room-rejected")
	b.seesAtLast("Rejected by Blaise Pascal") // live
	b.sees("The deposit should be two months’ rent.")
	for _, to := range []string{ada, senderMail} {
		s.mailed(to, `(The deposit should be two months’ rent\.)`)
	}
	other := s.newBrowser(t)
	theirs := get(t, other, s.link(ada), "Accept", "text/html")
	if !strings.Contains(theirs.body, "The request was rejected") || !strings.Contains(theirs.body, "two months’ rent") {
		t.Errorf("Ada's link says %s", theirs.body)
	}
	first.goTo(link + "/reject") // the form, once more
	first.sees("The request was rejected")
	again := fetch(t, other, http.MethodPost, s.link(ada)+"/enter", "application/x-www-form-urlencoded", "", "Accept", "text/html")
	if again.status < 400 || !strings.Contains(again.body, "The request was rejected") {
		t.Errorf("Ada could still open: %d", again.status)
	}
	b.goTo(s.portal + request)
	b.looksRight("request-rejected")
}

func TestAnAbortedRequestIsWithdrawnOnEveryLink(t *testing.T) {
	t.Attr("feature", "C22")
	t.Attr("feature", "K7")
	s := newRequestSite(t, options{})
	b := s.tab()
	s.logIn(b)
	s.sends(b, "Lease of the barn", []string{s.document()}, both...)
	barn := s.link(blaise)
	b.click(`.actions a.button`)
	b.sees("Abort this request?")
	b.looksRight("request-abort")
	b.types("#reason", "Sent to the wrong person.")
	b.click(".button.primary")
	b.sees("Withdrawn")
	told := s.mailed(blaise, `(has withdrawn the request)`)
	s.sends(b, "Lease of the mill", []string{s.document()}, invited{"Ada Lovelace", ada, "click", "none", ""})
	mill := s.link(ada)
	b.goTo(s.portal + "/requests")
	b.sees("Lease of the mill")
	b.looksRight("list")
	b.click(`.rows .small a`) // from the list
	b.sees("Abort this request?")
	b.click(".button.primary")
	b.sees("Withdrawn")
	if told == "" || s.mailed(ada, `(has withdrawn the request)`) == "" {
		t.Error("nobody was told")
	}
	c := s.newBrowser(t)
	for _, link := range []string{barn, mill} {
		if p := get(t, c, link, "Accept", "text/html"); !strings.Contains(p.body, "The request was withdrawn") {
			t.Errorf("a link says %s", p.body)
		}
	}
	b.goTo(barn)
	b.sees("The request was withdrawn")
	b.looksRight("room-withdrawn")
}

func TestCodesAndLinksAreGoodForTheirOwnSignerOnce(t *testing.T) {
	for _, row := range []string{"D1", "D14", "E2", "E5"} {
		t.Attr("feature", row)
	}
	w := workflowSettings()
	w["codes"] = map[string]any{"length": 8, "alphabet": "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", "tries": 4}
	s := newRequestSite(t, options{settings: map[string]map[string]any{"portal": {"workflow": w}}})
	b := s.tab()
	s.logIn(b)
	s.sends(b, "Lease of the barn", []string{s.document()}, invited{"Blaise Pascal", blaise, "click", "mail", ""}, invited{"Ada Lovelace", ada, "click", "mail", ""})
	link := s.link(blaise)
	s.shutBefore(link)
	first := b.sibling()
	first.goTo(link)
	first.sees("Send the code")
	first.looksRight("room-invitation")
	first.click(".button.primary")
	first.do(chromedp.WaitVisible(chromedp.CSS("#code")))
	code := s.mailed(blaise, `(?m)^\s*([A-HJ-NP-Z2-9]{8})\s*$`)
	wrong := "AAAAAAAA"
	if code == wrong {
		wrong = "BBBBBBBB"
	}
	first.types("#code", wrong+"\r")
	first.sees("This is not the code that was sent")
	first.sees("3 tries are left")
	first.looksRight("room-wrong-code")
	first.types("#code", code+"\r")
	first.do(chromedp.WaitVisible(chromedp.CSS("#room")))

	// The same code in another browser opens nothing.
	c := s.newBrowser(t)
	p := fetch(t, c, http.MethodPost, link+"/enter", "application/x-www-form-urlencoded", url.Values{"code": {code}}.Encode(), "Accept", "text/html")
	if p.status < 400 || strings.Contains(p.body, "Lease") {
		t.Errorf("a used code answers %d: %s", p.status, p.body)
	}
	// Nothing comes from other sites.
	p = fetch(t, c, http.MethodPost, link+"/sign", "application/x-www-form-urlencoded", "seq=1", "Accept", "text/html", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	if p.status != http.StatusForbidden {
		t.Errorf("a form of another site answers %d", p.status)
	}
	if p := get(t, c, s.portal+"/s/"+strings.Repeat("A", 43), "Accept", "text/html"); p.status != http.StatusNotFound || !strings.Contains(p.body, "This link leads nowhere") {
		t.Errorf("an unknown link answers %d: %s", p.status, p.body)
	}
	// The first one's visit does not open the second one's link.
	if got := s.caught(ada); len(got) != 0 {
		t.Errorf("the second signer was told before it was her turn: %q", got)
	}
	first.click("#yes")
	first.seesAtLast("You have signed 1 document")
	signed := time.Now()
	theirs := s.link(ada)
	if took := time.Since(signed); took > 10*time.Second {
		t.Errorf("the second invitation left %s after the first signature", took)
	}
	if theirs == link {
		t.Error("two people have one link")
	}
	first.goTo(theirs)
	first.sees("Send the code")
	if first.shows("Lease") {
		t.Error("the document's name is shown before the code")
	}
	if h := get(t, c, link, "Accept", "text/html").header; h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers of a link's page: %v", h)
	}
}
