package pdf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // the standard security handler is made of it
	"crypto/rc4" //nolint:gosec // files encrypted with it must be read
	"crypto/sha256"
	"slices"
)

// method is how a crypt filter encrypts.
type method int

const (
	identity method = iota
	rc4Cipher
	aes128 // AESV2
	aes256 // AESV3
)

// crypt is the state of the standard security handler after a password fitted.
type crypt struct {
	key           []byte
	revision      int
	streams       method
	strings       method
	filters       map[Name]method
	clearMetadata bool // EncryptMetadata is false
	owner         bool
	permissions   uint32
	dict          Ref // the encryption dictionary, if indirect: it is clear
}

// objectKey is the key for one object (ISO 32000-2, 7.6.3.3).
func (c *crypt) objectKey(m method, ref Ref) []byte {
	if m == aes256 {
		return c.key
	}
	h := md5.New() //nolint:gosec // see the import
	h.Write(c.key)
	h.Write(place(ref))
	if m == aes128 {
		h.Write([]byte("sAlT"))
	}
	return h.Sum(nil)[:min(len(c.key)+5, 16)]
}

// place is the low bytes of an object's number and generation.
func place(ref Ref) []byte {
	n, g := ref.Num, ref.Gen
	return []byte{byte(n & 0xff), byte(n >> 8 & 0xff), byte(n >> 16 & 0xff), byte(g & 0xff), byte(g >> 8 & 0xff)}
}

func (c *crypt) decrypt(m method, ref Ref, data []byte) ([]byte, error) {
	switch m {
	case identity:
		return data, nil
	case rc4Cipher:
		return c.rc4(ref, data), nil
	case aes128, aes256:
	}
	if len(data) == 0 {
		return nil, nil // written so by some, although an IV belongs here
	}
	if len(data) < 2*aes.BlockSize || len(data)%aes.BlockSize != 0 {
		return nil, damaged("encrypted data of object %d has the wrong length", ref.Num)
	}
	block, err := aes.NewCipher(c.objectKey(m, ref))
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(data)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, data[:aes.BlockSize]).CryptBlocks(out, data[aes.BlockSize:])
	pad := int(out[len(out)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, damaged("encrypted data of object %d has wrong padding", ref.Num)
	}
	return out[:len(out)-pad], nil
}

// encrypt is the reverse. The AES initialisation vector is derived from key,
// place and text, so that the same update has the same bytes wherever it is
// made; only equal text at one place of one object would show as equal.
func (c *crypt) encrypt(m method, ref Ref, data []byte) ([]byte, error) {
	switch m {
	case identity:
		return data, nil
	case rc4Cipher:
		return c.rc4(ref, data), nil
	case aes128, aes256:
	}
	key := c.objectKey(m, ref)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, c.key)
	mac.Write(place(ref))
	mac.Write(data)
	pad := aes.BlockSize - len(data)%aes.BlockSize
	out := slices.Concat(mac.Sum(nil)[:aes.BlockSize], data, slices.Repeat([]byte{byte(pad)}, pad))
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], out[aes.BlockSize:])
	return out, nil
}

func (c *crypt) rc4(ref Ref, data []byte) []byte {
	k, err := rc4.NewCipher(c.objectKey(rc4Cipher, ref)) //nolint:gosec // see the import
	if err != nil {
		panic(err) // the key has 6 to 16 bytes
	}
	out := make([]byte, len(data))
	k.XORKeyStream(out, data)
	return out
}

// decryptObject decrypts the strings of an object that stands in the file
// itself; those in object streams are clear once the stream is.
func (f *File) decryptObject(obj Object, ref Ref) (Object, error) {
	if f.crypt == nil || f.crypt.strings == identity || ref == f.crypt.dict {
		return obj, nil
	}
	return f.crypt.mapStrings(obj, func(s String) (String, error) {
		b, err := f.crypt.decrypt(f.crypt.strings, ref, []byte(s))
		return String(b), err
	})
}

// mapStrings returns obj with every string run through change, except the
// /Contents of signature dictionaries, which are never encrypted (7.6.2).
func (c *crypt) mapStrings(obj Object, change func(String) (String, error)) (Object, error) {
	switch obj := obj.(type) {
	case String:
		return change(obj)
	case Array:
		out := make(Array, len(obj))
		for i := range obj {
			var err error
			if out[i], err = c.mapStrings(obj[i], change); err != nil {
				return nil, err
			}
		}
		return out, nil
	case *Dict:
		signature := isSignature(obj)
		out := obj.Clone()
		out.repeated = obj.repeated
		for i, e := range out.entries {
			if signature && e.Key == "Contents" {
				continue
			}
			var err error
			if out.entries[i].Value, err = c.mapStrings(e.Value, change); err != nil {
				return nil, err
			}
		}
		return out, nil
	case *Stream:
		d, err := c.mapStrings(obj.Dict, change)
		if err != nil {
			return nil, err
		}
		s := *obj
		s.Dict, _ = d.(*Dict)
		if s.Dict.Get("Type") == Name("XRef") {
			s.Dict = obj.Dict
		}
		return &s, nil
	}
	return obj, nil
}

// isSignature reports whether d is a signature dictionary, by its content.
func isSignature(d *Dict) bool {
	if !d.Has("Contents") {
		return false
	}
	t, _ := d.Get("Type").(Name)
	return d.Has("ByteRange") || t == "Sig" || t == "DocTimeStamp"
}

// decryptStream undoes the encryption of a stream's data.
func (f *File) decryptStream(s *Stream, names []Name, params []*Dict, data []byte) ([]byte, error) {
	c := f.crypt
	if c == nil {
		return data, nil
	}
	m, err := f.streamMethod(s, names, params)
	if err != nil {
		return nil, err
	}
	return c.decrypt(m, s.ref, data)
}

func (f *File) streamMethod(s *Stream, names []Name, params []*Dict) (method, error) {
	c := f.crypt
	t := s.Dict.Get("Type")
	if t == Name("XRef") || (c.clearMetadata && t == Name("Metadata")) {
		return identity, nil
	}
	for i, n := range names {
		if n != "Crypt" {
			continue
		}
		filter, err := f.Name(params[i].Get("Name"))
		if err != nil {
			return 0, err
		}
		if filter == "" || filter == "Identity" {
			return identity, nil
		}
		m, ok := c.filters[filter]
		if !ok {
			return 0, damaged("a stream names the unknown crypt filter %q", clip(string(filter)))
		}
		return m, nil
	}
	return c.streams, nil
}
