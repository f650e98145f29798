package oauth_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/oauth"
)

func TestPushedRequestEndsInATokenBoundToTheApproval(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		k := newKey(t)
		p := r.jwt().withDPoP(r, k)
		a := r.post(p, "/oauth2/pushed_authorize", wish())
		if a.status != http.StatusCreated || a.json["expires_in"] != 90.0 || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("PAR: got %d %s %v", a.status, a.body, a.header)
		}
		waiting := r.begin(url.Values{"client_id": {"key"}, "request_uri": {a.text("request_uri")}})
		asked := r.approver.last()
		if asked.Client != "key" || asked.Org != "org-1" || asked.Credential != credential || asked.Gateway != issuer || len(asked.Documents) != 2 || asked.Documents[1].Label != "b.pdf" {
			t.Errorf("asked for %+v", asked)
		}
		to, q := r.back(waiting).location(t)
		if to != redirect || q.Get("state") != "a state" || q.Get("iss") != issuer || len(q) != 3 {
			t.Fatalf("redirected to %s with %v", to, q)
		}
		a = r.post(p, "/oauth2/token", redemption(q.Get("code"), "authorization_details", details("a.pdf", "b.pdf")))
		if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("token: got %d %s", a.status, a.body)
		}
		var echoed any
		_ = json.Unmarshal([]byte(details("a.pdf", "b.pdf")), &echoed)
		want := map[string]any{
			"access_token": a.text("access_token"), "token_type": "DPoP", "expires_in": 600.0, "scope": "credential", "authorization_details": echoed,
		}
		if diff := cmp.Diff(want, a.json); diff != "" {
			t.Errorf("token answer (-want +got):\n%s", diff)
		}
		token := a.text("access_token")
		path := "/csc/v2/signatures/signHash"
		got := r.call("DPoP "+token, r.proof(k, http.MethodPost, path, token, nil))
		var by csc.Caller
		if err := json.Unmarshal(got.body, &by); err != nil || got.status != http.StatusOK {
			t.Fatalf("call: got %d %s", got.status, got.body)
		}
		wantBy := csc.Caller{
			Org: "org-1", Client: "key", ClientName: "Relying Party key", Subject: "signer-1", Scope: csc.ScopeCredential,
			Credential: credential, SID: waiting.sid, Expires: r.clock.now().Add(10 * time.Minute),
		}
		if diff := cmp.Diff(wantBy, by); diff != "" {
			t.Errorf("caller (-want +got):\n%s", diff)
		}
		r.clock.pass(10 * time.Minute)
		r.call("DPoP "+token, r.proof(k, http.MethodPost, path, token, nil)).refused(t, http.StatusUnauthorized, "expired_token")
	})
}

func TestDetailsAreEchoedAsSentWithNothingAdded(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	sent := `[{"type":"credential","credentialID":"cred-1","documentDigests":[{"hash":"` + strings.ReplaceAll(digest("a?b"), "/", `\/`) +
		`","label":null}],"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1","locations":["https:\/\/x"],"unknown":{"kept":"<&>"}}]`
	form := wish("authorization_details", sent)
	a := r.post(r.basic(), "/oauth2/token", redemption(r.code(r.push(r.basic(), form))))
	if want := form.Get("authorization_details"); !strings.Contains(string(a.body), want) {
		t.Errorf("got %s, want it to hold %s", a.body, want)
	}
}

