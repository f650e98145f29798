package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/countersign/countersign/internal/audit"
)

type auditCmd struct {
	Export auditExportCmd `cmd:"" help:"Write what one activation left in the event log, with the proof that the log holds it."`
	Verify auditVerifyCmd `cmd:"" help:"Check such a bundle, offline."`
	Key    auditKeyCmd    `cmd:"" help:"Print the public key of the event log, to keep for later checks."`
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
	key, err := c.key()
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
	for _, e := range events {
		if err := c.print(t, e); err != nil {
			return withCode(exitLocal, err)
		}
	}
	t.say("%d events of %s, all in the signed log", len(events), b.SID)
	return nil
}

func (c *auditVerifyCmd) key() (string, error) {
	b, err := os.ReadFile(c.Key)
	if err == nil {
		return string(bytes.TrimSpace(b)), nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return c.Key, nil
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
