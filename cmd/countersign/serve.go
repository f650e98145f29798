package main

import (
	"context"
	"os"

	"github.com/countersign/countersign/cmd/internal/daemon"
)

type serveCmd struct {
	Gateway serveGatewayCmd `cmd:"" help:"OAuth 2 and CSC: what relying parties and browsers talk to."`
	PKI     servePKICmd     `cmd:"" name:"pki" help:"Certificates, OCSP, CRL and time-stamps."`
	Portal  servePortalCmd  `cmd:"" help:"The relying party's pages."`
}

// serve loads the settings of a role and runs it until it is told to end.
func serve(ctx context.Context, t terminal, o daemon.Options, role string, settings any, open func(context.Context, *daemon.Process) (closing func() error, err error)) error {
	done, err := o.Load(role, settings, t.out)
	if done || err != nil {
		return withCode(exitLocal, err)
	}
	ctx, stop := daemon.Context(ctx, o.WithParent, os.Stdin)
	defer stop()
	return withCode(exitLocal, daemon.New(role, t.err).Serve(ctx, open))
}
