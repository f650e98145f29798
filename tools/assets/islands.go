package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// folder is a package's TypeScript, by paths relative to the module.
type folder struct {
	web, dist string
	entries   []string // what pages load; other files are parts of these
}

// islands finds every folder named web that has TypeScript. A file is an entry
// unless its name begins with an underscore or ends with .d.ts.
func (b *builder) islands() ([]folder, error) {
	var list []folder
	err := filepath.WalkDir(b.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		name := d.Name()
		if path != b.root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "dist") {
			return filepath.SkipDir
		}
		if name != "web" {
			return nil
		}
		found, err := filepath.Glob(filepath.Join(path, "*.ts"))
		if err != nil || len(found) == 0 {
			return err
		}
		web, err := filepath.Rel(b.root, path)
		if err != nil {
			return err
		}
		f := folder{web: web, dist: filepath.Join(filepath.Dir(web), "dist")}
		for _, name := range found {
			if base := filepath.Base(name); !strings.HasPrefix(base, "_") && !strings.HasSuffix(base, ".d.ts") {
				f.entries = append(f.entries, filepath.Join(web, base))
			}
		}
		list = append(list, f)
		return filepath.SkipDir
	})
	return list, err
}

// bundle makes one script of each entry: an immediately invoked function, which
// pages, workers and service workers all can load.
func (b *builder) bundle(ctx context.Context, f folder) (files, error) {
	if len(f.entries) == 0 {
		return files{}, nil
	}
	out, err := os.MkdirTemp("", "assets-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	goroot, err := b.command(ctx, nil, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"tool", "esbuild", "--bundle", "--minify", "--target=es2022", "--format=iife", "--legal-comments=none", "--log-level=warning",
		"--alias:wasm_exec=" + filepath.Join(strings.TrimSpace(goroot), "lib", "wasm", "wasm_exec.js"), "--outdir=" + out, "--outbase=" + f.web,
	}, f.entries...)
	if _, err := b.command(ctx, nil, args...); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", f.web, err)
	}
	made := files{}
	return made, made.read(out, "")
}

// command runs the go command in the module and returns what it wrote.
func (b *builder) command(ctx context.Context, env []string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, b.goCmd, args...) //nolint:gosec // our own arguments
	c.Dir, c.Env = b.root, append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(append(stderr.Bytes(), stdout.Bytes()...)))
	}
	return stdout.String(), nil
}
