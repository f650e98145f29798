// Package keystoretest is the suite that every keystore driver passes.
package keystoretest

import (
	"context"
	"crypto"
	"testing"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// Fresh prepares an empty module and returns how to open it. Opening again
// after Close shows the same module with what was kept in it. It is called once
// for each test and cleans up through t.
type Fresh func(t *testing.T) (open func() keystore.Store)

// Run runs the suite. A key type that the module's probe does not list must be
// refused with keystore.ErrMechanism; P-256 must be there.
func Run(t *testing.T, fresh Fresh) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"ProbeFindsWhatTheModuleDoes", probe},
		{"EveryKeyTypeSignsWithEachOfItsAlgorithms", everyAlgorithm},
		{"ForeignAlgorithmsAndDigestLengthsAreRefused", foreignAlgorithms},
		{"UnknownKeyTypesAreRefused", unknownTypes},
		{"AChangedBlobIsRefused", changedBlob},
		{"ABlobUnderAnotherPublicKeyIsRefused", swappedSPKI},
		{"ABlobUnderAnotherTypeIsRefused", swappedType},
		{"ABlobOfAnotherModuleIsRefused", otherModule},
		{"KeysLiveOnAfterRotationAndRewrap", rotation},
		{"ADestroyedGenerationTakesItsKeysAlong", destruction},
		{"TheCurrentGenerationCannotBeDestroyed", currentGeneration},
		{"MACsAreStableAndSeparatedByDomain", macs},
		{"ServiceKeysAreKept", serviceKeys},
		{"ServiceKeysOfEveryTypeSign", serviceTypes},
		{"AServiceNameIsTakenOnce", serviceNames},
		{"WhatIsNotThereIsNoKey", noKey},
		{"AClosedHandleSignsNothing", closedHandle},
		{"AClosedStoreDoesNothing", closedStore},
		{"ACancelledContextIsHeeded", cancelled},
		{"ManyAtOnceGetTheirOwnSignatures", concurrency},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{fresh: fresh, open: fresh(t)}
			s.Store = s.open()
			t.Cleanup(func() { _ = s.Close() })
			c.test(t, s)
		})
	}
}

type suite struct {
	keystore.Store
	fresh Fresh
	open  func() keystore.Store
}

func (s *suite) reopen(t *testing.T) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	s.Store = s.open()
}

// generate makes a P-256 key, which every module can.
func (s *suite) generate(t *testing.T) keystore.WrappedKey {
	t.Helper()
	k, err := s.Generate(t.Context(), signing.P256)
	if err != nil {
		t.Fatalf("Generate: %v", err)
	}
	return k
}

func (s *suite) mac(t *testing.T, domain, data string) string {
	t.Helper()
	m, err := s.MAC(t.Context(), domain, []byte(data))
	if err != nil {
		t.Fatalf("MAC: %v", err)
	}
	return string(m)
}

// message is what alg takes to sign: a digest, or bytes of any length for Ed25519.
func message(alg signing.Algorithm, text string) []byte {
	if alg.Family() == signing.EdDSA {
		return []byte(text)
	}
	h := alg.Hash().New()
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signs fails the test unless k signs with alg and the signature verifies.
func (s *suite) signs(t *testing.T, k keystore.WrappedKey, alg signing.Algorithm) {
	t.Helper()
	if err := s.trySign(t.Context(), k, alg, "text"); err != nil {
		t.Errorf("%s with %s: %v", alg, k.Type, err)
	}
}

func (s *suite) trySign(ctx context.Context, k keystore.WrappedKey, alg signing.Algorithm, text string) error {
	h, err := s.Open(ctx, k)
	if err != nil {
		return err
	}
	sig, err := h.Sign(ctx, alg, message(alg, text))
	if cerr := h.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	pub, err := k.PublicKey()
	if err != nil {
		return err
	}
	return signing.Verify(pub, alg, message(alg, text), sig)
}

// signService makes a signature with a service key and verifies it.
func signService(k crypto.Signer, alg signing.Algorithm) error {
	m := message(alg, "service")
	sig, err := k.Sign(nil, m, alg.SignerOpts())
	if err != nil {
		return err
	}
	return signing.Verify(k.Public(), alg, m, sig)
}
