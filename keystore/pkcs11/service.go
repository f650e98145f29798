//go:build cgo

package pkcs11

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// serviceKey is a resident key. It outlives recoveries: the object is looked for
// again in each life of the store.
type serviceKey struct {
	store  *Store
	name   string
	kind   signing.KeyType
	public crypto.PublicKey
}

// Service returns the resident key of that name, or keystore.ErrNoKey. Its Sign
// gives keystore.ErrClosed once the store is closed.
func (s *Store) Service(ctx context.Context, name string) (crypto.Signer, error) {
	return brief(ctx, s, s.cfg.Timeout, always, func(l *life, h pkcs11.SessionHandle) (crypto.Signer, error) {
		if err := s.loggedIn(h); err != nil { // no key is promised of a module that is away
			return nil, err
		}
		signer, err := s.serviceSigner(l, h, name)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if k := s.services[name]; k != nil {
			return k, nil
		}
		t, err := signing.KeyTypeOf(signer.Public())
		if err != nil {
			return nil, fmt.Errorf("service key %q: %w", name, err)
		}
		k := &serviceKey{store: s, name: name, kind: t, public: signer.Public()}
		s.services[name] = k
		return k, nil
	})
}

// serviceSigner finds the key in this life. ECDSA and RSA are crypto11's, Ed25519
// it does not know.
func (s *Store) serviceSigner(l *life, h pkcs11.SessionHandle, name string) (crypto.Signer, error) {
	l.mu.Lock()
	known := l.signers[name]
	l.mu.Unlock()
	if known != nil {
		return known, nil
	}
	found, err := s.find(h, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_LABEL, serviceLabel+name))
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("service key %q: %w", name, keystore.ErrNoKey)
	case len(found) > 1:
		return nil, fmt.Errorf("the token %q has %d service keys with the name %q", s.cfg.Token, len(found), name)
	}
	kind, err := s.number(h, found[0], pkcs11.CKA_KEY_TYPE)
	if err != nil {
		return nil, err
	}
	var signer crypto.Signer
	if kind == ckkECEdwards {
		signer, err = s.findEdwards(l, h, found[0], name)
	} else {
		signer, err = l.module.FindKeyPair(nil, []byte(serviceLabel+name))
	}
	if err == nil && signer == nil {
		err = errors.New("its public half is gone")
	}
	if err != nil {
		return nil, fmt.Errorf("service key %q: %w", name, errors.Join(err, s.loggedIn(h)))
	}
	s.remember(l, name, signer)
	return signer, nil
}

func (s *Store) remember(l *life, name string, signer crypto.Signer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.signers[name] = signer
}

// NewService makes a resident key: sensitive, not extractable, for signing only.
// A name that is taken gives keystore.ErrExists.
func (s *Store) NewService(ctx context.Context, name string, t signing.KeyType) (crypto.Signer, error) {
	if name == "" {
		return nil, errors.New("a service key needs a name")
	}
	f, err := familyOf(t)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	return brief(ctx, s, 4*s.cfg.Timeout, ifUndone, func(l *life, h pkcs11.SessionHandle) (crypto.Signer, error) {
		switch _, err := s.serviceSigner(l, h, name); {
		case err == nil:
			return nil, fmt.Errorf("service key %q: %w", name, keystore.ErrExists)
		case !errors.Is(err, keystore.ErrNoKey):
			return nil, err
		}
		signer, err := s.makeService(l, h, name, t, f)
		if err != nil {
			return nil, mechanismError(fmt.Errorf("make service key %q: %w", name, err))
		}
		s.remember(l, name, signer)
		k := &serviceKey{store: s, name: name, kind: t, public: signer.Public()}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.services[name] = k
		return k, nil
	})
}

func (s *Store) makeService(l *life, h pkcs11.SessionHandle, name string, t signing.KeyType, f family) (crypto.Signer, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	if t == signing.KeyEd25519 {
		return s.newEdwards(l, h, name, id, f)
	}
	public, err := crypto11.NewAttributeSetWithIDAndLabel(id, []byte(serviceLabel+name))
	if err != nil {
		return nil, err
	}
	private := public.Copy()
	for _, a := range residentPurpose(l, f) {
		private[a.Type] = a
	}
	if f.bits > 0 {
		for _, use := range []uint{pkcs11.CKA_ENCRYPT, pkcs11.CKA_WRAP} {
			public[use] = pkcs11.NewAttribute(use, false)
		}
		return l.module.GenerateRSAKeyPairWithAttributes(public, private, f.bits)
	}
	return l.module.GenerateECDSAKeyPairWithAttributes(public, private, f.curve)
}

func residentPurpose(l *life, f family) []*pkcs11.Attribute {
	return purpose(append(l.bounds(f.mechanismsOf()...), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_MODIFIABLE, false))...)
}

// Public returns the public key.
func (k *serviceKey) Public() crypto.PublicKey { return k.public }

// Sign implements crypto.Signer. Only SHA-256, SHA-384 and SHA-512 digests are
// signed, or a message with an Ed25519 key. The signature is verified before it is
// given out.
func (k *serviceKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	alg, err := algorithmOf(k.kind, opts)
	if err != nil {
		return nil, err
	}
	if err := fits(k.kind, alg, digest); err != nil {
		return nil, fmt.Errorf("service key: %w", err)
	}
	input := digest
	if alg.Family() == signing.ECDSA {
		input = truncate(k.kind, digest)
	}
	s := k.store
	sig, err := brief(context.Background(), s, s.cfg.Timeout, always, func(l *life, h pkcs11.SessionHandle) ([]byte, error) {
		signer, err := s.serviceSigner(l, h, k.name)
		if err != nil {
			return nil, err
		}
		return signer.Sign(rand.Reader, input, opts)
	})
	if err != nil {
		return nil, fmt.Errorf("service key %q: %w", k.name, err)
	}
	if err := signing.Verify(k.public, alg, digest, sig); err != nil {
		return nil, fmt.Errorf("service key %q: the module made a signature that does not verify: %w", k.name, err)
	}
	return sig, nil
}

// algorithmOf finds the algorithm that a caller of crypto.Signer means.
func algorithmOf(t signing.KeyType, opts crypto.SignerOpts) (signing.Algorithm, error) {
	if t == signing.KeyEd25519 {
		if opts.HashFunc() != 0 {
			return 0, errors.New("service key: Ed25519 signs the message, not a digest")
		}
		return signing.Ed25519, nil
	}
	pss, isPSS := opts.(*rsa.PSSOptions)
	all := t.Algorithms()
	i := slices.IndexFunc(all, func(a signing.Algorithm) bool { return a.Hash() == opts.HashFunc() && a.PSS() == isPSS })
	if i < 0 || (isPSS && pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != opts.HashFunc().Size()) {
		return 0, fmt.Errorf("service key: digest algorithm %v: %w", opts.HashFunc(), keystore.ErrMechanism)
	}
	return all[i], nil
}
