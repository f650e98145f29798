package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/countersign/countersign/conformance"
	"github.com/countersign/countersign/internal/audit"
)

type auditCmd struct {
	Export auditExportCmd `cmd:"" help:"Write what one activation left in the event log, with the proof that the log holds it."`
	Verify auditVerifyCmd `cmd:"" help:"Check such a bundle, offline."`
	Key    auditKeyCmd    `cmd:"" help:"Print the public key of the event log, to keep for later checks."`

	Receipts auditReceiptsCmd `cmd:"" help:"Write the gateway's signed receipts about a peer."`
	Compare  auditCompareCmd  `cmd:"" help:"Say whether two sides' receipts fit, offline."`
}

type auditExportCmd struct {
	socketsFlag
	SID string `name:"sid" required:"" help:"The signature activation."`
	Out string `short:"o" required:"" type:"path" placeholder:"BUNDLE" help:"File to write."`
}

// Run asks the module and checks what it got before it is kept.
func (c *auditExportCmd) Run(ctx context.Context, t terminal) error {
	admin := c.dir().ModuleAdmin()
	raw, err := admin.Bundle(ctx, c.SID)
	if err != nil {
		return withCode(exitService, err)
	}
	id, err := c.dir().Module().Identity(ctx)
	if err != nil {
		return withCode(exitService, err)
	}
	b, err := audit.ReadBundle(raw)
	if err != nil {
		return withCode(exitService, err)
	}
	if _, err := audit.VerifyBundle(b, id.Verifier); err != nil {
		return withCode(exitService, fmt.Errorf("the module's bundle does not verify: %w", err))
	}
	var text bytes.Buffer
	if err := json.Indent(&text, raw, "", "  "); err != nil {
		return withCode(exitService, err)
	}
	text.WriteByte('\n')
	if err := os.WriteFile(c.Out, text.Bytes(), 0o600); err != nil {
		return withCode(exitLocal, err)
	}
	t.say("%s: %d events of %s; check it with the key %s", c.Out, len(b.Entries), c.SID, id.Verifier)
	return nil
}

type auditVerifyCmd struct {
	Bundle string `arg:"" type:"path" help:"File that audit export wrote."`
	Key    string `required:"" env:"COUNTERSIGN_AUDIT_KEY" placeholder:"VKEY" help:"Public key of the event log, from audit key, or a file with it."`
	JSON   bool   `help:"One JSON object a line for each event."`
}

// Run checks the bundle and prints its events.
func (c *auditVerifyCmd) Run(t terminal) error {
	raw, err := os.ReadFile(c.Bundle)
	if err != nil {
		return withCode(exitLocal, err)
	}
	key, err := keyOrFile(c.Key)
	if err != nil {
		return err
	}
	b, err := audit.ReadBundle(raw)
	if err != nil {
		return withCode(exitInput, fmt.Errorf("%s is no bundle: %w", c.Bundle, err))
	}
	events, err := audit.VerifyBundle(b, key)
	if err != nil {
		return withCode(exitNo, fmt.Errorf("%s does not hold: %w", c.Bundle, err))
	}
	if len(events) == 0 {
		return withCode(exitNo, errors.New("the bundle holds no event"))
	}
	a, err := conformance.ReadActivation(events)
	if err != nil {
		return withCode(exitNo, fmt.Errorf("%s does not hold: %w", c.Bundle, err))
	}
	for _, e := range events {
		if err := c.print(t, e); err != nil {
			return withCode(exitLocal, err)
		}
	}
	if a != nil {
		explainActivation(t, a)
	}
	t.say("%d events of %s, all in the signed log", len(events), b.SID)
	return nil
}

// explainActivation says in words who approved what, when and with what, all of it
// checked against the device's signature.
func explainActivation(t terminal, a *conformance.Activation) {
	s := a.SAD
	how := map[bool]string{true: ", PIN checked"}[a.PIN] + map[bool]string{true: ", number typed"}[a.Number]
	who := fmt.Sprintf("%s (%s)", s.SignerName, s.Signer)
	if a.By != "" {
		who = "a machine, for " + a.By
	}
	t.say("approved by    %s, %s", who, a.Approved.UTC().Format("2006-01-02 15:04:05 UTC"))
	t.say("with           device %s (%s%s); its signature is over exactly what follows", a.Device, a.Mechanism, how)
	t.say("asked by       %s (%s)", s.Party.Name, s.Party.Client)
	t.say("key            credential %s, SCAL%d", s.Credential, s.SCAL)
	for _, d := range s.Documents {
		t.say("document       %s, %d bytes", d.Name, d.Size)
		if len(d.DocHash) > 0 {
			t.fingerprint("               ", d.DocHash)
		}
		made := a.Of(d.DTBSR)
		if len(made) == 0 {
			t.say("               not signed")
		}
		for _, m := range made {
			t.say("               signed %s, %s", m.At.UTC().Format("2006-01-02 15:04:05 UTC"), m.Algorithm)
		}
	}
}

// keyOrFile is a public key of the event log, or the file that has it.
func keyOrFile(key string) (string, error) {
	b, err := os.ReadFile(key)
	if err == nil {
		return string(bytes.TrimSpace(b)), nil
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG) {
		return key, nil
	}
	return "", withCode(exitLocal, err)
}

func (c *auditVerifyCmd) print(t terminal, e audit.Record) error {
	if c.JSON {
		return json.NewEncoder(t.out).Encode(e)
	}
	_, err := fmt.Fprintf(t.out, "%8d  %s  %-24s %-9s by %s on %s\n", e.Pos, e.At.UTC().Format(time.RFC3339), e.Type, e.Outcome, e.Actor, e.Subject)
	return err
}

type auditKeyCmd struct{ socketsFlag }

// Run prints the key.
func (c *auditKeyCmd) Run(ctx context.Context, t terminal) error {
	id, err := c.dir().Module().Identity(ctx)
	if err != nil {
		return withCode(exitService, err)
	}
	_, err = fmt.Fprintln(t.out, id.Verifier)
	return withCode(exitLocal, err)
}
