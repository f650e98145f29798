package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/cmd/internal/buildinfo"
	"github.com/countersign/countersign/conformance"
)

type conformanceCmd struct {
	Report conformanceReportCmd `cmd:"" help:"Ask the running installation for all controls, gaps first; signed and time-stamped."`
	Verify conformanceVerifyCmd `cmd:"" help:"Check such a report, offline."`
	Schema conformanceSchemaCmd `cmd:"" help:"Print the JSON Schema of a report."`
}

type conformanceReportCmd struct {
	socketsFlag
	JSON     bool     `help:"Print the signed report as JSON."`
	HTML     string   `type:"path" placeholder:"FILE" help:"Write the signed report as a page that prints well."`
	Out      string   `short:"o" type:"path" placeholder:"FILE" help:"Write the signed report as JSON to a file."`
	Tests    string   `env:"COUNTERSIGN_TESTS" type:"path" default:".test" placeholder:"DIR" help:"Record of the tests of this build, as make test leaves it (${default})."`
	Previous []string `type:"path" sep:"none" placeholder:"FILE" help:"Earlier reports; the log must still contain what they saw."`
}

// Run asks, judges, signs and shows.
func (c *conformanceReportCmd) Run(ctx context.Context, t terminal) error {
	t.say("asking the installation; this takes a few seconds ...")
	k := &collector{dir: c.dir(), tests: c.Tests}
	for _, name := range c.Previous {
		if err := k.remember(name); err != nil {
			return err
		}
	}
	report := conformance.New(k.collect(ctx))
	signed, err := conformance.Seal(report, k.attest(ctx), k.stamp(ctx))
	if err != nil {
		return withCode(exitService, err)
	}
	if err := c.keep(t, signed); err != nil {
		return withCode(exitLocal, err)
	}
	if c.JSON {
		return nil
	}
	return withCode(exitLocal, printReport(t, report))
}

func (c *conformanceReportCmd) keep(t terminal, s *conformance.Signed) error {
	text, err := s.JSON()
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(t.out).Encode(s); err != nil {
			return err
		}
	}
	if c.Out != "" {
		if err := os.WriteFile(c.Out, text, 0o600); err != nil {
			return err
		}
		t.say("%s: the signed report", c.Out)
	}
	if c.HTML == "" {
		return nil
	}
	page, err := conformance.Render(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.HTML, page, 0o600); err != nil {
		return err
	}
	t.say("%s: the signed report as a page", c.HTML)
	return nil
}

// printReport prints every control for people.
func printReport(t terminal, r *conformance.Report) error {
	var b strings.Builder
	for _, m := range r.Evidence.Missing {
		fmt.Fprintf(&b, "NOT ASKED  %s: %s\n", m.What, m.Why)
	}
	for _, one := range r.Results {
		fmt.Fprintf(&b, "%-8s %s  %s\n", strings.ToUpper(string(one.State)), one.ID, one.Requirement)
		fmt.Fprintf(&b, "         clause  %s\n", one.Clause)
		for _, f := range one.Found {
			fmt.Fprintf(&b, "         found   %s\n", f)
		}
		for _, x := range one.Tests {
			fmt.Fprintf(&b, "         test    %s: %s\n", x.Test, x.Outcome)
		}
		if one.Why != "" {
			fmt.Fprintf(&b, "         %s %s\n", map[bool]string{true: "why    ", false: "missing"}[one.State == conformance.Outside], one.Why)
		}
		if one.Close != "" {
			fmt.Fprintf(&b, "         close   %s\n", one.Close)
		}
	}
	n := r.Counts
	fmt.Fprintf(&b, "%d controls: %d gaps, %d proven, %d outside software. %s is in the event log.\n", len(r.Results), n.Gap, n.Proven, n.Outside, r.ID)
	if r.Uncertified() {
		b.WriteString("The signers' keys lie in no certified module: no signature made here is qualified.\n")
	}
	_, err := t.out.Write([]byte(b.String()))
	return err
}

type conformanceVerifyCmd struct {
	File  string   `arg:"" type:"path" help:"Report, as JSON or as a page."`
	Key   string   `env:"COUNTERSIGN_AUDIT_KEY" placeholder:"VKEY" help:"Public key of the event log, from audit key, or a file with it."`
	Trust []string `env:"COUNTERSIGN_TRUST" sep:"none" type:"path" placeholder:"PEM" help:"Roots of the time-stamp authority."`
	JSON  bool     `help:"One JSON object."`
}

// Run checks the report with nothing but public keys.
func (c *conformanceVerifyCmd) Run(t terminal) error {
	if c.Key == "" || len(c.Trust) == 0 {
		return withCode(exitUsage, errors.New("give the log's public key with --key (countersign audit key prints it) and the root of the time-stamp authority with --trust"))
	}
	key, err := keyOrFile(c.Key)
	if err != nil {
		return err
	}
	anchors, err := loadAnchors(c.Trust)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(c.File)
	if err != nil {
		return withCode(exitInput, errors.New(sentence(err)))
	}
	v, err := conformance.Verify(data, conformance.Trust{Key: key, Anchors: anchors})
	switch {
	case errors.Is(err, conformance.ErrFormat):
		return withCode(exitInput, fmt.Errorf("%s: %w", filepath.Base(c.File), err))
	case err != nil:
		return withCode(exitNo, fmt.Errorf("%s does not hold: %w", filepath.Base(c.File), err))
	}
	if err := c.print(t, v); err != nil {
		return withCode(exitLocal, err)
	}
	// Another version may judge otherwise; this one made these results itself, or nobody
	// made them of this evidence.
	if e := v.Report.Evidence; !v.Reproduced && e.Commit == buildinfo.Read("countersign").Commit && e.Commit != "" {
		return withCode(exitNo, fmt.Errorf("%s was signed by the installation, but its results do not follow from the evidence in it", filepath.Base(c.File)))
	}
	return nil
}

func (c *conformanceVerifyCmd) print(t terminal, v *conformance.Verified) error {
	n := v.Report.Counts
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]any{
			"file": c.File, "report": v.Report.ID, "sha256": v.SHA256, "installation": v.Report.Evidence.Installation, "counts": n,
			"recorded": v.Recorded, "stamped": v.Stamped, "authority": v.Authority, "logSize": v.Size, "reproduced": v.Reproduced, "otherwise": v.Otherwise,
		})
	}
	again := "This program comes to the same results from the evidence in it."
	if !v.Reproduced {
		again = "This program does NOT come to the same results or counts from the evidence in it. It judges otherwise: " + strings.Join(v.Otherwise, " ") + "."
	}
	_, err := fmt.Fprintf(t.out, `%s is genuine.
  installation  %s, Countersign %s
  recorded      %s, in a log of %d events
  time-stamp    %s by %s
  sha256        %s
  controls      %d gaps, %d proven, %d outside software
%s
`, v.Report.ID, v.Report.Evidence.Installation, v.Report.Evidence.Version, v.Recorded.UTC().Format("2006-01-02 15:04:05 UTC"), v.Size,
		v.Stamped.UTC().Format("2006-01-02 15:04:05 UTC"), v.Authority, v.SHA256, n.Gap, n.Proven, n.Outside, again)
	return err
}

type conformanceSchemaCmd struct{}

// Run prints the schema.
func (conformanceSchemaCmd) Run(t terminal) error {
	_, err := t.out.Write(conformance.Schema)
	return withCode(exitLocal, err)
}
