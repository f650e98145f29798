package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"github.com/countersign/countersign/cmd/internal/buildinfo"
	"github.com/countersign/countersign/cmd/internal/daemon"
)

// The exit codes that this program has of those that all share.
const (
	exitUsage = 2
	exitLocal = 5
)

type cli struct {
	daemon.Options
	Version bool `help:"Say which build this is."`
}

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	var c cli
	helped := false
	parser, err := kong.New(&c, kong.Name("countersign-sam"), kong.Description("The signature activation module."),
		kong.Writers(out, errw), kong.Exit(func(int) { helped = true }))
	if err != nil {
		return fail(errw, err, exitLocal)
	}
	_, err = parser.Parse(args)
	switch {
	case helped:
		return 0
	case err != nil:
		return fail(errw, err, exitUsage)
	case c.Version:
		fmt.Fprintln(out, buildinfo.Read("countersign-sam"))
		return 0
	}
	s := defaults()
	done, err := c.Load("sam", &s, out)
	switch {
	case err != nil && c.Config == "":
		return fail(errw, err, exitUsage)
	case err != nil:
		return fail(errw, err, exitLocal)
	case done:
		return 0
	}
	daemon.SpareGC()
	ctx, stop := daemon.Context(ctx, c.WithParent, in)
	defer stop()
	err = daemon.New("sam", errw).Serve(ctx, func(ctx context.Context, p *daemon.Process) (func() error, error) { return open(ctx, p, &s) })
	if err != nil {
		return fail(errw, err, exitLocal)
	}
	return 0
}

func fail(w io.Writer, err error, code int) int {
	if !errors.Is(err, context.Canceled) {
		fmt.Fprintf(w, "countersign-sam: %v\n", err)
	}
	return code
}
