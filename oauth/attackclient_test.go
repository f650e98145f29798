package oauth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/oauth"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// asserting is a party that sends this assertion.
func asserting(assertion string) party {
	return party{id: "key", apply: func(_ *http.Request, f url.Values) {
		f.Set("client_assertion_type", jwtBearer)
		f.Set("client_assertion", assertion)
	}}
}

var clientCredentials = url.Values{"grant_type": {"client_credentials"}}

func TestAssertionsThatTheClientDidNotSignAreRefused(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		now := r.clock.now().Unix()
		claims := func() map[string]any {
			return map[string]any{"iss": "key", "sub": "key", "aud": issuer, "iat": now, "exp": now + 60, "jti": store.NewID()}
		}
		jwk, _ := json.Marshal(r.key.jwk())
		stranger := newKey(t)
		good := r.key.sign(nil, claims(), nil)
		halves := strings.Split(good, ".")
		for name, assertion := range map[string]string{
			"alg none":                          parts(map[string]any{"alg": "none"}, claims(), nil) + ".",
			"alg None":                          parts(map[string]any{"alg": "None"}, claims(), nil) + ".",
			"no alg":                            parts(map[string]any{}, claims(), nil) + ".",
			"alg none with a signature":         r.key.sign(map[string]any{"alg": "none"}, claims(), nil),
			"HS256 with the public key as PEM":  hs256(r.key.publicPEM(), nil, claims(), nil),
			"HS256 with the public key as JWK":  hs256(jwk, nil, claims(), nil),
			"HS256 with the JWKS":               hs256(r.key.jwks(), nil, claims(), nil),
			"HS256 with nothing":                hs256(nil, nil, claims(), nil),
			"RS256 over an EC key":              r.key.sign(map[string]any{"alg": "RS256"}, claims(), nil),
			"ES384 over a P-256 key":            r.key.es384(nil, claims()),
			"another key":                       stranger.sign(nil, claims(), nil),
			"another key under the kid":         stranger.sign(map[string]any{"kid": "k1"}, claims(), nil),
			"another key brought along":         stranger.sign(map[string]any{"jwk": stranger.jwk()}, claims(), nil),
			"unknown kid":                       r.key.sign(map[string]any{"kid": "k2"}, claims(), nil),
			"claims exchanged":                  halves[0] + "." + b64([]byte(`{"iss":"key","sub":"key","aud":"`+issuer+`","exp":99999999999,"jti":"x"}`)) + "." + halves[2],
			"no signature":                      halves[0] + "." + halves[1] + ".",
			"two parts":                         halves[0] + "." + halves[1],
			"critical extension":                r.key.sign(map[string]any{"crit": []string{"b64"}, "b64": false}, claims(), nil),
			"a claim twice":                     r.key.signText(b64([]byte(`{"alg":"ES256"}`)) + "." + b64([]byte(`{"iss":"key","sub":"key","sub":"key","aud":"`+issuer+`","exp":99999999999,"jti":"x"}`))),
			"the JSON serialization":            `{"payload":"` + halves[1] + `","protected":"` + halves[0] + `","signature":"` + halves[2] + `"}`,
			"a DPoP proof":                      r.proof(r.key, http.MethodPost, "/oauth2/token", "", map[string]any{"iss": "key", "sub": "key", "aud": issuer, "exp": now + 60}),
			"of the size of a book":             r.key.sign(nil, claims(), map[string]any{"x": strings.Repeat("x", 10000)}),
			"empty":                             "",
			"signed by the client secret's key": hs256([]byte(r.secret), nil, claims(), nil),
		} {
			t.Run(name, func(t *testing.T) {
				r.post(asserting(assertion), "/oauth2/token", clientCredentials).refused(t, http.StatusUnauthorized, "invalid_client")
			})
		}
		if a := r.post(asserting(good), "/oauth2/token", clientCredentials); a.status != http.StatusOK {
			t.Errorf("the right one: got %d %s", a.status, a.body)
		}
	})
}

