//go:build cgo

package pkcs11

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// Generate makes a signer's key as a session object, wraps it under the current
// KEK, destroys it, and opens the wrapped key once to see that it is the key of
// the public half that it returns.
func (s *Store) Generate(ctx context.Context, t signing.KeyType) (keystore.WrappedKey, error) {
	f, err := familyOf(t)
	if err != nil {
		return keystore.WrappedKey{}, err
	}
	return brief(ctx, s, 4*s.cfg.Timeout, always, func(l *life, h pkcs11.SessionHandle) (keystore.WrappedKey, error) {
		w, err := s.generate(l, h, t, f)
		if err != nil {
			return keystore.WrappedKey{}, err
		}
		pub, err := w.PublicKey()
		if err != nil {
			return keystore.WrappedKey{}, err
		}
		o, err := s.unwrap(l, h, w, pub, false)
		if err != nil {
			return keystore.WrappedKey{}, fmt.Errorf("open the key just made: %w", err)
		}
		return w, s.destroy(h, o)
	})
}

func (s *Store) generate(l *life, h pkcs11.SessionHandle, t signing.KeyType, f family) (w keystore.WrappedKey, err error) {
	public, private, err := s.lib.calls.GenerateKeyPair(h, mechanism(f.generate),
		f.public(pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true)),
		purpose(append(l.bounds(f.mechanismsOf()...), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
			pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true))...)) // until it is wrapped
	if err != nil {
		return w, mechanismError(fmt.Errorf("generate %s key: %w", t, err))
	}
	defer func() { err = errors.Join(err, s.destroy(h, public), s.destroy(h, private)) }()
	pub, err := s.readPublic(h, public, f)
	if err != nil {
		return w, err
	}
	w.Type = t
	if w.SPKI, err = x509.MarshalPKIXPublicKey(pub); err != nil {
		return w, err
	}
	k := l.newest()
	w.KEK = k.generation
	if w.Blob, err = s.lib.calls.WrapKey(h, k.wrapping(), k.object, private); err != nil {
		return w, mechanismError(fmt.Errorf("wrap %s key: %w", t, err))
	}
	return w, nil
}

// mechanismError marks answers by which a module says that it cannot do a thing.
func mechanismError(err error) error {
	if answered(err, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_MECHANISM_PARAM_INVALID, pkcs11.CKR_CURVE_NOT_SUPPORTED,
		pkcs11.CKR_KEY_NOT_WRAPPABLE, pkcs11.CKR_KEY_SIZE_RANGE, pkcs11.CKR_DOMAIN_PARAMS_INVALID, pkcs11.CKR_FUNCTION_NOT_SUPPORTED) {
		return fmt.Errorf("%w: %w", keystore.ErrMechanism, err)
	}
	return err
}

// checkForm refuses what no module needs to be asked about.
func checkForm(w keystore.WrappedKey) (crypto.PublicKey, error) {
	pub, err := w.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrTampered, err)
	}
	if t, err := signing.KeyTypeOf(pub); err != nil || t != w.Type {
		return nil, fmt.Errorf("%w: its public key is no %s key", keystore.ErrTampered, w.Type)
	}
	return pub, nil
}

const (
	leastBlob = 24
	mostBlob  = 16 << 10 // an RSA-4096 key takes about 2.4 KB
)

// unwrap opens a wrapped key as a session object and checks that it belongs to the
// public key: the wrap says nothing about it. A key that is opened to be wrapped
// again must be extractable for that moment.
func (s *Store) unwrap(l *life, h pkcs11.SessionHandle, w keystore.WrappedKey, pub crypto.PublicKey, extractable bool) (pkcs11.ObjectHandle, error) {
	k, err := s.generation(l, h, w.KEK)
	if err != nil {
		return 0, err
	}
	f, err := familyOf(w.Type)
	if err != nil {
		return 0, err
	}
	if len(w.Blob) < leastBlob || len(w.Blob) > mostBlob || len(w.Blob)%8 != 0 {
		return 0, fmt.Errorf("%w: %d bytes", keystore.ErrTampered, len(w.Blob))
	}
	o, err := s.lib.calls.UnwrapKey(h, k.wrapping(), k.object, w.Blob, purpose(append(l.bounds(f.mechanismsOf()...),
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, f.keyType),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, extractable))...))
	if err != nil {
		return 0, s.unwrapError(l, h, err)
	}
	if err := s.belongs(h, o, w.Type, pub); err != nil {
		return 0, errors.Join(err, s.destroy(h, o))
	}
	return o, nil
}

