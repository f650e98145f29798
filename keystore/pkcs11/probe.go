//go:build cgo

package pkcs11

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// Probe tries out what the module really does and what it refuses, with a key of
// its own that is gone afterwards. Modules differ: some ignore that a key shall
// not be extractable, and some take a damaged key.
func (s *Store) Probe(ctx context.Context) (keystore.Capabilities, error) {
	return brief(ctx, s, 4*s.cfg.Timeout, always, func(l *life, h pkcs11.SessionHandle) (keystore.Capabilities, error) {
		p := &prober{s: s, l: l, h: h, c: keystore.Capabilities{Driver: "pkcs11"}}
		if err := p.describe(); err != nil {
			return p.c, err
		}
		for _, look := range []func() error{p.wrapping, p.residents, p.limits, p.keyTypes, p.standard} {
			if err := look(); err != nil {
				return p.c, fmt.Errorf("probe: %w", err)
			}
		}
		p.c.NonExtractable = p.kept && p.c.WrapsKeys
		return p.c, nil
	})
}

// prober is one probe.
type prober struct {
	s    *Store
	l    *life
	h    pkcs11.SessionHandle
	c    keystore.Capabilities
	kept bool // nothing gave a private key away so far
}

func (p *prober) finding(format string, args ...any) {
	p.c.Findings = append(p.c.Findings, fmt.Sprintf(format, args...))
}

// check records what was tried.
func (p *prober) check(name string, ok bool, err error) {
	c := keystore.Check{Name: name, OK: ok}
	if err != nil {
		c.Words = strings.TrimSuffix(err.Error(), ": ") // the binding has no name for newer codes
	}
	p.c.Checks = append(p.c.Checks, c)
	if !ok {
		p.finding("not so: %s", name)
	}
}

// refusal records an attempt that must fail, and whether it did. It fails when the
// module is lost: that is no refusal.
func (p *prober) refusal(name string, err error) error {
	if err != nil && nothingDone(err) {
		return err
	}
	if err == nil {
		p.check(name, false, errors.New("the module did it"))
		return nil
	}
	p.check(name, true, err)
	return nil
}

func (p *prober) describe() error {
	info, err := p.s.lib.calls.GetInfo()
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	slot, err := p.s.lib.calls.GetSlotInfo(p.l.slot)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	p.c.Module = fmt.Sprintf("%s %d.%d (%s), token %q", info.ManufacturerID, info.LibraryVersion.Major, info.LibraryVersion.Minor,
		info.LibraryDescription, p.s.cfg.Token)
	p.c.Hardware = slot.Flags&pkcs11.CKF_HW_SLOT != 0
	if p.c.Hardware {
		p.finding("the slot says of itself that it is hardware; whether the device is certified cannot be seen from here")
	} else {
		p.finding("the slot says of itself that it is no hardware: not a certified device")
	}
	p.finding("whoever has the PIN and a wrapped key can use it in this module, or unwrap it so that it can be read, without asking the activation module: keep them apart")
	return nil
}

// wrapping takes a signer's key through its life.
func (p *prober) wrapping() error {
	const name = "a signer's key is made, wrapped, unwrapped, and signs what verifies"
	w, pub, o, err := p.cycle(signing.P256)
	if err != nil {
		if nothingDone(err) {
			return err
		}
		p.check(name, false, err)
		return nil
	}
	p.c.WrapsKeys = true
	p.check(name, true, nil)
	p.kept = true
	if err := p.sealed("an unwrapped key", o); err != nil {
		return err
	}
	k, err := p.l.kekOf(w.KEK)
	if err != nil {
		return err
	}
	_, err = p.s.lib.calls.WrapKey(p.h, k.wrapping(), k.object, o)
	p.kept = p.kept && err != nil
	if err := p.refusal("wrapping an unwrapped key again is refused", err); err != nil {
		return err
	}
	if err := p.s.destroy(p.h, o); err != nil {
		return err
	}
	if err := p.refusal("a destroyed key signs nothing", p.signWith(o)); err != nil {
		return err
	}
	return p.tampered(w, pub)
}

func (p *prober) signWith(o pkcs11.ObjectHandle) error {
	_, _, err := p.s.signOnce(p.h, o, newRequest(signing.P256, signing.ECDSAWithSHA256, make([]byte, 32)))
	if answered(err, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_OBJECT_HANDLE_INVALID) {
		return fmt.Errorf("%v", err) //nolint:errorlint // wanted here, not the sign of a lost module
	}
	return err
}

