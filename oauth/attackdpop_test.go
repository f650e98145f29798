package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
)

const resourcePath = "/csc/v2/signatures/signHash"

func TestBoundTokenIsWorthNothingWithoutItsKey(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		k, other := newKey(t), newKey(t)
		token := r.credentialToken(r.jwt().withDPoP(r, k)).text("access_token")
		proof := func(k *key, change map[string]any) string {
			return r.proof(k, http.MethodPost, resourcePath, token, change)
		}
		if a := r.call("DPoP "+token, proof(k, nil)); a.status != http.StatusOK {
			t.Fatalf("with its key: got %d %s", a.status, a.body)
		}
		now := r.clock.now().Unix()
		for name, c := range map[string]struct{ authorization, proof string }{
			"as Bearer":               {"Bearer " + token, ""},
			"as Bearer with a proof":  {"Bearer " + token, proof(k, nil)},
			"without a proof":         {"DPoP " + token, ""},
			"another key":             {"DPoP " + token, proof(other, nil)},
			"another method":          {"DPoP " + token, proof(k, map[string]any{"htm": "GET"})},
			"another path":            {"DPoP " + token, proof(k, map[string]any{"htu": issuer + "/csc/v2/credentials/list"})},
			"another host":            {"DPoP " + token, proof(k, map[string]any{"htu": "https://evil.example" + resourcePath})},
			"another scheme":          {"DPoP " + token, proof(k, map[string]any{"htu": "http://sign.example" + resourcePath})},
			"no address":              {"DPoP " + token, proof(k, map[string]any{"htu": nil})},
			"old":                     {"DPoP " + token, proof(k, map[string]any{"iat": now - 61})},
			"from the future":         {"DPoP " + token, proof(k, map[string]any{"iat": now + 31})},
			"without time":            {"DPoP " + token, proof(k, map[string]any{"iat": nil})},
			"for another token":       {"DPoP " + token, proof(k, map[string]any{"ath": b64(make([]byte, 32))})},
			"for no token":            {"DPoP " + token, proof(k, map[string]any{"ath": nil})},
			"without jti":             {"DPoP " + token, proof(k, map[string]any{"jti": nil})},
			"made for the token path": {"DPoP " + token, r.proof(k, http.MethodPost, "/oauth2/token", "", nil)},
			"not a proof":             {"DPoP " + token, "x"},
			"scheme alone":            {"DPoP", proof(k, nil)},
			"Basic":                   {"Basic " + token, proof(k, nil)},
		} {
			t.Run(name, func(t *testing.T) {
				r.call(c.authorization, c.proof).refused(t, http.StatusUnauthorized, "invalid_token")
			})
		}
	})
}

func TestProofsThatNobodySignedAreRefused(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	k, other := newKey(t), newKey(t)
	claims := func() map[string]any {
		return map[string]any{"htm": "POST", "htu": issuer + "/oauth2/token", "iat": r.clock.now().Unix(), "jti": store.NewID()}
	}
	header := func(change map[string]any) map[string]any {
		h := map[string]any{"typ": "dpop+jwt", "jwk": k.jwk()}
		for name, v := range change {
			h[name] = v
			if v == nil {
				delete(h, name)
			}
		}
		return h
	}
	private := k.jwk()
	private["d"] = b64(make([]byte, 32))
	offCurve := k.jwk()
	offCurve["y"] = offCurve["x"]
	for name, proof := range map[string]string{
		"alg none":                 parts(header(map[string]any{"alg": "none"}), claims(), nil) + ".",
		"HS256 with the key":       hs256(k.publicPEM(), header(nil), claims(), nil),
		"symmetric key":            hs256([]byte("secret"), header(map[string]any{"jwk": map[string]any{"kty": "oct", "k": b64([]byte("secret"))}}), claims(), nil),
		"signed by another key":    other.sign(header(nil), claims(), nil),
		"no key":                   k.sign(header(map[string]any{"jwk": nil}), claims(), nil),
		"private key":              k.sign(header(map[string]any{"jwk": private}), claims(), nil),
		"point off the curve":      k.sign(header(map[string]any{"jwk": offCurve}), claims(), nil),
		"an assertion":             k.sign(header(map[string]any{"typ": "JWT"}), claims(), nil),
		"no typ":                   k.sign(header(map[string]any{"typ": nil}), claims(), nil),
		"critical extension":       k.sign(header(map[string]any{"crit": []string{"x"}}), claims(), nil),
		"algorithm of another key": k.es384(header(nil), claims()),
		"nothing":                  "..",
	} {
		t.Run(name, func(t *testing.T) {
			p := r.basic()
			p.proof = func(string, string, string) string { return proof }
			for path, form := range map[string]url.Values{"/oauth2/token": clientCredentials, "/oauth2/pushed_authorize": wish()} {
				r.post(p, path, form).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
			}
		})
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("secret", r.secret)
	req.Header.Add("DPoP", k.sign(header(nil), claims(), nil))
	req.Header.Add("DPoP", k.sign(header(nil), claims(), nil))
	r.do(req).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
}

func TestProofIsGoodOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		k := newKey(t)
		token := r.credentialToken(r.jwt().withDPoP(r, k)).text("access_token")
		proof := r.proof(k, http.MethodPost, resourcePath, token, nil)
		if n := atOnce(func() bool { return r.call("DPoP "+token, proof).status == http.StatusOK }); n != 1 {
			t.Errorf("one proof was accepted %d times at the resource", n)
		}
		proof = r.proof(k, http.MethodPost, "/oauth2/token", "", nil)
		p := r.basic()
		p.proof = func(string, string, string) string { return proof }
		if n := atOnce(func() bool { return r.post(p, "/oauth2/token", clientCredentials).status == http.StatusOK }); n != 1 {
			t.Errorf("one proof was accepted %d times at the token endpoint", n)
		}
		proof = r.proof(k, http.MethodPost, "/oauth2/pushed_authorize", "", nil)
		if a := r.post(p, "/oauth2/pushed_authorize", wish()); a.status != http.StatusCreated {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		r.post(p, "/oauth2/pushed_authorize", wish()).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
	})
}

