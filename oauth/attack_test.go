package oauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/oauth"
)

// atOnce runs do 20 times at once and counts how often it says yes.
func atOnce(do func() bool) int {
	var (
		yes   atomic.Int32
		start = make(chan struct{})
		wg    sync.WaitGroup
	)
	for range 20 {
		wg.Go(func() {
			<-start
			if do() {
				yes.Add(1)
			}
		})
	}
	close(start)
	wg.Wait()
	return int(yes.Load())
}

func TestPushedRequestCannotBeChangedInTheAddress(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		pushed := r.push(r.basic(), wish())
		for name, value := range map[string]string{
			"authorization_details": details("evil.pdf"), "redirect_uri": "https://rp.example/second", "state": "another", "scope": "service",
			"code_challenge": challenge(strings.Repeat("e", 43)), "code_challenge_method": "plain", "response_type": "token", "response_mode": "fragment",
			"credentialID": "cred-2", "hashes": digest("evil"), "numSignatures": "9", "hashAlgorithmOID": "2.16.840.1.101.3.4.2.3", "description": "harmless",
			"lang": "xx", "dpop_jkt": strings.Repeat("A", 43), "request": "e30", "client_secret": "x", "something": "else",
		} {
			q := clone(pushed)
			q.Set(name, value)
			a := r.get("/oauth2/authorize", q)
			a.refused(t, http.StatusBadRequest, "invalid_request")
			if !strings.Contains(a.text("error_description"), name) {
				t.Errorf("%s: got %s", name, a.body)
			}
		}
		if len(r.approver.asked) != 0 {
			t.Fatalf("somebody was asked: %+v", r.approver.asked)
		}
		// What was pushed still stands, and may be repeated as it was.
		pushed.Set("state", "a state")
		pushed.Set("prompt", "login")
		r.begin(pushed)
		if got := r.approver.last().Documents[0].Label; got != "a.pdf" {
			t.Errorf("asked for %q", got)
		}
	})
}

func TestRequestURIIsGoodOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := r.push(r.basic(), wish())
		r.begin(q)
		r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request_uri")
		q = r.push(r.basic(), wish())
		if n := atOnce(func() bool { return r.get("/oauth2/authorize", q).status == http.StatusSeeOther }); n != 1 {
			t.Errorf("one request_uri was taken %d times", n)
		}
		if n := len(r.approver.asked); n != 2 {
			t.Errorf("%d approvals were begun, want 2", n)
		}
	})
}

func TestRequestURIIsGoodFor90SecondsAndItsOwnClient(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := r.push(r.basic(), wish())
		q.Set("client_id", "public")
		r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request_uri")
		q.Del("client_id")
		r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request")
		q.Set("client_id", "secret")
		r.clock.pass(90 * time.Second)
		r.get("/oauth2/authorize", q).refused(t, http.StatusBadRequest, "invalid_request_uri")
		form := wish("request_uri", q.Get("request_uri"))
		r.post(r.basic(), "/oauth2/pushed_authorize", form).refused(t, http.StatusBadRequest, "invalid_request")
	})
}

func TestNothingIsEverFetched(t *testing.T) {
	var hits atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(elsewhere.Close)
	r := newRig(t, storetest.SQLite(t), nil)
	r.get("/oauth2/authorize", url.Values{"client_id": {"secret"}, "request_uri": {elsewhere.URL}, "scope": {"openid"}}).
		refused(t, http.StatusBadRequest, "invalid_request_uri")
	for _, header := range []map[string]any{{"jku": elsewhere.URL}, {"x5u": elsewhere.URL}} {
		stranger := newKey(t)
		p := party{apply: func(_ *http.Request, f url.Values) {
			f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			now := r.clock.now().Unix()
			f.Set("client_assertion", stranger.sign(header, map[string]any{"iss": "key", "sub": "key", "aud": issuer, "exp": now + 60, "jti": store.NewID()}, nil))
		}}
		r.post(p, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).refused(t, http.StatusUnauthorized, "invalid_client")
	}
	if hits.Load() != 0 {
		t.Errorf("an address that somebody gave was called %d times", hits.Load())
	}
}