// cycle makes, wraps and unwraps a key. Unwrapping proves the key with a signature.
func (p *prober) cycle(t signing.KeyType) (w keystore.WrappedKey, pub crypto.PublicKey, o pkcs11.ObjectHandle, err error) {
	f, err := familyOf(t)
	if err != nil {
		return w, nil, 0, err
	}
	if w, err = p.s.generate(p.l, p.h, t, f); err != nil {
		return w, nil, 0, err
	}
	if pub, err = w.PublicKey(); err != nil {
		return w, nil, 0, err
	}
	o, err = p.s.unwrap(p.l, p.h, w, pub, false)
	return w, pub, o, err
}

// tampered offers a damaged key, and one under another's public key.
func (p *prober) tampered(w keystore.WrappedKey, pub crypto.PublicKey) error {
	bad := w
	bad.Blob = bytes.Clone(w.Blob)
	bad.Blob[len(bad.Blob)/2] ^= 1
	o, err := p.s.unwrap(p.l, p.h, bad, pub, false)
	if err == nil {
		err = p.s.destroy(p.h, o)
		return errors.Join(err, p.refusal("a damaged key is refused", nil))
	}
	if !errors.Is(err, keystore.ErrTampered) {
		return err
	}
	p.c.RefusesTamper = true
	p.check("a damaged key is refused", true, err)
	return nil
}

// sealed checks what a key says of itself, and that its value is not given out.
func (p *prober) sealed(what string, o pkcs11.ObjectHandle) error {
	a, err := p.s.lib.calls.GetAttributeValue(p.h, o, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil),
	})
	if err != nil {
		return fmt.Errorf("read attributes of %s: %w", what, err)
	}
	ok := bytes.Equal(a[0].Value, []byte{1}) && bytes.Equal(a[1].Value, []byte{0})
	p.kept = p.kept && ok
	p.check(what+" has CKA_SENSITIVE true and CKA_EXTRACTABLE false", ok, nil)
	value, err := p.s.bytes(p.h, o, pkcs11.CKA_VALUE)
	clear(value)
	p.kept = p.kept && err != nil
	return p.refusal("the value of "+what+" is not given out", err)
}

// home checks that nobody outside of the module can know a key: whoever has the PIN can
// put one there that he knows, under the label of ours.
func (p *prober) home(what string, o pkcs11.ObjectHandle) error {
	a, err := p.s.lib.calls.GetAttributeValue(p.h, o, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_NEVER_EXTRACTABLE, nil)})
	if err != nil {
		return fmt.Errorf("read attributes of %s: %w", what, err)
	}
	ok := bytes.Equal(a[0].Value, []byte{1})
	p.kept = p.kept && ok
	p.check(what+" was made in the module and was never extractable", ok, nil)
	return nil
}

// residents checks the KEK and the MAC key.
func (p *prober) residents() error {
	k := p.l.newest()
	if err := p.sealed("the key-encryption key", k.object); err != nil {
		return err
	}
	if err := errors.Join(p.home("the key-encryption key", k.object), p.home("the MAC key", p.l.mac)); err != nil {
		return err
	}
	err := p.s.lib.calls.DecryptInit(p.h, mechanism(pkcs11.CKM_AES_ECB), k.object)
	p.kept = p.kept && err != nil
	if err := p.refusal("the key-encryption key decrypts nothing", err); err != nil {
		return err
	}
	err = p.s.lib.calls.SetAttributeValue(p.h, k.object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, true)})
	p.kept = p.kept && err != nil
	if err := p.refusal("the key-encryption key takes no other purpose", err); err != nil {
		return err
	}
	return p.sealed("the MAC key", p.l.mac)
}

// keyTypes finds out which keys a signer can have: curves by trying, RSA by what
// the module says, because making such a key takes seconds.
func (p *prober) keyTypes() error {
	if !p.c.WrapsKeys {
		return nil
	}
	p.c.KeyTypes = []signing.KeyType{signing.P256}
	for _, t := range []signing.KeyType{signing.P384, signing.P521, signing.KeyEd25519} {
		_, _, o, err := p.cycle(t)
		switch {
		case err == nil:
			if err := p.s.destroy(p.h, o); err != nil {
				return err
			}
			p.c.KeyTypes = append(p.c.KeyTypes, t)
		case lost(err):
			return err
		}
	}
	for _, t := range []signing.KeyType{signing.RSA3072, signing.RSA4096} {
		if p.rsa(t) {
			p.c.KeyTypes = append(p.c.KeyTypes, t)
		}
	}
	return nil
}

func (p *prober) rsa(t signing.KeyType) bool {
	for _, m := range []uint{pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, pkcs11.CKM_RSA_PKCS, pkcs11.CKM_RSA_PKCS_PSS} {
		info, err := p.s.lib.calls.GetMechanismInfo(p.l.slot, mechanism(m))
		if err != nil || int(info.MaxKeySize) < t.Bits() {
			return false
		}
	}
	return true
}