// TestHostHeaderDoesNotMoveTheAddressOfAProof sends a proof made for another host
// with a Host header that agrees with it.
func TestHostHeaderDoesNotMoveTheAddressOfAProof(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	k := newKey(t)
	token := r.credentialToken(r.jwt().withDPoP(r, k)).text("access_token")
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://evil.example"+resourcePath, nil)
	req.Host = "evil.example"
	req.Header.Set("Authorization", "DPoP "+token)
	req.Header.Set("DPoP", r.proof(k, http.MethodPost, resourcePath, token, map[string]any{"htu": "https://evil.example" + resourcePath}))
	r.do(req).refused(t, http.StatusUnauthorized, "invalid_token")
	for _, htu := range []string{"HTTPS://SIGN.example:443" + resourcePath, issuer + resourcePath + "?q=1#f"} { // the same address, spelled otherwise
		if a := r.call("DPoP "+token, r.proof(k, http.MethodPost, resourcePath, token, map[string]any{"htu": htu})); a.status != http.StatusOK {
			t.Errorf("%s: got %d %s", htu, a.status, a.body)
		}
	}
}

func TestCodeAndRefreshTokenAreBoundToTheKeyOfTheProof(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		k, thief := newKey(t), newKey(t)
		for name, push := range map[string]func() url.Values{
			"by the proof of PAR": func() url.Values { return r.push(r.jwt().withDPoP(r, k), wish()) },
			"by dpop_jkt":         func() url.Values { return r.push(r.jwt(), wish("dpop_jkt", k.thumbprint())) },
			"by dpop_jkt, direct": func() url.Values { return wish("dpop_jkt", k.thumbprint(), "client_id", "key") },
		} {
			code := r.code(push())
			r.post(r.jwt().withDPoP(r, thief), "/oauth2/token", redemption(code)).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
			r.post(r.jwt(), "/oauth2/token", redemption(code)).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
			if a := r.post(r.jwt().withDPoP(r, k), "/oauth2/token", redemption(code)); a.text("token_type") != "DPoP" {
				t.Errorf("%s: got %d %s", name, a.status, a.body)
			}
		}
		r.post(r.jwt().withDPoP(r, k), "/oauth2/pushed_authorize", wish("dpop_jkt", thief.thumbprint())).refused(t, http.StatusBadRequest, "invalid_request")
		refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.serviceToken(r.jwt().withDPoP(r, k)).text("refresh_token")}}
		r.post(r.jwt().withDPoP(r, thief), "/oauth2/token", refresh).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
		r.post(r.jwt(), "/oauth2/token", refresh).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
		a := r.post(r.jwt().withDPoP(r, k), "/oauth2/token", refresh)
		if a.status != http.StatusOK || a.text("token_type") != "DPoP" {
			t.Errorf("got %d %s", a.status, a.body)
		}
		r.call("Bearer "+a.text("access_token"), "").refused(t, http.StatusUnauthorized, "invalid_token")
	})
}

func TestUnboundTokenIsNoDPoPToken(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), nil)
	token := r.serviceToken(r.basic()).text("access_token")
	r.call("DPoP "+token, r.proof(newKey(t), http.MethodPost, resourcePath, token, nil)).refused(t, http.StatusUnauthorized, "invalid_token")
}
