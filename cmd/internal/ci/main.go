package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// recordDir is where the records of runs lie.
const recordDir = ".test"

// errUsage says that the arguments are wrong.
var errUsage = errors.New("wrong usage")

// errNo is the end of a run whose answer is no; everything was said already.
var errNo = errors.New("no")

const usage = `usage: ci COMMAND
  test GO-TEST-ARGUMENTS…   run go test, keep the record, end with the counts
  features TABLE OUT        answer the rows of features.tsv
  controls TABLE OUT        answer the rows of controls.tsv
  bench OUT PACKAGES…       run the benchmarks and write the comparisons
  interop ORACLES OUT       run other people's clients and validators against this one
  corpus DIR OUT            sign every PDF of a folder and have the result judged
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, errNo):
		os.Exit(1)
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "ci:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string, out, errw io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	name, args := args[0], args[1:]
	switch {
	case name == "test" && len(args) > 0:
		return runTests(ctx, "test", args, out, errw)
	case name == "features" && len(args) == 2:
		return features(ctx, args[0], args[1], out, errw)
	case name == "controls" && len(args) == 2:
		return controls(ctx, args[0], args[1], out, errw)
	case name == "bench" && len(args) >= 2:
		return bench(ctx, args[0], args[1:], out, errw)
	case name == "interop" && len(args) == 2:
		return interop(ctx, args[0], args[1], out, errw)
	case name == "corpus" && len(args) == 2:
		return corpus(ctx, args[0], args[1], out, errw)
	default:
		return errUsage
	}
}
