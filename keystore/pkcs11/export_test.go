//go:build cgo

package pkcs11

import (
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
)

// quiet does something with the library while no call is under way, as whatever
// happens to a module between two calls.
func (s *Store) quiet(do func(c *pkcs11.Ctx, l *life) error) error {
	s.lib.gate.Lock()
	defer s.lib.gate.Unlock()
	if s.life == nil {
		return keystore.ErrUnavailable
	}
	return do(s.lib.calls, s.life)
}

// LoseSessions closes every session of the token under the store.
func (s *Store) LoseSessions() error {
	return s.quiet(func(c *pkcs11.Ctx, l *life) error { return c.CloseAllSessions(l.slot) })
}

// LoseLogin logs out under the store, and says how many private objects are seen then.
func (s *Store) LoseLogin() (seen int, err error) {
	err = s.quiet(func(c *pkcs11.Ctx, l *life) error {
		h, err := s.session(l)
		if err != nil {
			return err
		}
		if err := c.Logout(h); err != nil {
			if nothingDone(err) {
				return nil // the session was lost before
			}
			return err
		}
		if err := c.FindObjectsInit(h, nil); err != nil {
			return err
		}
		all, _, err := c.FindObjects(h, 1000)
		for _, o := range all {
			if class, cerr := s.number(h, o, pkcs11.CKA_CLASS); cerr != nil || class != pkcs11.CKO_PUBLIC_KEY {
				seen++
			}
		}
		return errors.Join(err, c.FindObjectsFinal(h))
	})
	return seen, err
}

// LoseModule finalises the library and initialises it again, as somebody else of
// this process may do. Sessions get the same numbers again.
func (s *Store) LoseModule() error {
	return s.quiet(func(c *pkcs11.Ctx, _ *life) error {
		if err := c.Finalize(); err != nil {
			return err
		}
		return c.Initialize()
	})
}

// Forget destroys the MAC key.
func (s *Store) Forget() error {
	return s.quiet(func(c *pkcs11.Ctx, l *life) error {
		h, err := s.session(l)
		if err != nil {
			return err
		}
		return c.DestroyObject(h, l.mac)
	})
}

// Object is what the token says of a key.
type Object struct {
	Label                                                             string
	Sensitive, Extractable, Modifiable, Sign, Decrypt, Unwrap, Derive bool
	ValueGiven                                                        bool
	Mechanisms                                                        []uint64
}

// Objects are the secret and private keys that live on the token.
func (s *Store) Objects() (out []Object, err error) {
	err = s.quiet(func(c *pkcs11.Ctx, l *life) error {
		h, err := s.session(l)
		if err != nil {
			return err
		}
		for _, class := range []uint{pkcs11.CKO_SECRET_KEY, pkcs11.CKO_PRIVATE_KEY} {
			found, err := s.find(h, pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true))
			if err != nil {
				return err
			}
			for _, o := range found {
				label, err := s.bytes(h, o, pkcs11.CKA_LABEL)
				if err != nil {
					return err
				}
				one := Object{Label: string(label)}
				for a, to := range map[uint]*bool{
					pkcs11.CKA_SENSITIVE: &one.Sensitive, pkcs11.CKA_EXTRACTABLE: &one.Extractable, pkcs11.CKA_MODIFIABLE: &one.Modifiable,
					pkcs11.CKA_SIGN: &one.Sign, pkcs11.CKA_DECRYPT: &one.Decrypt, pkcs11.CKA_UNWRAP: &one.Unwrap, pkcs11.CKA_DERIVE: &one.Derive,
				} {
					v, err := s.bytes(h, o, a)
					if err != nil {
						return err
					}
					*to = len(v) == 1 && v[0] == 1
				}
				list, err := s.bytes(h, o, pkcs11.CKA_ALLOWED_MECHANISMS)
				if err != nil {
					return err
				}
				for ; len(list) >= 8; list = list[8:] {
					one.Mechanisms = append(one.Mechanisms, binary.NativeEndian.Uint64(list))
				}
				value := uint(pkcs11.CKA_VALUE)
				if kind, err := s.number(h, o, pkcs11.CKA_KEY_TYPE); err != nil {
					return err
				} else if kind == pkcs11.CKK_RSA {
					value = pkcs11.CKA_PRIVATE_EXPONENT
				}
				_, verr := c.GetAttributeValue(h, o, []*pkcs11.Attribute{pkcs11.NewAttribute(value, nil)})
				one.ValueGiven = verr == nil
				out = append(out, one)
			}
		}
		return nil
	})
	return out, err
}