func TestCodeIsGoodOnceAndReplayEndsItsToken(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		code := r.code(r.push(r.basic(), wish()))
		a := r.post(r.basic(), "/oauth2/token", redemption(code))
		token := a.text("access_token")
		if a.status != http.StatusOK || !r.active(r.basic(), token) {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		r.post(r.basic(), "/oauth2/token", redemption(code)).refused(t, http.StatusBadRequest, "invalid_grant")
		if r.active(r.basic(), token) {
			t.Error("the token of a replayed code is still good")
		}
		code = r.code(r.push(r.basic(), wish()))
		if n := atOnce(func() bool { return r.post(r.basic(), "/oauth2/token", redemption(code)).status == http.StatusOK }); n != 1 {
			t.Errorf("one code was redeemed %d times", n)
		}
	})
}

func TestCodeIsGoodForOneMinute(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		code := r.code(r.push(r.basic(), wish()))
		r.clock.pass(time.Minute)
		r.post(r.basic(), "/oauth2/token", redemption(code)).refused(t, http.StatusBadRequest, "invalid_grant")
	})
}

func TestCodeBelongsToItsClientRedirectAndVerifier(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		code := r.code(r.push(r.basic(), wish()))
		for name, form := range map[string]url.Values{
			"another redirect_uri":   redemption(code, "redirect_uri", "https://rp.example/second"),
			"no redirect_uri":        redemption(code, "redirect_uri", ""),
			"no verifier":            redemption(code, "code_verifier", ""),
			"another verifier":       redemption(code, "code_verifier", strings.Repeat("x", 43)),
			"challenge for verifier": redemption(code, "code_verifier", challenge(verifier)),
			"short verifier":         redemption(code, "code_verifier", "abc"),
			"changed code":           redemption(code[:len(code)-2] + "AA"),
			"made-up code":           redemption("csc_AAAA.BBBB"),
		} {
			t.Run(name, func(t *testing.T) {
				r.post(r.basic(), "/oauth2/token", form).refused(t, http.StatusBadRequest, "invalid_grant")
			})
		}
		other := redemption(code, "authorization_details", details("evil.pdf"))
		r.post(r.basic(), "/oauth2/token", other).refused(t, http.StatusBadRequest, "invalid_authorization_details")
		r.post(r.jwt(), "/oauth2/token", redemption(code)).refused(t, http.StatusBadRequest, "invalid_grant")
		r.post(r.public(), "/oauth2/token", redemption(code)).refused(t, http.StatusBadRequest, "invalid_grant")
		// None of the attempts took the code from the client that owns it.
		if a := r.post(r.basic(), "/oauth2/token", redemption(code)); a.status != http.StatusOK {
			t.Errorf("got %d %s", a.status, a.body)
		}
		// Another client's replay does not end the token either.
		r.post(r.jwt(), "/oauth2/token", redemption(code)).refused(t, http.StatusBadRequest, "invalid_grant")
	})
}

func TestPKCEWithS256IsRequiredOfEveryClient(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	for name, form := range map[string]url.Values{
		"no challenge":         wish("code_challenge", "", "code_challenge_method", ""),
		"method without":       wish("code_challenge", ""),
		"plain":                wish("code_challenge", verifier, "code_challenge_method", "plain"),
		"plain by leaving out": wish("code_challenge_method", ""),
		"unknown method":       wish("code_challenge_method", "S512"),
		"not a digest":         wish("code_challenge", "abc"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range []party{r.basic(), r.jwt(), r.public()} {
				r.post(p, "/oauth2/pushed_authorize", form).refused(t, http.StatusBadRequest, "invalid_request")
				q := clone(form)
				q.Set("client_id", p.id)
				_, got := r.get("/oauth2/authorize", q).location(t)
				if got.Get("error") != "invalid_request" || got.Get("code") != "" {
					t.Errorf("%s: got %v", p.id, got)
				}
			}
		})
	}
}

