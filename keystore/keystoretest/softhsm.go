package keystoretest

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Token is a SoftHSM2 token that is gone with the test.
type Token struct {
	Module string // the PKCS#11 library
	Label  string
	PIN    string
	Dir    string // where the tokens of this test lie
}

// softHSMs are where distributions keep the library.
var softHSMs = []string{
	"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
	"/usr/lib64/pkcs11/libsofthsm2.so", "/usr/lib/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so",
}

// softHSMConf is the variable by which SoftHSM2 finds its configuration.
const softHSMConf = "SOFTHSM2_CONF"

// SoftHSM makes a token with a configuration of the test's own; further tokens of
// the same test lie beside it. Without SoftHSM2 the test is skipped, and fails where
// CI is true.
func SoftHSM(tb testing.TB) Token {
	tb.Helper()
	t := Token{Label: "test-" + rand.Text()[:8], PIN: rand.Text()[:8], Dir: os.Getenv("COUNTERSIGN_TEST_SOFTHSM")}
	for _, name := range softHSMs {
		if _, err := os.Stat(name); err == nil {
			t.Module = name
			break
		}
	}
	util, err := exec.LookPath("softhsm2-util")
	if err != nil || t.Module == "" {
		if os.Getenv("CI") == "true" {
			tb.Fatal("SoftHSM2 is needed: apt-get install softhsm2")
		}
		tb.Skip("SKIPPED: SoftHSM2 is not installed: apt-get install softhsm2")
	}
	if t.Dir == "" {
		base, err := os.MkdirTemp("", "softhsm") //nolint:usetesting // SoftHSM2 cuts the name of a folder at "=", which benchmarks have in theirs
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = os.RemoveAll(base) })
		t.Dir = filepath.Join(base, "tokens")
		if err := os.Mkdir(t.Dir, 0o700); err != nil {
			tb.Fatal(err)
		}
		conf := filepath.Join(filepath.Dir(t.Dir), "softhsm2.conf")
		text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", t.Dir)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		tb.Setenv(softHSMConf, conf)
		tb.Setenv("COUNTERSIGN_TEST_SOFTHSM", t.Dir)
	}
	out, err := exec.CommandContext(tb.Context(), util, "--init-token", "--free", "--label", t.Label, "--so-pin", rand.Text()[:8], "--pin", t.PIN).CombinedOutput() //nolint:gosec // a throw-away token
	if err != nil {
		tb.Fatalf("make a token: %v\n%s", err, out)
	}
	return t
}

// Remove takes the token's files away, as a module that is pulled out.
func (t Token) Remove(tb testing.TB) {
	tb.Helper()
	if err := os.Rename(t.Dir, t.Dir+".away"); err != nil {
		tb.Fatal(err)
	}
}

// PutBack undoes Remove.
func (t Token) PutBack(tb testing.TB) {
	tb.Helper()
	if err := os.Rename(t.Dir+".away", t.Dir); err != nil {
		tb.Fatal(err)
	}
}
