//go:build cgo

package pkcs11_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/keystore/keystoretest"
	"github.com/countersign/countersign/keystore/pkcs11"
	"github.com/countersign/countersign/signing"
)

// user is somebody with a key of each kind in a store.
type user struct {
	s       *pkcs11.Store
	wrapped keystore.WrappedKey
	public  crypto.PublicKey
	service crypto.Signer
	edwards crypto.Signer
	mac     string
}

func newUser(t *testing.T, s *pkcs11.Store, name string) *user {
	t.Helper()
	u := &user{s: s}
	var err error
	if u.wrapped, err = s.Generate(t.Context(), signing.P256); err != nil {
		t.Fatal(err)
	}
	if u.public, err = u.wrapped.PublicKey(); err != nil {
		t.Fatal(err)
	}
	if u.service, err = s.NewService(t.Context(), name+"-ec", signing.P256); err != nil {
		t.Fatal(err)
	}
	if u.edwards, err = s.NewService(t.Context(), name+"-ed", signing.KeyEd25519); err != nil {
		t.Fatal(err)
	}
	m, err := s.MAC(t.Context(), "d", []byte(name))
	if err != nil {
		t.Fatal(err)
	}
	u.mac = string(m)
	return u
}

// round uses everything once; between runs between two signatures of one handle. A
// signature that is not the right key's is errWrong.
func (u *user) round(ctx context.Context, between func()) error {
	h, err := u.s.Open(ctx, u.wrapped)
	if err != nil {
		return err
	}
	defer h.Close()
	for i := range 3 {
		d := sha256.Sum256(fmt.Append(nil, i, time.Now()))
		sig, err := h.Sign(ctx, signing.ECDSAWithSHA256, d[:])
		if err != nil {
			return err
		}
		if err := signing.Verify(u.public, signing.ECDSAWithSHA256, d[:], sig); err != nil {
			return fmt.Errorf("%w: signer's key: %w", errWrong, err)
		}
		between()
	}
	d := sha256.Sum256([]byte("service"))
	sig, err := u.service.Sign(nil, d[:], crypto.SHA256)
	if err != nil {
		return err
	}
	if err := signing.Verify(u.service.Public(), signing.ECDSAWithSHA256, d[:], sig); err != nil {
		return fmt.Errorf("%w: service key: %w", errWrong, err)
	}
	if sig, err = u.edwards.Sign(nil, []byte("m"), crypto.Hash(0)); err != nil {
		return err
	}
	if err := signing.Verify(u.edwards.Public(), signing.Ed25519, []byte("m"), sig); err != nil {
		return fmt.Errorf("%w: Ed25519 key: %w", errWrong, err)
	}
	return nil
}

var errWrong = errors.New("wrong signature")

func losses(s *pkcs11.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"sessions closed": func(context.Context) error { return s.LoseSessions() },
		"finalised and initialised by somebody else": func(context.Context) error { return s.LoseModule() },
		"logged out": func(context.Context) error { _, err := s.LoseLogin(); return err },
		"restarted":  s.Restart,
	}
}

