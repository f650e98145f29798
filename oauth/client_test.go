package oauth_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpd"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/oauth"
)

func TestClientsThatCouldNotBeSafeAreNotRegistered(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	rsa1024 := `{"keys":[{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("4", 171) + `"}]}`
	private, _ := json.Marshal(map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "x": r.key.jwk()["x"], "y": r.key.jwk()["y"], "d": b64(make([]byte, 32))}}})
	for name, change := range map[string]func(*oauth.Client){
		"short secret":        func(c *oauth.Client) { c.Secrets = []string{"correct-horse-battery-staple"} },
		"repeated secret":     func(c *oauth.Client) { c.Secrets = []string{strings.Repeat("ab", 32)} },
		"secret with a blank": func(c *oauth.Client) { c.Secrets = []string{oauth.NewSecret() + " "} },
		"no secret":           func(c *oauth.Client) { c.Secrets = nil },
		"secret beside a key": func(c *oauth.Client) { c.Auth, c.JWKS = oauth.AuthKey, r.key.jwks() },
		"no keys":             func(c *oauth.Client) { c.Auth, c.Secrets, c.JWKS = oauth.AuthKey, nil, json.RawMessage(`{"keys":[]}`) },
		"symmetric key": func(c *oauth.Client) {
			c.Auth, c.Secrets, c.JWKS = oauth.AuthKey, nil, json.RawMessage(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)
		},
		"private key":            func(c *oauth.Client) { c.Auth, c.Secrets, c.JWKS = oauth.AuthKey, nil, private },
		"RSA of 1024 bits":       func(c *oauth.Client) { c.Auth, c.Secrets, c.JWKS = oauth.AuthKey, nil, json.RawMessage(rsa1024) },
		"unknown authentication": func(c *oauth.Client) { c.Auth = "tls_client_auth" },
		"public service client":  func(c *oauth.Client) { c.Auth, c.Secrets = oauth.AuthNone, nil },
		"unknown scope":          func(c *oauth.Client) { c.Scopes = []string{"openid"} },
		"no redirect URI":        func(c *oauth.Client) { c.Redirects = nil },
		"http redirect URI":      func(c *oauth.Client) { c.Redirects = []string{"http://rp.example/cb"} },
		"script redirect URI":    func(c *oauth.Client) { c.Redirects = []string{"javascript:alert(1)"} },
		"data redirect URI":      func(c *oauth.Client) { c.Redirects = []string{"data:/text"} },
		"redirect with fragment": func(c *oauth.Client) { c.Redirects = []string{"https://rp.example/cb#"} },
		"redirect with user":     func(c *oauth.Client) { c.Redirects = []string{"https://u@rp.example/cb"} },
		"relative redirect":      func(c *oauth.Client) { c.Redirects = []string{"/cb"} },
		"no name":                func(c *oauth.Client) { c.Name = "" },
		"name that reorders":     func(c *oauth.Client) { c.Name = "abc\u202ecba" },
		"no organisation":        func(c *oauth.Client) { c.Org = "" },
		"id with a blank":        func(c *oauth.Client) { c.ID = "a b" },
	} {
		t.Run(name, func(t *testing.T) {
			c := oauth.Client{ID: "new", Org: "org-1", Name: "New", Auth: oauth.AuthSecret, Secrets: []string{oauth.NewSecret()}, Scopes: []string{"service", "credential"}, Redirects: []string{redirect}}
			change(&c)
			if err := r.server.PutClient(t.Context(), c); !errors.Is(err, fault.Invalid) {
				t.Errorf("got %v, want a fault of kind invalid", err)
			}
			if _, err := r.server.Client(t.Context(), "org-1", c.ID); !errors.Is(err, fault.NotFound) {
				t.Errorf("it was stored all the same: %v", err)
			}
		})
	}
}

func TestSecretsAreExchangedWithoutAGap(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		works := func(secret string) bool {
			p := party{apply: func(q *http.Request, _ url.Values) { q.SetBasicAuth("secret", secret) }}
			return r.post(p, "/oauth2/token", clientCredentials).status == http.StatusOK
		}
		c, err := r.server.Client(t.Context(), "org-1", "secret")
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Secrets) != 0 {
			t.Error("secrets are read back")
		}
		next := oauth.NewSecret()
		c.Secrets = []string{r.secret, next}
		r.put(c)
		if !works(r.secret) || !works(next) {
			t.Error("both secrets must work while they are exchanged")
		}
		c.Secrets = nil // other changes leave them alone
		c.Name = "Renamed"
		r.put(c)
		if !works(r.secret) || !works(next) {
			t.Error("a change of name took a secret")
		}
		c.Secrets = []string{next}
		r.put(c)
		if works(r.secret) || !works(next) {
			t.Error("the old secret still works, or the new one does not")
		}
	})
}

func TestOldGlobalSecretStillOpensWhatItMade(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		old, fresh := []byte("0123456789abcdef0123456789abcdef"), []byte("fedcba9876543210fedcba9876543210")
		before := newRig(t, db, nil)
		token := before.serviceToken(before.basic()).text("access_token")
		open := func(secrets ...[]byte) *rig {
			r := &rig{t: t, db: db, clock: before.clock, mux: httpd.New(httpd.Config{}), secret: before.secret}
			var err error
			if r.server, err = oauth.New(t.Context(), oauth.Config{Issuer: issuer, DB: db, Approver: newApprover(t, r.clock), Now: r.clock.now, Secrets: secrets}); err != nil {
				t.Fatal(err)
			}
			r.server.Mount(r.mux)
			r.mux.HandleFunc(http.MethodPost, "/csc/v2/{rest...}", r.resource)
			return r
		}
		both := open(fresh, old)
		if a := both.call("Bearer "+token, ""); a.status != http.StatusOK {
			t.Errorf("token of the old secret: got %d %s", a.status, a.body)
		}
		if a := both.post(before.basic(), "/oauth2/token", clientCredentials); a.status != http.StatusOK {
			t.Errorf("client secret sealed by the old one: got %d %s", a.status, a.body)
		}
		gone := open(fresh)
		gone.call("Bearer "+token, "").refused(t, http.StatusUnauthorized, "invalid_token")
		gone.post(before.basic(), "/oauth2/token", clientCredentials).refused(t, http.StatusUnauthorized, "invalid_client")
	})
}