// TestRequestsAreReadAsClientsWriteThem walks through the forms that clients in
// the field use for the same wish.
func TestRequestsAreReadAsClientsWriteThem(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	std := digest("a") + "," + digest("b")
	b64url := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(std)
	plain := func(change ...string) url.Values {
		f := wish("authorization_details", "", "credentialID", credential, "numSignatures", "2", "hashes", std, "hashAlgorithmOID", "2.16.840.1.101.3.4.2.1")
		for i := 0; i < len(change); i += 2 {
			f.Set(change[i], change[i+1])
			if change[i+1] == "" {
				f.Del(change[i])
			}
		}
		return f
	}
	for name, form := range map[string]url.Values{
		"standard base64":                      plain(),
		"base64url without padding":            plain("hashes", b64url),
		"separated by semicolons":              plain("hashes", strings.ReplaceAll(b64url, ",", ";")),
		"plus signs that became blanks":        plain("hashes", strings.ReplaceAll(std, "+", " ")),
		"percent-encoded once more":            plain("hashes", url.PathEscape(std)),
		"v1 names":                             plain("hashes", "", "hash", b64url, "hashAlgorithmOID", ""),
		"without numSignatures":                plain("numSignatures", ""),
		"without state":                        plain("state", ""),
		"short state":                          plain("state", "x"),
		"scope implied":                        plain("scope", ""),
		"redirect_uri of several, named":       plain("redirect_uri", "https://rp.example/second"),
		"loopback with a port of its own":      plain("redirect_uri", "http://127.0.0.1:51004/native"),
		"prompt, lang, clientData, and others": plain("prompt", "login", "lang", "de", "clientData", "x", "account_token", "y", "description", "Vertrag"),
		"details of CSC 2.0":                   wish("authorization_details", strings.Replace(details("a", "b"), csc.DetailType22, csc.DetailType20, 1)),
		"details with the same beside":         wish("authorization_details", details("a", "b"), "credentialID", credential, "numSignatures", "2", "hashes", b64url),
		"details, empty hashes beside":         wish("authorization_details", details("a", "b"), "hashes", "", "hashAlgorithmOID", ""),
		"details, numSignatures a string":      wish("authorization_details", strings.Replace(details("a", "b"), `"credentialID"`, `"numSignatures":"2","credentialID"`, 1)),
		"details, nulls for absent":            wish("authorization_details", strings.Replace(details("a", "b"), `"credentialID"`, `"numSignatures":null,"locations":null,"credentialID"`, 1)),
		"details without labels":               wish("authorization_details", strings.NewReplacer(`,"label":"a"`, "", `,"label":"b"`, `,"label":null`).Replace(details("a", "b"))),
		"details, hashType in capitals":        wish("authorization_details", strings.ReplaceAll(details("a", "b"), `"label"`, `"hashType":"DTBSR","label"`)),
	} {
		t.Run(name, func(t *testing.T) {
			r.t, r.approver.t = t, t
			for _, way := range []string{"pushed", "direct"} {
				form.Set("client_id", "secret")
				q := form
				if way == "pushed" {
					q = r.push(r.basic(), form)
				}
				_, got := r.back(r.begin(q)).location(t)
				asked := r.approver.last()
				if len(asked.Documents) != 2 || base64.StdEncoding.EncodeToString(asked.Documents[1].DTBSR) != digest("b") || asked.HashOID != "2.16.840.1.101.3.4.2.1" {
					t.Fatalf("%s: asked for %+v", way, asked)
				}
				uri := form.Get("redirect_uri")
				a := r.post(r.basic(), "/oauth2/token", redemption(got.Get("code"), "redirect_uri", uri))
				if a.status != http.StatusOK || got.Get("state") != form.Get("state") {
					t.Fatalf("%s: token: got %d %s, %v", way, a.status, a.body, got)
				}
			}
		})
	}
	if lang := r.approver.last().Lang; lang != "" && lang != "de" {
		t.Errorf("lang is %q", lang)
	}
}

