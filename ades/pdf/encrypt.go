package pdf

import (
	"fmt"

	"github.com/countersign/countersign/internal/fault"
)

// The permissions of ISO 32000-2, Table 22, as bits of /P.
const (
	permModify   = 1 << 3 // bit 4
	permAnnotate = 1 << 5 // bit 6
	permFill     = 1 << 8 // bit 9
)

// Permissions are what the encryption of a file lets its reader do. Without
// encryption, and with the owner's password, everything is allowed.
type Permissions struct {
	Encrypted bool
	Owner     bool // opened with the owner's password
	// SignField is whether an existing signature field may be filled.
	SignField bool
	// AddField is whether a signature field may be made.
	AddField bool
}

// Permissions returns what the encryption dictionary allows.
func (f *File) Permissions() Permissions {
	c := f.crypt
	if c == nil {
		return Permissions{SignField: true, AddField: true}
	}
	p := Permissions{Encrypted: true, Owner: c.owner}
	annotate, modify := c.permissions&permAnnotate != 0, c.permissions&permModify != 0
	p.SignField = c.owner || annotate || (c.revision >= 3 && c.permissions&permFill != 0)
	p.AddField = c.owner || (annotate && modify)
	return p
}

// openEncryption reads the encryption dictionary and finds the file key.
func (f *File) openEncryption(password func() ([]byte, error)) error {
	raw := f.Trailer().Get("Encrypt")
	d, err := f.Dict(raw)
	if err != nil {
		return fmt.Errorf("encryption dictionary: %w", err)
	}
	if raw == nil {
		return nil
	}
	if d == nil {
		return damaged("its encryption dictionary is missing")
	}
	s, c, err := f.readStandard(d)
	if err != nil {
		return err
	}
	c.dict, _ = raw.(Ref)
	key, owner, ok := s.open(nil)
	if !ok && password != nil {
		word, err := password()
		if err != nil {
			return fmt.Errorf("ask for the PDF's password: %w", err)
		}
		if key, owner, ok = s.open(word); !ok {
			return fault.New(fault.Invalid, "the password does not open this PDF").WithCode(CodePassword)
		}
	}
	if !ok {
		return fault.New(fault.Invalid, "the PDF is encrypted; give its password").WithCode(CodePassword)
	}
	if s.revision == 6 && !s.permsAgree(key) {
		return damaged("its permissions were changed after it was encrypted")
	}
	c.key, c.owner = key, owner
	f.crypt = c
	clear(f.objects) // strings read so far were not decrypted
	clear(f.streams)
	return nil
}

func (f *File) readStandard(d *Dict) (*standard, *crypt, error) {
	handler, err := f.Name(d.Get("Filter"))
	if err != nil {
		return nil, nil, err
	}
	if handler != "Standard" {
		if handler == "Adobe.PubSec" || handler == "AdobePPKLite" || d.Has("Recipients") || handler == "" {
			return nil, nil, encryption("it is encrypted for certificates, not with a password")
		}
		return nil, nil, encryption("security handler %q", clip(string(handler)))
	}
	var v, r, length, p int64
	for key, to := range map[Name]*int64{"V": &v, "R": &r, "Length": &length, "P": &p} {
		n, ok, err := f.Int(d.Get(key))
		if err != nil {
			return nil, nil, err
		}
		if !ok && (key == "P" || key == "R") {
			return nil, nil, damaged("its encryption dictionary has no /%s", key)
		}
		*to = n
	}
	s := &standard{revision: int(r), permissions: uint32(p)} //nolint:gosec // /P is a signed or unsigned 32-bit number
	c := &crypt{revision: s.revision, permissions: s.permissions}
	meta, err := f.Resolve(d.Get("EncryptMetadata"))
	if err != nil {
		return nil, nil, err
	}
	if meta == false && v >= 4 {
		s.clear, c.clearMetadata = true, true
	}
	if err := f.readMethods(d, v, r, length, s, c); err != nil {
		return nil, nil, err
	}
	return s, c, f.readVerifiers(d, s)
}