func TestAssertionsForSomebodyElseOrAnotherTimeAreRefused(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		now := r.clock.now().Unix()
		for name, change := range map[string]map[string]any{
			"for another server":               {"aud": "https://other.example"},
			"for us and another server":        {"aud": []string{issuer, "https://other.example"}},
			"for our issuer with a slash":      {"aud": issuer + "/"},
			"for the endpoint of another host": {"aud": "https://other.example/oauth2/token"},
			"for nobody":                       {"aud": nil},
			"for an empty list":                {"aud": []string{}},
			"of another client":                {"iss": "secret", "sub": "secret"},
			"issued by another":                {"iss": "secret"},
			"about another":                    {"sub": "secret"},
			"without issuer":                   {"iss": nil},
			"expired":                          {"exp": now - 31},
			"without end":                      {"exp": nil},
			"for years":                        {"exp": now + 100000},
			"not yet valid":                    {"nbf": now + 60},
			"from the future":                  {"iat": now + 60},
			"without jti":                      {"jti": nil},
			"with a number for jti":            {"jti": 7},
		} {
			t.Run(name, func(t *testing.T) {
				r.post(asserting(r.assertion(change)), "/oauth2/token", clientCredentials).refused(t, http.StatusUnauthorized, "invalid_client")
			})
		}
		for _, aud := range []any{issuer, []string{issuer}, issuer + "/oauth2/token", issuer + "/csc/v2/oauth2/token"} {
			if a := r.post(asserting(r.assertion(map[string]any{"aud": aud})), "/oauth2/token", clientCredentials); a.status != http.StatusOK {
				t.Errorf("aud %v: got %d %s", aud, a.status, a.body)
			}
		}
		a := r.post(asserting(r.assertion(map[string]any{"aud": issuer + "/oauth2/pushed_authorize"})), "/oauth2/pushed_authorize", wish())
		if a.status != http.StatusCreated {
			t.Errorf("aud of PAR: got %d %s", a.status, a.body)
		}
	})
}

func TestAssertionIsGoodOnceWhereverItIsSent(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		once := asserting(r.assertion(nil))
		if a := r.post(once, "/oauth2/pushed_authorize", wish()); a.status != http.StatusCreated {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		for path, form := range map[string]url.Values{
			"/oauth2/pushed_authorize": wish(), "/oauth2/token": clientCredentials, "/oauth2/introspect": {"token": {"x"}}, "/oauth2/revoke": {"token": {"x"}},
		} {
			r.post(once, path, form).refused(t, http.StatusUnauthorized, "invalid_client")
		}
		once = asserting(r.assertion(nil))
		if n := atOnce(func() bool { return r.post(once, "/oauth2/token", clientCredentials).status == http.StatusOK }); n != 1 {
			t.Errorf("one assertion was accepted %d times", n)
		}
		// Also where the request itself was refused.
		once = asserting(r.assertion(nil))
		r.post(once, "/oauth2/token", redemption("csc_x.y")).refused(t, http.StatusBadRequest, "invalid_grant")
		r.post(once, "/oauth2/token", clientCredentials).refused(t, http.StatusUnauthorized, "invalid_client")
	})
}

