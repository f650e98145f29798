//go:build cgo

package pkcs11

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
)

// Labels of the resident keys. The KEK's says its generation and the mechanism it
// wraps with, so that a module that learns another one later still unwraps.
const (
	macLabel     = "countersign-mac"
	kekLabel     = "countersign-kek-"
	serviceLabel = "countersign-service-"
)

// Mechanisms that wrap as RFC 5649 says. PKCS#11 3.0 has a name of its own for
// that; before, CKM_AES_KEY_WRAP_PAD meant it in most modules. The probe compares
// what comes out with the example of the standard.
const (
	ckmAESKeyWrapKWP = 0x0000210B
	ckmAESKeyWrapPad = pkcs11.CKM_AES_KEY_WRAP_PAD
)

var wrapNames = map[uint]string{ckmAESKeyWrapKWP: "kwp", ckmAESKeyWrapPad: "pad"}

// kek is a generation of the key-encryption key.
type kek struct {
	generation int
	mechanism  uint
	object     pkcs11.ObjectHandle
}

func (k kek) wrapping() []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(k.mechanism, nil)}
}

// parseKEK reads a label.
func parseKEK(label string) (generation int, mechanism uint, ok bool) {
	rest, ok := strings.CutPrefix(label, kekLabel)
	if !ok {
		return 0, 0, false
	}
	number, name, ok := strings.Cut(rest, "-")
	generation, err := strconv.Atoi(number)
	if !ok || err != nil || generation < 1 || strconv.Itoa(generation) != number {
		return 0, 0, false
	}
	for m, n := range wrapNames {
		if n == name {
			return generation, m, true
		}
	}
	return 0, 0, false
}

func residentTemplate(label string, more ...*pkcs11.Attribute) []*pkcs11.Attribute {
	return append([]*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		// Nobody gives it another purpose later: a KEK that decrypts would hand out
		// what it wraps.
		pkcs11.NewAttribute(pkcs11.CKA_MODIFIABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, false),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, false),
		pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	}, more...)
}

// findResidents finds the KEKs and the MAC key, and makes them when make is set
// and they are not there.
func (s *Store) findResidents(l *life, h pkcs11.SessionHandle, create bool) error {
	if err := s.findKEKs(l, h); err != nil {
		return err
	}
	macs, err := s.find(h, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_LABEL, macLabel))
	if err != nil {
		return err
	}
	switch {
	case len(macs) > 1:
		return fmt.Errorf("the token %q has %d keys with the label %s", s.cfg.Token, len(macs), macLabel)
	case (len(macs) == 0) != (l.current == 0):
		return fmt.Errorf("the token %q holds some of our keys and lacks others: is it restored completely?", s.cfg.Token)
	case len(macs) == 1:
		l.mac = macs[0]
		return nil
	case !create:
		return fmt.Errorf("the token %q came back without our keys: %w", s.cfg.Token, errNoToken)
	}
	if l.mac, err = s.newMAC(l, h); err != nil {
		return err
	}
	k, err := s.newKEK(l, h, 1)
	if err != nil {
		return err
	}
	l.keks[1], l.current = k, 1
	return nil
}

func (s *Store) findKEKs(l *life, h pkcs11.SessionHandle) error {
	found, err := s.find(h, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES))
	if err != nil {
		return err
	}
	keks, current := map[int]kek{}, 0
	for _, o := range found {
		label, err := s.bytes(h, o, pkcs11.CKA_LABEL)
		if err != nil {
			return err
		}
		generation, mechanism, ok := parseKEK(string(label))
		if !ok {
			continue // somebody else's
		}
		if _, twice := keks[generation]; twice {
			return fmt.Errorf("the token %q has two KEKs of generation %d", s.cfg.Token, generation)
		}
		keks[generation] = kek{generation, mechanism, o}
		current = max(current, generation)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keks, l.current = keks, current
	return nil
}

func (s *Store) newMAC(l *life, h pkcs11.SessionHandle) (pkcs11.ObjectHandle, error) {
	o, err := s.lib.calls.GenerateKey(h, mechanism(pkcs11.CKM_GENERIC_SECRET_KEY_GEN), residentTemplate(macLabel, append(l.bounds(pkcs11.CKM_SHA256_HMAC),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, false),
		pkcs11.NewAttribute(pkcs11.CKA_WRAP, false), pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false))...))
	if err != nil {
		return 0, fmt.Errorf("make the MAC key: %w", err)
	}
	return o, nil
}

