package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6238 with HMAC-SHA-1 is what authenticator apps speak
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Time-based codes (RFC 6238): six digits, half a minute each.
const (
	codePeriod = 30 * time.Second
	codeSkew   = 1 // periods that a clock may be off
)

var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// newSecret makes a secret of 160 bits.
func newSecret() []byte {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // never fails
	return b
}

// codeAt is the code of a period.
func codeAt(secret []byte, step int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step)) //nolint:gosec // periods since 1970
	h := hmac.New(sha1.New, secret)
	h.Write(counter[:])
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff%1_000_000)
}

// matchCode finds the period whose code it is, after the one that was used last.
func matchCode(secret []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	at := now.Unix() / int64(codePeriod/time.Second)
	for step := at - codeSkew; step <= at+codeSkew; step++ {
		if subtle.ConstantTimeCompare([]byte(codeAt(secret, step)), []byte(code)) == 1 && step > last {
			return step, true
		}
	}
	return 0, false
}

// cleanCode takes out what people type between digits.
func cleanCode(code string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(strings.TrimSpace(code)))
}

// setup describes a secret for an authenticator app.
func (s *Service) setup(u User, secret []byte) Setup {
	text := base32Text.EncodeToString(secret)
	q := url.Values{"secret": {text}, "issuer": {s.config.Issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	address := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + s.config.Issuer + ":" + u.Email, RawQuery: strings.ReplaceAll(q.Encode(), "+", "%20")}
	return Setup{Secret: text, URL: address.String()}
}
