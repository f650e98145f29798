package e2e_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// toApproval brings a document as far as the approval page.
func (s *directSite) toApproval(b *approvalTab, doc string) {
	s.t.Helper()
	b.goTo(s.portal + "/direct")
	b.sees("Drop a PDF here")
	b.choose(doc)
	b.sees("Place your signature")
	s.pick(b)
	asked := count(s.events(s.t), "sad.created")
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#sign").click(); document.querySelector("#sign").click()`))
	b.sees("asks you to sign 1 document")
	if n := count(s.events(s.t), "sad.created") - asked; n != 1 {
		s.t.Errorf("a double click asked for %d approvals", n)
	}
}

// sibling opens another tab of the same browser, with the same cookies and files.
func (b *approvalTab) sibling() *approvalTab {
	b.t.Helper()
	made, err := chromedp.Call(b.ctx, target.CreateTarget, target.CreateTargetParams{URL: "about:blank"})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(made.TargetID))
	b.t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatal(err)
	}
	return &approvalTab{b.t, ctx}
}

func TestDirectPageRefusesWhatCannotBeSignedWhenItIsChosen(t *testing.T) {
	s := newDirectSite(t, options{})
	b := s.tab()
	dir := t.TempDir()
	plain := writePDF(t, filepath.Join(dir, "plain.pdf"), 1<<10, 1)
	whole, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, body []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rows := []struct{ name, file, says string }{
		{"no PDF", write("picture.pdf", []byte("\x89PNG\r\n\x1a\nnot a PDF at all")), "It is not a PDF"},
		{"empty", write("empty.pdf", nil), "It is not a PDF"},
		{"broken", write("broken.pdf", whole[:len(whole)*2/3]), "It is damaged"},
	}
	if qpdf, err := exec.LookPath("qpdf"); err == nil {
		locked := filepath.Join(dir, "locked.pdf")
		if out, err := exec.CommandContext(t.Context(), qpdf, "--encrypt", "secret", "owner", "256", "--", plain, locked).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		rows = append(rows, struct{ name, file, says string }{"encrypted", locked, "It opens only with a password"})
	} else {
		t.Log("LEFT OUT: the encrypted document, which qpdf would make")
	}
	b.goTo(s.portal + "/direct")
	for _, row := range rows {
		b.sees("Drop a PDF here")
		b.choose(row.file)
		b.sees(row.says)
		b.sees("was not changed and did not leave this computer")
		if name := filepath.Base(row.file); !b.shows(name) {
			t.Errorf("%s: the page does not name %s", row.name, name)
		}
	}
	b.looksRight("direct-refused")
	t.Run("200 pages", func(t *testing.T) {
		b.choose(manyPages(t, filepath.Join(dir, "long.pdf"), 200))
		b.sees("1 of 200")
		b.click("#following")
		b.sees("2 of 200")
	})
	t.Run("100 MB", func(t *testing.T) {
		b.goTo(s.portal + "/direct")
		b.choose(writePDF(t, filepath.Join(dir, "large.pdf"), 100<<20, 3))
		b.sees("Place your signature")
		b.sees("105 MB")
	})
	t.Run("German", func(t *testing.T) {
		b.goTo(s.portal + "/direct?lang=de")
		b.sees("PDF hier ablegen")
		b.choose(rows[0].file)
		b.sees("Es ist kein PDF")
		b.looksRight("direct-refused-de")
	})
	if n := s.signatures(); n != 0 {
		t.Errorf("%d signatures were made", n)
	}
}

