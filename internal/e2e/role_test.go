package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// role is one of the four processes.
type role struct {
	name  string
	argv  []string
	dir   string
	log   string
	ready string // address that answers 200 when it can work
	http  *http.Client

	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{}
	spent time.Duration // CPU of its processes that have ended
}

const (
	readyTime = 30 * time.Second
	stopTime  = 30 * time.Second
)

// start brings the process up and waits until it can work. It ends with this
// program, however that ends: its standard input closes then.
func (r *role) start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, err := os.OpenFile(r.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	c := exec.Command(r.argv[0], r.argv[1:]...)
	c.Dir, c.Env, c.Stdout, c.Stderr = r.dir, plainEnviron(), out, out
	if r.stdin, err = c.StdinPipe(); err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("start %s: %w", r.name, err)
	}
	done := make(chan struct{})
	r.cmd, r.done = c, done
	go func() {
		_ = c.Wait() // how it ended stands in ProcessState
		close(done)
	}()
	return r.await(ctx)
}

func (r *role) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		if r.answers(ctx) {
			return nil
		}
		select {
		case <-r.done:
			return fmt.Errorf("%s ended at once: %s", r.name, r.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready within %s: %s", r.name, readyTime, r.lastWords())
		case <-time.After(wait):
		}
	}
}

func (r *role) answers(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.ready, nil)
	if err != nil {
		return false
	}
	res, err := r.http.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// stop ends the process as its supervisor does; it must end well.
func (r *role) stop() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return nil
	}
	if err := r.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	select {
	case <-r.done:
	case <-time.After(stopTime):
		return errors.Join(fmt.Errorf("%s did not end within %s: %s", r.name, stopTime, r.lastWords()), r.end())
	}
	code := r.cmd.ProcessState.ExitCode()
	if err := r.end(); err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("%s ended with %d: %s", r.name, code, r.lastWords())
	}
	return nil
}

// kill ends the process without a word, as a power cut does.
func (r *role) kill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return nil
	}
	select {
	case <-r.done:
		return fmt.Errorf("%s had ended by itself: %s", r.name, r.lastWords())
	default:
	}
	return r.end()
}

// end kills what still runs and adds up its CPU time.
func (r *role) end() error {
	err := r.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-r.done
	r.spent += r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime()
	r.cmd = nil
	return errors.Join(err, ignoreClosed(r.stdin.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// clockTick is the unit of CPU time in /proc, the same on every Linux.
const clockTick = 10 * time.Millisecond

// cpu is the time that the role's processes have used, to 10 ms.
func (r *role) cpu() (time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return r.spent, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything; utime and stime are 14 and 15.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("unreadable: %s", b)
	}
	var ticks int64
	for _, s := range f[11:13] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return r.spent + time.Duration(ticks)*clockTick, nil
}

// lastWords is what the process said last beside the record of its requests.
func (r *role) lastWords() string {
	b, err := os.ReadFile(r.log)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if !strings.Contains(line, `"level":"INFO","msg":"request"`) {
			lines = append(lines, line)
		}
	}
	return strings.TrimSpace(strings.Join(lines[max(0, len(lines)-12):], ""))
}