func TestBrowsersAreSentToRegisteredAddressesOnly(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	for _, uri := range []string{
		"https://evil.example/cb", "https://rp.example.evil.example/cb", "https://rp.example@evil.example/cb", "https://rp.example/cb/", "https://rp.example/cb?x=y",
		"https://rp.example/cb#x", "https://rp.example/cb%2f..", "https://rp.example/CB", "HTTPS://rp.example/cb", "http://rp.example/cb", "https://rp.example:444/cb", "https://rp.example/x/../cb",
		"//evil.example", "/cb", "javascript:alert(1)", "data:text/html,x", "https://rp.example/cb\r\nX: y", "",
		"https://127.0.0.1/native", "http://127.0.0.1/other", "http://127.0.0.1.evil.example/native", "http://127.0.0.1:80@evil.example/native", "http://127.0.0.1@evil.example/native",
		"http://localhost/native", "http://127.0.0.2/native", "http://[::1]/native", "http://127.0.0.1:123456/native", "http://127.0.0.1:/native", "http://127.0.0.1/native?x", "http://127.0.0.1:1x/native",
	} {
		t.Run(uri, func(t *testing.T) {
			r.post(r.basic(), "/oauth2/pushed_authorize", wish("redirect_uri", uri)).refused(t, http.StatusBadRequest, "invalid_request")
			for _, q := range []url.Values{wish("redirect_uri", uri, "client_id", "secret"), {"client_id": {"secret"}, "redirect_uri": {uri}}} {
				a := r.get("/oauth2/authorize", q)
				a.refused(t, http.StatusBadRequest, "invalid_request")
				if a.header.Get("Location") != "" {
					t.Errorf("the browser is sent to %s", a.header.Get("Location"))
				}
			}
		})
	}
	a := r.get("/oauth2/authorize", wish("client_id", "nobody"))
	if a.refused(t, http.StatusBadRequest, "invalid_request"); a.header.Get("Location") != "" {
		t.Error("redirected for an unknown client")
	}
}

func TestErrorPageShowsItsTextAsText(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	q := r.push(r.basic(), wish())
	q.Set("<script>alert(1)</script>", "x")
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/oauth2/authorize?"+q.Encode(), nil)
	req.Header.Set("Accept", "text/html,*/*;q=0.8")
	a := r.do(req)
	if a.status != http.StatusBadRequest || strings.Contains(string(a.body), "<script") || !strings.Contains(string(a.body), "&lt;script") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", a.header)
	}
}

// TestMixedUpIssuerIsNoticedAndGainsNothing is RFC 9207's attack: a client of two
// servers is led to take one's answer for the other's.
func TestMixedUpIssuerIsNoticedAndGainsNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		honest := newRig(t, db, nil)
		other := newRig(t, storetest.SQLite(t), func(c *oauth.Config) {
			c.Issuer, c.Secrets = "https://other.example", [][]byte{[]byte("fedcba9876543210fedcba9876543210")}
		})
		a := honest.get("/.well-known/oauth-authorization-server", nil)
		if a.json["authorization_response_iss_parameter_supported"] != true {
			t.Fatal("the metadata does not announce iss, so clients do not look for it")
		}
		answers := []answer{
			honest.back(honest.begin(honest.push(honest.basic(), wish()))),
			honest.get("/oauth2/authorize", wish("client_id", "secret", "scope", "openid")),
		}
		honest.approver.change = func(o *oauth.Outcome) { o.State = oauth.OutcomeRejected }
		answers = append(answers, honest.back(honest.begin(honest.push(honest.basic(), wish()))))
		for _, a := range answers {
			if _, q := a.location(t); len(q["iss"]) != 1 || q.Get("iss") != issuer {
				t.Errorf("iss of %v is not ours alone", q)
			}
		}
		_, q := answers[0].location(t)
		other.secret = honest.secret
		other.put(oauth.Client{
			ID: "secret", Org: "org-1", Name: "x", Auth: oauth.AuthSecret, Secrets: []string{honest.secret}, Scopes: []string{"credential"}, Redirects: []string{redirect},
		})
		other.post(other.basic(), "/oauth2/token", redemption(q.Get("code"))).refused(t, http.StatusBadRequest, "invalid_grant")
	})
}