func (s *Store) newKEK(l *life, h pkcs11.SessionHandle, generation int) (kek, error) {
	m, err := s.wrapMechanism(l.slot)
	if err != nil {
		return kek{}, err
	}
	o, err := s.lib.calls.GenerateKey(h, mechanism(pkcs11.CKM_AES_KEY_GEN), residentTemplate(kekLabel+strconv.Itoa(generation)+"-"+wrapNames[m], append(l.bounds(m),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
		pkcs11.NewAttribute(pkcs11.CKA_WRAP, true), pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, true),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, false), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, false))...))
	if err != nil {
		return kek{}, fmt.Errorf("make KEK generation %d: %w", generation, err)
	}
	return kek{generation, m, o}, nil
}

// wrapMechanism chooses what a new KEK wraps with. A module that has neither can
// still hold service keys; its probe says so.
func (s *Store) wrapMechanism(slot uint) (uint, error) {
	list, err := s.lib.calls.GetMechanismList(slot)
	if err != nil {
		return 0, fmt.Errorf("list mechanisms: %w", err)
	}
	for _, m := range list {
		if m.Mechanism == ckmAESKeyWrapKWP {
			return ckmAESKeyWrapKWP, nil
		}
	}
	return ckmAESKeyWrapPad, nil
}

// MAC returns HMAC-SHA-256 over the length of the domain, the domain and data
// under a key that never leaves the module.
func (s *Store) MAC(ctx context.Context, domain string, data []byte) ([]byte, error) {
	input := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(domain)+len(data)), uint64(len(domain)))
	input = append(append(input, domain...), data...)
	return brief(ctx, s, s.cfg.Timeout, always, func(l *life, h pkcs11.SessionHandle) ([]byte, error) { return s.hmac(l, h, input) })
}

func (s *Store) hmac(l *life, h pkcs11.SessionHandle, data []byte) ([]byte, error) {
	if err := s.lib.calls.SignInit(h, mechanism(pkcs11.CKM_SHA256_HMAC), l.mac); err != nil {
		return nil, fmt.Errorf("begin MAC: %w", err)
	}
	sum, err := s.lib.calls.Sign(h, data)
	if err != nil {
		return nil, fmt.Errorf("MAC: %w", err)
	}
	return sum, nil
}

// RotateKEK makes a new KEK generation current and returns its number. Keys under
// older generations stay usable.
func (s *Store) RotateKEK(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	return brief(ctx, s, s.cfg.Timeout, ifUndone, func(l *life, h pkcs11.SessionHandle) (int, error) {
		if err := s.findKEKs(l, h); err != nil {
			return 0, err
		}
		k, err := s.newKEK(l, h, l.newest().generation+1) // never a number that was used: the current one cannot be destroyed
		if err != nil {
			return 0, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.keks[k.generation], l.current = k, k.generation
		return k.generation, nil
	})
}

// DestroyKEK destroys a generation that is not current: every key still wrapped
// under it is gone for good, unless the token has a backup.
func (s *Store) DestroyKEK(ctx context.Context, generation int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	_, err := brief(ctx, s, s.cfg.Timeout, ifUndone, func(l *life, h pkcs11.SessionHandle) (struct{}, error) {
		var none struct{}
		if err := s.findKEKs(l, h); err != nil {
			return none, err
		}
		if generation == l.newest().generation {
			return none, fmt.Errorf("KEK generation %d is current: rotate first, then rewrap the keys that shall live", generation)
		}
		k, err := l.kekOf(generation)
		if err != nil {
			return none, err
		}
		if err := s.lib.calls.DestroyObject(h, k.object); err != nil {
			return none, fmt.Errorf("destroy KEK generation %d: %w", generation, err)
		}
		return none, s.findKEKs(l, h)
	})
	return err
}

// generation finds a KEK, also one that was made since the login.
func (s *Store) generation(l *life, h pkcs11.SessionHandle, generation int) (kek, error) {
	k, err := l.kekOf(generation)
	if !errors.Is(err, keystore.ErrNoKey) {
		return k, err
	}
	if err := s.findKEKs(l, h); err != nil {
		return kek{}, err
	}
	return l.kekOf(generation)
}

func mechanism(m uint) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(m, nil)}
}
