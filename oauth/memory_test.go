package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/oauth"
)

// TestServerGoesOnAfterARestartAtEveryStep: whatever a server remembers stands in the
// database too, and the next server finds it there.
func TestServerGoesOnAfterARestartAtEveryStep(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := r.push(r.basic(), wish())
		r.restart()
		b := r.begin(q)
		r.restart()
		r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request_uri")
		back := r.back(b)
		_, final := back.location(t)
		r.restart()
		r.back(b).refused(t, http.StatusBadRequest, "invalid_request")
		a := r.post(r.basic(), "/oauth2/token", redemption(final.Get("code")))
		if a.status != http.StatusOK {
			t.Fatalf("token: %d %s", a.status, a.body)
		}
		r.restart()
		token := a.text("access_token")
		if c := r.call("Bearer "+token, ""); c.status != http.StatusOK || c.text("Credential") != credential {
			t.Errorf("resource: %d %s", c.status, c.body)
		}
		r.post(r.basic(), "/oauth2/token", redemption(final.Get("code"))).refused(t, http.StatusBadRequest, "invalid_grant")
		r.call("Bearer "+token, "").refused(t, http.StatusUnauthorized, "expired_token") // RFC 6749 §4.1.2
	})
}

// long are authorization_details that do not fit into a request_uri, nor into what a
// server remembers.
func long() string {
	var names []string
	for range 150 {
		names = append(names, strings.Repeat("name", 30)+".pdf")
	}
	return details(names...)
}

// TestRequestTooLongToRememberIsReadAgain goes the way past the memory.
func TestRequestTooLongToRememberIsReadAgain(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		code := r.code(r.push(r.basic(), wish("authorization_details", long())))
		a := r.post(r.basic(), "/oauth2/token", redemption(code))
		if a.status != http.StatusOK || r.call("Bearer "+a.text("access_token"), "").status != http.StatusOK {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

// TestNoTokenIsTakenAfterItsEndWasAnswered: calls that read the token while it is
// revoked must leave nothing behind that outlives the answer.
func TestNoTokenIsTakenAfterItsEndWasAnswered(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for range 10 {
			token := r.serviceToken(r.basic()).text("access_token")
			r.restart()
			stop, wg := make(chan struct{}), sync.WaitGroup{}
			for range 4 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							r.call("Bearer "+token, "")
						}
					}
				})
			}
			if a := r.post(r.basic(), "/oauth2/revoke", url.Values{"token": {token}}); a.status != http.StatusOK {
				t.Fatalf("revoke: %d %s", a.status, a.body)
			}
			for range 20 {
				r.call("Bearer "+token, "").refused(t, http.StatusUnauthorized, "expired_token")
			}
			close(stop)
			wg.Wait()
		}
	})
}

// TestClientThatIsTurnedOffIsTurnedOffAtOnce: for its tokens, its requests and itself.
func TestClientThatIsTurnedOffIsTurnedOffAtOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		token := r.serviceToken(r.basic()).text("access_token")
		q := r.push(r.basic(), wish())
		if a := r.call("Bearer "+token, ""); a.status != http.StatusOK {
			t.Fatalf("before: %d %s", a.status, a.body)
		}
		c, err := r.server.Client(t.Context(), "org-1", "secret")
		if err != nil {
			t.Fatal(err)
		}
		c.Disabled = true
		r.put(c)
		r.call("Bearer "+token, "").refused(t, http.StatusUnauthorized, "invalid_token")
		r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request")
		r.post(r.basic(), "/oauth2/token", clientCredentials).refused(t, http.StatusUnauthorized, "invalid_client")
		c.Disabled, c.Auth, c.Scopes = false, oauth.AuthNone, []string{"credential"}
		r.put(c)
		r.post(r.basic(), "/oauth2/token", clientCredentials).refused(t, http.StatusUnauthorized, "invalid_client")
	})
}
