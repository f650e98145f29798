package soft_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/keystore/keystoretest"
	"github.com/countersign/countersign/keystore/soft"
	"github.com/countersign/countersign/signing"
)

var (
	machineKey = []byte(strings.Repeat("a7", 32))
	human      = []byte("correct horse battery staple")
)

func open(t *testing.T, dir string, passphrase []byte) *soft.Store {
	t.Helper()
	s, err := soft.Open(t.Context(), soft.Config{Dir: dir, Passphrase: passphrase})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func shut(t *testing.T, s *soft.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSoftwareKeystorePassesTheSuite(t *testing.T) {
	keystoretest.Run(t, func(t *testing.T) func() keystore.Store {
		dir := filepath.Join(t.TempDir(), "keys")
		return func() keystore.Store { return open(t, dir, machineKey) }
	})
}

func TestItOpensOnlyWithItsPassphrase(t *testing.T) {
	raw := bytes.Repeat([]byte{0xF3}, 32)
	for name, right := range map[string][]byte{"human": human, "hex key": machineKey, "raw key": raw} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			s := open(t, dir, right)
			want, err := s.MAC(t.Context(), "d", nil)
			if err != nil {
				t.Fatal(err)
			}
			shut(t, s)
			wrongHex := []byte(strings.Repeat("a8", 32))
			for _, wrong := range [][]byte{[]byte("wrong horse battery staple"), wrongHex, append(bytes.Clone(right), 'x')} {
				if _, err := soft.Open(t.Context(), soft.Config{Dir: dir, Passphrase: wrong}); !errors.Is(err, soft.ErrPassphrase) {
					t.Errorf("opened with %q: %v, want ErrPassphrase", wrong, err)
				}
			}
			again := open(t, dir, append(bytes.Clone(right), '\n'))
			if got, err := again.MAC(t.Context(), "d", nil); err != nil || !bytes.Equal(got, want) {
				t.Errorf("another MAC key after reopening: %x, %v", got, err)
			}
		})
	}
}

func TestAShortPassphraseIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	for _, p := range [][]byte{nil, []byte("secret"), []byte("elevenbytes\n")} {
		if _, err := soft.Open(t.Context(), soft.Config{Dir: dir, Passphrase: p}); err == nil {
			t.Errorf("passphrase %q accepted", p)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused passphrase left a directory: %v", err)
	}
}

func TestASecondProcessIsKeptOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s := open(t, dir, machineKey)
	if _, err := soft.Open(t.Context(), soft.Config{Dir: dir, Passphrase: machineKey}); !errors.Is(err, soft.ErrInUse) {
		t.Errorf("opened twice: %v, want ErrInUse", err)
	}
	shut(t, s)
	open(t, dir, machineKey)
}

func TestOthersCanNeitherEnterNorRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	shut(t, open(t, dir, machineKey))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), info.Mode().Perm())
		}
	}
	for _, c := range []struct {
		path string
		mode os.FileMode
		good os.FileMode
	}{
		{dir, 0o755, 0o700}, {dir, 0o710, 0o700}, {filepath.Join(dir, "keystore.sealed"), 0o644, 0o600},
	} {
		if err := os.Chmod(c.path, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := soft.Open(t.Context(), soft.Config{Dir: dir, Passphrase: machineKey}); err == nil || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("%s with mode %04o: %v, want a refusal that names chmod", c.path, c.mode, err)
		}
		if err := os.Chmod(c.path, c.good); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir, machineKey)
}

func TestAChangedFileIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	shut(t, open(t, dir, machineKey))
	path := filepath.Join(dir, "keystore.sealed")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := soft.Open(t.Context(), soft.Config{Dir: dir, Passphrase: machineKey}); err == nil {
			shut(t, s)
			t.Fatalf("byte %d changed and opened", i)
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := soft.Open(t.Context(), soft.Config{Dir: dir, Passphrase: machineKey}); err == nil {
		shut(t, s)
		t.Error("an empty file was taken for a new keystore")
	}
}

// A crash while writing leaves the temporary file; the old contents count.
func TestAnInterruptedWriteChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s := open(t, dir, machineKey)
	if _, err := s.NewService(t.Context(), "ca", signing.P256); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	if err := os.WriteFile(filepath.Join(dir, "keystore.sealed.new"), []byte(`{"format":"half`), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, machineKey)
	if _, err := s.Service(t.Context(), "ca"); err != nil {
		t.Error(err)
	}
	if _, err := s.RotateKEK(t.Context()); err != nil {
		t.Error(err)
	}
}

