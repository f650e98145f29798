package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/countersign/countersign/cmd/countersign/sockets"
)

// ErrNoHSM says what is missing for keys in a PKCS#11 token.
var ErrNoHSM = errors.New("the demo's hardware module is played by SoftHSM2, which is not installed here: apt-get install softhsm2 (or your system's package), then try again")

// softHSMs are where distributions keep the library.
var softHSMs = []string{
	"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
	"/usr/lib64/pkcs11/libsofthsm2.so", "/usr/lib/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so",
}

// hsmLabel is the label of the demo's token.
const hsmLabel = "countersign-demo"

// hsm is the token of the activation module.
type hsm struct {
	util, module string // softhsm2-util, and the library
}

func findHSM() (*hsm, error) {
	util, err := exec.LookPath("softhsm2-util")
	i := slices.IndexFunc(softHSMs, func(name string) bool { _, err := os.Stat(name); return err == nil })
	if err != nil || i < 0 {
		return nil, ErrNoHSM
	}
	return &hsm{util: util, module: softHSMs[i]}, nil
}

// The places of the token. Its PIN is the operator's secret, as a passphrase is.
func (l *layout) hsmConf() string   { return l.path("sam", "softhsm2.conf") }
func (l *layout) hsmTokens() string { return l.path("sam", "tokens") }
func (l *layout) hsmPIN() string    { return l.path("sam", "hsm-pin") }

// keysOf are the settings of the activation module's keystore.
func (l *layout) keysOf() []setting {
	if l.hsm == nil {
		return []setting{{"keys", l.path("sam", "keys")}, {"passphrase_file", l.path("sam", "passphrase")}}
	}
	return []setting{{"hsm", []setting{{"module", l.hsm.module}, {"token", hsmLabel}, {"pin_file", l.hsmPIN()}}}}
}

// environOf are the variables that a role needs.
func (l *layout) environOf(role string) []string {
	if role != "sam" || l.hsm == nil {
		return nil
	}
	return []string{"SOFTHSM2_CONF=" + l.hsmConf()}
}

// makeToken makes the token, unless an earlier run did.
func (d *Demo) makeToken(ctx context.Context) error {
	if d.l.hsm == nil {
		return nil
	}
	d.say("\nThe activation module's keys are in a PKCS#11 token. SoftHSM2 plays the hardware: software, and no certified device.")
	if _, err := os.Stat(d.l.hsmTokens()); err == nil {
		d.say("  token %q of an earlier run, in %s", hsmLabel, d.l.hsmTokens())
		return nil
	}
	if err := ensure(d.l.hsmPIN(), randomHex); err != nil {
		return err
	}
	pin, err := os.ReadFile(d.l.hsmPIN())
	if err != nil {
		return err
	}
	soPIN, err := randomHex()
	if err != nil {
		return err
	}
	conf := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", d.l.hsmTokens())
	if err := writeFile(d.l.hsmConf(), []byte(conf)); err != nil {
		return err
	}
	// What fails halfway is not taken for a token the next time.
	fresh := d.l.hsmTokens() + ".new"
	if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700)); err != nil {
		return err
	}
	half := d.l.hsmConf() + ".new"
	if err := writeFile(half, []byte(strings.Replace(conf, d.l.hsmTokens(), fresh, 1))); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, d.l.hsm.util, "--init-token", "--free", "--label", hsmLabel, "--so-pin", soPIN, "--pin", strings.TrimSpace(string(pin))) //nolint:gosec // both PINs are ours, made a moment ago
	c.Env = append(plainEnviron(), "SOFTHSM2_CONF="+half)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("make a SoftHSM2 token: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if err := errors.Join(os.Rename(fresh, d.l.hsmTokens()), os.Remove(half)); err != nil {
		return err
	}
	d.say("  made token %q in %s; its PIN is in %s, the security officer's was thrown away", hsmLabel, d.l.hsmTokens(), d.l.hsmPIN())
	return nil
}

// sayProof says what the activation module found out about its token.
func (d *Demo) sayProof(ctx context.Context) error {
	if d.l.hsm == nil {
		return nil
	}
	st, err := d.l.sockets().Status(ctx, sockets.SAMAdmin)
	if err != nil {
		return err
	}
	d.say("\nWhat the module proved of its token at the start (countersign doctor shows it again):")
	names := make([]string, 0, len(st.Facts))
	for name := range st.Facts {
		if strings.HasPrefix(name, "keystore") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		d.say("  %s", st.Facts[name])
	}
	return nil
}
