//go:build cgo

package pkcs11_test

import (
	"bufio"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/keystore/keystoretest"
	"github.com/countersign/countersign/keystore/pkcs11"
	"github.com/countersign/countersign/signing"
)

// networkModule serves a token over a socket: what ends with it is the process on
// the other side, as with a module on the network.
type networkModule struct {
	t      *testing.T
	token  keystoretest.Token
	socket string
	cmd    *exec.Cmd
}

// newNetwork makes a token and finds the client library of p11-kit. Without p11-kit
// the test is skipped, and fails where CI is true.
func newNetwork(t *testing.T) (*networkModule, pkcs11.Config) {
	t.Helper()
	token := keystoretest.SoftHSM(t)
	client := ""
	for _, name := range []string{"/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so", "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so", "/usr/lib64/pkcs11/p11-kit-client.so"} {
		if _, err := os.Stat(name); err == nil {
			client = name
			break
		}
	}
	if _, err := exec.LookPath("p11-kit"); err != nil || client == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("p11-kit is needed: apt-get install p11-kit p11-kit-modules")
		}
		t.Skip("SKIPPED: p11-kit is not installed: apt-get install p11-kit p11-kit-modules")
	}
	dir, err := os.MkdirTemp("/tmp", "csnet") //nolint:usetesting // a socket's name is at most 107 bytes long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &networkModule{t: t, token: token, socket: filepath.Join(dir, "s")}
	n.start()
	t.Cleanup(n.end)
	t.Setenv("P11_KIT_SERVER_ADDRESS", "unix:path="+n.socket)
	c := config(token)
	c.Module = client
	return n, c
}

func (n *networkModule) start() {
	n.t.Helper()
	_ = os.Remove(n.socket)
	n.cmd = exec.Command("p11-kit", "server", "--foreground", "--provider", n.token.Module, "--name", n.socket, "pkcs11:token="+n.token.Label)
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "P11_KIT_SERVER_ADDRESS") {
		n.t.Fatalf("p11-kit server says %q, %v", line, err)
	}
}

// end ends the server and its children, one for each connection.
func (n *networkModule) end() {
	if n.cmd == nil {
		return
	}
	n.signal(syscall.SIGKILL)
	_ = n.cmd.Wait()
	n.cmd = nil
}

func (n *networkModule) signal(s syscall.Signal) { _ = syscall.Kill(-n.cmd.Process.Pid, s) }

// TestServiceKeysSurviveTheEndOfANetworkModule ends the other side in the middle of
// signatures. Debian's p11-kit does not pass key wrapping on, which the probe says.
func TestServiceKeysSurviveTheEndOfANetworkModule(t *testing.T) {
	n, c := newNetwork(t)
	s, err := pkcs11.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	caps, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if caps.WrapsKeys || caps.NonExtractable || len(caps.KeyTypes) > 0 {
		t.Logf("this p11-kit passes key wrapping: %+v", caps)
	} else if !strings.Contains(strings.Join(caps.Findings, "\n"), "not so: a signer's key is made") {
		t.Errorf("findings %q do not say that no key is wrapped", caps.Findings)
	}
	key, err := s.NewService(t.Context(), "tsa", signing.P256)
	if err != nil {
		t.Fatal(err)
	}
	rsa, err := s.NewService(t.Context(), "ca", signing.RSA3072)
	if err != nil {
		t.Fatal(err)
	}
	// One call at a time: when the other side ends, p11-kit 0.24's client leaves
	// threads that wait for each other's answers hanging in C for ever.
	var one sync.Mutex
	use := func(i int) error {
		one.Lock()
		defer one.Unlock()
		d := sha256.Sum256(fmt.Append(nil, i))
		sig, err := key.Sign(nil, d[:], crypto.SHA256)
		if err != nil {
			return err
		}
		if err := signing.Verify(key.Public(), signing.ECDSAWithSHA256, d[:], sig); err != nil {
			return fmt.Errorf("%w: %w", errWrong, err)
		}
		if sig, err = rsa.Sign(nil, d[:], signing.RSAPSSWithSHA256.SignerOpts()); err != nil {
			return err
		}
		if err := signing.Verify(rsa.Public(), signing.RSAPSSWithSHA256, d[:], sig); err != nil {
			return fmt.Errorf("%w: %w", errWrong, err)
		}
		return nil
	}
	var (
		wg           sync.WaitGroup
		good, failed atomic.Int64
		ended        atomic.Bool
	)
	for i := range 4 {
		wg.Go(func() {
			for j := 0; !ended.Load(); j++ {
				switch err := use(i<<20 | j); {
				case err == nil:
					good.Add(1)
				case errors.Is(err, errWrong) || !errors.Is(err, keystore.ErrUnavailable):
					t.Error(err)
					return
				default:
					failed.Add(1)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for range 4 {
		time.Sleep(200 * time.Millisecond)
		n.end()
		time.Sleep(100 * time.Millisecond)
		if err := use(0); !errors.Is(err, keystore.ErrUnavailable) {
			t.Errorf("without the other side: %v", err)
		}
		n.start()
		back := time.Now()
		for use(1) != nil {
			if time.Since(back) > 10*time.Second {
				t.Fatal("the keys did not come back")
			}
			time.Sleep(time.Millisecond)
		}
		t.Logf("back %s after the other side", time.Since(back).Round(time.Millisecond))
	}
	ended.Store(true)
	wg.Wait()
	t.Logf("%d uses went well, %d were refused while there was nobody", good.Load(), failed.Load())
	if good.Load() == 0 || failed.Load() == 0 {
		t.Error("this proves nothing")
	}
}

// TestAModuleThatHangsIsGivenUp stops the other side without ending it: the worst
// that a network does.
func TestAModuleThatHangsIsGivenUp(t *testing.T) {
	n, c := newNetwork(t)
	c.Timeout = 300 * time.Millisecond
	s, err := pkcs11.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	want, err := s.MAC(t.Context(), "d", nil)
	if err != nil {
		t.Fatal(err)
	}
	n.signal(syscall.SIGSTOP)
	for range 3 {
		begun := time.Now()
		if _, err := s.MAC(t.Context(), "d", nil); !errors.Is(err, keystore.ErrUnavailable) || time.Since(begun) > 3*time.Second {
			t.Errorf("a module that hangs: %v after %s", err, time.Since(begun))
		}
	}
	n.signal(syscall.SIGCONT)
	for range 100 { // what hung comes to its end first
		var got []byte
		if got, err = s.MAC(t.Context(), "d", nil); err == nil && string(got) == string(want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("it goes on, and the MAC is not back: %v", err)
}
