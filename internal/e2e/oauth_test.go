package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
)

// TestOAuthHoldsAgainstAttackersAndServesAStockClient attacks a whole
// installation with https on each database, and then lets a client that we did not
// write go through it.
func TestOAuthHoldsAgainstAttackersAndServesAStockClient(t *testing.T) {
	eachEngine(t, options{https: true, settings: map[string]map[string]any{
		"gateway": {"rate": 0}, "sam": {"approval_rate": 1000, "approval_burst": 1000},
	}}, func(t *testing.T, in *installation) {
		attackOAuth(t, in)
		if in.postgres() {
			return // what a stock client sees is the same
		}
		driver := stockClient(t)
		if driver == "" {
			return // said aloud
		}
		t.Attr("feature", "R11")
		t.Run("stock client", func(t *testing.T) { in.stockClientGoesThrough(t, driver) })
	})
}

func attackOAuth(t *testing.T, in *installation) {
	t.Helper()
	bob := in.enrol(t, "bob", "Bob", "Other")
	a := &attack{
		in: in, victim: in.party(t),
		other: in.partyOf(t, "other-party", in.client(t, "other-party", bob.Signer), bob),
		both:  in.partyOf(t, "both-party", in.client(t, "both-party", in.signer.Signer, bob.Signer), in.signer),
		bob:   bob,
	}
	for _, c := range []struct {
		name string
		try  func(t *testing.T)
	}{
		{"session of another browser at the way back", a.anotherBrowser},
		{"mix-up of issuers", a.mixUp},
		{"parameters beside and against the pushed ones", a.besideThePushed},
		{"redirect mismatch and open redirect", a.redirects},
		{"PKCE missing and downgraded", a.withoutPKCE},
		{"request_uri replayed 20 at once", a.requestURIReplayed},
		{"code replayed 20 at once", a.codeReplayed},
		{"signHash repeated 20 at once", a.signHashRepeated},
		{"credential token on another credential", a.anotherCredential},
		{"service token where a credential's is needed", a.serviceToken},
		{"code and token of another client", a.anotherClient},
	} {
		t.Run(c.name, c.try)
	}
}

// attack is what attackers have: clients and signers of their own.
type attack struct {
	in     *installation
	victim *party // Ada's relying party
	other  *party // Bob's
	both   *party // of both signers
	bob    *person
}

// began pushes a request and brings a browser to the approval.
func (a *attack) began(t *testing.T, p *party, hashes ...[]byte) (*cscclient.Authorization, *http.Client, string) {
	t.Helper()
	auth, err := p.client.Authorize(t.Context(), p.details(hashes...))
	if err != nil {
		t.Fatal(err)
	}
	browser := a.in.newBrowser(t)
	page := get(t, browser, auth.URL)
	if !strings.HasPrefix(page.to, a.in.approval+"/a/") {
		t.Fatalf("%d, to %q: %s", page.status, page.to, page.body)
	}
	return auth, browser, page.to
}

// approved is began with the signer's yes; it returns the way back.
func (a *attack) approved(t *testing.T, p *party, hashes ...[]byte) (*cscclient.Authorization, *http.Client, string) {
	t.Helper()
	auth, browser, page := a.began(t, p, hashes...)
	back, err := p.approve(t.Context(), page, &thumb{})
	if err != nil {
		t.Fatal(err)
	}
	return auth, browser, back
}

// code is approved to its end: where the browser ends, with a code.
func (a *attack) code(t *testing.T, p *party, hashes ...[]byte) (*cscclient.Authorization, string) {
	t.Helper()
	auth, browser, back := a.approved(t, p, hashes...)
	final := get(t, browser, back).to
	if !strings.HasPrefix(final, a.in.redirect+"?") || !strings.Contains(final, "code=") {
		t.Fatalf("the browser ends at %q", final)
	}
	return auth, final
}

func (a *attack) anotherBrowser(t *testing.T) {
	auth, own, back := a.approved(t, a.victim, hash())
	stranger := a.in.newBrowser(t)
	if p := get(t, stranger, back); p.status != http.StatusForbidden || p.to != "" {
		t.Errorf("a browser that started nothing: %d, to %q", p.status, p.to)
	}
	_, busy, _ := a.began(t, a.victim, hash())
	if p := get(t, busy, back); p.status != http.StatusForbidden || p.to != "" {
		t.Errorf("a browser that started something else: %d, to %q", p.status, p.to)
	}
	final := get(t, own, back).to
	if _, err := a.victim.client.Redeem(t.Context(), auth, final); err != nil {
		t.Errorf("the browser that started: %v", err)
	}
	if p := get(t, own, back); p.to != "" || p.status < 400 {
		t.Errorf("the way back a second time: %d, to %q", p.status, p.to)
	}
}