// SessionObjects counts the keys that live in sessions.
func (s *Store) SessionObjects() (n int, err error) {
	err = s.quiet(func(_ *pkcs11.Ctx, l *life) error {
		h, err := s.session(l)
		if err != nil {
			return err
		}
		defer s.release(l, h)
		found, err := s.find(h, pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false))
		n = len(found)
		return err
	})
	return n, err
}

// ForgetAll destroys every secret key of the token.
func (s *Store) ForgetAll() error {
	return s.quiet(func(c *pkcs11.Ctx, l *life) error {
		h, err := s.session(l)
		if err != nil {
			return err
		}
		found, err := s.find(h, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY))
		for _, o := range found {
			err = errors.Join(err, c.DestroyObject(h, o))
		}
		return err
	})
}

// ChangePIN sets another PIN.
func (s *Store) ChangePIN(old, pin string) error {
	return s.quiet(func(c *pkcs11.Ctx, l *life) error {
		h, err := s.session(l)
		if err != nil {
			return err
		}
		return c.SetPIN(h, old, pin)
	})
}

// Inspection is what the module says of a signer's key in use.
type Inspection struct {
	Sensitive, Extractable, Token bool
	RefusesWrap, RefusesValue     bool
	Sign, OtherUse                bool
	Mechanisms                    []uint64
	SessionObjects                int
}

// Inspect looks at a handle's key, and tries to wrap it and to read it.
func Inspect(k keystore.Handle) (in Inspection, err error) {
	h, ok := k.(*handle)
	if !ok {
		return in, errors.New("not a handle of this driver")
	}
	err = h.store.quiet(func(c *pkcs11.Ctx, l *life) error {
		for a, to := range map[uint]*bool{pkcs11.CKA_SENSITIVE: &in.Sensitive, pkcs11.CKA_EXTRACTABLE: &in.Extractable, pkcs11.CKA_TOKEN: &in.Token, pkcs11.CKA_SIGN: &in.Sign} {
			v, err := h.store.bytes(h.session, h.object, a)
			if err != nil {
				return err
			}
			*to = len(v) == 1 && v[0] == 1
		}
		for _, a := range []uint{pkcs11.CKA_DECRYPT, pkcs11.CKA_UNWRAP, pkcs11.CKA_DERIVE, pkcs11.CKA_SIGN_RECOVER} {
			v, err := h.store.bytes(h.session, h.object, a)
			if err != nil {
				return err
			}
			in.OtherUse = in.OtherUse || len(v) != 1 || v[0] != 0
		}
		list, err := h.store.bytes(h.session, h.object, pkcs11.CKA_ALLOWED_MECHANISMS)
		if err != nil {
			return err
		}
		for ; len(list) >= 8; list = list[8:] {
			in.Mechanisms = append(in.Mechanisms, binary.NativeEndian.Uint64(list))
		}
		kek, err := l.kekOf(h.wrapped.KEK)
		if err != nil {
			return err
		}
		_, err = c.WrapKey(h.session, kek.wrapping(), kek.object, h.object)
		in.RefusesWrap = answered(err, pkcs11.CKR_KEY_UNEXTRACTABLE)
		_, err = h.store.bytes(h.session, h.object, pkcs11.CKA_VALUE)
		in.RefusesValue = answered(err, pkcs11.CKR_ATTRIBUTE_SENSITIVE)
		found, err := h.store.find(h.session, pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false))
		in.SessionObjects = len(found)
		return err
	})
	return in, err
}

// Plant puts a key-encryption key into the token whose value is known, as whoever has
// the PIN can, and has the store take it for the next generation.
func (s *Store) Plant(generation int, value []byte) error {
	return s.quiet(func(c *pkcs11.Ctx, l *life) error {
		h, err := s.session(l)
		if err != nil {
			return err
		}
		defer s.release(l, h)
		_, err = c.CreateObject(h, residentTemplate(kekLabel+strconv.Itoa(generation)+"-pad",
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES), pkcs11.NewAttribute(pkcs11.CKA_VALUE, value),
			pkcs11.NewAttribute(pkcs11.CKA_WRAP, true), pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, true)))
		return errors.Join(err, s.findKEKs(l, h))
	})
}
