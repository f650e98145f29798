package keystoretest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

func rotation(t *testing.T, s *suite) {
	old := s.generate(t)
	generation, err := s.RotateKEK(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if generation != old.KEK+1 {
		t.Errorf("rotation made generation %d after %d", generation, old.KEK)
	}
	if k := s.generate(t); k.KEK != generation {
		t.Errorf("a new key is under generation %d, want %d", k.KEK, generation)
	}
	s.signs(t, old, signing.ECDSAWithSHA256)
	moved, err := s.Rewrap(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if moved.KEK != generation || string(moved.SPKI) != string(old.SPKI) || moved.Type != old.Type {
		t.Errorf("rewrapped key has generation %d, type %s", moved.KEK, moved.Type)
	}
	s.signs(t, moved, signing.ECDSAWithSHA256)
	mixed := moved
	mixed.Blob = old.Blob
	s.refused(t, "the old blob under the new generation", mixed)
	s.reopen(t)
	s.signs(t, old, signing.ECDSAWithSHA256)
	s.signs(t, moved, signing.ECDSAWithSHA256)
	if next, err := s.RotateKEK(t.Context()); err != nil || next != generation+1 {
		t.Errorf("rotation after reopening gives %d, %v, want %d", next, err, generation+1)
	}
}

func destruction(t *testing.T, s *suite) {
	lost := s.generate(t)
	if _, err := s.RotateKEK(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept, err := s.Rewrap(t.Context(), lost)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DestroyKEK(t.Context(), lost.KEK); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if _, err := s.Open(t.Context(), lost); !errors.Is(err, keystore.ErrNoKey) {
			t.Errorf("Open under a destroyed generation: %v, want ErrNoKey", err)
		}
		if _, err := s.Rewrap(t.Context(), lost); !errors.Is(err, keystore.ErrNoKey) {
			t.Errorf("Rewrap from a destroyed generation: %v, want ErrNoKey", err)
		}
		if err := s.DestroyKEK(t.Context(), lost.KEK); !errors.Is(err, keystore.ErrNoKey) {
			t.Errorf("destroyed twice: %v, want ErrNoKey", err)
		}
		s.signs(t, kept, signing.ECDSAWithSHA256)
	}
	check()
	s.reopen(t)
	check()
	if g, err := s.RotateKEK(t.Context()); err != nil || g <= kept.KEK {
		t.Errorf("a generation number came back: %d, %v", g, err)
	}
}

func currentGeneration(t *testing.T, s *suite) {
	k := s.generate(t)
	if err := s.DestroyKEK(t.Context(), k.KEK); err == nil {
		t.Error("the current generation was destroyed")
	}
	s.signs(t, k, signing.ECDSAWithSHA256)
}

func macs(t *testing.T, s *suite) {
	a := s.mac(t, "link", "data")
	if len(a) != 32 {
		t.Errorf("MAC has %d bytes, want 32", len(a))
	}
	for _, other := range [][2]string{
		{"link", "datb"}, {"linl", "data"}, {"lin", "kdata"}, {"linkd", "ata"}, {"", "linkdata"}, {"linkdata", ""}, {"link\x00", "data"},
	} {
		if s.mac(t, other[0], other[1]) == a {
			t.Errorf("MAC of %q is that of link, data", other)
		}
	}
	s.reopen(t)
	if s.mac(t, "link", "data") != a {
		t.Error("MAC is another after reopening")
	}
	other := s.fresh(t)()
	defer other.Close()
	if m, err := other.MAC(t.Context(), "link", []byte("data")); err != nil || string(m) == a {
		t.Errorf("another module makes the same MAC, %v", err)
	}
}

func serviceKeys(t *testing.T, s *suite) {
	k, err := s.NewService(t.Context(), "ca", signing.P256)
	if err != nil {
		t.Fatal(err)
	}
	if err := signService(k, signing.ECDSAWithSHA256); err != nil {
		t.Error(err)
	}
	if _, err := s.NewService(t.Context(), "tsa", signing.P256); err != nil {
		t.Fatal(err)
	}
	pub := k.Public()
	s.reopen(t)
	for range 2 {
		again, err := s.Service(t.Context(), "ca")
		if err != nil {
			t.Fatal(err)
		}
		if !equal(again.Public(), pub) {
			t.Error("the service key is another after reopening")
		}
		if err := signService(again, signing.ECDSAWithSHA256); err != nil {
			t.Error(err)
		}
	}
	if tsa, err := s.Service(t.Context(), "tsa"); err != nil || equal(tsa.Public(), pub) {
		t.Errorf("two names, one key; %v", err)
	}
}

func serviceTypes(t *testing.T, s *suite) {
	c, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, kt := range c.KeyTypes {
		k, err := s.NewService(t.Context(), string(kt), kt)
		if err != nil {
			t.Fatal(err)
		}
		for _, alg := range kt.Algorithms() {
			if err := signService(k, alg); err != nil {
				t.Errorf("service key %s with %s: %v", kt, alg, err)
			}
		}
	}
}

func serviceNames(t *testing.T, s *suite) {
	k, err := s.NewService(t.Context(), "ca", signing.P256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewService(t.Context(), "ca", signing.P384); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("second key of one name: %v, want ErrExists", err)
	}
	again, err := s.Service(t.Context(), "ca")
	if err != nil || !equal(again.Public(), k.Public()) {
		t.Errorf("the refused second key replaced the first; %v", err)
	}
}

func noKey(t *testing.T, s *suite) {
	if _, err := s.Service(t.Context(), "nobody"); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("Service of no key: %v, want ErrNoKey", err)
	}
	k := s.generate(t)
	for _, generation := range []int{-1, 0, k.KEK + 1, 1 << 30} {
		w := k
		w.KEK = generation
		if _, err := s.Open(t.Context(), w); !errors.Is(err, keystore.ErrNoKey) {
			t.Errorf("Open under generation %d: %v, want ErrNoKey", generation, err)
		}
		if err := s.DestroyKEK(t.Context(), generation); !errors.Is(err, keystore.ErrNoKey) {
			t.Errorf("DestroyKEK(%d): %v, want ErrNoKey", generation, err)
		}
	}
}

func closedStore(t *testing.T, s *suite) {
	ctx := t.Context()
	k := s.generate(t)
	h, err := s.Open(ctx, k)
	if err != nil {
		t.Fatal(err)
	}
	service, err := s.NewService(ctx, "ca", signing.P256)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func() error{
		"Sign":       func() error { _, err := h.Sign(ctx, signing.ECDSAWithSHA256, make([]byte, 32)); return err },
		"Generate":   func() error { _, err := s.Generate(ctx, signing.P256); return err },
		"Open":       func() error { _, err := s.Open(ctx, k); return err },
		"Rewrap":     func() error { _, err := s.Rewrap(ctx, k); return err },
		"MAC":        func() error { _, err := s.MAC(ctx, "d", nil); return err },
		"Service":    func() error { _, err := s.Service(ctx, "ca"); return err },
		"NewService": func() error { _, err := s.NewService(ctx, "cb", signing.P256); return err },
		"RotateKEK":  func() error { _, err := s.RotateKEK(ctx); return err },
		"DestroyKEK": func() error { return s.DestroyKEK(ctx, 1) },
		"Probe":      func() error { _, err := s.Probe(ctx); return err },
		"service key": func() error {
			_, err := service.Sign(nil, make([]byte, 32), signing.ECDSAWithSHA256.SignerOpts())
			return err
		},
	} {
		if err := do(); !errors.Is(err, keystore.ErrClosed) {
			t.Errorf("%s on a closed store: %v, want ErrClosed", what, err)
		}
	}
	if err := h.Close(); err != nil {
		t.Errorf("closing a handle of a closed store: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func cancelled(t *testing.T, s *suite) {
	k := s.generate(t)
	h, err := s.Open(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, do := range map[string]func() error{
		"Sign":       func() error { _, err := h.Sign(ctx, signing.ECDSAWithSHA256, make([]byte, 32)); return err },
		"Generate":   func() error { _, err := s.Generate(ctx, signing.P256); return err },
		"Open":       func() error { _, err := s.Open(ctx, k); return err },
		"Rewrap":     func() error { _, err := s.Rewrap(ctx, k); return err },
		"MAC":        func() error { _, err := s.MAC(ctx, "d", nil); return err },
		"NewService": func() error { _, err := s.NewService(ctx, "ca", signing.P256); return err },
		"RotateKEK":  func() error { _, err := s.RotateKEK(ctx); return err },
		"DestroyKEK": func() error { return s.DestroyKEK(ctx, 7) },
	} {
		if err := do(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v, want context.Canceled", what, err)
		}
	}
	if _, err := s.Service(t.Context(), "ca"); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("NewService with a cancelled context made a key: %v", err)
	}
	if g := s.generate(t).KEK; g != k.KEK {
		t.Errorf("RotateKEK with a cancelled context made generation %d current", g)
	}
}

func concurrency(t *testing.T, s *suite) {
	const workers = 8
	ctx := t.Context()
	errs := make([]error, workers)
	names := make([]error, workers)
	shared := s.generate(t)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			_, names[i] = s.NewService(ctx, "contested", signing.P256)
			own, err := s.Generate(ctx, signing.P256)
			for n := range 10 {
				if err != nil {
					break
				}
				for _, k := range []keystore.WrappedKey{own, shared} {
					if e := s.trySign(ctx, k, signing.ECDSAWithSHA256, fmt.Sprint(i, n)); e != nil {
						err = e
					}
				}
				if i == 0 && n%3 == 0 {
					_, err = s.RotateKEK(ctx)
				}
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("worker %d: %v", i, err)
		}
	}
	made := slices.IndexFunc(names, func(err error) bool { return err == nil })
	for i, err := range names {
		if i != made && !errors.Is(err, keystore.ErrExists) {
			t.Errorf("contested name: %v, want one success and ErrExists", names)
			break
		}
	}
}
