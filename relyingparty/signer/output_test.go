package signer_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	pdffile "github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

func TestInputThatCannotBeSigned(t *testing.T) {
	b := newBench(t, signing.P256)
	folder := filepath.Join(b.dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(b.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	rows := map[string]struct {
		file signer.File
		code string
	}{
		"not a PDF":   {b.file("text.pdf", []byte("Dear Sir or Madam")), pdffile.CodeNotPDF},
		"empty":       {b.file("empty.pdf", nil), pdffile.CodeNotPDF},
		"cut off":     {b.file("cut.pdf", pdf("hello", 0)[:200]), pdffile.CodeDamaged},
		"missing":     {signer.File{In: filepath.Join(b.dir, "nothing.pdf"), Out: filepath.Join(b.dir, "out", "x.pdf")}, signer.CodeInput},
		"pipe":        {signer.File{In: pipe, Out: filepath.Join(b.dir, "out", "x.pdf")}, signer.CodeInput},
		"folder":      {signer.File{In: folder, Out: filepath.Join(b.dir, "out", "x.pdf")}, signer.CodeInput},
		"no output":   {signer.File{In: b.file("doc.pdf", pdf("hello", 0)).In}, signer.CodeOutput},
		"onto itself": {signer.File{In: b.file("self.pdf", pdf("hello", 0)).In, Out: filepath.Join(b.dir, "self.pdf")}, signer.CodeOutputIsInput},
		"onto folder": {signer.File{In: b.file("other.pdf", pdf("hello", 0)).In, Out: folder}, signer.CodeOutput},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			asked := false
			_, err := b.sign(signer.Job{Files: []signer.File{row.file}, Approve: func(context.Context, string) (string, error) {
				asked = true
				return "", errors.New("never")
			}})
			b.refused(err, row.code, 3)
			if asked {
				t.Error("the signer was asked for nothing")
			}
		})
	}
}

func TestOneBadFileStopsAll(t *testing.T) {
	b := newBench(t, signing.P256)
	_, err := b.sign(signer.Job{Files: []signer.File{b.file("good.pdf", pdf("hello", 0)), b.file("bad.pdf", []byte("no"))}})
	b.refused(err, pdffile.CodeNotPDF, 3)
	if !strings.Contains(err.Error(), "bad.pdf") || b.service.SAM.Made() != 0 {
		t.Errorf("%d signatures, error %v", b.service.SAM.Made(), err)
	}
}

func TestTwoFilesCannotHaveOneOutput(t *testing.T) {
	b := newBench(t, signing.P256)
	one, two := b.file("a.pdf", pdf("a", 0)), b.file("b.pdf", pdf("b", 0))
	two.Out = filepath.Join(b.dir, "out", "..", "out", "a.pdf")
	_, err := b.sign(signer.Job{Files: []signer.File{one, two}})
	b.refused(err, signer.CodeOutput, 3)
}

func TestMoreFilesThanOneApprovalCovers(t *testing.T) {
	b := newBench(t, signing.P256)
	var files []signer.File
	for i := range 21 {
		files = append(files, b.file(strings.Repeat("x", i+1)+".pdf", pdf("a", 0)))
	}
	_, err := b.sign(signer.Job{Files: files})
	b.refused(err, signer.CodeTooMany, 3)
}

func TestOutputFolderThatIsMissing(t *testing.T) {
	b := newBench(t, signing.P256)
	f := b.file("doc.pdf", pdf("hello", 0))
	f.Out = filepath.Join(b.dir, "nowhere", "doc.pdf")
	_, err := b.sign(signer.Job{Files: []signer.File{f}})
	b.refused(err, signer.CodeOutput, 5)
	if b.service.SAM.Made() != 0 {
		t.Error("the signer was asked before the output was tried")
	}
}

func TestFullDiskIsSaidBeforeAnybodySigns(t *testing.T) {
	b := newBench(t, signing.P256)
	small := filepath.Join(b.dir, "out")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("SKIPPED: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	_, err := b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 1<<20))}})
	b.refused(err, signer.CodeDiskFull, 5)
	if b.service.SAM.Made() != 0 {
		t.Error("signed in vain")
	}

	// The original fits, the patch does not.
	_, err = b.sign(signer.Job{Files: []signer.File{b.file("doc.pdf", pdf("hello", 240<<10))}})
	b.refused(err, signer.CodeDiskFull, 5)
}

func TestCancelledWhileWaitingForTheSigner(t *testing.T) {
	b := newBench(t, signing.P256)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := b.signContext(ctx, signer.Job{
		Files: []signer.File{b.file("doc.pdf", pdf("hello", 0))},
		Approve: func(ctx context.Context, _ string) (string, error) {
			if n := len(b.outputs()); n != 1 {
				t.Errorf("%d files while waiting", n)
			}
			cancel()
			return "", ctx.Err()
		},
	})
	if !errors.Is(err, context.Canceled) || len(b.outputs()) > 0 {
		t.Errorf("error %v, outputs %q", err, b.outputs())
	}
}

func TestInputThatChangesWhileItIsSigned(t *testing.T) {
	b := newBench(t, signing.P256)
	f := b.file("doc.pdf", pdf("hello", 0))
	sum := sha256.Sum256(pdf("hello", 0))
	_, err := b.sign(signer.Job{
		Files: []signer.File{f},
		Approve: func(ctx context.Context, u string) (string, error) {
			if err := os.WriteFile(f.In, pdf("world", 0), 0o600); err != nil {
				t.Error(err)
			}
			return b.service.Approve(ctx, u)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(f.Out)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(pdf("hello", 0)); sha256.Sum256(out[:n]) != sum {
		t.Error("the output is not of the document that was approved")
	}
}

func TestOutputReplacesAnOlderOneWhole(t *testing.T) {
	b := newBench(t, signing.P256)
	f := b.file("doc.pdf", pdf("hello", 0))
	if err := os.MkdirAll(filepath.Dir(f.Out), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Out, []byte("older"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.service.Refuse = true
	if _, err := b.sign(signer.Job{Files: []signer.File{f}}); err == nil {
		t.Fatal("signed without approval")
	}
	if old, err := os.ReadFile(f.Out); err != nil || string(old) != "older" {
		t.Errorf("a failed run changed the older output: %q, %v", old, err)
	}
	b.service.Refuse = false
	if _, err := b.sign(signer.Job{Files: []signer.File{f}}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(f.Out)
	if err != nil || info.Mode().Perm() != 0o600 || len(b.outputs()) != 1 {
		t.Errorf("mode %v, outputs %q, %v", info.Mode(), b.outputs(), err)
	}
}
