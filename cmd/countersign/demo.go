package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/countersign/countersign/cmd/countersign/demo"
)

// demoCmd takes its settings from the environment too, so that make can hand on
// names with spaces in them.
type demoCmd struct {
	Dir       string            `default:".demo" type:"path" help:"Folder in which everything is kept."`
	File      string            `env:"COUNTERSIGN_DEMO_FILE" type:"path" help:"PDF to sign; default: a sample."`
	Out       string            `env:"COUNTERSIGN_DEMO_OUT" type:"path" help:"Where the signed file goes; default: beside the file."`
	Name      string            `env:"COUNTERSIGN_DEMO_NAME" help:"Name of the signer; default: Demo Signer."`
	Issuer    string            `placeholder:"URL" help:"https://localhost:PORT, for other people's clients; port 0 takes a free one."`
	Keep      bool              `env:"COUNTERSIGN_DEMO_KEEP" help:"Stay up until interrupted."`
	Database  map[string]string `placeholder:"ROLE=DSN" mapsep:"none" help:"Database of a role, where it is not an SQLite file in the folder."`
	HSM       bool              `name:"hsm" env:"COUNTERSIGN_DEMO_HSM" help:"Keep the signers' keys in a PKCS#11 token (SoftHSM2), in an installation of its own in DIR/hsm."`
	Peer      bool              `env:"COUNTERSIGN_DEMO_PEER" help:"Start a second, independent installation in DIR/peer and sign with the key of its signer."`
	SetupOnly bool              `help:"Sign nothing."`
}

// Run runs the demo. When signing or verifying failed, it ends with their exit code.
func (c *demoCmd) Run(ctx context.Context, t terminal) error {
	self, err := os.Executable()
	if err != nil {
		return withCode(exitLocal, err)
	}
	module := filepath.Join(filepath.Dir(self), "countersign-sam")
	if c.HSM {
		module += "-hsm"
		if _, err := os.Stat(module); err != nil {
			return withCode(exitLocal, fmt.Errorf("an activation module that can use a PKCS#11 token is a build with cgo: make hsm (%w)", err))
		}
	}
	if _, err := os.Stat(module); err != nil {
		return withCode(exitLocal, fmt.Errorf("the activation module is a program of its own and belongs beside this one: make build (%w)", err))
	}
	if c.Name == "" {
		c.Name = "Demo Signer"
	}
	err = demo.Run(ctx, demo.Config{
		Dir: c.Dir, Program: self, Module: module, Name: c.Name, File: c.File, Out: c.Out, Issuer: c.Issuer, Databases: c.Database, HSM: c.HSM, Peer: c.Peer, Keep: c.Keep, NoSign: c.SetupOnly,
		In: t.in, Text: t.out, Err: t.err, Terminal: t.interactive(),
	})
	if e, ok := errors.AsType[*exec.ExitError](err); ok && e.ExitCode() > 0 {
		return withCode(e.ExitCode(), errSilent) // the command said why
	}
	if errors.Is(err, demo.ErrIssuer) {
		return withCode(exitUsage, err)
	}
	return withCode(exitLocal, err)
}
