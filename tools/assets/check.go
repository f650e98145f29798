package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// errTypes says that the type checker objects; it has said to what.
var errTypes = errors.New("the type checker objects")

// check type-checks all TypeScript with tsc. Files named *.worker.ts run in
// workers and see what workers have, all others what pages have.
func (b *builder) check(ctx context.Context) error {
	node, err := exec.LookPath("node")
	if err != nil {
		return b.unchecked(errors.New("node is not installed (Debian: apt install nodejs npm)"))
	}
	tsc, err := b.unpacked(ctx, typescript)
	if err != nil {
		return b.unchecked(err)
	}
	types, err := b.unpacked(ctx, pdfjs)
	if err != nil {
		return b.unchecked(err)
	}
	folders, err := b.islands()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "tsc-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	bad := false
	for _, kind := range []struct{ lib, match string }{{"dom", ""}, {"webworker", ".worker.ts"}} {
		config := b.tsconfig(folders, types, kind.lib, kind.match != "")
		if config == nil {
			continue
		}
		name := filepath.Join(work, kind.lib+".json")
		body, err := json.Marshal(config)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, body, 0o600); err != nil {
			return err
		}
		c := exec.CommandContext(ctx, node, filepath.Join(tsc, "lib", "tsc.js"), "-p", name) //nolint:gosec // our own arguments
		c.Dir, c.Stdout, c.Stderr = b.root, os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			bad = true
		}
	}
	if bad {
		return errTypes
	}
	return nil
}

// tsconfig is the strictest configuration, for pages or for workers.
func (b *builder) tsconfig(folders []folder, types, lib string, workers bool) map[string]any {
	var names []string
	for _, f := range folders {
		for _, e := range f.entries {
			if bytes.HasSuffix([]byte(e), []byte(".worker.ts")) == workers {
				names = append(names, filepath.Join(b.root, e))
			}
		}
		declared, _ := filepath.Glob(filepath.Join(b.root, f.web, "*.d.ts")) // the pattern is right
		names = append(names, declared...)
	}
	if len(names) == 0 {
		return nil
	}
	libs := []string{"es2022", lib}
	if lib == "dom" {
		libs = append(libs, "dom.iterable")
	}
	return map[string]any{
		"files": names,
		"compilerOptions": map[string]any{
			"strict": true, "noEmit": true, "target": "es2022", "module": "esnext", "moduleResolution": "bundler", "lib": libs, "types": []string{},
			"skipLibCheck": true, "noUnusedLocals": true, "noUnusedParameters": true, "noFallthroughCasesInSwitch": true, "noImplicitReturns": true,
			"noUncheckedIndexedAccess": true, "exactOptionalPropertyTypes": true, "isolatedModules": true, "verbatimModuleSyntax": true, "pretty": false,
			"paths": map[string][]string{"pdfjs-dist": {filepath.Join(types, "types", "src", "pdf.d.ts")}},
		},
	}
}

// unchecked says loudly that nothing was checked. In CI that is a failure.
func (b *builder) unchecked(why error) error {
	if os.Getenv("CI") == "true" {
		return fmt.Errorf("the TypeScript cannot be type-checked: %w", why)
	}
	fmt.Fprintf(os.Stderr, "LEFT OUT: the TypeScript was not type-checked: %v\n", why)
	return nil
}
