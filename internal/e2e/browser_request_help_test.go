package e2e_test

import (
	"context"
	"encoding/base32"
	"html"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"
)

// People of the requests.
const (
	senderMail     = "mira@acme.example"
	senderPassword = "a quiet harbour at noon"
	blaise         = "blaise@two.example"
	ada            = "ada@one.example"
)

// workflowSettings are the portal's, relative to its folder.
func workflowSettings() map[string]any {
	return map[string]any{
		"documents": "documents", "secret_file": "secret",
		"seal": map[string]any{"credential_file": "seal-credential", "machine_key": "../machine-acme.json"},
		"mail": map[string]any{"from": "sign@acme.example", "catch": true},
	}
}

// requestSite is an installation whose portal asks people to sign, with a sender who
// has an account, and a browser.
type requestSite struct {
	*directSite

	secret string // of the sender's second factor
}

func newRequestSite(t testing.TB, o options) *requestSite {
	t.Helper()
	browser := chromium(t)
	o.direct, o.workflow = true, true
	in := install(t, o)
	s := &requestSite{directSite: &directSite{installation: in, t: t, browser: browser, downloads: t.TempDir()}}
	credential, _ := in.seal(t, "acme", "Acme Oy")
	in.write(filepath.Join("portal", "seal-credential"), []byte(credential+"\n"))
	secret := in.must(t, "admin", "client", "--id", portalClient, "--name", "Portal of the test", "--new-secret",
		"--redirect", in.portal+"/direct/return", "--redirect", in.portal+"/returned", "--signer", in.signer.Signer, "--signer", "acme").out
	in.write(filepath.Join("portal", "client-secret"), []byte(strings.TrimSpace(secret)+"\n"))
	s.built()
	in.must(t, "admin", "account", senderMail, "--name", "Mira Okonkwo", "--password-file", in.write("sender-password", []byte(senderPassword+"\n")))
	return s
}

// logIn logs the sender in; the first time the second factor is set up.
func (s *requestSite) logIn(b *approvalTab) {
	s.t.Helper()
	b.goTo(s.portal + "/requests")
	b.sees("Log in")
	b.types("#email", senderMail)
	b.types("#password", senderPassword)
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), "\r"))
	if s.secret != "" {
		b.sees("Your code")
		b.types("#code", s.totp()+"\r")
		b.sees("Requests")
		return
	}
	b.sees("Set up your second factor")
	s.secret = strings.ReplaceAll(eval[string](b, `document.querySelector("#secret").textContent`), " ", "")
	b.looksRight("login-setup")
	b.types("#code", s.totp()+"\r")
	b.sees("Keep your recovery codes")
	b.click(".button.primary")
	b.sees("No requests yet")
}

func (s *requestSite) totp() string {
	s.t.Helper()
	if _, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s.secret); err != nil {
		s.t.Fatalf("the secret %q: %v", s.secret, err)
	}
	code, err := totp.GenerateCode(s.secret, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return code
}

// invited is somebody who is to sign.
type invited struct{ name, mail, level, factor, lang string }

// sends makes a request in the browser and returns the address of its page.
func (s *requestSite) sends(b *approvalTab, title string, files []string, people ...invited) string {
	s.t.Helper()
	b.goTo(s.portal + "/requests")
	b.click("main .button.primary")
	b.sees("Which documents?")
	for _, f := range files {
		b.do(chromedp.SetUploadFiles(chromedp.CSS("#pdf"), []string{f}))
		b.sees(filepath.Base(f))
	}
	b.sees("Can be signed")
	b.types("#title", title)
	b.do(chromedp.SendKeys(chromedp.CSS("#title"), "\r"))
	b.sees("Who signs, and in which order?")
	s.names(b, people...)
	b.click(`.actions button[value="next"]`)
	b.sees("Send this request?")
	b.types("#message", "Please read clause 4 once more.\nWarm regards, <b>Mira</b>")
	b.click(`button[value="send"]`)
	b.sees("What happened")
	return strings.TrimPrefix(eval[string](b, `location.pathname`), "")
}

// names fills in the signers.
func (s *requestSite) names(b *approvalTab, people ...invited) {
	s.t.Helper()
	for i, p := range people {
		n := string(rune('1' + i))
		if i > 0 {
			b.click(`button[value="add"]`)
			b.do(chromedp.WaitVisible(chromedp.CSS("#name" + n)))
		}
		b.types("#name"+n, p.name)
		b.types("#email"+n, p.mail)
		for _, field := range [][2]string{{"#level" + n, p.level}, {"#factor" + n, p.factor}, {"#lang" + n, p.lang}} {
			if field[1] != "" {
				b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("` + field[0] + `").value = "` + field[1] + `"`))
			}
		}
	}
}

// caught are the texts of the messages to somebody, the newest first, as the portal's
// page shows them.
func (s *requestSite) caught(to string) (texts []string) {
	s.t.Helper()
	c := s.newBrowser(s.t)
	list := get(s.t, c, s.portal+"/mail?to="+to)
	for _, m := range regexp.MustCompile(`href="(/mail/[^"]+)"`).FindAllStringSubmatch(list.body, -1) {
		one := get(s.t, c, s.portal+m[1])
		if one.status == http.StatusOK {
			text := one.body[strings.Index(one.body, "<pre"):]
			texts = append(texts, html.UnescapeString(text[:strings.Index(text, "</pre>")]))
		}
	}
	return texts
}

// mailed waits for what a pattern finds in the newest message to somebody.
func (s *requestSite) mailed(to, pattern string) string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, text := range s.caught(to) {
			if found := re.FindStringSubmatch(text); found != nil {
				return found[1]
			}
		}
	}
	s.t.Fatalf("no mail to %s with %s; there is\n%s\nthe portal says %s", to, pattern, strings.Join(s.caught(to), "\n---\n"), s.role("portal").lastWords())
	return ""
}

// link waits for somebody's invitation.
func (s *requestSite) link(to string) string {
	s.t.Helper()
	return s.mailed(to, `(http://portal\.localhost:\d+/s/[A-Za-z0-9_-]{43})`)
}

// opens goes to the documents by link and code.
func (s *requestSite) opens(b *approvalTab, to, link string) {
	s.t.Helper()
	b.goTo(link)
	b.sees("asks you to sign")
	b.click(".button.primary")
	b.do(chromedp.WaitVisible(chromedp.CSS("#code")))
	b.types("#code", s.mailed(to, `(?m)^\s*(\d{6})\s*$`)+"\r")
	b.do(chromedp.WaitVisible(chromedp.CSS("#room")))
}

// seesAtLast is sees for what takes as long as signing does.
func (b *approvalTab) seesAtLast(text string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if b.shows(text) {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	b.shot("failed")
	b.t.Fatalf("the page does not show %q, but:\n%s", text, b.text())
}

// front brings the tab to the front: pages behind others are not drawn.
func (b *approvalTab) front() {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, cdppage.BringToFront, struct{}{}); err != nil {
		b.t.Fatal(err)
	}
}
