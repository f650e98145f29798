package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if err := forgetEmpty(); err != nil {
		os.Exit(fail(os.Stderr, err))
	}
	code := run(ctx, os.Args[1:], terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// cli is the tree of commands. What can be set in the environment names its variable.
type cli struct {
	Sign          signCmd          `cmd:"" help:"Sign PDF files with a key that answers to your own device."`
	Verify        verifyCmd        `cmd:"" help:"Say who signed a PDF, when, and whether it holds."`
	Authenticator authenticatorCmd `cmd:"" help:"Be the signer's device: enrol, approve."`
	Demo          demoCmd          `cmd:"" help:"Run everything on this machine and sign a PDF with it."`
	Serve         serveCmd         `cmd:"" help:"Run one role of the service: gateway, pki or portal."`
	Admin         adminCmd         `cmd:"" help:"Administer running processes: registration authority, clients, certificates."`
	Audit         auditCmd         `cmd:"" help:"Take the records of a signature out of the event log, or check them."`
	Conformance   conformanceCmd   `cmd:"" help:"Say which controls the running installation shows, and check such a report."`
	Migrate       migrateCmd       `cmd:"" help:"Bring a role's database to this version's schema."`
	Doctor        doctorCmd        `cmd:"" help:"Ask every process of an installation how it is."`
	Version       versionCmd       `cmd:"" help:"Say which build this is."`
}

// run is the whole program: it parses the arguments, runs the command, says one
// sentence about a failure, and returns the exit code.
func run(ctx context.Context, args []string, t terminal) int {
	code := -1 // set when help was asked for
	var c cli
	parser, err := kong.New(&c,
		kong.Name("countersign"),
		kong.Description("Remote signatures by keys that answer only to their signer's own device; documents stay where they are."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(t.out, t.err),
		kong.Exit(func(c int) { code = c }),
	)
	if err != nil {
		return fail(t.err, err)
	}
	k, err := parser.Parse(args)
	if code >= 0 {
		return code
	}
	if err != nil {
		fmt.Fprintf(t.err, "countersign: %s. Try: countersign %s--help\n", err, command(k, err))
		return exitUsage
	}
	k.BindTo(ctx, (*context.Context)(nil))
	return fail(t.err, k.Run(t))
}

// forgetEmpty unsets variables of ours that are set to nothing: make exports what
// it was not given, and an empty name is not the name of the working folder.
func forgetEmpty() error {
	for _, e := range os.Environ() {
		name, value, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "COUNTERSIGN_") && value == "" {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// command is the one whose help would help.
func command(k *kong.Context, err error) string {
	if p, ok := errors.AsType[*kong.ParseError](err); ok {
		k = p.Context
	}
	if k == nil || k.Command() == "" {
		return ""
	}
	return k.Command() + " "
}

// fail says what went wrong and returns the exit code.
func fail(w io.Writer, err error) int {
	if err != nil && !errors.Is(err, errSilent) {
		fmt.Fprintf(w, "countersign: %s\n", sentence(err))
	}
	return exitCode(err)
}
