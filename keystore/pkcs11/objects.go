//go:build cgo

package pkcs11

import (
	"encoding/binary"
	"fmt"

	"github.com/miekg/pkcs11"
)

// find lists the objects that fit. Without a login a module hides private keys and
// calls that success: then it is CKR_USER_NOT_LOGGED_IN here, because a key that is
// taken for missing would be made a second time.
func (s *Store) find(h pkcs11.SessionHandle, template ...*pkcs11.Attribute) (found []pkcs11.ObjectHandle, err error) {
	if err := s.lib.calls.FindObjectsInit(h, template); err != nil {
		return nil, fmt.Errorf("look for keys: %w", err)
	}
	defer func() {
		if ferr := s.lib.calls.FindObjectsFinal(h); err == nil && ferr != nil {
			err = fmt.Errorf("look for keys: %w", ferr)
		}
		if err == nil {
			err = s.loggedIn(h)
		}
	}()
	for {
		some, _, err := s.lib.calls.FindObjects(h, 64)
		if err != nil {
			return nil, fmt.Errorf("look for keys: %w", err)
		}
		if len(some) == 0 {
			return found, nil
		}
		found = append(found, some...)
	}
}

func (s *Store) loggedIn(h pkcs11.SessionHandle) error {
	info, err := s.lib.calls.GetSessionInfo(h)
	switch {
	case err != nil:
		return fmt.Errorf("look at session: %w", err)
	case info.State != pkcs11.CKS_RW_USER_FUNCTIONS:
		return pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN)
	}
	return nil
}

// bytes reads one attribute.
func (s *Store) bytes(h pkcs11.SessionHandle, o pkcs11.ObjectHandle, attribute uint) ([]byte, error) {
	a, err := s.lib.calls.GetAttributeValue(h, o, []*pkcs11.Attribute{pkcs11.NewAttribute(attribute, nil)})
	if err != nil {
		return nil, fmt.Errorf("read attribute 0x%x: %w", attribute, err)
	}
	return a[0].Value, nil
}

// number reads an attribute of type CK_ULONG.
func (s *Store) number(h pkcs11.SessionHandle, o pkcs11.ObjectHandle, attribute uint) (uint, error) {
	b, err := s.bytes(h, o, attribute)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 && len(b) != 4 {
		return 0, fmt.Errorf("attribute 0x%x has %d bytes", attribute, len(b))
	}
	if len(b) == 4 {
		return uint(binary.NativeEndian.Uint32(b)), nil
	}
	return uint(binary.NativeEndian.Uint64(b)), nil
}
