package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program is the command under test.
const program = "bin/countersign"

// installation is a running demo that other programs are pointed at.
type installation struct {
	dir  string
	env  []string // of the process, with the installation's exports
	vars map[string]string
	cmd  *exec.Cmd
	done chan error
}

// install starts a demo in a folder of its own and waits until it is ready.
func install(ctx context.Context, dir string, log io.Writer, args ...string) (*installation, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c := exec.Command(program, append([]string{"demo", "--keep", "--setup-only", "--dir", dir}, args...)...) //nolint:noctx // it is asked to end, not killed
	c.Stderr = log
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start the installation (make build first): %w", err)
	}
	in := &installation{dir: dir, cmd: c, done: make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		s := bufio.NewScanner(out)
		for s.Scan() {
			fmt.Fprintln(log, s.Text())
			if strings.HasPrefix(s.Text(), "ready: ") {
				close(ready)
			}
		}
		in.done <- c.Wait()
	}()
	select {
	case <-ready:
	case err := <-in.done:
		return nil, fmt.Errorf("the installation ended before it was ready: %w", err)
	case <-time.After(2 * time.Minute):
		return nil, errors.Join(errors.New("the installation was not ready within two minutes"), in.stop())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), in.stop())
	}
	if err := in.readEnv(); err != nil {
		return nil, errors.Join(err, in.stop())
	}
	return in, nil
}

// stop ends the installation and waits for it.
func (in *installation) stop() error {
	if err := in.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-in.done:
		return err
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("the installation did not end within 30 s"), in.cmd.Process.Kill())
	}
}

// path names a file of the installation.
func (in *installation) path(name string) string { return filepath.Join(in.dir, name) }

// readEnv takes the exports that the demo wrote for shells.
func (in *installation) readEnv() error {
	b, err := os.ReadFile(in.path("env"))
	if err != nil {
		return err
	}
	in.vars = map[string]string{}
	for line := range strings.Lines(string(b)) {
		assign, ok := strings.CutPrefix(strings.TrimSpace(line), "export ")
		if !ok {
			continue
		}
		name, value, ok := strings.Cut(assign, "=")
		if !ok {
			return fmt.Errorf("%s: %q", in.path("env"), line)
		}
		in.vars[name] = strings.ReplaceAll(strings.Trim(value, "'"), `'\''`, "'")
	}
	in.env = os.Environ()
	for k, v := range in.vars {
		in.env = append(in.env, k+"="+v)
	}
	return nil
}

// run runs a program with the installation's exports and returns everything it wrote.
func (in *installation) run(ctx context.Context, limit time.Duration, name string, args ...string) (string, int, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = in.env
	c.WaitDelay = 5 * time.Second
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		return string(out), -1, fmt.Errorf("%s did not end within %s", filepath.Base(name), limit)
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), e.ExitCode(), nil
	}
	return string(out), 0, err
}
