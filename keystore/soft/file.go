package soft

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/countersign/countersign/signing"
)

// ErrPassphrase says that the keystore does not open: the passphrase is wrong,
// or the file was changed. The two cannot be told apart.
var ErrPassphrase = errors.New("wrong passphrase, or the keystore file was changed")

const (
	fileName   = "keystore.sealed"
	sealDomain = "countersign-soft-keystore-v1"
	kdfArgon   = "argon2id"
	kdfHKDF    = "hkdf-sha256"

	// RFC 9106 §4, second recommended option.
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4

	minPassphrase = 12
	maxFile       = 16 << 20
)

// contents is what the sealed file holds.
type contents struct {
	Current  int                 `json:"current"` // KEK generation for new keys
	KEKs     map[int][]byte      `json:"keks"`
	MAC      []byte              `json:"mac"`
	Services map[string]resident `json:"services"`
}

// resident is a service key.
type resident struct {
	Type  signing.KeyType `json:"type"`
	PKCS8 []byte          `json:"pkcs8"`
	Made  time.Time       `json:"made"`
}

// sealed is the file: how the sealing key is derived, and the contents under
// AES-256-GCM with everything before them as additional data.
type sealed struct {
	header
	Nonce []byte `json:"nonce"`
	Data  []byte `json:"data"`
}

type header struct {
	Format  string `json:"format"`
	KDF     string `json:"kdf"`
	Salt    []byte `json:"salt"`
	Time    uint32 `json:"time,omitempty"`
	Memory  uint32 `json:"memory,omitempty"` // KiB
	Threads uint8  `json:"threads,omitempty"`
}

// randomKey returns the 256-bit key that a passphrase file holds when it was
// made by a machine: 32 raw bytes that are not text, or 64 hex digits.
func randomKey(passphrase []byte) ([]byte, bool) {
	if len(passphrase) == 2*sha256.Size {
		key := make([]byte, sha256.Size)
		if _, err := hex.Decode(key, passphrase); err == nil {
			return key, true
		}
	}
	if len(passphrase) != sha256.Size {
		return nil, false
	}
	for _, c := range passphrase {
		if c < ' ' || c > '~' {
			return passphrase, true
		}
	}
	return nil, false
}

func newHeader(passphrase []byte) header {
	h := header{Format: sealDomain, KDF: kdfHKDF, Salt: randomBytes(32)}
	if _, ok := randomKey(passphrase); !ok {
		h.KDF, h.Time, h.Memory, h.Threads = kdfArgon, argonTime, argonMemory, argonThreads
	}
	return h
}

// sealer derives the sealing key. Its bounds keep a changed header from
// exhausting memory before the seal is found broken.
func (h header) sealer(passphrase []byte) (cipher.AEAD, error) {
	var key []byte
	switch h.KDF {
	case kdfHKDF:
		secret, ok := randomKey(passphrase)
		if !ok {
			return nil, fmt.Errorf("%w: it was sealed with a 256-bit random key", ErrPassphrase)
		}
		k, err := hkdf.Key(sha256.New, secret, h.Salt, sealDomain, 32)
		if err != nil {
			return nil, err
		}
		key = k
	case kdfArgon:
		if h.Time == 0 || h.Time > 16 || h.Memory < 8<<10 || h.Memory > 1<<20 || h.Threads == 0 || h.Threads > 16 {
			return nil, fmt.Errorf("%w: argon2id parameters out of bounds", ErrPassphrase)
		}
		key = argon2.IDKey(passphrase, h.Salt, h.Time, h.Memory, h.Threads, 32)
	default:
		return nil, fmt.Errorf("%w: key derivation %q is unknown", ErrPassphrase, h.KDF)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (h header) seal(aead cipher.AEAD, c contents) ([]byte, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	extra, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	f := sealed{header: h, Nonce: randomBytes(aead.NonceSize())}
	f.Data = aead.Seal(nil, f.Nonce, plain, extra)
	return signing.EncodeCanonical(f)
}

func unseal(data, passphrase []byte) (header, cipher.AEAD, contents, error) {
	var f sealed
	if err := signing.DecodeCanonical(data, &f); err != nil || f.Format != sealDomain {
		return header{}, nil, contents{}, fmt.Errorf("not a keystore file of this version: %w", ErrPassphrase)
	}
	aead, err := f.sealer(passphrase)
	if err != nil {
		return header{}, nil, contents{}, err
	}
	extra, err := json.Marshal(f.header)
	if err != nil {
		return header{}, nil, contents{}, err
	}
	if len(f.Nonce) != aead.NonceSize() {
		return header{}, nil, contents{}, ErrPassphrase
	}
	plain, err := aead.Open(nil, f.Nonce, f.Data, extra)
	if err != nil {
		return header{}, nil, contents{}, ErrPassphrase
	}
	defer clear(plain)
	var c contents
	if err := json.Unmarshal(plain, &c); err != nil {
		return header{}, nil, contents{}, fmt.Errorf("read sealed contents: %w", err)
	}
	return f.header, aead, c, nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return b
}

// readFile returns nil when the file does not exist.
func readFile(dir string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, fileName)) //nolint:gosec // the operator names the directory
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others: run chmod 600 on it", f.Name())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		return nil, fmt.Errorf("%s is too large", f.Name())
	}
	return data, err
}

// replaceFile puts data in place so that after a crash either the old or the
// new file is there, whole. What the old file held is then overwritten, as far
// as the medium allows: a destroyed KEK shall not linger in free blocks.
func replaceFile(dir string, data []byte) error {
	path := filepath.Join(dir, fileName)
	old, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // the operator names the directory
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if old != nil {
		defer old.Close()
	}
	tmp := path + ".new"                                                  // a name of its own for each is not needed: the lock is held
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the operator names the directory
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return err
	}
	return overwrite(old)
}

func overwrite(old *os.File) error {
	if old == nil {
		return nil
	}
	info, err := old.Stat()
	if err != nil {
		return err
	}
	if linked(info) {
		return nil // somebody's backup by hard link, which is not ours to destroy
	}
	if _, err := old.WriteAt(make([]byte, info.Size()), 0); err != nil {
		return fmt.Errorf("overwrite the replaced keystore file: %w", err)
	}
	return old.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator names the directory
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