// TestWishesThatCannotBeGrantedAreRefusedBeforeAnybodyIsAsked covers requests that
// are malformed or ask for something that no approval could mean.
func TestWishesThatCannotBeGrantedAreRefusedBeforeAnybodyIsAsked(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	d := details("a")
	swap := func(old, replacement string) url.Values {
		return wish("authorization_details", strings.Replace(d, old, replacement, 1))
	}
	for name, c := range map[string]struct {
		form url.Values
		code string
	}{
		"no digests":                  {swap(`"documentDigests":[{"hash":"`+digest("a")+`","label":"a"}],`, ""), "invalid_authorization_details"},
		"no credential":               {swap(`"credentialID":"cred-1",`, ""), "invalid_authorization_details"},
		"credential by qualifier":     {swap(`"credentialID":"cred-1"`, `"signatureQualifier":"eu_eidas_qes"`), "invalid_authorization_details"},
		"two credentials":             {wish("authorization_details", d[:len(d)-1]+","+d[1:]), "invalid_authorization_details"},
		"another type":                {swap("2025/credential", "2025/credential-creation"), "invalid_authorization_details"},
		"a member twice":              {swap(`"credentialID"`, `"credentialID":"x","credentialID"`), "invalid_authorization_details"},
		"a member in other case":      {swap(`"credentialID"`, `"credentialid"`), "invalid_authorization_details"},
		"SHA-1":                       {swap("2.16.840.1.101.3.4.2.1", "1.3.14.3.2.26"), "invalid_authorization_details"},
		"digest of another length":    {swap("2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.3"), "invalid_authorization_details"},
		"hash of the document itself": {swap(`"label"`, `"hashType":"SDR","label"`), "invalid_authorization_details"},
		"more signatures than hashes": {swap(`"credentialID"`, `"numSignatures":2,"credentialID"`), "invalid_authorization_details"},
		"label that reorders text":    {swap(`"label":"a"`, `"label":"a\u202efdp"`), "invalid_authorization_details"},
		"label with a line break":     {swap(`"label":"a"`, `"label":"a\nb"`), "invalid_authorization_details"},
		"not JSON":                    {wish("authorization_details", "["), "invalid_authorization_details"},
		"two JSON values":             {wish("authorization_details", d+"[]"), "invalid_authorization_details"},
		"beside: another credential":  {wish("credentialID", "cred-2"), "invalid_request"},
		"beside: other hashes":        {wish("hashes", digest("z")), "invalid_request"},
		"beside: another number":      {wish("numSignatures", "7"), "invalid_request"},
		"nothing to sign":             {wish("authorization_details", ""), "invalid_request"},
		"hash and hashes differ":      {wish("authorization_details", "", "credentialID", "c", "hash", digest("a"), "hashes", digest("b")), "invalid_request"},
		"hash not base64":             {wish("authorization_details", "", "credentialID", "c", "hash", "***"), "invalid_request"},
		"scope service":               {wish("scope", "service", "authorization_details", ""), "invalid_scope"},
		"no scope":                    {wish("scope", "", "authorization_details", ""), "invalid_scope"},
		"two scopes":                  {wish("scope", "service credential"), "invalid_scope"},
		"unknown scope":               {wish("scope", "openid"), "invalid_scope"},
		"implicit grant":              {wish("response_type", "token"), "unsupported_response_type"},
		"hybrid":                      {wish("response_type", "code token"), "unsupported_response_type"},
		"fragment":                    {wish("response_mode", "fragment"), "invalid_request"},
		"form_post":                   {wish("response_mode", "form_post"), "invalid_request"},
		"request object":              {wish("request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported"},
		"dpop_jkt that is none":       {wish("dpop_jkt", "x"), "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			r.post(r.basic(), "/oauth2/pushed_authorize", c.form).refused(t, http.StatusBadRequest, c.code)
			c.form.Set("client_id", "secret")
			to, q := r.get("/oauth2/authorize", c.form).location(t)
			if to != redirect || q.Get("error") != c.code || q.Get("iss") != issuer || q.Get("state") != "a state" || q.Get("error_description") == "" {
				t.Errorf("redirected to %s with %v", to, q)
			}
		})
	}
	if len(r.approver.asked) > 0 {
		t.Errorf("somebody was asked: %+v", r.approver.asked)
	}
}

func TestSignerWhoRefusesOrIsLateLeavesTheClientWithAccessDenied(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for _, c := range []struct{ state, reason, want string }{
			{oauth.OutcomeRejected, "Not \"my\" contract: Ärger", "The signer refused: Not 'my' contract: ?rger"},
			{oauth.OutcomeExpired, "", "The signer did not approve in time."},
		} {
			r.approver.change = func(o *oauth.Outcome) {
				*o = oauth.Outcome{SID: o.SID, State: c.state, Credential: o.Credential, Reason: c.reason}
			}
			waiting := r.begin(r.push(r.basic(), wish()))
			to, q := r.back(waiting).location(t)
			if to != redirect || q.Get("error") != "access_denied" || q.Get("error_description") != c.want || q.Get("iss") != issuer || q.Get("code") != "" {
				t.Errorf("%s: redirected to %s with %v", c.state, to, q)
			}
			r.approver.change = nil
			r.back(waiting).refused(t, http.StatusBadRequest, "invalid_request") // it is over
		}
	})
}

func TestApproverThatCannotBeginIsAnsweredInOAuthsWords(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	for _, c := range []struct {
		err               error
		code, description string
	}{
		{fault.New(fault.NotFound, "Invalid parameter credentialID"), "invalid_request", "Invalid parameter credentialID"},
		{fault.New(fault.Forbidden, "no"), "access_denied", "no"},
		{fault.New(fault.Unavailable, "socket gone"), "temporarily_unavailable", "The service cannot take this request now; try again later."},
		{http.ErrBodyNotAllowed, "server_error", "The authorization server encountered an unexpected condition that prevented it from fulfilling the request."},
	} {
		r.approver.beginErr = c.err
		_, q := r.get("/oauth2/authorize", r.push(r.basic(), wish())).location(t)
		if q.Get("error") != c.code || q.Get("error_description") != c.description {
			t.Errorf("%v: got %v", c.err, q)
		}
	}
}

