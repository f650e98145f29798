package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/countersign/countersign/ades/adestest"
)

// dropFiles drops files on the page as a mouse does.
func (b *approvalTab) dropFiles(x, y float64, files ...string) {
	b.t.Helper()
	for _, kind := range []string{"dragEnter", "dragOver", "drop"} {
		_, err := chromedp.Call(b.ctx, input.DispatchDragEvent, input.DispatchDragEventParams{
			Type: input.DispatchDragEventType(kind), X: x, Y: y, Data: &input.DragData{Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1},
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// files are three that can be signed and those that cannot, by what is said of them.
func (s *requestSite) files() (good []string, bad map[string]string) {
	s.t.Helper()
	dir := s.t.TempDir()
	write := func(name string, body []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, body, 0o600); err != nil {
			s.t.Fatal(err)
		}
		return path
	}
	plain := adestest.NewPDF(s.t).Data
	good = []string{write("By button.pdf", plain), write("By mouse.pdf", plain), write(strings.Repeat("A very long name ", 6)+".pdf", plain)}
	bad = map[string]string{
		write("Letter.pdf", []byte("Dear all,\n")): "This is not a PDF",
		write("Scan.pdf", plain[:len(plain)/2]):    "The PDF is damaged",
		write("Empty.pdf", nil):                    "The file is empty",
	}
	corpus := os.Getenv("CORPUS")
	if corpus == "" {
		s.t.Log("LEFT OUT: an encrypted file, which is in the folder that CORPUS would name")
		return good, bad
	}
	locked, err := filepath.Abs(filepath.Join(corpus, "ph_minimal-aes256.pdf"))
	if err != nil {
		s.t.Fatal(err)
	}
	bad[locked] = "protected by a password"
	return good, bad
}

func TestFilesGoUpByButtonMouseAndKeyboardAndABadOneLosesNoOther(t *testing.T) {
	t.Attr("feature", "H1")
	s := newRequestSite(t, options{})
	b := s.tab()
	s.logIn(b)
	good, bad := s.files()
	b.click("main .button.primary")
	b.sees("Which documents?")
	b.looksRight("documents-empty")
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#pdf"), good[:1]))
	b.sees("By button.pdf")
	at := eval[map[string]float64](b, `(() => { const r = document.querySelector("#drop").getBoundingClientRect(); return {x: r.x + 20, y: r.y + 20} })()`)
	together := []string{good[1]}
	for name := range bad {
		together = append(together, name)
	}
	b.dropFiles(at["x"], at["y"], append(together, good[2])...)
	for name, why := range bad {
		b.sees(filepath.Base(name))
		b.sees(why)
	}
	b.sees("By mouse.pdf")
	b.sees("A very long name")
	b.do(chromedp.WaitReady(chromedp.CSS("#upload:not([aria-busy])")))
	if n := eval[int](b, `document.querySelectorAll("[data-live=documents] li").length`); n != 3 {
		t.Errorf("%d files were added; the page shows\n%s", n, b.text())
	}
	b.looksRight("documents")

	// Without scripts: the form takes them too, and says what it refused.
	b.scripts(false)
	b.do(chromedp.Reload())
	b.sees("Add what was chosen")
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#pdf"), append([]string{good[0]}, together[1])), chromedp.Click(chromedp.CSS("#send")))
	b.sees("Was not added")
	b.scripts(true)
	b.goTo(eval[string](b, `location.href`))
	if n := eval[int](b, `document.querySelectorAll("[data-live=documents] li").length`); n != 4 {
		t.Errorf("%d files are there after the form", n)
	}
}

// TestTheWizardIsDoneByKeyboardInUnderAMinute goes from the login to the invitation
// with keys only. The dialog in which the system asks for files is answered.
func TestTheWizardIsDoneByKeyboardInUnderAMinute(t *testing.T) {
	t.Attr("feature", "C17")
	s := newRequestSite(t, options{})
	b := s.tab()
	s.logIn(b)
	b.do(chromedp.Evaluate[chromedp.Void](`document.cookie; fetch("/logout", {method: "POST"})`))
	time.Sleep(31 * time.Second) // a code of the second factor is good once
	start := time.Now()
	b.goTo(s.portal + "/requests")
	b.sees("Log in")
	b.presses(senderMail, "\t", senderPassword, "\r")
	b.sees("Your code")
	b.presses(s.totp(), "\r")
	b.sees("No requests yet")
	b.tabsTo(`main .button.primary`)
	b.presses("\r")
	b.sees("Which documents?")
	b.tabsTo("#pdf")
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#pdf"), []string{s.document()}))
	b.sees("Can be signed")
	b.tabsTo("#title")
	b.presses("\r")
	b.sees("Who signs, and in which order?")
	b.tabsTo("#name1")
	b.presses("Blaise Pascal", "\t", blaise)
	b.tabsTo(`.actions button[value="next"]`)
	b.presses("\r")
	b.sees("Send this request?")
	b.tabsTo(`button[value="send"]`)
	b.presses("\r")
	b.sees("What happened")
	s.link(blaise)
	took := time.Since(start)
	t.Logf("from login to the invitation: %s", took.Round(time.Millisecond))
	if took > time.Minute {
		t.Errorf("it took %s", took)
	}
}

// presses types as on a keyboard, wherever the focus is.
func (b *approvalTab) presses(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.do(chromedp.KeyEvent(text))
	}
}

// tabsTo presses the tab key until the focus is there.
func (b *approvalTab) tabsTo(selector string) {
	b.t.Helper()
	for range 40 {
		if eval[bool](b, `document.activeElement === document.querySelector(`+"`"+selector+"`"+`)`) {
			return
		}
		b.presses("\t")
	}
	b.t.Fatalf("no tab leads to %s", selector)
}
