package account

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/countersign/countersign/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config is what New needs. DB and Secret are required.
type Config struct {
	DB *store.DB
	// Secret is random, at least 32 bytes: it seals the secrets of second factors.
	Secret []byte
	// Issuer is what authenticator apps show beside the account.
	Issuer string
	// Idle ends a session that is not used; the default is 2 h. Longest ends every
	// session; the default is 12 h.
	Idle, Longest time.Duration
	// Tries is how often password or code may be wrong before a pause, which
	// doubles with each further try up to 15 minutes; the default is 5.
	Tries int
	// MinPassword is the least length of a password; the default is 12, and never
	// less than 8.
	MinPassword int
	Now         func() time.Time
}

// Service keeps accounts and sessions. All methods may be called at once.
type Service struct {
	config Config
	seal   cipher.AEAD
	// hashing bounds how many passwords are hashed at once: each takes 19 MB.
	hashing chan struct{}
	// nobody is compared when there is no such account.
	nobody string
}

// New brings the tables up to date.
func New(ctx context.Context, c Config) (*Service, error) {
	if c.DB == nil || len(c.Secret) < 32 {
		return nil, errors.New("open accounts: a database and a secret of 32 bytes are needed")
	}
	if c.Issuer == "" {
		c.Issuer = "Countersign"
	}
	if c.Idle == 0 {
		c.Idle = 2 * time.Hour
	}
	if c.Longest == 0 {
		c.Longest = 12 * time.Hour
	}
	if c.Tries == 0 {
		c.Tries = 5
	}
	if c.MinPassword == 0 {
		c.MinPassword = 12
	}
	c.MinPassword = max(c.MinPassword, 8)
	if c.Now == nil {
		c.Now = time.Now
	}
	sql, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := c.DB.Migrate(ctx, "account", sql); err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, c.Secret, nil, "countersign account second factors", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	s := &Service{config: c, hashing: make(chan struct{}, 4)}
	if s.seal, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	s.nobody = encodePassword("nobody has this password")
	return s, nil
}

// Purge forgets sessions that ended and throttles that ran out long ago.
func (s *Service) Purge(ctx context.Context) error {
	now := s.config.Now()
	for query, before := range map[string]time.Time{
		`DELETE FROM account_session WHERE used < $1`:     now.Add(-s.config.Idle),
		`DELETE FROM account_session WHERE made < $1`:     now.Add(-s.config.Longest),
		`DELETE FROM account_throttle WHERE changed < $1`: now.Add(-24 * time.Hour),
	} {
		if _, err := s.config.DB.Exec(ctx, query, store.Micros(before)); err != nil {
			return fmt.Errorf("purge accounts: %w", err)
		}
	}
	return nil
}
