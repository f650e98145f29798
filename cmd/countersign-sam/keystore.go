package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/keystore/soft"
)

// hsmSettings are those of a hardware security module.
type hsmSettings struct {
	Module   config.Path   `config:"module" doc:"The vendor's PKCS#11 library. What it needs in the environment, as SOFTHSM2_CONF, must be set for this process."`
	Token    string        `config:"token" doc:"Label of the token, as pkcs11-tool --list-slots shows it."`
	PIN      config.Secret `config:"pin_file" doc:"File with the user's PIN. A wrong one is tried once only: the token counts."`
	Sessions int           `config:"sessions" doc:"Most sessions at once, at least 24; set it if the token allows fewer."`
}

func (h hsmSettings) given() bool { return h.Module != "" || h.Token != "" || h.PIN.Given() }

// Validate checks what belongs together.
func (s *settings) Validate() error {
	switch {
	case !s.HSM.given():
		if s.Keys == "" || !s.Passphrase.Given() {
			return errors.New("the keys need a place: set keys and passphrase_file for the software keystore, or hsm for a hardware module")
		}
	case s.Keys != "" || s.Passphrase.Given():
		return errors.New("keys are in one place: set either keys and passphrase_file, or hsm")
	case s.HSM.Module == "" || s.HSM.Token == "" || !s.HSM.PIN.Given():
		return errors.New("hsm needs module, token and pin_file")
	}
	return s.validateLimits()
}

// openKeys opens the keystore of the configuration.
func openKeys(ctx context.Context, s *settings, log *slog.Logger) (keystore.Store, error) {
	if s.HSM.given() {
		return openHSM(ctx, s.HSM, log)
	}
	return soft.Open(ctx, soft.Config{Dir: string(s.Keys), Passphrase: s.Passphrase.Bytes()})
}

// proveKeys finds out what the keystore really does, says so in the log, and
// refuses one that does not do what every signature rests on.
func proveKeys(ctx context.Context, keys keystore.Store, logger *slog.Logger) error {
	c, err := keys.Probe(ctx)
	if err != nil {
		return fmt.Errorf("probe the keystore: %w", err)
	}
	logger.InfoContext(ctx, "keystore", "keystore", c.Keystore(), "module", c.Module, "hardware", c.Hardware, "key_types", c.KeyTypes,
		"wraps_keys", c.WrapsKeys, "refuses_tamper", c.RefusesTamper, "non_extractable", c.NonExtractable, "findings", c.Findings)
	for _, check := range c.Checks {
		logger.InfoContext(ctx, "keystore check", "check", check.Name, "ok", check.OK, "answer", check.Words)
	}
	return proven(c)
}

// proven refuses a keystore that failed its probe.
func proven(c keystore.Capabilities) error {
	switch {
	case !c.WrapsKeys:
		return fault.New(fault.Unavailable, "the keystore %s does not make, wrap and unwrap signers' keys: %s", c.Module, strings.Join(c.Findings, "; "))
	case !c.RefusesTamper:
		return fault.New(fault.Unavailable, "the keystore %s takes damaged keys: %s", c.Module, strings.Join(c.Findings, "; "))
	case c.Driver == "pkcs11" && !c.NonExtractable:
		return fault.New(fault.Unavailable, "the module %s gives keys away: %s", c.Module, strings.Join(c.Findings, "; "))
	}
	return nil
}

// keyFacts are what an operator wants to see of the keystore.
func keyFacts(c keystore.Capabilities, out map[string]string) {
	out["keystore"] = c.Keystore() + ": " + c.Module
	types := make([]string, len(c.KeyTypes))
	for i, t := range c.KeyTypes {
		types[i] = string(t)
	}
	out["keystore key types"] = strings.Join(types, ", ")
	for i, check := range c.Checks {
		word := "yes"
		if !check.OK {
			word = "NO"
		}
		if check.Words != "" {
			word += " (" + check.Words + ")"
		}
		out[fmt.Sprintf("keystore proof %02d", i+1)] = check.Name + ": " + word
	}
	for i, f := range c.Findings {
		out[fmt.Sprintf("keystore remark %02d", i+1)] = f
	}
}
