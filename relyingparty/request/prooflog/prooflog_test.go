package prooflog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/relyingparty/request/prooflog"
)

// story is a log of n events, with names that need more than ASCII.
func story(n int) prooflog.Story {
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	s := prooflog.Story{
		Request: "r1", Organisation: "Acme Ö. (Ltd)", Title: "Πώληση — Žluťoučký кот \\ ) ( 契約", Sender: "Grace Hopper", SenderEmail: "grace@acme.example",
		Message: "First line.\nSecond line.", Made: at, Sent: at, Deadline: at, Written: at,
		Documents: []prooflog.Document{{Name: strings.Repeat("long-name-", 30) + ".pdf", Size: 123, SHA256: strings.Repeat("ab", 32), SHA512: strings.Repeat("cd", 64), Original: strings.Repeat("ef", 32), Field: "Signature2"}},
		Signers:   []prooflog.Signer{{Position: 1, Name: "Žofie", Email: "z@one.example", Level: "click", Factor: "mail", Invited: at, Signed: at, Certificate: "CN=Acme", Verdict: "TOTAL-PASSED"}},
	}
	for i := range n {
		s.Events = append(s.Events, prooflog.Event{
			Seq: int64(i + 1), At: at, Type: "signature_made", Actor: "machine", Data: map[string]string{"document": "a.pdf", "sha256": strings.Repeat("ab", 32)},
		})
	}
	return s
}

func TestLogSaysTheSameToPeopleAndPrograms(t *testing.T) {
	for _, n := range []int{0, 1, 300} {
		s := story(n)
		b, err := prooflog.Render(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := prooflog.Render(s)
		if err != nil || !bytes.Equal(b, again) {
			t.Errorf("%d events: the same story gives another file, %v", n, err)
		}
		f, err := pdf.Open(bytes.NewReader(b), int64(len(b)), pdf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		pages := 0
		if err := f.EachPage(func(pdf.Ref, *pdf.Dict) (bool, error) { pages++; return true, nil }); err != nil {
			t.Fatal(err)
		}
		if want := 1; n == 300 && pages < 20 || n < 300 && pages < want {
			t.Errorf("%d events are on %d pages", n, pages)
		}
		var got prooflog.Story
		if err := json.Unmarshal(attached(t, f), &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s, got); d != "" {
			t.Errorf("%d events: the attachment differs:\n%s", n, d)
		}
	}
}

func attached(t *testing.T, f *pdf.File) []byte {
	t.Helper()
	catalog, err := f.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.Array(catalog.Get("AF"))
	if err != nil || len(list) != 1 {
		t.Fatalf("%d attachments, %v", len(list), err)
	}
	spec, err := f.Dict(list[0])
	if err != nil {
		t.Fatal(err)
	}
	ef, err := f.Dict(spec.Get("EF"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := f.Resolve(ef.Get("F"))
	if err != nil {
		t.Fatal(err)
	}
	stream, ok := o.(*pdf.Stream)
	if !ok {
		t.Fatalf("the attachment is %T", o)
	}
	b, err := f.Decode(stream)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLogIsReadByOthers has poppler read the text and qpdf check the file.
func TestLogIsReadByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.pdf")
	b, err := prooflog.Render(story(40))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	text := string(tool(t, "pdftotext", "-layout", path, "-"))
	for _, want := range []string{"Log of a signing process", "Acme Ö. (Ltd)", "Πώληση — Žluťoučký кот \\ ) ( (?)(?)", strings.Repeat("ab", 32), "Žofie", "Second line.", "by click", "r1 · 1 / "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the pages", want)
		}
	}
	if n := strings.Count(text, "signature made"); n != 40 {
		t.Errorf("%d of 40 events are on the pages", n)
	}
	if out := string(tool(t, "qpdf", "--check", path)); !strings.Contains(out, "No syntax or stream encoding errors") {
		t.Errorf("qpdf says %s", out)
	}
}

// tool runs a program of others.
func tool(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: %s is not installed; nobody else read the log", name)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w: %s", name, err, out))
	}
	return out
}
