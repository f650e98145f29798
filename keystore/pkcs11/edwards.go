//go:build cgo

package pkcs11

import (
	"crypto"
	"errors"
	"fmt"
	"io"

	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/signing"
)

// edwards is a resident Ed25519 key in one life of the store: what crypto11 is for
// the others. It is called by serviceKey only, while the library stands still.
type edwards struct {
	store  *Store
	life   *life
	object pkcs11.ObjectHandle
	public crypto.PublicKey
}

func (s *Store) newEdwards(l *life, h pkcs11.SessionHandle, name string, id []byte, f family) (crypto.Signer, error) {
	label := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, serviceLabel+name), pkcs11.NewAttribute(pkcs11.CKA_ID, id)}
	public, private, err := s.lib.calls.GenerateKeyPair(h, mechanism(f.generate),
		f.public(append(label, pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true))...),
		append(residentPurpose(l, f), label...))
	if err != nil {
		return nil, err
	}
	k, err := s.edwardsKey(l, h, public, private, f)
	if err != nil {
		return nil, errors.Join(err, s.destroy(h, public), s.destroy(h, private))
	}
	return k, nil
}

func (s *Store) findEdwards(l *life, h pkcs11.SessionHandle, private pkcs11.ObjectHandle, name string) (crypto.Signer, error) {
	f, err := familyOf(signing.KeyEd25519)
	if err != nil {
		return nil, err
	}
	id, err := s.bytes(h, private, pkcs11.CKA_ID)
	if err != nil {
		return nil, err
	}
	public, err := s.find(h, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY), pkcs11.NewAttribute(pkcs11.CKA_ID, id),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, serviceLabel+name))
	if err != nil {
		return nil, err
	}
	if len(public) != 1 {
		return nil, fmt.Errorf("it has %d public halves", len(public))
	}
	return s.edwardsKey(l, h, public[0], private, f)
}

func (s *Store) edwardsKey(l *life, h pkcs11.SessionHandle, public, private pkcs11.ObjectHandle, f family) (*edwards, error) {
	pub, err := s.readPublic(h, public, f)
	if err != nil {
		return nil, err
	}
	return &edwards{store: s, life: l, object: private, public: pub}, nil
}

func (k *edwards) Public() crypto.PublicKey { return k.public }

func (k *edwards) Sign(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	h, err := k.store.session(k.life)
	if err != nil {
		return nil, err
	}
	sig, _, err := k.store.signOnce(h, k.object, newRequest(signing.KeyEd25519, signing.Ed25519, message))
	if err != nil {
		_ = k.store.discard(k.life, h)
		return nil, err
	}
	k.store.release(k.life, h)
	return sig, nil
}
