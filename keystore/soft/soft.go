package soft

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"

	"github.com/countersign/countersign/keystore"
)

// ErrInUse says that another process, or another Store of this one, holds the directory.
var ErrInUse = errors.New("keystore is in use by another process")

// Config is what Open needs.
type Config struct {
	// Dir holds the keystore and nothing else. It is made with mode 0700 when it
	// is missing; an existing one that others can enter is refused.
	Dir string
	// Passphrase seals the keystore. A machine's secret is best: 64 hex digits
	// (or 32 raw bytes) of randomness are used through HKDF and open at once.
	// Everything else is a human's, at least 12 bytes, and costs an argon2id of
	// 64 MB. A newline at the end is not part of it.
	Passphrase []byte
}

// Store is an open software keystore. All methods may be called at once.
type Store struct {
	dir    string
	lock   *os.File
	header header
	aead   cipher.AEAD

	// mu guards everything below.
	mu       sync.RWMutex
	closed   bool
	contents contents
	keks     map[int]cipher.Block
	services map[string]*serviceKey
}

var _ keystore.Store = (*Store)(nil)

// Open opens the keystore in c.Dir, or makes one when there is none. What Open
// made is on disk when it returns.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.Dir == "" {
		return nil, errors.New("open software keystore: no directory given")
	}
	passphrase := bytes.TrimSuffix(bytes.TrimSuffix(c.Passphrase, []byte("\n")), []byte("\r"))
	if len(passphrase) < minPassphrase {
		return nil, fmt.Errorf("open software keystore: the passphrase has %d bytes, at least %d are needed", len(passphrase), minPassphrase)
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("open software keystore: %w", err)
	}
	s := &Store{dir: c.Dir, lock: lock, keks: map[int]cipher.Block{}, services: map[string]*serviceKey{}}
	if err := s.load(passphrase); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("open software keystore %s: %w", c.Dir, err)
	}
	return s, nil
}

func (s *Store) load(passphrase []byte) error {
	data, err := readFile(s.dir)
	if err != nil {
		return err
	}
	if data == nil {
		return s.create(passphrase)
	}
	if s.header, s.aead, s.contents, err = unseal(data, passphrase); err != nil {
		return err
	}
	for generation := range s.contents.KEKs {
		if err := s.use(generation); err != nil {
			return err
		}
	}
	if s.keks[s.contents.Current] == nil || len(s.contents.MAC) != 32 {
		return errors.New("the sealed contents are incomplete")
	}
	for name, r := range s.contents.Services {
		k, err := parseKey(r.PKCS8)
		if err != nil {
			return fmt.Errorf("service key %s: %w", name, err)
		}
		s.services[name] = &serviceKey{store: s, key: k}
	}
	return nil
}

func (s *Store) create(passphrase []byte) error {
	s.header = newHeader(passphrase)
	var err error
	if s.aead, err = s.header.sealer(passphrase); err != nil {
		return err
	}
	s.contents = contents{
		Current:  1,
		KEKs:     map[int][]byte{1: randomBytes(32)},
		MAC:      randomBytes(32),
		Services: map[string]resident{},
	}
	if err := s.use(1); err != nil {
		return err
	}
	return s.save(s.contents)
}

func (s *Store) use(generation int) error {
	block, err := aes.NewCipher(s.contents.KEKs[generation])
	if err != nil {
		return fmt.Errorf("KEK generation %d: %w", generation, err)
	}
	s.keks[generation] = block
	return nil
}

func (s *Store) save(c contents) error {
	data, err := s.header.seal(s.aead, c)
	if err != nil {
		return err
	}
	if err := replaceFile(s.dir, data); err != nil {
		return fmt.Errorf("write keystore: %w", err)
	}
	return nil
}

// MAC returns HMAC-SHA-256 over the length of the domain, the domain and data
// under a key that never leaves the store.
func (s *Store) MAC(ctx context.Context, domain string, data []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, keystore.ErrClosed
	}
	h := hmac.New(sha256.New, s.contents.MAC)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(domain)))
	h.Write(n[:])
	h.Write([]byte(domain))
	h.Write(data)
	return h.Sum(nil), nil
}

// Reseal seals the keystore under another passphrase. The new one counts from
// the moment Reseal returns.
func (s *Store) Reseal(ctx context.Context, passphrase []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	passphrase = bytes.TrimSuffix(bytes.TrimSuffix(passphrase, []byte("\n")), []byte("\r"))
	if len(passphrase) < minPassphrase {
		return fmt.Errorf("the passphrase has %d bytes, at least %d are needed", len(passphrase), minPassphrase)
	}
	h := newHeader(passphrase)
	aead, err := h.sealer(passphrase)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return keystore.ErrClosed
	}
	data, err := h.seal(aead, s.contents)
	if err != nil {
		return err
	}
	if err := replaceFile(s.dir, data); err != nil {
		return fmt.Errorf("write keystore: %w", err)
	}
	s.header, s.aead = h, aead
	return nil
}

// Close ends the use of the store, wipes what it held in memory as far as Go
// allows, and gives the directory back.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, k := range s.services {
		k.key.destroy()
	}
	for _, r := range s.contents.Services {
		clear(r.PKCS8)
	}
	for _, k := range s.contents.KEKs {
		clear(k)
	}
	clear(s.contents.MAC)
	clear(s.keks)
	clear(s.services)
	return s.lock.Close()
}

func (c contents) clone() contents {
	c.KEKs, c.Services = maps.Clone(c.KEKs), maps.Clone(c.Services)
	return c
}
