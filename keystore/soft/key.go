package soft

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"sync"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// privateKey is a key in memory.
type privateKey struct {
	signer crypto.Signer
	kind   signing.KeyType
}

func generate(ctx context.Context, t signing.KeyType) (*privateKey, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var (
		k   crypto.Signer
		err error
	)
	switch t {
	case signing.P256:
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case signing.P384:
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case signing.P521:
		k, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case signing.RSA3072:
		k, err = rsa.GenerateKey(rand.Reader, 3072)
	case signing.RSA4096:
		k, err = rsa.GenerateKey(rand.Reader, 4096)
	case signing.KeyEd25519:
		_, k, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, fmt.Errorf("key type %q: %w", t, keystore.ErrMechanism)
	}
	if err != nil {
		return nil, fmt.Errorf("generate %s key: %w", t, err)
	}
	return &privateKey{signer: k, kind: t}, nil
}

func parseKey(pkcs8 []byte) (*privateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	k, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key of type %T: %w", parsed, keystore.ErrMechanism)
	}
	t, err := signing.KeyTypeOf(k.Public())
	if err != nil {
		return nil, err
	}
	return &privateKey{signer: k, kind: t}, nil
}

func (k *privateKey) sign(opts crypto.SignerOpts, digest []byte) ([]byte, error) {
	return k.signer.Sign(rand.Reader, digest, opts)
}

// destroy wipes the secret numbers. Go may have copied them while it computed:
// this shortens the time they are in memory, it proves nothing.
func (k *privateKey) destroy() {
	wipe := func(n *big.Int) {
		if n != nil {
			clear(n.Bits())
		}
	}
	switch s := k.signer.(type) {
	case *ecdsa.PrivateKey:
		wipe(s.D) //nolint:staticcheck // there is no other way to reach the number that must go
	case *rsa.PrivateKey:
		wipe(s.D)
		for _, p := range s.Primes {
			wipe(p)
		}
		wipe(s.Precomputed.Dp)
		wipe(s.Precomputed.Dq)
		wipe(s.Precomputed.Qinv)
	case ed25519.PrivateKey:
		clear(s)
	}
}

// handle is a signer's key while it is in use.
type handle struct {
	store *Store

	// mu guards closed, and keeps Close from wiping a key that is signing.
	mu     sync.RWMutex
	closed bool
	key    *privateKey
}

// Sign signs a digest of alg's length; for Ed25519 it signs the message.
func (h *handle) Sign(ctx context.Context, alg signing.Algorithm, digest []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := fits(h.key.kind, alg, digest); err != nil {
		return nil, err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closed || h.store.isClosed() {
		return nil, keystore.ErrClosed
	}
	sig, err := h.key.sign(alg.SignerOpts(), digest)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", alg, err)
	}
	return sig, nil
}

func fits(t signing.KeyType, alg signing.Algorithm, digest []byte) error {
	for _, a := range t.Algorithms() {
		if a != alg {
			continue
		}
		if alg.Family() != signing.EdDSA && len(digest) != alg.Hash().Size() {
			return fmt.Errorf("digest of %d bytes, %s takes %d", len(digest), alg, alg.Hash().Size())
		}
		return nil
	}
	return fmt.Errorf("%s with a %s key: %w", alg, t, keystore.ErrMechanism)
}

// Public returns the public key.
func (h *handle) Public() crypto.PublicKey { return h.key.signer.Public() }

// Close destroys the unwrapped key. It waits for signatures under way.
func (h *handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	h.key.destroy()
	return nil
}

func (s *Store) isClosed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.closed
}
