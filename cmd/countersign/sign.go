package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/signer"
)

type signCmd struct {
	service
	approver
	look
	Files        []string `arg:"" name:"file" type:"path" help:"PDF files to sign. They are only read."`
	Out          string   `short:"o" type:"path" placeholder:"FILE" help:"Where the signed file goes."`
	OutDir       string   `type:"path" placeholder:"DIR" help:"Where several signed files go, under their own names; made if missing."`
	Level        string   `default:"B-LTA" enum:"B-B,B-T,B-LT,B-LTA" help:"PAdES level: ${enum}."`
	Reason       string   `help:"Reason, for the signature."`
	Location     string   `aliases:"place" help:"Place, for the signature."`
	Field        string   `help:"Empty signature field to fill; default: a new one."`
	PasswordFile string   `type:"path" placeholder:"FILE" help:"File whose first line opens encrypted PDFs; else it is asked for."`
	Trust        []string `env:"COUNTERSIGN_TRUST" sep:"none" type:"path" placeholder:"PEM" help:"Trust anchors that the result must validate with."`
}

// Run signs the files with one approval.
func (c *signCmd) Run(ctx context.Context, t terminal) error {
	job, err := c.job(ctx, t)
	if err != nil {
		return err
	}
	anchors, err := loadAnchors(c.Trust)
	if err != nil {
		return err
	}
	way, err := c.way(ctx, t, &c.service)
	if err != nil {
		return err
	}
	defer way.close()
	client, err := c.client(way.redirect)
	if err != nil {
		return err
	}
	fetcher, err := c.fetcher()
	if err != nil {
		return err
	}
	s, err := signer.New(signer.Config{Service: client, Fetcher: fetcher, Credential: c.Credential, Anchors: anchors})
	if err != nil {
		return err
	}
	job.Approve = way.approve
	start := time.Now()
	result, err := s.Sign(ctx, job)
	if err != nil {
		if ctx.Err() != nil {
			return withCode(exitNo, errors.New("broken off; no file was written"))
		}
		return withCode(signer.ExitCode(err), c.explain(err))
	}
	c.report(t, result, time.Since(start))
	return nil
}

// nextSteps are what a person at a command line can do about it.
var nextSteps = map[string]string{
	signer.CodeAmbiguous:  "name one with --credential",
	signer.CodeInput:      "name a file that is there and that this user may read",
	signer.CodeOutput:     "name another place with -o or --out-dir, in a folder that is there and that this user may write to",
	signer.CodeDiskFull:   "make room, or name another folder",
	cscclient.CodeGarbage: "nothing was written; tell the operator of the trust service this sentence",
	pdf.CodePassword:      "give it with --password-file",
	pdf.CodeNotPDF:        "name a PDF file",
	pdf.CodeDamaged:       "get an intact copy, or have its program write it anew",
	pdf.CodeEncryption:    "have its owner save it in another way",
	pades.CodeCertified:   "ask its author for a copy that may be signed",
	pades.CodePermission:  "ask its author for a copy that may be signed",
}

// explain adds what a person at a command line can do.
func (c *signCmd) explain(err error) error {
	f := fault.Of(err)
	if step, ok := nextSteps[f.Code]; ok {
		return fmt.Errorf("%s; %s", f.Detail, step)
	}
	if f.Kind == fault.Internal && f.Detail != "internal error" {
		return errors.New(f.Detail)
	}
	return err
}

// job checks the arguments and names the outputs.
func (c *signCmd) job(ctx context.Context, t terminal) (signer.Job, error) {
	level, err := pades.ParseLevel(c.Level)
	if err != nil {
		return signer.Job{}, withCode(exitUsage, err)
	}
	visible, err := c.appearance(c.Field)
	if err != nil {
		return signer.Job{}, err
	}
	ask := password(ctx, t, c.PasswordFile)
	job := signer.Job{
		Level: level, Reason: c.Reason, Location: c.Location, Visible: visible,
		Password: func(string) ([]byte, error) { return ask() },
		Progress: c.progress(t),
	}
	switch {
	case c.Out != "" && c.OutDir != "":
		return job, withCode(exitUsage, errors.New("give -o or --out-dir, not both"))
	case c.Out == "" && c.OutDir == "":
		return job, withCode(exitUsage, errors.New("where does the result go? Give -o FILE, or --out-dir DIR for several"))
	case c.Out != "" && len(c.Files) > 1:
		return job, withCode(exitUsage, fmt.Errorf("%d files need --out-dir DIR", len(c.Files)))
	case c.Out != "":
		job.Files = []signer.File{{In: c.Files[0], Out: c.Out, Field: c.Field}}
		return job, nil
	}
	if err := os.MkdirAll(c.OutDir, 0o750); err != nil {
		return job, withCode(exitLocal, err)
	}
	seen := map[string]string{}
	for _, in := range c.Files {
		out := filepath.Join(c.OutDir, filepath.Base(in))
		if other, ok := seen[out]; ok {
			return job, withCode(exitUsage, fmt.Errorf("%s and %s would both become %s", other, in, out))
		}
		seen[out] = in
		job.Files = append(job.Files, signer.File{In: in, Out: out, Field: c.Field})
	}
	return job, nil
}

// progress says what begins and, before it waits for the approval, by which words
// the documents are known on the signer's device.
func (c *signCmd) progress(t terminal) func(signer.Step) {
	return func(s signer.Step) {
		if s.Stage == signer.StageApproval {
			t.say("  the signer's device must show these words:")
			for i, d := range s.Digests {
				t.say("    %s", filepath.Base(c.Files[i]))
				t.fingerprint("      ", d)
			}
		}
		what := map[signer.Stage]string{
			signer.StageCredential: "asking the service for key and certificate",
			signer.StagePrepare:    "preparing " + filepath.Base(s.File),
			signer.StageApproval:   "waiting for the signer's approval",
			signer.StageSign:       "the service signs",
			signer.StageFinish:     "time-stamps and validation data for " + filepath.Base(s.File),
			signer.StageValidate:   "checking " + filepath.Base(s.File),
		}[s.Stage]
		if s.Of > 1 && s.File != "" {
			what += fmt.Sprintf(" (%d of %d)", s.N, s.Of)
		}
		t.say("  %s", what)
	}
}

// report says what was done, and what left this machine.
func (c *signCmd) report(t terminal, r *signer.Result, took time.Duration) {
	for _, f := range r.Files {
		t.say("%s: %s, %s, %d bytes", f.Out, f.Level, f.Verdict, f.Size)
		for _, w := range f.Warnings {
			t.say("  note: %s", w)
		}
	}
	t.say("signed by %s with %s in %.1f s", commonName(r.Signer), r.Algorithm, took.Seconds())
	t.say("%d bytes went to the trust service and %d came back; %d of them were bytes of a document", r.Sent, r.Received, r.DocumentBytes)
}

// commonName is the CN of a distinguished name, or all of it.
func commonName(dn string) string {
	for part := range strings.SplitSeq(dn, ",") {
		if cn, ok := strings.CutPrefix(strings.TrimSpace(part), "CN="); ok {
			return cn
		}
	}
	return dn
}
