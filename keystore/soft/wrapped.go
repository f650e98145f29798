package soft

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// Generate makes a signer's key and returns it wrapped under the current KEK.
func (s *Store) Generate(ctx context.Context, t signing.KeyType) (keystore.WrappedKey, error) {
	k, err := generate(ctx, t)
	if err != nil {
		return keystore.WrappedKey{}, err
	}
	defer k.destroy()
	spki, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	if err != nil {
		return keystore.WrappedKey{}, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return keystore.WrappedKey{}, err
	}
	defer clear(plain)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return keystore.WrappedKey{}, keystore.ErrClosed
	}
	return keystore.WrappedKey{Blob: wrap(s.keks[s.contents.Current], plain), KEK: s.contents.Current, Type: t, SPKI: spki}, nil
}

// Open unwraps a key for use. The caller closes the handle. A blob that was
// changed, or belongs to another public key, gives keystore.ErrTampered, and a
// KEK generation that does not exist (any more) keystore.ErrNoKey.
func (s *Store) Open(ctx context.Context, w keystore.WrappedKey) (keystore.Handle, error) {
	plain, err := s.unwrap(ctx, w)
	if err != nil {
		return nil, err
	}
	k, err := checkKey(plain, w)
	clear(plain)
	if err != nil {
		return nil, err
	}
	return &handle{store: s, key: k}, nil
}

// Rewrap returns the key wrapped under the current KEK. The blob is checked as
// in Open.
func (s *Store) Rewrap(ctx context.Context, w keystore.WrappedKey) (keystore.WrappedKey, error) {
	plain, err := s.unwrap(ctx, w)
	if err != nil {
		return keystore.WrappedKey{}, err
	}
	defer clear(plain)
	k, err := checkKey(plain, w)
	if err != nil {
		return keystore.WrappedKey{}, err
	}
	k.destroy()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return keystore.WrappedKey{}, keystore.ErrClosed
	}
	w.KEK = s.contents.Current
	w.Blob = wrap(s.keks[w.KEK], plain)
	return w, nil
}

func (s *Store) unwrap(ctx context.Context, w keystore.WrappedKey) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, keystore.ErrClosed
	}
	kek := s.keks[w.KEK]
	if kek == nil {
		return nil, fmt.Errorf("KEK generation %d: %w", w.KEK, keystore.ErrNoKey)
	}
	plain, err := unwrap(kek, w.Blob)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrTampered, err)
	}
	return plain, nil
}

// checkKey parses an unwrapped key and checks that it belongs to the public key
// it came with. The public key is computed from the private one: the wrap says
// nothing about it.
func checkKey(plain []byte, w keystore.WrappedKey) (*privateKey, error) {
	k, err := parseKey(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrTampered, err)
	}
	spki, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	if err != nil {
		k.destroy()
		return nil, err
	}
	if k.kind != w.Type || !bytes.Equal(spki, w.SPKI) {
		k.destroy()
		return nil, fmt.Errorf("%w: it belongs to another public key", keystore.ErrTampered)
	}
	return k, nil
}
