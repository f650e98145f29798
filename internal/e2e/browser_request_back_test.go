package e2e_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestAnApprovalIsTakenWhenTheBrowserComesBackLater: the signer approves on the
// device while the browser is closed, and comes back after the portal was restarted;
// again, and in another browser, nothing more happens.
func TestAnApprovalIsTakenWhenTheBrowserComesBackLater(t *testing.T) {
	s := newRequestSite(t, options{})
	b := s.tab()
	s.logIn(b)
	s.must(t, "admin", "personal-key", ada, s.signer.Credential)
	request := s.sends(b, "Lease of the barn", []string{s.document()}, invited{"Ada Lovelace", ada, "personal", "none", ""})
	link := s.link(ada)
	c := s.newBrowser(t)
	post := func(path string) *page {
		return fetch(t, c, http.MethodPost, link+path, "application/x-www-form-urlencoded", "", "Accept", "text/html")
	}
	if p := post("/enter"); p.to != link {
		t.Fatalf("the way in answers %d: %s", p.status, p.body)
	}
	left := post("/sign")
	found := regexp.MustCompile(`class="button primary" href="([^"]+)"`).FindStringSubmatch(left.body)
	if left.status != http.StatusOK || found == nil {
		t.Fatalf("the way to the approval answers %d: %s", left.status, left.body)
	}
	final, err := s.partyOf(t, clientID, s.env["COUNTERSIGN_CLIENT_SECRET"], s.signer).approve(t.Context(), html.UnescapeString(found[1]), &thumb{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.role("portal").kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.role("portal").start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := get(t, s.newBrowser(t), final, "Accept", "text/html"); p.status < 400 || strings.Contains(p.body, "Lease") {
		t.Errorf("in another browser the way back answers %d: %s", p.status, p.body)
	}
	for range 2 {
		if p := get(t, c, final, "Accept", "text/html"); p.status != http.StatusSeeOther || p.to != link {
			t.Fatalf("the way back answers %d, to %q: %s", p.status, p.to, p.body)
		}
	}
	if p := post("/sign"); p.to != link { // the back button, and the button once more
		t.Errorf("signing again answers %d: %s", p.status, p.body)
	}
	for end := time.Now().Add(30 * time.Second); !strings.Contains(get(t, c, link, "Accept", "text/html").body, "Everybody has signed"); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is not signed: %s", get(t, c, link, "Accept", "text/html").body)
		}
	}
	b.goTo(s.portal + request)
	b.sees("Signed, sealed, checked")
	if n := strings.Count(b.text(), "Ada Lovelace said yes"); n != 1 {
		t.Errorf("%d times yes", n)
	}
}
