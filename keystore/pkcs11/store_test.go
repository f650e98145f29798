//go:build cgo

package pkcs11_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/keystore/keystoretest"
	"github.com/countersign/countersign/keystore/pkcs11"
	"github.com/countersign/countersign/signing"
)

func config(token keystoretest.Token) pkcs11.Config {
	return pkcs11.Config{Module: token.Module, Token: token.Label, PIN: []byte(token.PIN + "\n"), Pause: time.Millisecond}
}

func open(tb testing.TB, token keystoretest.Token) *pkcs11.Store {
	tb.Helper()
	s, err := pkcs11.Open(tb.Context(), config(token))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSoftHSMPassesTheSuite(t *testing.T) {
	keystoretest.Run(t, func(t *testing.T) func() keystore.Store {
		token := keystoretest.SoftHSM(t)
		return func() keystore.Store { return open(t, token) }
	})
}

func TestTheProbeShowsThatKeysStayInside(t *testing.T) {
	c, err := open(t, keystoretest.SoftHSM(t)).Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Driver != "pkcs11" || !strings.Contains(c.Module, "SoftHSM") || c.Hardware || !c.WrapsKeys || !c.RefusesTamper || !c.NonExtractable {
		t.Errorf("probe says %+v", c)
	}
	want := []string{
		"a signer's key is made, wrapped, unwrapped, and signs what verifies",
		"an unwrapped key has CKA_SENSITIVE true and CKA_EXTRACTABLE false",
		"the value of an unwrapped key is not given out",
		"wrapping an unwrapped key again is refused",
		"a destroyed key signs nothing",
		"a damaged key is refused",
		"the key-encryption key has CKA_SENSITIVE true and CKA_EXTRACTABLE false",
		"the value of the key-encryption key is not given out",
		"the key-encryption key was made in the module and was never extractable",
		"the MAC key was made in the module and was never extractable",
		"the key-encryption key decrypts nothing",
		"the key-encryption key takes no other purpose",
		"the MAC key has CKA_SENSITIVE true and CKA_EXTRACTABLE false",
		"the value of the MAC key is not given out",
		"the MAC key computes HMAC-SHA-256 only",
		"the key-encryption key wraps in one way only",
	}
	for i, name := range want {
		if i >= len(c.Checks) || c.Checks[i].Name != name || !c.Checks[i].OK {
			t.Fatalf("check %d is not %q, passed: %+v", i, name, c.Checks)
		}
		t.Logf("%s: %s", name, c.Checks[i].Words)
	}
	for _, want := range []string{"not a certified device", "filled up with zeros"} {
		if !strings.Contains(strings.Join(c.Findings, "\n"), want) {
			t.Errorf("findings %q do not say %q", c.Findings, want)
		}
	}
}

// Whoever has the PIN can put a key-encryption key there that he knows. What is
// wrapped under it is his: the probe says so, and the module does not start with it.
func TestTheProbeSeesAKeyThatWasBroughtAlong(t *testing.T) {
	s := open(t, keystoretest.SoftHSM(t))
	if err := s.Plant(2, make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	c, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.NonExtractable || !strings.Contains(strings.Join(c.Findings, "\n"), "not so: the key-encryption key was made in the module") {
		t.Errorf("%+v", c)
	}
	if n, err := s.RotateKEK(t.Context()); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	if c, err := s.Probe(t.Context()); err != nil || !c.NonExtractable {
		t.Errorf("with a key of its own again: %+v, %v", c, err)
	}
}

func TestWhatCannotBeOpenedSaysWhy(t *testing.T) {
	token := keystoretest.SoftHSM(t)
	for name, c := range map[string]struct {
		change func(*pkcs11.Config)
		words  string
	}{
		"no library":        {func(c *pkcs11.Config) { c.Module = "/nowhere/lib.so" }, "no such file"},
		"another file":      {func(c *pkcs11.Config) { c.Module = "/etc/passwd" }, "is no PKCS#11 library"},
		"no token":          {func(c *pkcs11.Config) { c.Token = "nobody" }, "no token of that label"},
		"wrong PIN":         {func(c *pkcs11.Config) { c.PIN = []byte("00000000") }, "refuses the PIN, which is not tried again"},
		"no PIN":            {func(c *pkcs11.Config) { c.PIN = []byte("\n") }, "PIN are needed"},
		"too few sessions":  {func(c *pkcs11.Config) { c.Sessions = 2 }, "at least 24"},
		"no label":          {func(c *pkcs11.Config) { c.Token = "" }, "label"},
		"no library named":  {func(c *pkcs11.Config) { c.Module = "" }, "library"},
		"a folder, no file": {func(c *pkcs11.Config) { c.Module = t.TempDir() }, "is no PKCS#11 library"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(token)
			c.change(&cfg)
			s, err := pkcs11.Open(t.Context(), cfg)
			if err == nil {
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want %q", err, c.words)
			}
		})
	}
	open(t, token) // and the right one still opens
}

func TestATokenThatLacksSomeOfOurKeysIsRefused(t *testing.T) {
	token := keystoretest.SoftHSM(t)
	s := open(t, token)
	if err := s.Forget(); err != nil { // the MAC key
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pkcs11.Open(t.Context(), config(token)); err == nil || !strings.Contains(err.Error(), "is it restored completely?") {
		t.Errorf("got %v", err)
	}
}

func TestEd25519KeysServeAndAreNotSigners(t *testing.T) {
	s := open(t, keystoretest.SoftHSM(t))
	k, err := s.NewService(t.Context(), "audit", signing.KeyEd25519)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := k.Sign(nil, []byte("checkpoint"), signing.Ed25519.SignerOpts())
	if err != nil {
		t.Fatal(err)
	}
	if err := signing.Verify(k.Public(), signing.Ed25519, []byte("checkpoint"), sig); err != nil {
		t.Error(err)
	}
	if _, err := s.Generate(t.Context(), signing.KeyEd25519); !errors.Is(err, keystore.ErrMechanism) {
		t.Errorf("a signer's Ed25519 key, which SoftHSM2 does not wrap: %v", err)
	}
	if _, err := k.Sign(nil, make([]byte, 32), signing.ECDSAWithSHA256.SignerOpts()); err == nil {
		t.Error("an Ed25519 key signed a digest")
	}
}

// TestEveryKeyHasOnePurpose reads back what the token says of every key on it, and
// that without the PIN there is none.
func TestEveryKeyHasOnePurpose(t *testing.T) {
	t.Attr("control", "B15")
	s := open(t, keystoretest.SoftHSM(t))
	for name, kt := range map[string]signing.KeyType{"ec": signing.P256, "rsa": signing.RSA3072, "ed": signing.KeyEd25519} {
		if _, err := s.NewService(t.Context(), name, kt); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Objects()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 5 {
		t.Fatalf("%d secret and private keys on the token, want KEK, MAC and three service keys: %+v", len(all), all)
	}
	for _, o := range all {
		if !o.Sensitive || o.Extractable || o.Modifiable || o.Decrypt || o.Derive || o.ValueGiven {
			t.Errorf("%s: %+v", o.Label, o)
		}
		if kek := strings.HasPrefix(o.Label, "countersign-kek-"); o.Sign == kek || o.Unwrap != kek {
			t.Errorf("%s has another purpose than its own: %+v", o.Label, o)
		}
	}
	got := map[string][]uint64{}
	for _, o := range all {
		slices.Sort(o.Mechanisms)
		got[o.Label] = o.Mechanisms
	}
	want := map[string][]uint64{
		"countersign-kek-1-pad":   {0x210A},   // CKM_AES_KEY_WRAP_PAD
		"countersign-mac":         {0x251},    // CKM_SHA256_HMAC
		"countersign-service-ec":  {0x1041},   // CKM_ECDSA
		"countersign-service-rsa": {0x1, 0xD}, // CKM_RSA_PKCS, CKM_RSA_PKCS_PSS
		"countersign-service-ed":  {0x1057},   // CKM_EDDSA
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("mechanisms: %s", d)
	}
	k, err := s.Generate(t.Context(), signing.P256)
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.Open(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	in, err := pkcs11.Inspect(h)
	if err != nil || !in.Sign || in.OtherUse || !slices.Equal(in.Mechanisms, []uint64{0x1041}) || !in.RefusesWrap || !in.RefusesValue {
		t.Errorf("a signer's key in use: %+v, %v", in, err)
	}
	if seen, err := s.LoseLogin(); err != nil || seen > 0 {
		t.Errorf("without a login %d keys are seen, %v", seen, err)
	}
}

// TestNothingIsLeftOnTheToken counts objects after signers' keys were made and used.
func TestNothingIsLeftOnTheToken(t *testing.T) {
	s := open(t, keystoretest.SoftHSM(t))
	before, err := s.SessionObjects()
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		k, err := s.Generate(t.Context(), signing.P256)
		if err != nil {
			t.Fatal(err)
		}
		h, err := s.Open(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Sign(t.Context(), signing.ECDSAWithSHA256, make([]byte, 32)); err != nil {
			t.Fatal(err)
		}
		if n, err := s.SessionObjects(); err != nil || n != before+1 {
			t.Errorf("%d session objects while one key is open, %v", n, err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		k.Blob[20] ^= 1
		if _, err := s.Open(t.Context(), k); !errors.Is(err, keystore.ErrTampered) {
			t.Errorf("damaged: %v", err)
		}
	}
	if _, err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := s.SessionObjects(); err != nil || after != before {
		t.Errorf("%d session objects, before %d, %v", after, before, err)
	}
}

// TestKeysWaitForASession opens more keys than the token has sessions for.
func TestKeysWaitForASession(t *testing.T) {
	c := config(keystoretest.SoftHSM(t))
	c.Sessions = 24 // eight of them for signers' keys
	s, err := pkcs11.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	k, err := s.Generate(t.Context(), signing.P256)
	if err != nil {
		t.Fatal(err)
	}
	var handles []keystore.Handle
	for range 8 {
		h, err := s.Open(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Open(ctx, k); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a ninth key: %v", err)
	}
	if _, err := s.MAC(t.Context(), "d", nil); err != nil {
		t.Errorf("brief calls wait for signers' keys: %v", err)
	}
	opened := make(chan error)
	go func() {
		h, err := s.Open(t.Context(), k)
		if err == nil {
			err = h.Close()
		}
		opened <- err
	}()
	if err := handles[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("after one was closed: %v", err)
	}
	for _, h := range handles[1:] {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMain(m *testing.M) {
	// What is set for another installation must not be used here.
	_ = os.Unsetenv("SOFTHSM2_CONF")
	_ = os.Unsetenv("COUNTERSIGN_TEST_SOFTHSM")
	os.Exit(m.Run())
}