// A write that fails must not change what the store does.
func TestAFailedWriteIsNotHalfDone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s := open(t, dir, machineKey)
	before, err := s.Generate(t.Context(), signing.P256)
	if err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(dir, "keystore.sealed.new")
	if err := os.Mkdir(block, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewService(t.Context(), "ca", signing.P256); err == nil {
		t.Error("NewService reports success without a write")
	}
	if _, err := s.Service(t.Context(), "ca"); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("the key that was not written is used: %v", err)
	}
	if _, err := s.RotateKEK(t.Context()); err == nil {
		t.Error("RotateKEK reports success without a write")
	}
	if k, err := s.Generate(t.Context(), signing.P256); err != nil || k.KEK != before.KEK {
		t.Errorf("a key under generation %d, %v: the generation was never written", k.KEK, err)
	}
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewService(t.Context(), "ca", signing.P256); err != nil {
		t.Error(err)
	}
}

func TestTheReplacedFileIsOverwritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s := open(t, dir, machineKey)
	old, err := os.Open(filepath.Join(dir, "keystore.sealed"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if _, err := s.RotateKEK(t.Context()); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 1<<16)
	n, err := old.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 || len(bytes.Trim(data[:n], "\x00")) != 0 {
		t.Errorf("the old file still holds %q", data[:n])
	}
}

func TestAHardLinkedBackupIsLeftAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s := open(t, dir, machineKey)
	path, backup := filepath.Join(dir, "keystore.sealed"), filepath.Join(dir, "backup")
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, backup); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RotateKEK(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(backup); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the backup was changed, %v", err)
	}
}

func TestResealChangesThePassphrase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s := open(t, dir, human)
	k, err := s.Generate(t.Context(), signing.P256)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reseal(t.Context(), []byte("short")); err == nil {
		t.Error("a short passphrase was accepted")
	}
	if err := s.Reseal(t.Context(), machineKey); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RotateKEK(t.Context()); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	if _, err := soft.Open(t.Context(), soft.Config{Dir: dir, Passphrase: human}); !errors.Is(err, soft.ErrPassphrase) {
		t.Errorf("the old passphrase opens: %v", err)
	}
	s = open(t, dir, machineKey)
	h, err := s.Open(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	_ = h.Close()
}

func TestNothingSecretIsOnDiskInTheClear(t *testing.T) {
	t.Attr("control", "D35")
	dir := filepath.Join(t.TempDir(), "keys")
	s := open(t, dir, machineKey)
	if _, err := s.NewService(t.Context(), "a-service-name", signing.P256); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "keystore.sealed"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"a-service-name", "pkcs8", "keks", string(machineKey)} {
		if bytes.Contains(data, []byte(word)) {
			t.Errorf("the file contains %q", word)
		}
	}
}

func TestProbeSaysThatItIsSoftware(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keys"), human)
	c, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Driver != "soft" || c.Hardware || c.NonExtractable {
		t.Errorf("probe claims driver %q, hardware %v, non-extractable %v", c.Driver, c.Hardware, c.NonExtractable)
	}
	all := strings.Join(c.Findings, "\n")
	for _, want := range []string{"software keys: not a certified device", "256-bit random key"} {
		if !strings.Contains(all, want) {
			t.Errorf("findings %q do not say %q", c.Findings, want)
		}
	}
}

// BenchmarkTwentyHashes opens a key once for twenty hashes, as one approval of
// twenty documents does, and compares with Go's own sign and verify.
func BenchmarkTwentyHashes(b *testing.B) {
	s, err := soft.Open(b.Context(), soft.Config{Dir: filepath.Join(b.TempDir(), "keys"), Passphrase: machineKey})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	w, err := s.Generate(b.Context(), signing.P256)
	if err != nil {
		b.Fatal(err)
	}
	pub, err := w.PublicKey()
	if err != nil {
		b.Fatal(err)
	}
	d := sha256.Sum256([]byte("document"))
	b.Run("keystore", func(b *testing.B) {
		for b.Loop() {
			h, err := s.Open(b.Context(), w)
			if err != nil {
				b.Fatal(err)
			}
			for range 20 {
				sig, err := h.Sign(b.Context(), signing.ECDSAWithSHA256, d[:])
				if err != nil {
					b.Fatal(err)
				}
				if err := signing.Verify(pub, signing.ECDSAWithSHA256, d[:], sig); err != nil {
					b.Fatal(err)
				}
			}
			_ = h.Close()
		}
	})
	b.Run("go", func(b *testing.B) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			for range 20 {
				sig, err := ecdsa.SignASN1(rand.Reader, k, d[:])
				if err != nil || !ecdsa.VerifyASN1(&k.PublicKey, d[:], sig) {
					b.Fatal("sign and verify", err)
				}
			}
		}
	})
}
