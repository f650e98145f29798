package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/countersign/countersign/internal/fault"
)

// Parameters of argon2id (RFC 9106): 19 MB and two passes are what OWASP asks for.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KB
	argonThreads = 1
	maxPassword  = 200
)

// common are passwords that everybody tries first, in lower case; they are refused
// with and without digits behind them.
var common = []string{"password", "passwort", "qwertzuiop", "qwertyuiop", "1234567890", "letmein", "administrator", "countersign", "iloveyou", "geheim"}

// checkPassword refuses what is too short, too long, or what everybody tries.
func (s *Service) checkPassword(password, email, name string) error {
	weak := func(format string, args ...any) error {
		return fault.New(fault.Invalid, format, args...).WithCode(CodePassword)
	}
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return weak("the password cannot be read as text")
	case n < s.config.MinPassword:
		return weak("the password has %d characters; at least %d are needed", n, s.config.MinPassword)
	case len(password) > maxPassword:
		return weak("the password is longer than %d bytes", maxPassword)
	}
	low := strings.TrimRight(strings.ToLower(password), "0123456789!.?")
	local, _, _ := strings.Cut(strings.ToLower(email), "@")
	for _, c := range append([]string{local, strings.ToLower(name)}, common...) {
		if low == c || low == c+c {
			return weak("the password is one that is guessed first; choose another")
		}
	}
	if strings.Count(password, password[:1]) == len(password) {
		return weak("the password is one letter again and again; choose another")
	}
	return nil
}

// encodePassword hashes a password with fresh salt, in the form of the reference
// implementation.
func encodePassword(password string) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	sum := argon2.IDKey(norm.NFKC.Bytes([]byte(password)), salt, argonTime, argonMemory, argonThreads, 32)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// comparePassword says whether a password has that hash.
func comparePassword(password, encoded string) (bool, error) {
	var (
		version       int
		memory, times uint32
		threads       uint8
	)
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, fmt.Errorf("password hash in another form")
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, fmt.Errorf("password hash of version %q", parts[2])
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &times, &threads); err != nil {
		return false, fmt.Errorf("password hash with parameters %q: %w", parts[3], err)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, fmt.Errorf("password hash: %w", err)
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) != 32 {
		return false, fmt.Errorf("password hash of %d bytes: %w", len(want), err)
	}
	got := argon2.IDKey(norm.NFKC.Bytes([]byte(password)), salt, times, memory, threads, 32)
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// hash and compare wait for their turn.
func (s *Service) hash(ctx context.Context, password string) (string, error) {
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
		return encodePassword(password), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *Service) compare(ctx context.Context, password, encoded string) (bool, error) {
	if len(password) > maxPassword {
		password = "" // nobody has an empty one
	}
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
		return comparePassword(password, encoded)
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
