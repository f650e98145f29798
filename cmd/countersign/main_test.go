package main_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign/countersign/signing"
)

// programs is the folder with the two programs, built once for all tests.
var programs string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "countersign")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	build := exec.Command("go", "build", "-trimpath", "-o", dir+"/", ".", "../countersign-sam")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	defer stopShared()
	return m.Run()
}

// installation is a running demo.
type installation struct {
	dir  string
	cmd  *exec.Cmd
	vars map[string]string
}

// start runs a demo that stays up, and waits until it is ready.
func start(dir string, args ...string) (*installation, error) {
	in := &installation{dir: dir, vars: map[string]string{}}
	if slices.Contains(args, "--hsm") {
		in.dir = filepath.Join(dir, "hsm")
	}
	in.cmd = exec.Command(filepath.Join(programs, "countersign"), append([]string{"demo", "--keep", "--setup-only", "--dir", dir}, args...)...)
	in.cmd.Stderr = os.Stderr
	out, err := in.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := in.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan bool)
	go func() {
		defer close(ready)
		s := bufio.NewScanner(out)
		for s.Scan() {
			if strings.HasPrefix(s.Text(), "ready: ") {
				ready <- true
			}
		}
	}()
	select {
	case ok := <-ready:
		if !ok {
			return nil, fmt.Errorf("the demo ended: %w", in.cmd.Wait())
		}
	case <-time.After(2 * time.Minute):
		return nil, fmt.Errorf("the demo was not ready within two minutes: %w", in.cmd.Process.Kill())
	}
	return in, in.read()
}

// read takes the exports that the demo wrote for shells.
func (in *installation) read() error {
	b, err := os.ReadFile(filepath.Join(in.dir, "env"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if assign, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
			name, value, _ := strings.Cut(assign, "=")
			in.vars[name] = strings.Trim(value, "'")
		}
	}
	return nil
}

func (in *installation) stop() error {
	if err := in.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return in.cmd.Wait()
}

// run runs the command with the installation's exports.
func (in *installation) run(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, filepath.Join(programs, "countersign"), args...)
	c.Env = os.Environ()
	for name, value := range in.vars {
		c.Env = append(c.Env, name+"="+value)
	}
	out, err := c.CombinedOutput()
	return string(out), err
}

// shared is one installation for all scripts.
var shared struct {
	sync.Mutex
	in  *installation
	dir string
}

func sharedInstallation() (*installation, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.in != nil {
		return shared.in, nil
	}
	// Not below TMPDIR, which may be long: sockets have short names.
	dir, err := os.MkdirTemp("/tmp", "cs")
	if err != nil {
		return nil, err
	}
	shared.dir = dir
	shared.in, err = start(dir)
	return shared.in, err
}

func stopShared() {
	shared.Lock()
	defer shared.Unlock()
	if shared.in != nil {
		if err := shared.in.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "the shared installation did not end cleanly:", err)
		}
	}
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
}

// TestCommands runs the scripts of testdata with the real programs against a real
// installation.
func TestCommands(t *testing.T) {
	in, err := sharedInstallation()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			for name, value := range in.vars {
				e.Setenv(name, value)
			}
			e.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("DEMO", in.dir)
			return os.WriteFile(filepath.Join(e.WorkDir, "in.pdf"), sample(), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"prefix": prefix,
			"sid":    sid,
			"damage": damage,
			"words":  sameWords,
		},
	})
}

// exits runs a program and wants exactly that exit code: exits CODE PROGRAM ARG…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("got exit code %s, want %s", got, args[0])
	}
}

// prefix wants the first file to be the beginning of the second.
func prefix(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: prefix FILE LONGER")
	}
	if strings.HasPrefix(ts.ReadFile(args[1]), ts.ReadFile(args[0])) == neg {
		ts.Fatalf("%s begins %s: %v", args[0], args[1], neg)
	}
}

// sid takes the activation's id from what the command before wrote, into $SID.
func sid(ts *testscript.TestScript, _ bool, _ []string) {
	m := regexp.MustCompile(`activation ([a-z0-9]+)`).FindStringSubmatch(ts.ReadFile("stderr"))
	if m == nil {
		ts.Fatalf("no activation in the output")
	}
	ts.Setenv("SID", m[1])
}

var fingerprint = regexp.MustCompile(`(?m)^ +([a-z]+) +([a-z]+) +([a-z]+)\n +([a-z]+) +([a-z]+) +([a-z]+)\n +in full: ([0-9a-f ]+)$`)

// sameWords wants that sign, before it waits, and then the device showed the same
// fingerprints of so many documents, and that the words are those of the digest:
// words N.
func sameWords(ts *testscript.TestScript, _ bool, args []string) {
	before, after, _ := strings.Cut(ts.ReadFile("stderr"), "waiting for the signer's approval")
	said, shown := fingerprint.FindAllStringSubmatch(before, -1), fingerprint.FindAllStringSubmatch(after, -1)
	if len(args) != 1 || strconv.Itoa(len(said)) != args[0] || len(shown) != len(said) {
		ts.Fatalf("sign named %d documents by words and the device %d, want %v", len(said), len(shown), args)
	}
	for i, m := range said {
		digest, err := hex.DecodeString(strings.ReplaceAll(m[7], " ", ""))
		ts.Check(err)
		if w := signing.Words(digest); len(digest) < 32 || !slices.Equal(w[:], m[1:7]) || !slices.Equal(m[1:], shown[i][1:]) {
			ts.Fatalf("document %d: sign said %q and the device %q; the words are %q", i+1, m[1:], shown[i][1:], w)
		}
	}
}

// damage copies a bundle with the actor of an event changed: damage FROM TO.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	changed := strings.Replace(text, "signature.created", "signature.refused", 1)
	if changed == text {
		ts.Fatalf("%s holds no signature.created", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(changed), 0o600))
}

// sample is a PDF with one empty page.
func sample() []byte {
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>",
	}
	var b strings.Builder
	b.WriteString("%PDF-1.7\n")
	var offsets []int
	for i, o := range objects {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
	return []byte(b.String())
}
