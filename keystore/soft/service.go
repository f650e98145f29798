package soft

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// Service returns the resident key of that name, or keystore.ErrNoKey. Its Sign
// gives keystore.ErrClosed once the store is closed.
func (s *Store) Service(ctx context.Context, name string) (crypto.Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, keystore.ErrClosed
	}
	k := s.services[name]
	if k == nil {
		return nil, fmt.Errorf("service key %q: %w", name, keystore.ErrNoKey)
	}
	return k, nil
}

// NewService makes a resident key. It is on disk when NewService returns. A
// name that is taken gives keystore.ErrExists.
func (s *Store) NewService(ctx context.Context, name string, t signing.KeyType) (crypto.Signer, error) {
	if name == "" {
		return nil, errors.New("a service key needs a name")
	}
	k, err := generate(ctx, t)
	if err != nil {
		return nil, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, keystore.ErrClosed
	}
	if _, taken := s.contents.Services[name]; taken {
		k.destroy()
		return nil, fmt.Errorf("service key %q: %w", name, keystore.ErrExists)
	}
	next := s.contents.clone()
	next.Services[name] = resident{Type: t, PKCS8: plain, Made: time.Now().UTC().Truncate(time.Second)}
	if err := s.save(next); err != nil {
		return nil, err
	}
	s.contents = next
	s.services[name] = &serviceKey{store: s, key: k}
	return s.services[name], nil
}

// serviceKey is a resident key.
type serviceKey struct {
	store *Store
	key   *privateKey
}

// Public returns the public key.
func (k *serviceKey) Public() crypto.PublicKey { return k.key.signer.Public() }

// Sign implements crypto.Signer. Only SHA-256, SHA-384 and SHA-512 digests are
// signed, or a message with an Ed25519 key.
func (k *serviceKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.key.kind != signing.KeyEd25519 && signing.HashOID(opts.HashFunc()) == "" {
		return nil, fmt.Errorf("service key: digest algorithm %v: %w", opts.HashFunc(), keystore.ErrMechanism)
	}
	if k.key.kind == signing.KeyEd25519 && opts.HashFunc() != 0 {
		return nil, errors.New("service key: Ed25519 signs the message, not a digest")
	}
	k.store.mu.RLock()
	defer k.store.mu.RUnlock()
	if k.store.closed {
		return nil, keystore.ErrClosed
	}
	return k.key.sign(opts, digest)
}
