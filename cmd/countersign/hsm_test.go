package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hsmPrograms builds the activation module with cgo beside the programs. Where a
// C compiler or SoftHSM2 is missing the test is skipped, and fails where CI is true.
func hsmPrograms(t *testing.T) {
	t.Helper()
	for program, from := range map[string]string{"gcc": "gcc libc6-dev", "softhsm2-util": "softhsm2"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is needed: apt-get install %s", program, from)
			}
			t.Skipf("SKIPPED: %s is not installed: apt-get install %s", program, from)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(programs, "countersign-sam-hsm"), "../countersign-sam")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

func TestTheDemoSignsWithAKeyInAToken(t *testing.T) {
	hsmPrograms(t)
	dir := demoDir(t)
	first := demo(t, "--hsm", "--dir", dir)
	for _, want := range []string{
		"TOTAL-PASSED", "PAdES-B-LTA", "made token", "no certified device", "pkcs11-software: SoftHSM",
		"wrapping an unwrapped key again is refused: yes", "a damaged key is refused: yes",
		"an unwrapped key has CKA_SENSITIVE true and CKA_EXTRACTABLE false: yes",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("first run does not say %q:\n%s", want, first)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "hsm", "sam", "hsm-pin")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file of the PIN: %v, %v", info, err)
	}
	if found, err := filepath.Glob(filepath.Join(dir, "hsm", "sam", "keys*")); err != nil || len(found) > 0 {
		t.Errorf("there is a software keystore all the same: %v, %v", found, err)
	}
	second := demo(t, "--hsm", "--dir", dir)
	for _, want := range []string{"of an earlier run", "was enrolled in an earlier run", "TOTAL-PASSED"} {
		if !strings.Contains(second, want) {
			t.Errorf("second run does not say %q:\n%s", want, second)
		}
	}
}

// TestATokenThatIsPulledOutStopsSigningUntilItIsBack pulls it out of a running
// installation: a clear no, nothing lost, and no process has to be started again.
func TestATokenThatIsPulledOutStopsSigningUntilItIsBack(t *testing.T) {
	hsmPrograms(t)
	dir := demoDir(t)
	in, err := start(dir, "--hsm")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := in.stop(); err != nil {
			t.Errorf("end: %v", err)
		}
	}()
	tokens := filepath.Join(dir, "hsm", "sam", "tokens")
	file, out := filepath.Join(dir, "in.pdf"), filepath.Join(dir, "out.pdf")
	if err := os.WriteFile(file, sample(), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := in.run(t.Context(), "doctor"); err != nil || !strings.Contains(said, "keystore             ok") {
		t.Errorf("doctor: %v\n%s", err, said)
	}
	if err := os.Rename(tokens, tokens+".away"); err != nil {
		t.Fatal(err)
	}
	said, err := in.run(t.Context(), "sign", file, "-o", out)
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 4 {
		t.Errorf("signing without the token: %v, want exit 4\n%s", err, said)
	}
	t.Logf("sign says: %s", said)
	if _, err := os.Stat(out); err == nil {
		t.Error("there is a signed file")
	}
	said, err = in.run(t.Context(), "doctor")
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 1 || !strings.Contains(said, "FAILED: the keystore's module does not answer") {
		t.Errorf("doctor: %v, want exit 1 and why\n%s", err, said)
	}
	if up(t, in.vars["COUNTERSIGN_APPROVAL"]+"/readyz") {
		t.Error("the module says that it is ready")
	}
	if err := os.Rename(tokens+".away", tokens); err != nil {
		t.Fatal(err)
	}
	time.Sleep(600 * time.Millisecond) // the pause between two recoveries
	if said, err := in.run(t.Context(), "sign", file, "-o", out); err != nil || !strings.Contains(said, "TOTAL-PASSED") {
		t.Errorf("signing after it came back: %v\n%s", err, said)
	}
}

func TestWithoutSoftHSMTheDemoSaysWhatToInstall(t *testing.T) {
	hsmPrograms(t)
	c := exec.CommandContext(t.Context(), filepath.Join(programs, "countersign"), "demo", "--hsm", "--dir", demoDir(t))
	c.Env = append(os.Environ(), "PATH="+t.TempDir())
	out, err := c.CombinedOutput()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 5 || !strings.Contains(string(out), "apt-get install softhsm2") || strings.Count(strings.TrimSpace(string(out)), "\n") > 0 {
		t.Errorf("got %v, want exit 5 and one sentence\n%s", err, out)
	}
}

// TestTheModuleWantsItsKeysInOnePlace tries configurations of the activation module.
func TestTheModuleWantsItsKeysInOnePlace(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	anchors := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(anchors, anchor(t), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sam.yaml")
	if err := os.WriteFile(file, []byte("test: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := map[string]string{
		"DOOR_LISTEN": "127.0.0.1:0", "DOOR_ADMIN_SOCKET": "/nowhere/a", "APPROVAL_URL": "http://approve.localhost", "SOCKET": "/nowhere/s",
		"DATABASE": "sqlite:" + filepath.Join(t.TempDir(), "sam.db"), "ANCHORS": anchors, "ORGANISATION": "Test",
	}
	hsm := map[string]string{"HSM_MODULE": "/usr/lib/softhsm/libsofthsm2.so", "HSM_TOKEN": "x", "HSM_PIN_FILE": secret}
	for name, c := range map[string]struct {
		vars []map[string]string
		want string
	}{
		"nowhere":     {nil, "the keys need a place"},
		"both":        {[]map[string]string{hsm, {"KEYS": "/nowhere/keys", "PASSPHRASE_FILE": secret}}, "keys are in one place"},
		"half an HSM": {[]map[string]string{{"HSM_MODULE": "/usr/lib/softhsm/libsofthsm2.so"}}, "hsm needs module, token and pin_file"},
		"no cgo":      {[]map[string]string{hsm}, "built without cgo"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "countersign-sam"), "--config", file)
			for _, vars := range append(c.vars, base) {
				for k, v := range vars {
					cmd.Env = append(cmd.Env, "COUNTERSIGN_SAM_"+k+"="+v)
				}
			}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("got %v, want %q\n%s", err, c.want, out)
			}
		})
	}
}

// anchor is a certificate for configurations that want one.
func anchor(t *testing.T) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
