package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/countersign/countersign/ades/validate"
)

type verifyCmd struct {
	JSON         bool     `help:"One JSON object a line for each file."`
	Trust        []string `env:"COUNTERSIGN_TRUST" type:"path" placeholder:"PEM" help:"Trust anchors; without any nothing passes."`
	PasswordFile string   `type:"path" placeholder:"FILE" help:"File whose first line opens encrypted PDFs."`
	Original     string   `type:"path" placeholder:"FILE" help:"File that the detached signatures are over."`
	Files        []string `arg:"" name:"file" help:"Signed PDF files, or CMS signatures in files of their own."`
}

// Run judges each file. The exit code is that of the worst one.
func (c *verifyCmd) Run(ctx context.Context, t terminal) error {
	anchors, err := loadAnchors(c.Trust)
	if err != nil {
		return err
	}
	worst := exitDone
	for i, name := range c.Files {
		report, code := c.file(name, validate.Options{Anchors: anchors, Password: password(ctx, t, c.PasswordFile)})
		worst = max(worst, code)
		if err := c.print(t, i, report); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if worst != exitDone {
		return withCode(worst, errSilent)
	}
	return nil
}

// file judges one file. Trouble with it stands in the report.
func (c *verifyCmd) file(name string, o validate.Options) (*validate.Report, int) {
	report, err := judgeFile(name, c.Original, o)
	if report == nil {
		report = &validate.Report{Error: sentence(err), Trusted: len(o.Anchors) > 0}
	}
	report.File = name
	switch {
	case errors.Is(err, validate.ErrNoSignature):
		return report, exitNo
	case err != nil:
		return report, exitCode(err)
	case !report.Passed():
		return report, exitNo
	}
	return report, exitDone
}

func judgeFile(name, original string, o validate.Options) (*validate.Report, error) {
	f, size, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	bare, err := isCMS(f)
	if err != nil {
		return nil, err
	}
	switch {
	case !bare && original != "":
		return nil, withCode(exitUsage, fmt.Errorf("%s is no detached signature: --original goes with those", name))
	case !bare:
		return validate.File(f, size, o)
	}
	signature, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, size), maxSignature))
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(signature); block != nil {
		signature = block.Bytes
	}
	if original == "" {
		return validate.CMS(signature, nil, o)
	}
	content, _, err := openRegular(original)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return validate.CMS(signature, content, o)
}

// maxSignature is more than the reader takes of a signature in a file of its own.
const maxSignature = 64 << 20

// isCMS reports whether a file begins as DER, BER or PEM do and a PDF cannot.
func isCMS(f io.ReaderAt) (bool, error) {
	var head [10]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return n > 0 && head[0] == 0x30 || bytes.HasPrefix(head[:n], []byte("-----BEGIN")), nil
}

// openRegular opens a file and never waits for it, as opening a pipe would.
func openRegular(name string) (*os.File, int64, error) {
	notRegular := withCode(exitInput, fmt.Errorf("%s is not a file", name))
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return nil, 0, notRegular
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = notRegular
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, st.Size(), nil
}

func (c *verifyCmd) print(t terminal, i int, r *validate.Report) error {
	if c.JSON {
		b, err := r.JSON()
		if err != nil {
			return err
		}
		_, err = t.out.Write(append(b, '\n'))
		return err
	}
	if i > 0 {
		fmt.Fprintln(t.out)
	}
	return r.Text(t.out)
}
