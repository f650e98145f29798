package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/token/hmac"
)

// Prefixes tell the kinds of tokens apart, for people and for secret scanners.
const (
	prefixCode    = "csc_"
	prefixAccess  = "csa_"
	prefixRefresh = "csr_"
)

// tokenStrategy makes and checks opaque tokens for fosite: 256 random bits with a
// MAC, known to the database by their SHA-256. The MAC lets a made-up token be
// refused without a look into the database.
type tokenStrategy struct {
	mac *hmac.HMACStrategy
	now func() time.Time
}

func newStrategy(keys [][]byte, now func() time.Time) *tokenStrategy {
	return &tokenStrategy{
		mac: &hmac.HMACStrategy{Config: &fosite.Config{GlobalSecret: keys[0], RotatedGlobalSecrets: keys[1:], TokenEntropy: 32}},
		now: now,
	}
}

func (t *tokenStrategy) generate(ctx context.Context, prefix string) (token, hash string, err error) {
	token, _, err = t.mac.Generate(ctx)
	if err != nil {
		return "", "", err
	}
	token = prefix + token
	return token, digestHex(token), nil
}

// valid reports whether this server made the token, as one of that kind.
func (t *tokenStrategy) valid(ctx context.Context, prefix, token string) bool {
	rest, ok := strings.CutPrefix(token, prefix)
	return ok && len(token) <= 256 && t.mac.Validate(ctx, rest) == nil
}

func (t *tokenStrategy) validate(ctx context.Context, prefix, token string, expires time.Time) error {
	if !t.valid(ctx, prefix, token) {
		return fosite.ErrTokenSignatureMismatch
	}
	if !t.now().Before(expires) {
		return fosite.ErrTokenExpired
	}
	return nil
}

// AccessTokenSignature and the other methods implement fosite's oauth2.CoreStrategy.
func (t *tokenStrategy) AccessTokenSignature(_ context.Context, token string) string {
	return digestHex(token)
}

// GenerateAccessToken implements oauth2.CoreStrategy.
func (t *tokenStrategy) GenerateAccessToken(ctx context.Context, _ fosite.Requester) (token, hash string, err error) {
	return t.generate(ctx, prefixAccess)
}

// ValidateAccessToken implements oauth2.CoreStrategy.
func (t *tokenStrategy) ValidateAccessToken(ctx context.Context, r fosite.Requester, token string) error {
	return t.validate(ctx, prefixAccess, token, r.GetSession().GetExpiresAt(fosite.AccessToken))
}

// RefreshTokenSignature implements oauth2.CoreStrategy.
func (t *tokenStrategy) RefreshTokenSignature(_ context.Context, token string) string {
	return digestHex(token)
}

// GenerateRefreshToken implements oauth2.CoreStrategy.
func (t *tokenStrategy) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (token, hash string, err error) {
	return t.generate(ctx, prefixRefresh)
}

// ValidateRefreshToken implements oauth2.CoreStrategy.
func (t *tokenStrategy) ValidateRefreshToken(ctx context.Context, r fosite.Requester, token string) error {
	return t.validate(ctx, prefixRefresh, token, r.GetSession().GetExpiresAt(fosite.RefreshToken))
}

// AuthorizeCodeSignature implements oauth2.CoreStrategy.
func (t *tokenStrategy) AuthorizeCodeSignature(_ context.Context, code string) string {
	return digestHex(code)
}

// GenerateAuthorizeCode implements oauth2.CoreStrategy.
func (t *tokenStrategy) GenerateAuthorizeCode(ctx context.Context, _ fosite.Requester) (code, hash string, err error) {
	return t.generate(ctx, prefixCode)
}

// ValidateAuthorizeCode implements oauth2.CoreStrategy.
func (t *tokenStrategy) ValidateAuthorizeCode(ctx context.Context, r fosite.Requester, code string) error {
	return t.validate(ctx, prefixCode, code, r.GetSession().GetExpiresAt(fosite.AuthorizeCode))
}

// randomText is 256 random bits, base64url.
func randomText() string {
	var b [sha256.Size]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
