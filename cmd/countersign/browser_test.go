package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSigningWaitsForTheBrowserWhenTheDeviceIsElsewhere plays the browser: sign
// prints an address, the device approves in another process, and the browser
// comes back to the port that sign waits on.
func TestSigningWaitsForTheBrowserWhenTheDeviceIsElsewhere(t *testing.T) {
	in, err := sharedInstallation()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, out := filepath.Join(dir, "in.pdf"), filepath.Join(dir, "out.pdf")
	if err := os.WriteFile(file, sample(), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := exec.CommandContext(t.Context(), filepath.Join(programs, "countersign"), "sign", file, "-o", out)
	sign.Env = os.Environ()
	for name, value := range in.vars {
		if name != "COUNTERSIGN_DEVICE" {
			sign.Env = append(sign.Env, name+"="+value)
		}
	}
	pipe, err := sign.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sign.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	address := ""
	s := bufio.NewScanner(pipe)
	for address == "" && s.Scan() {
		fmt.Fprintln(&said, s.Text())
		if u, ok := strings.CutPrefix(strings.TrimSpace(s.Text()), in.vars["COUNTERSIGN_ISSUER"]); ok {
			address = in.vars["COUNTERSIGN_ISSUER"] + u
		}
	}
	if address == "" {
		t.Fatalf("no address was printed:\n%s", said.String())
	}
	answer, err := in.run(t.Context(), "authenticator", "approve", address)
	if err != nil {
		t.Fatalf("approve: %v\n%s", err, answer)
	}
	lines := strings.Split(strings.TrimSpace(answer), "\n")
	final := lines[len(lines)-1]
	if !strings.HasPrefix(final, "http://127.0.0.1:") {
		t.Fatalf("the browser would end at %q", final)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, final, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for s.Scan() {
		fmt.Fprintln(&said, s.Text())
	}
	if err := sign.Wait(); err != nil {
		t.Fatalf("sign: %v\n%s", err, said.String())
	}
	if signed, err := os.ReadFile(out); err != nil || !bytes.HasPrefix(signed, sample()) {
		t.Errorf("the output does not begin with the input (%v)", err)
	}
}
