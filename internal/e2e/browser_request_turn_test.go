package e2e_test

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/countersign/countersign/internal/store"
)

// linkOf is the link of a signer to whom it was not sent yet, which nobody but the
// portal can make: here from its secret and its database.
func (s *requestSite) linkOf(address string) string {
	s.t.Helper()
	var id string
	s.ask(`SELECT id FROM request_signer WHERE email = $1`, &id, address)
	b, err := os.ReadFile(s.path("portal", "secret"))
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := hkdf.Key(sha256.New, []byte(strings.TrimSpace(string(b))), nil, "countersign request links", 32)
	if err != nil {
		s.t.Fatal(err)
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id))
	return s.portal + "/s/" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// ask reads one value from the portal's database.
func (s *requestSite) ask(query string, to any, args ...any) {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), s.dsn["portal"])
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // only read
	if err := db.QueryRow(s.t.Context(), query, args...).Scan(to); err != nil {
		s.t.Fatal(err)
	}
}

// TestTheSecondSignerWaitsForTheFirst: a link before its turn says so and opens
// nothing, whatever is posted to it; afterwards it is the way in. Neither signer has
// or gets an account.
func TestTheSecondSignerWaitsForTheFirst(t *testing.T) {
	t.Attr("feature", "C1")
	t.Attr("feature", "D11")
	s := newRequestSite(t, options{})
	b := s.tab()
	s.logIn(b)
	s.sends(b, "Lease of the barn", []string{s.document()}, both...)
	early := s.linkOf(ada)
	b.goTo(early)
	b.sees("It is not your turn yet")
	b.sees("You are number 2 of 2")
	if b.shows("Lease") {
		t.Error("the page before the turn shows the document's name")
	}
	b.looksRight("room-turn")
	c := s.newBrowser(t)
	for path, form := range map[string]string{"/enter": "", "/code": "", "/sign": "seq=1", "/reject": "reason=no"} {
		p := fetch(t, c, http.MethodPost, early+path, "application/x-www-form-urlencoded", form, "Accept", "text/html")
		if p.status < 300 || len(p.header.Values("Set-Cookie")) > 0 || (p.status < 400 && p.to != early) {
			t.Errorf("%s before the turn answers %d, to %q", path, p.status, p.to)
		}
	}
	b.sees("It is not your turn yet")
	first := b.sibling()
	s.opens(first, blaise, s.link(blaise))
	first.click("#yes")
	first.seesAtLast("You have signed 1 document")
	if sent := s.link(ada); sent != early {
		t.Errorf("the link that was sent is %s, not %s", sent, early)
	}
	b.goTo(early)
	b.sees("asks you to sign")
	b.click(".button.primary")
	b.do(chromedp.WaitVisible(chromedp.CSS("#yes")))
	b.click("#yes")
	b.seesAtLast("Everybody has signed 1 document")
	var accounts int
	s.ask(`SELECT COUNT(*) FROM account_user`, &accounts)
	if accounts != 1 {
		t.Errorf("there are %d accounts, want the sender's", accounts)
	}
}