// readMethods reads which ciphers the file uses (7.6.2, Table 20).
func (f *File) readMethods(d *Dict, v, r, length int64, s *standard, c *crypt) error {
	switch {
	case v == 1 && (r == 2 || r == 3):
		s.keyLength, c.streams, c.strings = 5, rc4Cipher, rc4Cipher
	case v == 2 && (r == 2 || r == 3):
		if length == 0 {
			length = 40
		}
		if length < 40 || length > 128 || length%8 != 0 {
			return damaged("its encryption key has %d bits", length)
		}
		s.keyLength, c.streams, c.strings = int(length/8), rc4Cipher, rc4Cipher
	case (v == 4 && r == 4) || (v == 5 && (r == 5 || r == 6)):
		s.keyLength = 16
		if v == 5 {
			s.keyLength = 32
		}
		return f.readCryptFilters(d, v, length, s, c)
	default:
		return encryption("version %d, revision %d of the standard security handler", v, r)
	}
	return nil
}

func (f *File) readCryptFilters(d *Dict, v, length int64, s *standard, c *crypt) error {
	filters, err := f.Dict(d.Get("CF"))
	if err != nil {
		return err
	}
	c.filters = map[Name]method{"Identity": identity}
	for _, e := range filters.Entries() {
		filter, err := f.Dict(e.Value)
		if err != nil {
			return err
		}
		cfm, err := f.Name(filter.Get("CFM"))
		if err != nil {
			return err
		}
		switch {
		case cfm == "" || cfm == "None":
			return encryption("crypt filter %q of a plug-in", clip(string(e.Key)))
		case cfm == "V2" && v == 4:
			c.filters[e.Key] = rc4Cipher
			if err := f.rc4Length(filter, length, s); err != nil {
				return err
			}
		case cfm == "AESV2" && v == 4:
			c.filters[e.Key] = aes128
		case cfm == "AESV3" && v == 5:
			c.filters[e.Key] = aes256
		default:
			return encryption("cipher %q", clip(string(cfm)))
		}
	}
	for key, to := range map[Name]*method{"StmF": &c.streams, "StrF": &c.strings} {
		name, err := f.Name(d.Get(key))
		if err != nil {
			return err
		}
		if name == "" {
			name = "Identity"
		}
		m, ok := c.filters[name]
		if !ok {
			return damaged("its encryption dictionary names the unknown crypt filter %q", clip(string(name)))
		}
		*to = m
	}
	return nil
}

// rc4Length reads the key length of a V2 crypt filter, which is written in
// bytes by some and in bits by others.
func (f *File) rc4Length(filter *Dict, length int64, s *standard) error {
	n, ok, err := f.Int(filter.Get("Length"))
	if err != nil {
		return err
	}
	if !ok {
		n = length
	}
	if n >= 40 {
		n /= 8
	}
	if n == 0 {
		n = 16
	}
	if n < 5 || n > 16 {
		return damaged("its encryption key has %d bytes", n)
	}
	s.keyLength = int(n)
	return nil
}

// readVerifiers reads what passwords are checked against.
func (f *File) readVerifiers(d *Dict, s *standard) error {
	id, err := f.Array(f.Trailer().Get("ID"))
	if err != nil {
		return err
	}
	if len(id) > 0 {
		first, err := f.Resolve(id[0])
		if err != nil {
			return err
		}
		str, _ := first.(String)
		s.id = []byte(str)
	}
	want := map[Name]int{"O": 32, "U": 32}
	if s.revision >= 5 {
		want = map[Name]int{"O": 48, "U": 48, "OE": 32, "UE": 32, "Perms": 16}
	}
	for key, n := range want {
		obj, err := f.Resolve(d.Get(key))
		if err != nil {
			return err
		}
		str, ok := obj.(String)
		if !ok || len(str) < n {
			return damaged("/%s of its encryption dictionary is too short", key)
		}
		b := []byte(str[:n]) // some writers pad them
		switch key {
		case "O":
			s.o = b
		case "U":
			s.u = b
		case "OE":
			s.oe = b
		case "UE":
			s.ue = b
		default:
			s.perms = b
		}
	}
	return nil
}
