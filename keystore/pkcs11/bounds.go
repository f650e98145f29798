//go:build cgo

package pkcs11

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/miekg/pkcs11"
)

// bounds limit a key to the mechanisms that it is for. Modules that do not know
// the attribute get keys without it, which the probe says.
func (l *life) bounds(mechanisms ...uint) []*pkcs11.Attribute {
	if !l.bounded {
		return nil
	}
	return []*pkcs11.Attribute{allowed(mechanisms...)}
}

// allowed is CKA_ALLOWED_MECHANISMS, an array of CK_ULONG as C has it.
func allowed(mechanisms ...uint) *pkcs11.Attribute {
	var list []byte
	for _, m := range mechanisms {
		if unsafe.Sizeof(m) == 4 {
			list = binary.NativeEndian.AppendUint32(list, uint32(m)) //nolint:gosec // as wide as it is
		} else {
			list = binary.NativeEndian.AppendUint64(list, uint64(m))
		}
	}
	return pkcs11.NewAttribute(pkcs11.CKA_ALLOWED_MECHANISMS, list)
}

// findBounds finds out whether the module takes CKA_ALLOWED_MECHANISMS.
func (s *Store) findBounds(l *life, h pkcs11.SessionHandle) error {
	o, err := s.lib.calls.GenerateKey(h, mechanism(pkcs11.CKM_AES_KEY_GEN), []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false), allowed(ckmAESKeyWrapPad),
	})
	switch {
	case answered(err, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID, pkcs11.CKR_TEMPLATE_INCONSISTENT, pkcs11.CKR_ARGUMENTS_BAD):
		return nil
	case err != nil:
		return fmt.Errorf("try a key: %w", err)
	}
	l.bounded = true
	return s.destroy(h, o)
}

// mechanismsOf are what a private key of this family signs with.
func (f family) mechanismsOf() []uint {
	switch f.keyType {
	case pkcs11.CKK_RSA:
		return []uint{pkcs11.CKM_RSA_PKCS, pkcs11.CKM_RSA_PKCS_PSS}
	case ckkECEdwards:
		return []uint{ckmEDDSA}
	}
	return []uint{pkcs11.CKM_ECDSA}
}

// limits tries the MAC key and the KEK with mechanisms that they are not for.
func (p *prober) limits() error {
	if !p.l.bounded {
		p.finding("the module does not limit a key to its mechanisms (CKA_ALLOWED_MECHANISMS)")
		return nil
	}
	err := p.s.lib.calls.SignInit(p.h, mechanism(pkcs11.CKM_SHA_1_HMAC), p.l.mac)
	if err == nil { // what was begun must end
		if _, err := p.s.lib.calls.Sign(p.h, []byte("probe")); err != nil {
			return fmt.Errorf("end what was tried: %w", err)
		}
	}
	if err := p.refusal("the MAC key computes HMAC-SHA-256 only", err); err != nil || !p.c.WrapsKeys {
		return err
	}
	k := p.l.newest()
	o, err := p.s.lib.calls.GenerateKey(p.h, mechanism(pkcs11.CKM_GENERIC_SECRET_KEY_GEN), []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true),
	})
	if err != nil {
		return fmt.Errorf("make a key to try: %w", err)
	}
	_, err = p.s.lib.calls.WrapKey(p.h, mechanism(pkcs11.CKM_AES_KEY_WRAP), k.object, o)
	if derr := p.s.destroy(p.h, o); derr != nil {
		return derr
	}
	return p.refusal("the key-encryption key wraps in one way only", err)
}