// manyPages writes a PDF with so many pages.
func manyPages(t *testing.T, name string, pages int) string {
	t.Helper()
	var kids, objects strings.Builder
	offsets := []int{}
	out := "%PDF-1.7\n"
	add := func(body string) {
		offsets = append(offsets, len(out)+objects.Len())
		fmt.Fprintf(&objects, "%d 0 obj\n%s\nendobj\n", len(offsets), body)
	}
	for i := range pages {
		fmt.Fprintf(&kids, "%d 0 R ", i+3)
	}
	add("<< /Type /Catalog /Pages 2 0 R >>")
	add(fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d /MediaBox [0 0 595 842] >>", kids.String(), pages))
	for range pages {
		add("<< /Type /Page /Parent 2 0 R /Resources << >> >>")
	}
	out += objects.String()
	xref := len(out)
	out += fmt.Sprintf("xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		out += fmt.Sprintf("%010d 00000 n \n", o)
	}
	out += fmt.Sprintf("trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, xref)
	if err := os.WriteFile(name, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDirectPageSignsOnceAndLosesNothing(t *testing.T) {
	s := newDirectSite(t, options{})
	b := s.tab()
	b.authenticator()
	s.passkey(b)
	doc := writePDF(t, filepath.Join(t.TempDir(), "Lease.pdf"), 64<<10, 5)

	t.Run("rejected", func(t *testing.T) {
		s.t, b.t = t, t
		s.toApproval(b, doc)
		b.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true })`))
		b.do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll("button")].find((x) => /reject/i.test(x.textContent)).click()`))
		b.sees("Not approved")
		b.sees("Nothing was signed")
		b.goTo(s.portal + "/direct")
		b.sees("Drop a PDF here")
		if n := s.signatures(); n != 0 {
			t.Fatalf("%d signatures", n)
		}
	})

	t.Run("closed before the approval", func(t *testing.T) {
		s.t, b.t = t, t
		s.toApproval(b, doc)
		b.goTo("about:blank")
		b.goTo(s.portal + "/direct")
		b.sees("A document waits for your approval")
		b.looksRight("direct-waiting")
		b.click("#resume")
		b.sees("asks you to sign 1 document")
		b.goTo(s.portal + "/direct")
		b.sees("A document waits for your approval")
		b.click("#discard")
		b.sees("Drop a PDF here")
		b.goTo(s.portal + "/direct")
		b.sees("Drop a PDF here")
	})

	t.Run("two tabs and a reload", func(t *testing.T) {
		s.t, b.t = t, t
		s.toApproval(b, doc)
		back := s.approvedElsewhere(b)
		other := b.sibling()
		other.go2(back)
		b.go2(back)
		b.sees("Unchanged since it was signed")
		other.sees("Unchanged since it was signed")
		if n := s.signatures(); n != 1 {
			t.Fatalf("%d signatures", n)
		}
		b.goTo(back)
		b.sees("Unchanged since it was signed")
		b.goTo(s.portal + "/direct")
		b.sees("Unchanged since it was signed") // it waits for its download
		if n := s.signatures(); n != 1 {
			t.Fatalf("%d signatures after reloads", n)
		}
		b.click("#download")
		s.verify(t, s.downloaded("Lease-signed.pdf"))[0].passed(t, "B-LTA", 2)
		s.emptied(b)
		b.goTo(back)
		b.sees("The document is not in this browser")
	})

	t.Run("closed between approval and download", func(t *testing.T) {
		s.t, b.t = t, t
		s.toApproval(b, doc)
		back := s.approvedElsewhere(b)
		b.go2(back) // and away at once
		time.Sleep(300 * time.Millisecond)
		b.goTo("about:blank")
		b.goTo(s.portal + "/direct")
		for range 20 {
			if b.shows("Unchanged since it was signed") || b.shows("A document waits for your approval") {
				break
			}
			time.Sleep(250 * time.Millisecond)
		}
		if b.shows("A document waits") { // it was away before it had asked: the address is good still
			b.goTo(back)
		}
		b.sees("Unchanged since it was signed")
		if n := s.signatures(); n != 2 {
			t.Fatalf("%d signatures, want 2 with those of the case before", n)
		}
	})
}

// go2 goes somewhere and does not wait until the page is there.
func (b *approvalTab) go2(address string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`setTimeout(() => location.assign(`+quote(address)+`))`)); err != nil {
		b.t.Fatal(err)
	}
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// approvedElsewhere approves, and returns the address with which the browser comes
// back to the portal, which it has not yet visited.
func (s *directSite) approvedElsewhere(b *approvalTab) string {
	s.t.Helper()
	stop := s.hold(b, s.portal+"/direct/return*")
	b.do(chromedp.WaitEnabled(chromedp.CSS("#approve")))
	b.click("#approve")
	address := stop()
	b.goTo("about:blank") // the approval page goes on by itself, and would get in the way
	if u, err := url.Parse(address); err != nil || u.Query().Get("code") == "" {
		s.t.Fatalf("the browser came back with %q", address)
	}
	return address
}
