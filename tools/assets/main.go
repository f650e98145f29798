// Command assets makes what browsers load: it bundles the TypeScript of every
// folder named web into the folder dist beside it, builds the WebAssembly programs,
// lays out the PDF viewer that npm has, and compresses all of it. With -check it
// type-checks the TypeScript instead. docs/FRONTEND.md tells how to use it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "assets:", err)
		os.Exit(1)
	}
}

// builder is one run.
type builder struct {
	root  string // of the module
	cache string // for what npm has
	goCmd string
	best  bool // compress as well as can be
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("assets", flag.ContinueOnError)
	cache := flags.String("cache", "", "folder for what npm has; default ~/.cache/countersign")
	goCmd := flags.String("go", "go", "the go command")
	best := flags.Bool("best", false, "compress large files as well as can be, which takes half a minute when they changed")
	tests := flags.Bool("tests", false, "fetch also what only tests use")
	check := flags.Bool("check", false, "type-check the TypeScript instead of building")
	if err := flags.Parse(args); err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return errors.New("run this in the folder that has go.mod")
	}
	if *cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		*cache = filepath.Join(base, "countersign")
	}
	b := &builder{root: root, cache: *cache, goCmd: *goCmd, best: *best}
	if *check {
		return b.check(ctx)
	}
	if err := b.build(ctx); err != nil || !*tests {
		return err
	}
	return b.forTests(ctx)
}

// build makes every dist folder. What has not changed is not written again, so
// that programs that embed it need not be built again.
func (b *builder) build(ctx context.Context) error {
	folders, err := b.islands()
	if err != nil {
		return err
	}
	dists := map[string]files{}
	for _, f := range folders {
		if dists[f.dist], err = b.bundle(ctx, f); err != nil {
			return err
		}
	}
	if err := b.programs(ctx, dists); err != nil {
		return err
	}
	if err := b.viewer(ctx, dists); err != nil {
		return err
	}
	for dist, want := range dists {
		if err := (compressor{b.cache, b.best}).put(filepath.Join(b.root, dist), want); err != nil {
			return err
		}
	}
	return nil
}