func TestClientsAuthenticateAsRegisteredAndInOneWay(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		with := func(change func(*http.Request, url.Values)) party { return party{apply: change} }
		var told string
		for name, p := range map[string]party{
			"wrong secret":                     with(func(q *http.Request, _ url.Values) { q.SetBasicAuth("secret", oauth.NewSecret()) }),
			"no secret":                        with(func(_ *http.Request, f url.Values) { f.Set("client_id", "secret") }),
			"empty secret":                     with(func(q *http.Request, _ url.Values) { q.SetBasicAuth("secret", "") }),
			"unknown client":                   with(func(q *http.Request, _ url.Values) { q.SetBasicAuth("nobody", r.secret) }),
			"secret of a client with a key":    with(func(q *http.Request, _ url.Values) { q.SetBasicAuth("key", r.secret) }),
			"client with a key, without proof": with(func(_ *http.Request, f url.Values) { f.Set("client_id", "key") }),
			"public client with a secret":      with(func(q *http.Request, _ url.Values) { q.SetBasicAuth("public", r.secret) }),
		} {
			a := r.post(p, "/oauth2/token", clientCredentials)
			a.refused(t, http.StatusUnauthorized, "invalid_client")
			if told != "" && a.text("error_description") != told {
				t.Errorf("%s is told apart: %s", name, a.body) // so that nobody learns which clients exist
			}
			told = a.text("error_description")
		}
		r.post(party{}, "/oauth2/token", clientCredentials).refused(t, http.StatusUnauthorized, "invalid_client")
		for name, p := range map[string]party{
			"Basic and body": with(func(q *http.Request, f url.Values) {
				q.SetBasicAuth("secret", r.secret)
				f.Set("client_secret", r.secret)
			}),
			"Basic and assertion": with(func(q *http.Request, f url.Values) {
				q.SetBasicAuth("secret", r.secret)
				f.Set("client_assertion", "x")
			}),
			"unknown assertion": with(func(_ *http.Request, f url.Values) {
				f.Set("client_assertion", "x")
				f.Set("client_assertion_type", "saml")
			}),
		} {
			if a := r.post(p, "/oauth2/token", clientCredentials); a.status != http.StatusBadRequest || a.text("error") != "invalid_request" {
				t.Errorf("%s: got %d %s", name, a.status, a.body)
			}
		}
		differs := with(func(q *http.Request, f url.Values) { q.SetBasicAuth("secret", r.secret); f.Set("client_id", "key") })
		a := r.post(differs, "/oauth2/token", clientCredentials)
		if a.refused(t, http.StatusUnauthorized, "invalid_client"); a.header.Get("WWW-Authenticate") == "" {
			t.Error("401 to Basic has no challenge")
		}
	})
}

func TestRequestsThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	send := func(target, contentType, body string) answer {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, issuer+target, strings.NewReader(body))
		req.SetBasicAuth("secret", r.secret)
		req.Header.Set("Content-Type", contentType)
		return r.do(req)
	}
	const form = "application/x-www-form-urlencoded"
	if a := send("/oauth2/token", form, "grant_type=client_credentials"); a.status != http.StatusOK {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	for name, a := range map[string]answer{
		"a parameter twice": send("/oauth2/token", form, "grant_type=client_credentials&grant_type=authorization_code"),
		"in the address":    send("/oauth2/token?grant_type=client_credentials", form, "grant_type=client_credentials"),
		"multipart":         send("/oauth2/token", "multipart/form-data; boundary=x", "--x\r\n\r\n--x--"),
		"JSON":              send("/oauth2/token", "application/json", `{"grant_type":"client_credentials"}`),
		"broken escapes":    send("/oauth2/token", form, "grant_type=%zz"),
	} {
		t.Run(name, func(t *testing.T) { a.refused(t, http.StatusBadRequest, "invalid_request") })
	}
	if a := send("/oauth2/pushed_authorize", form, "x="+strings.Repeat("x", 300<<10)); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("larger than any request: got %d %s", a.status, a.body)
	}
	for _, query := range []string{"client_id=secret&client_id=public", "client_id=%zz", "client_id=secret;request_uri=x"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/oauth2/authorize?"+query, nil)
		r.do(req).refused(t, http.StatusBadRequest, "invalid_request")
	}
	q := r.push(r.basic(), wish())
	head := r.do(httptest.NewRequestWithContext(t.Context(), http.MethodHead, issuer+"/oauth2/authorize?"+q.Encode(), nil))
	if head.status != http.StatusMethodNotAllowed {
		t.Errorf("HEAD: got %d", head.status)
	}
	r.begin(q) // it was not taken up by the preview
}

