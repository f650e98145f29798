package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is one role while it runs.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer // closing it ends the process, also when we die
	log   string
	done  chan struct{}
	err   error // set before done is closed
}

// start runs a program whose standard input stays open as long as we live: when
// it closes, the program ends by itself. What it writes goes to the log file; env
// is added to its environment.
func start(ctx context.Context, name, dir, logFile string, argv []string, env ...string) (*process, error) {
	sink, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	// Not CommandContext: the process is asked to end, and given time to.
	c := exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // our own program; it ends by its standard input
	c.Stdout, c.Stderr = sink, sink
	c.Dir, c.Env = dir, append(plainEnviron(), env...)
	// A group of its own: control-C on the terminal reaches us, and we end the
	// roles in their order.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: c, stdin: stdin, log: logFile, done: make(chan struct{})}
	go func() {
		p.err = c.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop asks the process to end and waits; one that does not listen is killed.
func (p *process) stop(patience time.Duration) error {
	if err := p.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		if err := p.cmd.Process.Kill(); err != nil {
			return err
		}
		<-p.done
		return fmt.Errorf("%s did not end within %s and was killed", p.name, patience)
	}
	if p.err != nil {
		return fmt.Errorf("%s ended with %w: %s", p.name, p.err, p.lastWords())
	}
	return nil
}

// ready waits until the process says that it is, or ends, or time is up.
func (p *process) ready(ctx context.Context, client *http.Client, url string) error {
	for wait := 5 * time.Millisecond; ; wait = min(wait*2, 200*time.Millisecond) {
		if answers(ctx, client, url) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.name, context.Cause(ctx), p.lastWords())
		case <-p.done:
			return fmt.Errorf("%s ended at once: %s", p.name, p.lastWords())
		case <-time.After(wait):
		}
	}
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// lastWords are the last lines of the log, for a person who asks why.
func (p *process) lastWords() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return "no log"
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) > 3 {
		lines = lines[len(lines)-3:]
	}
	return strings.Join(lines, "; ") + " (" + filepath.ToSlash(p.log) + ")"
}
