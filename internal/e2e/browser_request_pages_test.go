package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestEveryPageOfTheSenderLooksRight looks at the pages that other tests pass by.
func TestEveryPageOfTheSenderLooksRight(t *testing.T) {
	s := newRequestSite(t, options{})
	b := s.tab()
	b.goTo(s.portal + "/requests")
	b.sees("Log in")
	b.looksRight("login")
	b.types("#email", senderMail)
	b.types("#password", "not the password\r")
	b.sees("Address, password or code is wrong")
	b.looksRight("login-wrong")
	s.logIn(b)
	b.looksRight("list-empty")
	b.goTo(s.portal + "/settings")
	b.sees("Authenticator app")
	b.looksRight("settings")
	b.types("#old", senderPassword)
	b.types("#new", "short")
	b.types("#again", "different")
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("input").forEach((i) => i.removeAttribute("minlength"))`))
	b.click("main .button.primary")
	b.sees("The two new passwords differ")
	b.click(`aside button`)
	b.sees("Log in")
	b.types("#email", senderMail)
	b.types("#password", senderPassword+"\r")
	b.sees("Your code")
	b.looksRight("login-code")
	b.types("#code", "000000\r")
	b.sees("Address, password or code is wrong")
	time.Sleep(31 * time.Second) // a code of the second factor is good once
	b.types("#code", s.totp()+"\r")
	b.sees("No requests yet")

	b.click("main .button.primary")
	b.sees("Which documents?")
	draft := eval[string](b, `location.pathname`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#title").removeAttribute("required")`), chromedp.Click(chromedp.CSS(".actions .primary")))
	b.sees("Add at least one document")
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#pdf"), []string{s.document()}))
	b.sees("Can be signed")
	b.types("#title", "Lease\r")
	b.sees("Who signs, and in which order?")
	b.types("#name1", "Blaise Pascal")
	b.types("#email1", "nobody")
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#email1").type = "text"`))
	b.click(`.actions button[value="next"]`)
	b.sees("This is no e-mail address")
	b.types("#email1", blaise)
	s.names(b, invited{"Blaise Pascal", blaise, "", "", ""}, invited{"Ada Lovelace", ada, "personal", "", ""})
	b.click(`button[value="up.2"]`)
	eventually(t, 15*time.Second, "the two signers do not change places", func() bool {
		// While a page loads there may be none.
		first, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("#name1")?.value ?? ""`))
		return err == nil && first == "Ada Lovelace"
	})
	b.looksRight("signers")
	b.click(`.actions button[value="next"]`)
	b.sees("Send this request?")
	b.looksRight("review")
	b.click(`button[value="send"]`)
	b.sees("No key of their own is known here") // Ada has none
	b.goTo(s.portal + strings.TrimSuffix(draft, "/documents"))
	b.sees("Which documents?")
	b.click("aside button")
	b.sees("No requests yet")
	b.goTo(s.portal + "/mail")
	b.sees("Caught messages")
	b.looksRight("mail")
}
