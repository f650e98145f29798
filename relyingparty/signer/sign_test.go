package signer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

func TestEveryLevelIsReachedAndValidates(t *testing.T) {
	b := newBench(t, signing.P256)
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			f := b.file("doc.pdf", pdf("hello", 0))
			r, err := b.sign(signer.Job{Files: []signer.File{f}, Level: level, Reason: "test"})
			if err != nil {
				t.Fatal(err)
			}
			got := r.Files[0]
			if got.Level != "PAdES-"+level.String() || got.Verdict != string(validate.Passed) || len(got.Warnings) > 0 {
				t.Errorf("result %+v", got)
			}
			original, err := os.ReadFile(f.In)
			if err != nil {
				t.Fatal(err)
			}
			output, err := os.ReadFile(f.Out)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(original, pdf("hello", 0)) || !bytes.HasPrefix(output, original) || int64(len(output)) != got.Size {
				t.Error("the input changed, or the output does not begin with it")
			}
		})
	}
}

func TestEveryKeyTypeSigns(t *testing.T) {
	for _, k := range []signing.KeyType{signing.P256, signing.P384, signing.P521, signing.RSA3072} {
		t.Run(string(k), func(t *testing.T) {
			b := newBench(t, k)
			for _, alg := range append(k.Algorithms(), 0) {
				r, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}, Level: pades.T, Algorithm: alg})
				if err != nil {
					t.Fatalf("%s: %v", alg, err)
				}
				if alg != 0 && r.Algorithm != alg {
					t.Errorf("signed with %s, want %s", r.Algorithm, alg)
				}
			}
		})
	}
}

func TestSeveralFilesNeedOneApproval(t *testing.T) {
	b := newBench(t, signing.P256)
	var files []signer.File
	for i := range 5 {
		files = append(files, b.file(fmt.Sprintf("doc-%d.pdf", i), pdf(fmt.Sprintf("number %d", i), 0)))
	}
	var stages []signer.Stage
	var digests [][]byte
	r, err := b.sign(signer.Job{Files: files, Progress: func(s signer.Step) {
		stages = append(stages, s.Stage)
		if (len(s.Digests) > 0) != (s.Stage == signer.StageApproval) {
			t.Errorf("%d digests at %s", len(s.Digests), s.Stage)
		}
		digests = append(digests, s.Digests...)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Files) != 5 || len(b.outputs()) != 5 {
		t.Errorf("%d results, outputs %q", len(r.Files), b.outputs())
	}
	for _, path := range []string{"/oauth2/pushed_authorize", "/oauth2/authorize", "/csc/v2/" + csc.MethodSignHash} {
		n := 0
		for _, p := range b.service.Requests() {
			if p == path {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s was called %d times", path, n)
		}
	}
	if b.service.SAM.Made() != 5 {
		t.Errorf("the module made %d signatures", b.service.SAM.Made())
	}
	slices.SortFunc(digests, bytes.Compare)
	if len(slices.CompactFunc(digests, bytes.Equal)) != 5 {
		t.Errorf("digests %x of 5 files", digests)
	}
	if !slices.Contains(stages, signer.StageApproval) || stages[len(stages)-1] != signer.StageValidate {
		t.Errorf("stages %q", stages)
	}
}

func TestTrafficDoesNotGrowWithTheDocument(t *testing.T) {
	b := newBench(t, signing.P256)
	var sent [2]int64
	for i, size := range []int{0, 5 << 20} {
		r, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", size))}})
		if err != nil {
			t.Fatal(err)
		}
		sent[i] = r.Sent
		if r.Sent == 0 || r.Sent > 16<<10 || r.DocumentBytes != 0 {
			t.Errorf("%d bytes sent for a document of %d", r.Sent, size)
		}
	}
	if grown := sent[1] - sent[0]; grown > 64 {
		t.Errorf("%d bytes more for a bigger document", grown)
	}
}

func TestOutputValidatesWithoutOurHelp(t *testing.T) {
	b := newBench(t, signing.P256)
	f := b.file("doc.pdf", pdf("hello", 0))
	if _, err := b.sign(signer.Job{Files: []signer.File{f}}); err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(f.Out)
	if err != nil {
		t.Fatal(err)
	}
	report, err := validate.File(bytes.NewReader(out), int64(len(out)), validate.Options{Anchors: b.service.PKI.Anchors()})
	if err != nil || !report.Passed() {
		t.Errorf("validate: %v, %+v", err, report)
	}
	if !bytes.Contains(out, []byte("/DSS")) || len(report.Timestamps) != 1 {
		t.Errorf("no DSS, or %d document time-stamps", len(report.Timestamps))
	}
}

func TestSignedFileIsSignedAgain(t *testing.T) {
	b := newBench(t, signing.P256)
	first := b.file("doc.pdf", pdf("hello", 0))
	if _, err := b.sign(signer.Job{Files: []signer.File{first}}); err != nil {
		t.Fatal(err)
	}
	again := signer.File{In: first.Out, Out: first.Out + ".again"}
	if _, err := b.sign(signer.Job{Files: []signer.File{again}}); err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(again.Out)
	if err != nil {
		t.Fatal(err)
	}
	report, err := validate.File(bytes.NewReader(out), int64(len(out)), validate.Options{Anchors: b.service.PKI.Anchors()})
	if err != nil || len(report.Signatures) != 2 || !report.Passed() {
		t.Errorf("validate: %v, %+v", err, report)
	}
}

func TestWithoutAnchorsTheOutputSaysSo(t *testing.T) {
	b := newBench(t, signing.P256)
	b.config.Anchors = nil
	r, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Files[0].Verdict != string(validate.Indeterminate) || len(r.Files[0].Warnings) != 1 {
		t.Errorf("result %+v", r.Files[0])
	}
}

func TestTimestampsOfAnotherAuthority(t *testing.T) {
	b := newBench(t, signing.P256)
	b.config.TSA = b.service.URL + "/tsa"
	if _, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}}); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(b.service.Requests(), "/csc/v2/"+csc.MethodTimestamp) {
		t.Error("the service was asked for a time-stamp")
	}
}

func TestVisibleSignatureSaysWhoWhenWhyAndWhere(t *testing.T) {
	b := newBench(t, signing.P256)
	f := b.file("doc.pdf", pdf("hello", 0))
	at := time.Now().In(time.FixedZone("", 5*3600+1800))
	b.config.Now = func() time.Time { return at }
	look := &pades.Appearance{Page: 1, X: 300, Y: 700, Width: 250, Height: 80}
	if _, err := b.sign(signer.Job{Files: []signer.File{f}, Reason: "Approval", Location: "Zürich", Visible: look}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "pdftotext", f.Out, "-").Output()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip("SKIPPED: pdftotext is not installed")
	}
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join(pades.Lines(b.service.PKI.Signer.Cert.Subject.CommonName, at, "Approval", "Zürich"), "\n")
	if !strings.Contains(string(out), want) || !strings.Contains(want, "+05:30") {
		t.Errorf("the page reads %q, want %q", out, want)
	}
	if len(look.Lines)+len(look.Fonts) > 0 {
		t.Error("the job was changed")
	}
}

func TestVisibleSignatureThatCannotBeDrawnIsSaidBeforeAnybodySigns(t *testing.T) {
	b := newBench(t, signing.P256)
	_, err := b.sign(signer.Job{
		Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))}, Reason: "漢字", Visible: &pades.Appearance{Page: 1, Width: 250, Height: 80},
		Approve: func(context.Context, string) (string, error) {
			t.Error("the signer was asked")
			return "", errors.New("never")
		},
	})
	b.refused(err, pades.CodeAppearance, 3)
}
