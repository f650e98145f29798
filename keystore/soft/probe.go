package soft

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// Probe makes a key, wraps, unwraps, signs and verifies with it, and offers the
// store a damaged one. It says in words what software cannot give.
func (s *Store) Probe(ctx context.Context) (keystore.Capabilities, error) {
	c := keystore.Capabilities{
		Driver: "soft",
		Module: "Countersign software keystore (" + runtime.Version() + ")",
		KeyTypes: []signing.KeyType{
			signing.P256, signing.P384, signing.P521, signing.RSA3072, signing.RSA4096, signing.KeyEd25519,
		},
		Findings: []string{
			"software keys: not a certified device",
			"private keys are in the memory of the process while they are in use",
		},
	}
	w, err := s.Generate(ctx, signing.P256)
	if err != nil {
		return c, fmt.Errorf("probe: %w", err)
	}
	if err := s.tryKey(ctx, w); err != nil {
		c.Findings = append(c.Findings, "a new key could not be used: "+err.Error())
	} else {
		c.WrapsKeys = true
	}
	w.Blob = bytes.Clone(w.Blob)
	w.Blob[len(w.Blob)/2] ^= 1
	h, err := s.Open(ctx, w)
	if err == nil {
		_ = h.Close()
	}
	if c.RefusesTamper = errors.Is(err, keystore.ErrTampered); !c.RefusesTamper {
		c.Findings = append(c.Findings, "a damaged key was not refused")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.header.KDF == kdfArgon {
		c.Findings = append(c.Findings, "sealed with a passphrase: a 256-bit random key file is stronger")
	}
	return c, nil
}

func (s *Store) tryKey(ctx context.Context, w keystore.WrappedKey) error {
	h, err := s.Open(ctx, w)
	if err != nil {
		return err
	}
	defer h.Close()
	d := sha256.Sum256([]byte("probe"))
	sig, err := h.Sign(ctx, signing.ECDSAWithSHA256, d[:])
	if err != nil {
		return err
	}
	return signing.Verify(h.Public(), signing.ECDSAWithSHA256, d[:], sig)
}