func TestOneOrganisationCannotSeeAnothersRows(t *testing.T) {
	t.Attr("control", "A14")
	each(t, func(t *testing.T, r *rig) {
		theirs := oauth.Client{ID: "theirs", Org: "org-2", Name: "Theirs", Auth: oauth.AuthSecret, Secrets: []string{oauth.NewSecret()}, Scopes: []string{"service"}}
		r.put(theirs)
		for _, signer := range []string{"signer-b", "signer-a", "signer-a"} {
			if err := r.server.LinkSigner(t.Context(), "org-1", "secret", signer); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.server.Client(t.Context(), "org-2", "secret"); !errors.Is(err, fault.NotFound) {
			t.Errorf("another organisation reads the client: %v", err)
		}
		if err := r.server.LinkSigner(t.Context(), "org-2", "secret", "signer-x"); !errors.Is(err, fault.NotFound) {
			t.Errorf("another organisation links a signer to the client: %v", err)
		}
		if err := r.server.UnlinkSigner(t.Context(), "org-2", "secret", "signer-a"); err != nil {
			t.Fatal(err)
		}
		taken := theirs
		taken.ID = "secret"
		if err := r.server.PutClient(t.Context(), taken); !errors.Is(err, fault.Conflict) {
			t.Errorf("another organisation takes the client over: %v", err)
		}
		for org, want := range map[string][]string{"org-1": {"signer-a", "signer-b"}, "org-2": nil} {
			got, err := r.server.Signers(t.Context(), org, "secret")
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: got %v, %v, want %v", org, got, err, want)
			}
		}
		// Each row that a flow makes names the organisation of its client.
		k := newKey(t)
		r.credentialToken(r.jwt().withDPoP(r, k))
		r.serviceToken(r.basic())
		for _, table := range []string{"oauth_client", "oauth_client_signer", "oauth_request", "oauth_token", "oauth_once"} {
			var rows, without int
			if err := r.db.QueryRow(t.Context(), `SELECT count(*), coalesce(sum(CASE WHEN org_id IN ('org-1', 'org-2') THEN 0 ELSE 1 END), 0) FROM `+table).Scan(&rows, &without); err != nil {
				t.Fatal(err)
			}
			if rows == 0 || without > 0 {
				t.Errorf("%s: %d of %d rows without their organisation", table, without, rows)
			}
		}
	})
}

func TestStoredClientIsTheOneThatWasPut(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		want := oauth.Client{
			ID: "https://rp.example/client", Org: "org-1", Name: "Ärzte & Söhne <GmbH>", Auth: oauth.AuthKey, JWKS: r.key.jwks(), Redirects: []string{redirect, "com.example.app:/cb", "rqes://oauth/cb"},
			Scopes: []string{"service", "credential"}, Refresh: true, DPoP: true, PAR: true,
		}
		r.put(want)
		got, err := r.server.Client(t.Context(), want.Org, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestApplicationsMayHaveSchemesOfTheirOwn(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	for _, uri := range []string{"com.example.app:/cb", "rqes://oauth/cb", "https://rp.example/cb?keep=this&a=b"} {
		r.put(oauth.Client{ID: "app", Org: "org-1", Name: "App", Auth: oauth.AuthNone, Scopes: []string{"credential"}, Redirects: []string{uri}})
		app := party{id: "app", apply: func(_ *http.Request, f url.Values) { f.Set("client_id", "app") }}
		a := r.back(r.begin(r.push(app, wish("redirect_uri", ""))))
		if to := a.header.Get("Location"); !strings.HasPrefix(to, uri) || !strings.Contains(to[len(uri):], "code=") {
			t.Errorf("%s: redirected to %s", uri, to)
			continue
		}
		_, q := a.location(t)
		if a := r.post(app, "/oauth2/token", redemption(q.Get("code"), "redirect_uri", "")); a.status != http.StatusOK {
			t.Errorf("%s: got %d %s", uri, a.status, a.body)
		}
	}
}

func TestServerRefusesAConfigurationThatIsNotSafe(t *testing.T) {
	db := storetest.SQLite(t)
	secret := []byte("0123456789abcdef0123456789abcdef")
	for name, c := range map[string]oauth.Config{
		"http":           {Issuer: "http://sign.example", Secrets: [][]byte{secret}},
		"path":           {Issuer: "https://sign.example/", Secrets: [][]byte{secret}},
		"no host":        {Issuer: "https://", Secrets: [][]byte{secret}},
		"no secret":      {Issuer: issuer},
		"short secret":   {Issuer: issuer, Secrets: [][]byte{secret[:31]}},
		"an old, short":  {Issuer: issuer, Secrets: [][]byte{secret, secret[:31]}},
		"not an address": {Issuer: "sign.example", Secrets: [][]byte{secret}},
	} {
		c.DB, c.Approver = db, newApprover(t, newClock())
		if _, err := oauth.New(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