// unwrapError tells a damaged blob from a module that is gone: SoftHSM2 answers
// CKR_GENERAL_ERROR to both. What still computes is not gone.
func (s *Store) unwrapError(l *life, h pkcs11.SessionHandle, err error) error {
	switch {
	case answered(err, pkcs11.CKR_WRAPPED_KEY_INVALID, pkcs11.CKR_WRAPPED_KEY_LEN_RANGE, pkcs11.CKR_TEMPLATE_INCONSISTENT,
		pkcs11.CKR_ENCRYPTED_DATA_INVALID, pkcs11.CKR_ENCRYPTED_DATA_LEN_RANGE):
		return fmt.Errorf("%w: %w", keystore.ErrTampered, err)
	case !answered(err, pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED):
		return mechanismError(fmt.Errorf("unwrap: %w", err))
	}
	if dead := s.alive(l, h); dead != nil {
		return fmt.Errorf("unwrap: %w", errors.Join(err, dead))
	}
	return fmt.Errorf("%w: the module does not unwrap it (%v)", keystore.ErrTampered, err) //nolint:errorlint // the code must not count as a lost module
}

// belongs checks that a private key is that of the public key: by the modulus, or
// by a signature over a random challenge that nothing else signs.
func (s *Store) belongs(h pkcs11.SessionHandle, o pkcs11.ObjectHandle, t signing.KeyType, pub crypto.PublicKey) error {
	other := fmt.Errorf("%w: it belongs to another public key", keystore.ErrTampered)
	if t == signing.RSA3072 || t == signing.RSA4096 {
		have, err := s.readRSA(h, o)
		switch {
		case err != nil:
			return err
		case !have.Equal(pub):
			return other
		}
		return nil
	}
	alg := t.Algorithms()[0]
	challenge := make([]byte, alg.Hash().Size())
	if _, err := rand.Read(challenge); err != nil {
		return err
	}
	sig, _, err := s.signOnce(h, o, newRequest(t, alg, challenge))
	switch {
	case err != nil && lost(err):
		return err
	case err != nil: // for a key of another curve the module gives another length
		return fmt.Errorf("%w: %w", other, err)
	}
	if err := signing.Verify(pub, alg, challenge, sig); err != nil {
		return other
	}
	return nil
}

// destroy destroys a session object.
func (s *Store) destroy(h pkcs11.SessionHandle, o pkcs11.ObjectHandle) error {
	if err := s.lib.calls.DestroyObject(h, o); err != nil {
		return fmt.Errorf("%w: %w", errStuck, err)
	}
	return nil
}

// Rewrap returns the key wrapped under the current KEK. The blob is checked as in
// Open. While it is moved the key is an extractable session object, sensitive as
// always: it leaves the module only wrapped.
func (s *Store) Rewrap(ctx context.Context, w keystore.WrappedKey) (keystore.WrappedKey, error) {
	pub, err := checkForm(w)
	if err != nil {
		return keystore.WrappedKey{}, err
	}
	return brief(ctx, s, s.cfg.Timeout, always, func(l *life, h pkcs11.SessionHandle) (next keystore.WrappedKey, err error) {
		o, err := s.unwrap(l, h, w, pub, true)
		if err != nil {
			return next, err
		}
		defer func() { err = errors.Join(err, s.destroy(h, o)) }()
		k := l.newest()
		next = keystore.WrappedKey{KEK: k.generation, Type: w.Type, SPKI: bytes.Clone(w.SPKI)}
		if next.Blob, err = s.lib.calls.WrapKey(h, k.wrapping(), k.object, o); err != nil {
			return keystore.WrappedKey{}, mechanismError(fmt.Errorf("wrap: %w", err))
		}
		return next, nil
	})
}