func TestServiceTokenNamesTheClientAndItsOrganisation(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		post := party{id: "secret", apply: func(_ *http.Request, f url.Values) { f.Set("client_id", "secret"); f.Set("client_secret", r.secret) }}
		both := party{id: "secret", apply: func(q *http.Request, f url.Values) { q.SetBasicAuth("secret", r.secret); f.Set("client_id", "secret") }}
		for name, p := range map[string]party{"basic": r.basic(), "post": post, "basic with client_id": both, "jwt": r.jwt()} {
			for _, path := range []string{"/oauth2/token", "/csc/v2/oauth2/token"} {
				a := r.post(p, path, url.Values{"grant_type": {"client_credentials"}})
				if a.status != http.StatusOK || a.text("token_type") != "Bearer" || a.text("scope") != "service" || a.json["expires_in"] != 3600.0 {
					t.Fatalf("%s: got %d %s", name, a.status, a.body)
				}
				var by csc.Caller
				got := r.call("Bearer "+a.text("access_token"), "")
				_ = json.Unmarshal(got.body, &by)
				want := csc.Caller{Org: "org-1", Client: p.id, ClientName: "Relying Party " + p.id, Scope: csc.ScopeService, Expires: r.clock.now().Add(time.Hour)}
				if diff := cmp.Diff(want, by); diff != "" {
					t.Errorf("%s: caller (-want +got):\n%s", name, diff)
				}
			}
		}
		a := r.post(r.basic(), "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"credential"}})
		a.refused(t, http.StatusBadRequest, "invalid_scope")
		r.post(r.basic(), "/oauth2/token", url.Values{"grant_type": {"password"}}).refused(t, http.StatusBadRequest, "unsupported_grant_type")
		r.post(r.basic(), "/oauth2/token", url.Values{}).refused(t, http.StatusBadRequest, "invalid_request")
		r.post(r.public(), "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).refused(t, http.StatusBadRequest, "unauthorized_client")
	})
}

func TestRefreshTokenIsReplacedWithEachUse(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		a := r.serviceToken(r.basic())
		seen := map[string]bool{}
		for range 3 {
			old := a.text("refresh_token")
			if old == "" || seen[old] {
				t.Fatalf("no fresh refresh token: %s", a.body)
			}
			seen[old] = true
			r.clock.pass(time.Minute)
			a = r.post(r.basic(), "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old}})
			if a.status != http.StatusOK || a.text("scope") != "service" || a.json["expires_in"] != 3600.0 {
				t.Fatalf("got %d %s", a.status, a.body)
			}
		}
		r.clock.pass(30 * 24 * time.Hour) // the grant ends, however often it was refreshed
		r.post(r.basic(), "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.text("refresh_token")}}).
			refused(t, http.StatusBadRequest, "invalid_grant")
	})
}

func TestCredentialTokensComeWithoutRefreshToken(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	if a := r.credentialToken(r.basic()); a.json["refresh_token"] != nil {
		t.Errorf("got %s", a.body)
	}
}

func TestIntrospectionSaysWhatATokenIsAlwaysAlike(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		k := newKey(t)
		p := r.jwt().withDPoP(r, k)
		token := r.credentialToken(p).text("access_token")
		first := r.post(r.jwt(), "/oauth2/introspect", url.Values{"token": {token}})
		r.clock.pass(time.Second)
		second := r.post(r.jwt(), "/oauth2/introspect", url.Values{"token": {token}})
		if diff := cmp.Diff(first.json, second.json); diff != "" {
			t.Errorf("two answers differ:\n%s", diff)
		}
		for name, want := range map[string]any{
			"active": true, "client_id": "key", "scope": "credential", "sub": "signer-1", "credentialID": credential, "token_type": "DPoP", "iss": issuer,
			"cnf": map[string]any{"jkt": k.thumbprint()},
		} {
			if diff := cmp.Diff(want, first.json[name]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		r.clock.pass(10 * time.Minute)
		if got := r.post(r.jwt(), "/oauth2/introspect", url.Values{"token": {token}}); len(got.json) != 1 || got.json["active"] != false {
			t.Errorf("expired token: got %s", got.body)
		}
		r.post(r.public(), "/oauth2/introspect", url.Values{"token": {token}}).refused(t, http.StatusUnauthorized, "invalid_client")
	})
}