func TestWayBackWorksOnlyInTheBrowserThatStarted(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		mine, theirs := r.begin(r.push(r.basic(), wish())), r.begin(r.push(r.basic(), wish()))
		handle := r.approver.decide(mine.sid)
		renamed := *theirs.cookies[0]
		renamed.Name = mine.cookies[0].Name
		forged := *mine.cookies[0]
		forged.Value = strings.Repeat("A", len(forged.Value))
		for name, cookies := range map[string][]*http.Cookie{
			"no cookie": nil, "another authorization's cookie": theirs.cookies, "its value under this name": {&renamed}, "made up": {&forged},
			"empty": {{Name: forged.Name, Value: ""}},
		} {
			a := r.get("/oauth2/approved", url.Values{"sid": {mine.sid}, "handle": {handle}}, cookies...)
			a.refused(t, http.StatusForbidden, "access_denied")
			if a.header.Get("Location") != "" {
				t.Errorf("%s: sent to %s", name, a.header.Get("Location"))
			}
		}
		if r.approver.redeemed != 0 {
			t.Error("the handle was redeemed for another browser")
		}
		_, q := r.get("/oauth2/approved", url.Values{"sid": {mine.sid}, "handle": {handle}}, mine.cookies...).location(t)
		if q.Get("code") == "" {
			t.Errorf("the browser that started got %v", q)
		}
	})
}

func TestCookieOfTheBrowserIsKeptFromEverybodyElse(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	c := r.begin(r.push(r.basic(), wish())).cookies
	if len(c) != 1 || !strings.HasPrefix(c[0].Name, "__Host-") || !c[0].Secure || !c[0].HttpOnly || c[0].SameSite != http.SameSiteLaxMode || c[0].Path != "/" || c[0].Domain != "" || c[0].MaxAge <= 0 {
		t.Errorf("got %+v", c)
	}
	local := newRig(t, storetest.SQLite(t), func(c *oauth.Config) { c.Issuer = "http://sign.localhost:8080" })
	c = local.begin(local.push(local.basic(), wish())).cookies
	if len(c) != 1 || strings.HasPrefix(c[0].Name, "__Host-") || c[0].Secure || !c[0].HttpOnly {
		t.Errorf("without https: got %+v", c)
	}
}

func TestHandleIsGoodOnceAndForItsOwnApproval(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		a, b := r.begin(r.push(r.basic(), wish())), r.begin(r.push(r.basic(), wish()))
		handle := r.approver.decide(a.sid)
		r.get("/oauth2/approved", url.Values{"sid": {b.sid}, "handle": {handle}}, b.cookies...).refused(t, http.StatusBadRequest, "invalid_request")
		back := func() answer {
			return r.get("/oauth2/approved", url.Values{"sid": {a.sid}, "handle": {handle}}, a.cookies...)
		}
		if n := atOnce(func() bool { return back().status == http.StatusSeeOther }); n != 1 {
			t.Errorf("one handle gave %d codes", n)
		}
		back().refused(t, http.StatusBadRequest, "invalid_request")
		// A second handle for an approval that is answered gives no second code, and
		// is not even looked at.
		redeemed := r.approver.redeemed
		r.back(a).refused(t, http.StatusBadRequest, "invalid_request")
		if r.approver.redeemed != redeemed {
			t.Error("a handle was redeemed for an authorization that is over")
		}
		// And the one that was tried with a wrong handle still comes to its end.
		if _, q := r.back(b).location(t); q.Get("code") == "" {
			t.Errorf("got %v", q)
		}
	})
}

func TestWayBackEndsSomeTimeAfterTheApproval(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		waiting := r.begin(r.push(r.basic(), wish()))
		r.clock.pass(15 * time.Minute)
		r.back(waiting).refused(t, http.StatusBadRequest, "invalid_request")
	})
}

// TestCarelessApproverCannotGiveTwoCodes has an approver that redeems a handle for
// everybody: our own state must decide.
func TestCarelessApproverCannotGiveTwoCodes(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		p := r.begin(r.push(r.basic(), wish()))
		if n := atOnce(func() bool { return r.back(p).status == http.StatusSeeOther }); n != 1 {
			t.Errorf("one approval gave %d codes", n)
		}
	})
}

