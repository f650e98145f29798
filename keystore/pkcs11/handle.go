//go:build cgo

package pkcs11

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// handle is a signer's key while it is in use: a session object, sensitive and not
// extractable, in a session of its own.
type handle struct {
	store   *Store
	wrapped keystore.WrappedKey
	public  crypto.PublicKey

	// mu guards everything below, and is held while the key signs: a session does
	// one thing at a time.
	mu      sync.Mutex
	closed  bool
	slot    bool   // it holds one of inUse
	epoch   uint64 // of session and object
	session pkcs11.SessionHandle
	object  pkcs11.ObjectHandle
}

// Open unwraps a key for use. The caller closes the handle. A blob that was
// changed, or belongs to another public key, gives keystore.ErrTampered, and a
// KEK generation that does not exist (any more) keystore.ErrNoKey.
func (s *Store) Open(ctx context.Context, w keystore.WrappedKey) (keystore.Handle, error) {
	pub, err := checkForm(w)
	if err != nil {
		return nil, err
	}
	h := &handle{store: s, wrapped: w, public: pub}
	_, err = within(ctx, s.cfg.Timeout, func(ctx context.Context) (struct{}, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		select {
		case s.inUse <- struct{}{}:
			h.slot = true
		case <-ctx.Done():
			return struct{}{}, ctx.Err()
		}
		_, err := attempt(ctx, s, always, func(l *life) (struct{}, error) { return struct{}{}, h.open(l) })
		if err == nil {
			err = ctx.Err() // nobody waits for the key any more
		}
		if err != nil {
			err = errors.Join(err, h.end())
		}
		return struct{}{}, err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// open unwraps the key in a session of this life. mu is held.
func (h *handle) open(l *life) error {
	s := h.store
	session, err := s.session(l)
	if err != nil {
		return err
	}
	o, err := s.unwrap(l, session, h.wrapped, h.public, false)
	if err != nil {
		if lost(err) || errors.Is(err, errStuck) {
			_ = s.discard(l, session)
		} else {
			s.release(l, session)
		}
		return err
	}
	h.epoch, h.session, h.object = l.epoch, session, o
	return nil
}

// Sign signs a digest of alg's length; for Ed25519 it signs the message. It is the
// module's answer to one C_Sign: when that fails nothing is tried again.
func (h *handle) Sign(ctx context.Context, alg signing.Algorithm, digest []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := fits(h.wrapped.Type, alg, digest); err != nil {
		return nil, err
	}
	r := newRequest(h.wrapped.Type, alg, digest)
	return within(ctx, h.store.cfg.Timeout, func(ctx context.Context) ([]byte, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.closed {
			return nil, keystore.ErrClosed
		}
		sig, err := h.sign(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("sign with %s: %w", alg, err)
		}
		return sig, nil
	})
}

// sign opens the key again when the module was restarted since. mu is held.
func (h *handle) sign(ctx context.Context, r request) ([]byte, error) {
	var begun bool
	for again := false; ; again = true {
		var sig []byte
		_, epoch, err := h.store.once(ctx, func(l *life) (any, error) {
			if h.epoch != l.epoch {
				if err := h.open(l); err != nil {
					return nil, err
				}
			}
			var err error
			sig, begun, err = h.store.signOnce(h.session, h.object, r)
			return nil, err
		})
		switch {
		case err == nil:
			return sig, nil
		case !lost(err):
			return nil, err
		}
		if rerr := h.store.recover(ctx, epoch, err); rerr != nil {
			return nil, notRecovered(err, rerr)
		}
		if begun || again || ctx.Err() != nil {
			return nil, unavailable(err)
		}
	}
}

// Public returns the public key.
func (h *handle) Public() crypto.PublicKey { return h.public }

// Close destroys the unwrapped key. It waits for signatures under way.
func (h *handle) Close() error {
	_, err := within(context.Background(), h.store.cfg.Timeout, func(context.Context) (struct{}, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.closed {
			return struct{}{}, nil
		}
		return struct{}{}, h.end()
	})
	return err
}

// end destroys the key and gives the session back. A key whose session or module is
// gone is gone with it. mu is held.
func (h *handle) end() error {
	h.closed = true
	s := h.store
	if h.slot {
		defer func() { <-s.inUse }()
	}
	s.lib.gate.RLock()
	defer s.lib.gate.RUnlock()
	l := s.life
	if l == nil || h.object == 0 || l.epoch != h.epoch {
		return nil
	}
	err := s.destroy(h.session, h.object)
	if err == nil {
		s.release(l, h.session)
		return nil
	}
	// Closing a session destroys its objects too (PKCS#11 §5.6).
	if cerr := s.discard(l, h.session); cerr != nil && !lost(cerr) {
		return errors.Join(err, cerr)
	}
	return nil
}
