//go:build cgo

package pkcs11

import (
	"encoding/hex"
	"errors"

	"github.com/miekg/pkcs11"
)

// The first example of RFC 5649 §6.
const (
	exampleKEK     = "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"
	exampleKey     = "c37b7e6492584340bed12207808941155068f738"
	exampleWrapped = "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"
	// The same key with four zeros behind it, which is what SoftHSM2 wraps.
	exampleOfPadded = "cf1e485360e1a8126f524d01771677f9400edb4d074f14116988d71e1588e367"
)

// standard checks the wrapping against the standard's example, with keys that
// everybody knows. A module that takes no such keys is not the worse for it.
func (p *prober) standard() error {
	m := p.l.newest().mechanism
	known := func(value string, kind uint, more ...*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
		b, err := hex.DecodeString(value)
		if err != nil {
			return 0, err
		}
		return p.s.lib.calls.CreateObject(p.h, append([]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, kind),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false), pkcs11.NewAttribute(pkcs11.CKA_VALUE, b),
		}, more...))
	}
	by, err := known(exampleKEK, pkcs11.CKK_AES, pkcs11.NewAttribute(pkcs11.CKA_WRAP, true))
	if err != nil {
		return p.untried(err)
	}
	key, err := known(exampleKey, pkcs11.CKK_GENERIC_SECRET, pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true))
	if err != nil {
		return errors.Join(p.untried(err), p.s.destroy(p.h, by))
	}
	got, err := p.s.lib.calls.WrapKey(p.h, mechanism(m), by, key)
	if derr := errors.Join(p.s.destroy(p.h, by), p.s.destroy(p.h, key)); derr != nil {
		return derr
	}
	if err != nil {
		return p.untried(err)
	}
	switch hex.EncodeToString(got) {
	case exampleWrapped:
		p.check("it wraps as RFC 5649 says", true, nil)
	case exampleOfPadded:
		p.finding("keys are filled up with zeros before they are wrapped: they are safe, but no other module reads them as RFC 5649's")
	default:
		p.finding("the wrapping is not that of RFC 5649: no other module opens what this one wraps")
	}
	return nil
}

func (p *prober) untried(err error) error {
	if nothingDone(err) {
		return err
	}
	p.finding("the wrapping was not compared with RFC 5649: %v", err)
	return nil
}