func TestRevocationAnswersInTheWordsOfEachStandard(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		p := r.basic()
		a := r.serviceToken(p)
		access, refresh := a.text("access_token"), a.text("refresh_token")
		if got := r.post(p, "/oauth2/revoke", url.Values{"token": {access}}); got.status != http.StatusOK || len(got.body) != 0 {
			t.Errorf("got %d %s", got.status, got.body)
		}
		r.call("Bearer "+access, "").refused(t, http.StatusUnauthorized, "expired_token")
		if !r.active(p, refresh) {
			t.Error("revoking an access token ended the refresh token")
		}
		a = r.post(p, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
		access, refresh = a.text("access_token"), a.text("refresh_token")
		if got := r.post(p, "/csc/v2/oauth2/revoke", url.Values{"token": {refresh}, "token_type_hint": {"refresh_token"}}); got.status != http.StatusNoContent || len(got.body) != 0 {
			t.Errorf("got %d %s", got.status, got.body)
		}
		if r.active(p, refresh) || r.active(p, access) {
			t.Error("revoking a refresh token left something of its grant")
		}
		if got := r.post(p, "/oauth2/revoke", url.Values{"token": {"nonsense"}}); got.status != http.StatusOK {
			t.Errorf("unknown token: got %d %s", got.status, got.body)
		}
		r.post(p, "/csc/v2/oauth2/revoke", url.Values{"token": {"nonsense"}}).refused(t, http.StatusBadRequest, "invalid_request")
		r.post(p, "/csc/v2/oauth2/revoke", url.Values{"token": {access}, "token_type_hint": {"x"}}).refused(t, http.StatusBadRequest, "invalid_request")
		r.post(p, "/oauth2/revoke", url.Values{}).refused(t, http.StatusBadRequest, "invalid_request")
	})
}

func TestMetadataIsFoundWhereClientsLook(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		a := r.get(path, nil)
		if a.text("issuer") != issuer || a.text("pushed_authorization_request_endpoint") != issuer+"/oauth2/pushed_authorize" ||
			a.json["authorization_response_iss_parameter_supported"] != true {
			t.Errorf("%s: got %d %s", path, a.status, a.body)
		}
		if diff := cmp.Diff([]any{"S256"}, a.json["code_challenge_methods_supported"]); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(string(a.body), "HS256") || strings.Contains(string(a.body), `"none"]`) && strings.Contains(string(a.body), `"alg":"none"`) {
			t.Errorf("%s offers a symmetric algorithm or none: %s", path, a.body)
		}
	}
}

func TestNonceForProofsIsDemandedWhereConfigured(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db, func(c *oauth.Config) { c.NonceLife = 5 * time.Minute })
		k := newKey(t)
		ask := func(nonce any) answer {
			p := r.jwt()
			p.proof = func(method, path, _ string) string {
				return r.proof(k, method, path, "", map[string]any{"nonce": nonce})
			}
			return r.post(p, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
		}
		a := ask(nil)
		a.refused(t, http.StatusBadRequest, "use_dpop_nonce")
		nonce := a.header.Get("DPoP-Nonce")
		if got := ask(nonce); got.status != http.StatusOK {
			t.Fatalf("with the nonce: got %d %s", got.status, got.body)
		}
		forged := []byte(nonce)
		forged[2]++
		ask(string(forged)).refused(t, http.StatusBadRequest, "use_dpop_nonce")
		r.clock.pass(6 * time.Minute)
		ask(nonce).refused(t, http.StatusBadRequest, "use_dpop_nonce")
	})
}

func TestPurgeDeletesWhatIsLongOverAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		k := newKey(t)
		r.credentialToken(r.jwt().withDPoP(r, k))
		live := r.serviceToken(r.basic())
		if n, err := r.server.Purge(t.Context()); err != nil || n != 0 {
			t.Fatalf("purged %d rows at once, %v", n, err)
		}
		r.clock.pass(26 * time.Hour)
		n, err := r.server.Purge(t.Context())
		if err != nil || n != 7 { // one request, two access tokens, two assertions, two proofs
			t.Errorf("purged %d rows, %v, want 7", n, err)
		}
		if !r.active(r.basic(), live.text("refresh_token")) {
			t.Error("a refresh token that is good was purged")
		}
	})
}

func TestRequestsThatNobodyTookUpAreSoonForgotten(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.push(r.basic(), wish("authorization_details", long()))
		r.push(r.basic(), wish()) // a short one is kept nowhere
		waiting := r.begin(r.push(r.basic(), wish()))
		r.clock.pass(12 * time.Minute)
		if n, err := r.server.Purge(t.Context()); err != nil || n != 1 {
			t.Errorf("purged %d rows, %v, want the one that was only pushed", n, err)
		}
		if a := r.back(waiting); a.status == http.StatusForbidden {
			t.Errorf("the one that waits for the signer was purged: %d", a.status)
		}
	})
}