func TestClientThatMustPushOrProveCannotDoWithout(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.put(oauth.Client{
			ID: "secret", Org: "org-1", Name: "Strict", Auth: oauth.AuthSecret, Scopes: []string{"service", "credential"}, Redirects: []string{redirect}, PAR: true, DPoP: true,
		})
		_, q := r.get("/oauth2/authorize", wish("client_id", "secret")).location(t)
		if q.Get("error") != "invalid_request" {
			t.Errorf("got %v", q)
		}
		r.post(r.basic(), "/oauth2/token", clientCredentials).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
		code := r.code(r.push(r.basic(), wish()))
		r.post(r.basic(), "/oauth2/token", redemption(code)).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
		if a := r.post(r.basic().withDPoP(r, newKey(t)), "/oauth2/token", redemption(code)); a.text("token_type") != "DPoP" {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

func TestDisabledClientAndItsTokensAreRefused(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		token := r.serviceToken(r.basic()).text("access_token")
		q, waiting := r.push(r.basic(), wish()), r.begin(r.push(r.basic(), wish()))
		c, err := r.server.Client(t.Context(), "org-1", "secret")
		if err != nil {
			t.Fatal(err)
		}
		c.Disabled = true
		r.put(c)
		r.call("Bearer "+token, "").refused(t, http.StatusUnauthorized, "invalid_token")
		r.post(r.basic(), "/oauth2/token", clientCredentials).refused(t, http.StatusUnauthorized, "invalid_client")
		r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request")
		r.back(waiting).refused(t, http.StatusBadRequest, "invalid_request")
	})
}

func TestDatabaseHoldsNothingThatOpensADoor(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		secret := party{id: "secret", apply: func(_ *http.Request, f url.Values) { f.Set("client_id", "secret"); f.Set("client_secret", r.secret) }}
		assertion := r.assertion(nil)
		r.push(asserting(assertion), wish())
		q := r.push(secret, wish())
		waiting := r.begin(q)
		_, got := r.back(waiting).location(t)
		tokens := r.post(secret, "/oauth2/token", redemption(got.Get("code")))
		service := r.serviceToken(secret)
		forbidden := map[string]string{
			"client secret": r.secret, "assertion": assertion, "request_uri": q.Get("request_uri"), "cookie": waiting.cookies[0].Value, "code": got.Get("code"),
			"access token": tokens.text("access_token"), "refresh token": service.text("refresh_token"),
		}
		dump := dumpAll(t, r.db)
		for name, value := range forbidden {
			if value == "" {
				t.Fatalf("%s is empty: nothing is tested", name)
			}
			for _, part := range strings.FieldsFunc(value, func(c rune) bool { return c == '.' || c == ':' }) {
				if len(part) > 20 && strings.Contains(dump, part) {
					t.Errorf("the database holds the %s", name)
				}
			}
			if strings.Contains(r.log.String(), value) {
				t.Errorf("the log holds the %s", name)
			}
		}
		if !strings.Contains(dump, "a.pdf") || !strings.Contains(dump, "cred-1") {
			t.Error("the dump is not complete: nothing is tested")
		}
	})
}

// dumpAll is every value of every table of the package.
func dumpAll(t *testing.T, db *store.DB) string {
	t.Helper()
	var out strings.Builder
	for _, table := range []string{"oauth_client", "oauth_client_signer", "oauth_request", "oauth_token", "oauth_once"} {
		rows, err := db.Query(t.Context(), "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		columns, _ := rows.Columns()
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			if err := rows.Scan(values...); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				b, _ := json.Marshal(v)
				out.Write(b)
				text, _ := (*v.(*any)).(string)
				decoded, _ := url.QueryUnescape(text)
				io.WriteString(&out, decoded+"\n")
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	return out.String()
}

func TestTroubleOfOurOwnIsNotToldToAnybody(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := r.push(r.basic(), wish())
		waiting := r.begin(r.push(r.basic(), wish()))
		token := r.serviceToken(r.basic()).text("access_token")
		r.restart() // nothing is in memory
		if err := r.db.Close(); err != nil {
			t.Fatal(err)
		}
		for name, a := range map[string]answer{
			"push": r.post(r.basic(), "/oauth2/pushed_authorize", wish()), "token": r.post(r.basic(), "/oauth2/token", clientCredentials),
			"introspect": r.post(r.basic(), "/oauth2/introspect", url.Values{"token": {token}}), "revoke": r.post(r.basic(), "/oauth2/revoke", url.Values{"token": {token}}),
			"authorize": r.get("/oauth2/authorize", q), "approved": r.back(waiting), "resource": r.call("Bearer "+token, ""),
		} {
			t.Run(name, func(t *testing.T) {
				a.refused(t, http.StatusInternalServerError, "server_error")
				if strings.Contains(string(a.body), "closed") {
					t.Errorf("got %s", a.body)
				}
			})
		}
	})
}
