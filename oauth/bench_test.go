package oauth_test

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/oauth"
)

// BenchmarkCredentialFlow is PAR, authorization, the way back and the token: all
// that this package does for one signature.
func BenchmarkCredentialFlow(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			db := storetest.SQLite
			if engine == "postgres" {
				db = storetest.Postgres
			}
			r := newRig(b, db(b), func(c *oauth.Config) { c.Log = slog.New(slog.DiscardHandler) })
			k := newKey(b)
			for name, p := range map[string]party{"secret": r.basic(), "jwt and DPoP": r.jwt().withDPoP(r, k)} {
				b.Run(name, func(b *testing.B) {
					r.t = b
					for b.Loop() {
						if a := r.post(p, "/oauth2/token", redemption(r.code(r.push(p, wish())))); a.status != http.StatusOK {
							b.Fatalf("got %d %s", a.status, a.body)
						}
					}
				})
			}
		})
	}
}
