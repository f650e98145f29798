package main_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store/storetest"
)

// demoDir is a folder with a short name: sockets lie in it.
func demoDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cs") //nolint:usetesting // the names of its folders are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func demo(t *testing.T, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), filepath.Join(programs, "countersign"), append([]string{"demo"}, args...)...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("demo %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestTheDemoRunsTwiceAndSignsTheFileItIsGiven(t *testing.T) {
	dir := demoDir(t)
	first := demo(t, "--dir", dir)
	for _, want := range []string{"TOTAL-PASSED", "PAdES-B-LTA", "0 of them were bytes of a document", "no terminal"} {
		if !strings.Contains(first, want) {
			t.Errorf("first run does not say %q:\n%s", want, first)
		}
	}
	in, out := filepath.Join(dir, "my file.pdf"), filepath.Join(dir, "my signed file.pdf")
	if err := os.WriteFile(in, sample(), 0o600); err != nil {
		t.Fatal(err)
	}
	second := demo(t, "--dir", dir, "--file", in, "--out", out)
	if !strings.Contains(second, "was enrolled in an earlier run") {
		t.Errorf("second run enrolled the signer again:\n%s", second)
	}
	signed, err := os.ReadFile(out)
	if err != nil || !bytes.HasPrefix(signed, sample()) {
		t.Errorf("the output does not begin with the input (%v)", err)
	}
	third := demo(t, "--dir", dir, "--name", "Ada Lovelace")
	if !strings.Contains(third, "asks Ada Lovelace to sign") || !strings.Contains(third, "CN=Ada Lovelace") {
		t.Errorf("third run has another signer:\n%s", third)
	}
}

func TestTheDemoPassesOnTheExitCodeOfSigning(t *testing.T) {
	dir := demoDir(t)
	text := filepath.Join(dir, "text.pdf")
	if err := os.WriteFile(text, []byte("no PDF at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := exec.CommandContext(t.Context(), filepath.Join(programs, "countersign"), "demo", "--dir", dir, "--file", text).Run()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 3 {
		t.Errorf("got %v, want exit 3", err)
	}
}

func TestAnInstallationOnPostgresSigns(t *testing.T) {
	dir := demoDir(t)
	args := []string{"--dir", dir}
	for _, role := range []string{"portal", "gateway", "sam", "pki"} {
		args = append(args, "--database", role+"="+storetest.PostgresDSN(t))
	}
	if out := demo(t, args...); !strings.Contains(out, "PAdES-B-LTA, TOTAL-PASSED") {
		t.Errorf("not signed:\n%s", out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "*.db"))
	if err != nil || len(found) > 0 {
		t.Errorf("there are SQLite files all the same: %v %v", found, err)
	}
	if out := demo(t, args...); !strings.Contains(out, "was enrolled in an earlier run") {
		t.Errorf("the second start did not find the first one's data:\n%s", out)
	}
}

func TestAnInstallationWithHTTPSSignsForOtherClients(t *testing.T) {
	dir := demoDir(t)
	in, err := start(dir, "--issuer", "https://localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(in.vars["COUNTERSIGN_ISSUER"], "https://localhost:") {
		t.Errorf("issuer %s", in.vars["COUNTERSIGN_ISSUER"])
	}
	file := filepath.Join(dir, "in.pdf")
	if err := os.WriteFile(file, sample(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := in.run(t.Context(), "sign", file, "-o", filepath.Join(dir, "out.pdf")); err != nil {
		t.Errorf("sign: %v\n%s", err, out)
	}
	delete(in.vars, "COUNTERSIGN_TLS_CA")
	out, err := in.run(t.Context(), "sign", file, "-o", filepath.Join(dir, "out2.pdf"))
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 4 {
		t.Errorf("a certificate that nobody vouches for was taken: %v\n%s", err, out)
	}
	if err := in.stop(); err != nil {
		t.Errorf("end: %v", err)
	}
}

func TestEveryProcessEndsWithTheDemoHoweverItEnds(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		dir := demoDir(t)
		in, err := start(dir)
		if err != nil {
			t.Fatal(err)
		}
		doors := []string{in.vars["COUNTERSIGN_PKI"], in.vars["COUNTERSIGN_PORTAL"], in.vars["COUNTERSIGN_APPROVAL"], in.vars["COUNTERSIGN_ISSUER"]}
		for _, d := range doors {
			for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
				if !up(t, d+path) {
					t.Errorf("%s does not answer", d+path)
				}
			}
		}
		if err := in.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := in.cmd.Wait(); (err == nil) != (sig != syscall.SIGKILL) {
			t.Errorf("%s: the demo ended with %v", sig, err)
		}
		for _, d := range doors {
			for range 100 {
				if !up(t, d+"/healthz") {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if up(t, d+"/healthz") {
				t.Errorf("%s: %s still answers", sig, d)
			}
		}
	}
}

// up asks a door of this machine, whatever name it has.
func up(t *testing.T, address string) bool {
	t.Helper()
	_, rest, _ := strings.Cut(address, "://")
	_, port, _ := strings.Cut(rest, ":")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}