func (a *attack) mixUp(t *testing.T) {
	auth, final := a.code(t, a.victim, hash())
	u, err := url.Parse(final)
	if err != nil {
		t.Fatal(err)
	}
	if iss := u.Query().Get("iss"); iss != a.in.issuer {
		t.Errorf("the answer says it is of %q", iss)
	}
	for what, change := range map[string]func(url.Values){
		"another issuer": func(q url.Values) { q.Set("iss", "https://attacker.example") },
		"no issuer":      func(q url.Values) { q.Del("iss") },
		"another state":  func(q url.Values) { q.Set("state", "other") },
	} {
		q := u.Query()
		change(q)
		mixed := *u
		mixed.RawQuery = q.Encode()
		if _, err := a.victim.client.Redeem(t.Context(), auth, mixed.String()); err == nil {
			t.Errorf("%s: the client takes it", what)
		}
	}
	// The attacker's server got the code and plays it at the honest one, and at one
	// of its own kind.
	code := u.Query().Get("code")
	if p := a.token(t, a.in, a.other, url.Values{"code": {code}, "code_verifier": {auth.Verifier}}); p.status != http.StatusBadRequest || !strings.Contains(p.body, "invalid_grant") {
		t.Errorf("the code in another client's hands: %d %s", p.status, p.body)
	}
	elsewhere := install(t, options{https: true})
	if p := a.token(t, elsewhere, elsewhere.party(t), url.Values{"code": {code}, "code_verifier": {auth.Verifier}}); p.status != http.StatusBadRequest || !strings.Contains(p.body, "invalid_grant") {
		t.Errorf("the code at another server: %d %s", p.status, p.body)
	}
}

// form posts a form to an endpoint of an installation as a client.
func (a *attack) form(t *testing.T, in *installation, p *party, path string, v url.Values) *page {
	t.Helper()
	basic := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(p.id) + ":" + url.QueryEscape(p.secret)))
	return fetch(t, in.newBrowser(t), http.MethodPost, in.issuer+path, "application/x-www-form-urlencoded", v.Encode(), "Authorization", "Basic "+basic)
}

func (a *attack) token(t *testing.T, in *installation, p *party, v url.Values) *page {
	t.Helper()
	v.Set("grant_type", "authorization_code")
	v.Set("redirect_uri", in.redirect)
	return a.form(t, in, p, "/oauth2/token", v)
}

// wish is an authorisation request as a client pushes it.
func (a *attack) wish(t *testing.T, change func(url.Values)) url.Values {
	t.Helper()
	b, err := json.Marshal(a.victim.details(hash()))
	if err != nil {
		t.Fatal(err)
	}
	v := url.Values{
		"response_type": {"code"}, "client_id": {a.victim.id}, "redirect_uri": {a.in.redirect}, "scope": {"credential"}, "state": {"1234567890"},
		"code_challenge": {strings.Repeat("a", 43)}, "code_challenge_method": {"S256"}, "authorization_details": {string(b)},
	}
	change(v)
	return v
}

func (a *attack) besideThePushed(t *testing.T) {
	for name, value := range map[string]string{
		"redirect_uri": "https://attacker.example/cb", "scope": "service", "code_challenge_method": "plain", "authorization_details": "[]", "state": "other",
	} {
		auth, err := a.victim.client.Authorize(t.Context(), a.victim.details(hash()))
		if err != nil {
			t.Fatal(err)
		}
		p := get(t, a.in.newBrowser(t), auth.URL+"&"+name+"="+url.QueryEscape(value))
		if strings.HasPrefix(p.to, "https://attacker") || (p.to != "" && !strings.HasPrefix(p.to, a.in.approval) && !strings.HasPrefix(p.to, a.in.redirect+"?")) {
			t.Errorf("%s beside the pushed request: to %q", name, p.to)
		}
	}
}