func TestKeysWorkOnAfterALoss(t *testing.T) {
	s := open(t, keystoretest.SoftHSM(t))
	u := newUser(t, s, "u")
	for name, lose := range losses(s) {
		t.Run(name, func(t *testing.T) {
			lost := false
			err := u.round(t.Context(), func() {
				if !lost {
					lost = true
					if err := lose(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
			if err != nil {
				t.Errorf("a key in use: %v", err)
			}
			for what, do := range map[string]func() error{
				"MAC": func() error {
					m, err := s.MAC(t.Context(), "d", []byte("u"))
					if err == nil && string(m) != u.mac {
						return errWrong
					}
					return err
				},
				"service": func() error { _, err := s.Service(t.Context(), "u-ec"); return err },
				"rotate":  func() error { _, err := s.RotateKEK(t.Context()); return err },
				"make":    func() error { _, err := s.Generate(t.Context(), signing.P256); return err },
				"rewrap": func() error {
					w, err := s.Rewrap(t.Context(), u.wrapped)
					if err == nil {
						u.wrapped = w
					}
					return err
				},
				"probe": func() error { _, err := s.Probe(t.Context()); return err },
				"use":   func() error { return u.round(t.Context(), func() {}) },
			} {
				if err := lose(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := do(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// TestLossesUnderLoad takes sessions and module away while eight users work, each
// with keys of its own, so that a handle that got another key's number is seen.
func TestLossesUnderLoad(t *testing.T) {
	s := open(t, keystoretest.SoftHSM(t))
	const users = 8
	var (
		wg             sync.WaitGroup
		rounds, failed atomic.Int64
	)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	all := make([]*user, users)
	for i := range all {
		all[i] = newUser(t, s, fmt.Sprint("u", i))
	}
	for _, u := range all {
		wg.Go(func() {
			for ctx.Err() == nil {
				switch err := u.round(t.Context(), func() {}); {
				case err == nil:
					rounds.Add(1)
				case errors.Is(err, errWrong) || !errors.Is(err, keystore.ErrUnavailable):
					t.Error(err)
					return
				default: // taken away twice in one call: said, and nothing was signed
					failed.Add(1)
				}
			}
		})
	}
	taken := 0
	for ctx.Err() == nil {
		for name, lose := range losses(s) {
			if err := lose(t.Context()); err != nil && !errors.Is(err, keystore.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
			taken++
			time.Sleep(20 * time.Millisecond)
		}
	}
	wg.Wait()
	t.Logf("%d rounds of 5 signatures went well, %d were refused, while the module was taken away %d times", rounds.Load(), failed.Load(), taken)
	if rounds.Load() < users || taken < 10 {
		t.Errorf("%d rounds and %d losses prove nothing", rounds.Load(), taken)
	}
	for _, u := range all {
		if err := u.round(t.Context(), func() {}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}

// TestAModuleThatIsAwayIsSaidAndComesBack takes the token's folder away.
func TestAModuleThatIsAwayIsSaidAndComesBack(t *testing.T) {
	token := keystoretest.SoftHSM(t)
	s := open(t, token)
	u := newUser(t, s, "u")
	h, err := s.Open(t.Context(), u.wrapped)
	if err != nil {
		t.Fatal(err)
	}
	token.Remove(t)
	if err := s.LoseSessions(); err != nil {
		t.Fatal(err)
	}
	d := sha256.Sum256([]byte("d"))
	for range 3 {
		for what, do := range map[string]func() error{
			"MAC":      func() error { _, err := s.MAC(t.Context(), "d", nil); return err },
			"Open":     func() error { _, err := s.Open(t.Context(), u.wrapped); return err },
			"Sign":     func() error { _, err := h.Sign(t.Context(), signing.ECDSAWithSHA256, d[:]); return err },
			"Generate": func() error { _, err := s.Generate(t.Context(), signing.P256); return err },
			"Service":  func() error { _, err := s.Service(t.Context(), "u-ec"); return err },
			"sign":     func() error { _, err := u.service.Sign(nil, d[:], crypto.SHA256); return err },
			"Ed25519":  func() error { _, err := u.edwards.Sign(nil, []byte("m"), crypto.Hash(0)); return err },
			"Rotate":   func() error { _, err := s.RotateKEK(t.Context()); return err },
			"Probe":    func() error { _, err := s.Probe(t.Context()); return err },
		} {
			if err := do(); !errors.Is(err, keystore.ErrUnavailable) {
				t.Errorf("%s without the token: %v", what, err)
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	token.PutBack(t)
	time.Sleep(5 * time.Millisecond) // the pause between two recoveries
	if _, err := h.Sign(t.Context(), signing.ECDSAWithSHA256, d[:]); err != nil {
		t.Errorf("the handle from before: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := u.round(t.Context(), func() {}); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

// TestATokenThatComesBackEmptyIsNotTaken: making new keys there would make every
// record and key of before worthless.
func TestATokenThatComesBackEmptyIsNotTaken(t *testing.T) {
	token := keystoretest.SoftHSM(t)
	s := open(t, token)
	if err := s.ForgetAll(); err != nil {
		t.Fatal(err)
	}
	if err := s.LoseSessions(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.MAC(t.Context(), "d", nil); !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "came back without our keys") {
		t.Errorf("got %v", err)
	}
}

// TestAWrongPINIsTriedOnce: the token counts and locks.
func TestAWrongPINIsTriedOnce(t *testing.T) {
	token := keystoretest.SoftHSM(t)
	s := open(t, token)
	if err := s.ChangePIN(token.PIN, "another-pin"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.LoseSessions(); err != nil && !errors.Is(err, keystore.ErrUnavailable) {
			t.Fatal(err)
		}
		if _, err := s.MAC(t.Context(), "d", nil); !errors.Is(err, keystore.ErrUnavailable) || !strings.Contains(err.Error(), "not tried again") {
			t.Errorf("got %v", err)
		}
	}
	token.PIN = "another-pin"
	open(t, token)
}