func TestApprovalOfSomethingElseGivesNoCode(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for name, change := range map[string]func(*oauth.Outcome){
			"another credential": func(o *oauth.Outcome) { o.Credential = "cred-2" },
			"no credential":      func(o *oauth.Outcome) { o.Credential = "" },
			"another client":     func(o *oauth.Outcome) { o.Client = "key" },
			"another approval":   func(o *oauth.Outcome) { o.SID = "other" },
			"no signer":          func(o *oauth.Outcome) { o.Signer = "" },
			"other number":       func(o *oauth.Outcome) { o.Count = 7 },
			"unknown state":      func(o *oauth.Outcome) { o.State = "pending" },
			"already over":       func(o *oauth.Outcome) { o.Expires = r.clock.now() },
		} {
			r.approver.change = change
			_, q := r.back(r.begin(r.push(r.basic(), wish()))).location(t)
			if q.Get("code") != "" || (q.Get("error") != "server_error" && q.Get("error") != "access_denied") {
				t.Errorf("%s: got %v", name, q)
			}
		}
	})
}

func TestTokenOfOneCredentialSaysSoWhereverItIsUsed(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		form := wish("authorization_details", strings.Replace(details("x"), credential, "cred-2", 1))
		one := r.credentialToken(r.basic()).text("access_token")
		two := r.post(r.basic(), "/oauth2/token", redemption(r.code(r.push(r.basic(), form)))).text("access_token")
		service := r.serviceToken(r.basic()).text("access_token")
		got := [3]string{}
		sids := map[string]bool{}
		for i, token := range []string{one, two, service} {
			a := r.call("Bearer "+token, "")
			got[i] = fmt.Sprint(a.json["Scope"], " ", a.json["Credential"])
			sids[a.text("SID")] = true
		}
		if want := [3]string{"credential cred-1", "credential cred-2", "service "}; got != want || len(sids) != 3 {
			t.Errorf("got %q with approvals %v, want %q", got, sids, want)
		}
	})
}

func TestTokensOfAnotherClientAreOutOfReach(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		mine := r.serviceToken(r.basic())
		access, refresh := mine.text("access_token"), mine.text("refresh_token")
		for _, token := range []string{access, refresh} {
			if r.active(r.jwt(), token) {
				t.Error("another client may introspect the token")
			}
			r.post(r.jwt(), "/oauth2/revoke", url.Values{"token": {token}})
			r.post(r.jwt(), "/csc/v2/oauth2/revoke", url.Values{"token": {token}}).refused(t, http.StatusBadRequest, "invalid_request")
			r.post(r.public(), "/oauth2/revoke", url.Values{"token": {token}})
			if !r.active(r.basic(), token) {
				t.Fatal("another client revoked the token")
			}
		}
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
		r.post(r.jwt(), "/oauth2/token", form).refused(t, http.StatusBadRequest, "invalid_grant")
		next := r.post(r.basic(), "/oauth2/token", form)
		if next.status != http.StatusOK {
			t.Fatalf("got %d %s", next.status, next.body)
		}
		// Presenting a used one as another client is no re-use by the owner.
		r.post(r.jwt(), "/oauth2/token", form).refused(t, http.StatusBadRequest, "invalid_grant")
		if !r.active(r.basic(), next.text("refresh_token")) {
			t.Error("another client ended the grant")
		}
		// One kind of token is not another.
		r.call("Bearer "+refresh, "").refused(t, http.StatusUnauthorized, "invalid_token")
		r.post(r.basic(), "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {next.text("access_token")}}).
			refused(t, http.StatusBadRequest, "invalid_grant")
	})
}

func TestUsedRefreshTokenEndsItsWholeGrant(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		refresh := func(token string) answer {
			return r.post(r.basic(), "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
		}
		first := r.serviceToken(r.basic())
		second := refresh(first.text("refresh_token"))
		refresh(first.text("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
		for _, token := range []string{first.text("access_token"), second.text("access_token"), second.text("refresh_token")} {
			if r.active(r.basic(), token) {
				t.Error("a token of the grant is still good")
			}
		}
		refresh(second.text("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
		// Another grant of the same client is untouched by all this.
		other := r.serviceToken(r.basic())
		token := other.text("refresh_token")
		if n := atOnce(func() bool { return refresh(token).status == http.StatusOK }); n != 1 {
			t.Errorf("one refresh token was exchanged %d times", n)
		}
		if r.active(r.basic(), other.text("access_token")) {
			t.Error("19 re-uses did not end the grant")
		}
	})
}