func (a *attack) redirects(t *testing.T) {
	for _, to := range []string{
		"https://attacker.example/cb", a.in.redirect + "/more", a.in.redirect + "?x=1", strings.Replace(a.in.redirect, "/callback", "/callback/../other", 1),
		strings.Replace(a.in.redirect, "portal.localhost", "portal.localhost.attacker.example", 1), a.in.redirect + "#f", "",
	} {
		v := a.wish(t, func(v url.Values) { v.Set("redirect_uri", to) })
		if p := a.form(t, a.in, a.victim, "/oauth2/pushed_authorize", v); p.status != http.StatusBadRequest {
			t.Errorf("pushed with %q: %d %s", to, p.status, p.body)
		}
		if p := get(t, a.in.newBrowser(t), a.in.issuer+"/oauth2/authorize?"+v.Encode()); p.to != "" || p.status < 400 {
			t.Errorf("asked with %q: %d, to %q", to, p.status, p.to)
		}
	}
}

func (a *attack) withoutPKCE(t *testing.T) {
	for name, change := range map[string]func(url.Values){
		"missing":   func(v url.Values) { v.Del("code_challenge"); v.Del("code_challenge_method") },
		"no method": func(v url.Values) { v.Del("code_challenge_method") },
		"plain":     func(v url.Values) { v.Set("code_challenge_method", "plain") },
	} {
		if p := a.form(t, a.in, a.victim, "/oauth2/pushed_authorize", a.wish(t, change)); p.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	_, final := a.code(t, a.victim, hash())
	u, err := url.Parse(final)
	if err != nil {
		t.Fatal(err)
	}
	if p := a.token(t, a.in, a.victim, url.Values{"code": {u.Query().Get("code")}}); p.status != http.StatusBadRequest {
		t.Errorf("redeemed without a verifier: %d %s", p.status, p.body)
	}
}

// refusedWith checks that signHash with a token is refused, whichever way it is asked.
func (a *attack) refusedWith(t *testing.T, what string, token *cscclient.Token, credential string, h []byte) {
	t.Helper()
	q := a.both.request(h)
	q.CredentialID = credential
	answer, err := a.both.client.SignHash(context.WithoutCancel(t.Context()), token, q)
	if err == nil || fault.Of(err).Kind == fault.Internal {
		t.Errorf("%s: %+v, %v", what, answer, err)
	}
}

func (a *attack) anotherCredential(t *testing.T) {
	h := hash()
	token, err := a.both.token(t.Context(), &thumb{}, h)
	if err != nil {
		t.Fatal(err)
	}
	a.refusedWith(t, "Ada's token on Bob's key", token, a.bob.Credential, h)
	a.refusedWith(t, "Ada's token on no key", token, "none", h)
	a.refusedWith(t, "Ada's token for another hash", token, a.both.who.Credential, hash())
	if _, err := a.both.signHash(t.Context(), token, h); err != nil {
		t.Errorf("the token on its own key: %v", err)
	}
}

func (a *attack) serviceToken(t *testing.T) {
	token, err := a.both.client.ServiceToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.refusedWith(t, "a service token", token, a.both.who.Credential, hash())
	a.refusedWith(t, "no token", &cscclient.Token{Value: "none"}, a.both.who.Credential, hash())
}

func (a *attack) anotherClient(t *testing.T) {
	h := hash()
	auth, final := a.code(t, a.victim, h)
	thief := *auth
	if token, err := a.other.client.Redeem(t.Context(), &thief, final); err == nil {
		t.Errorf("another client redeems the code: %+v", token)
	}
	token, err := a.victim.token(t.Context(), &thumb{}, h)
	if err != nil {
		t.Fatal(err)
	}
	// Another client can neither look into the token nor end it.
	look := a.form(t, a.in, a.other, "/oauth2/introspect", url.Values{"token": {token.Value}})
	if !strings.Contains(strings.ReplaceAll(look.body, " ", ""), `"active":false`) {
		t.Errorf("introspection by another client: %s", look.body)
	}
	a.form(t, a.in, a.other, "/oauth2/revoke", url.Values{"token": {token.Value}})
	if _, err := a.victim.signHash(t.Context(), token, h); err != nil {
		t.Errorf("after another client's revocation: %v", err)
	}
	// Its own token does not open Ada's credential.
	own, err := a.other.client.ServiceToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := fetch(t, a.in.newBrowser(t), http.MethodPost, a.in.issuer+"/csc/v2/credentials/info", "application/json",
		fmt.Sprintf(`{"credentialID":%q}`, a.victim.who.Credential), "Authorization", "Bearer "+own.Value)
	if p.status != http.StatusBadRequest {
		t.Errorf("another client's look at the credential: %d %s", p.status, p.body)
	}
}
