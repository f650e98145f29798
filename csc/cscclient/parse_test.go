package cscclient

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// These two parsers read what comes from a browser and from another server; they
// are not reachable one by one through the front door.

func FuzzCallback(f *testing.F) {
	const redirect = "https://rp.example/cb?tenant=1"
	for _, s := range []string{
		redirect + "&code=c&state=s&iss=https://as.example", redirect + "&error=access_denied&state=s&iss=https://as.example", "https://rp.example/cb?state=s",
		"https://evil.example/cb?code=c&state=s", "https://rp.example/cb?code=c&code=d&state=s", "https://rp.example/cb?state=s;code=c", "", "%", "https://rp.example/cb#code=c&state=s",
	} {
		f.Add(s)
	}
	want := callback{redirectURI: redirect, state: "s", issuer: "https://as.example", needIss: true}
	f.Fuzz(func(t *testing.T, final string) {
		code, err := parseCallback(final, want)
		if err != nil {
			if k := fault.Of(err).Kind; code != "" || (k != fault.Unavailable && k != fault.Forbidden) {
				t.Errorf("code %q beside %v", code, err)
			}
			return
		}
		u, err := url.Parse(final)
		if err != nil || u.Scheme != "https" || u.Host != "rp.example" || u.Path != "/cb" || code == "" {
			t.Errorf("took %q", final)
			return
		}
		q := u.Query()
		if q.Get("state") != "s" || q.Get("iss") != "https://as.example" || q.Has("error") && q.Get("error") != "" || len(q["code"]) != 1 {
			t.Errorf("took %q", final)
		}
	})
}

func FuzzTokenResponse(f *testing.F) {
	for _, s := range []string{
		`{"access_token":"a","token_type":"Bearer","expires_in":60}`, `{"access_token":"a","token_type":"SAD"}`, `{"access_token":"a b","token_type":"bearer"}`,
		`{"access_token":"a","token_type":"Bearer","expires_in":-1}`, `{"access_token":"a","token_type":"Bearer","expires_in":9e99}`, `[]`, `null`,
		`{"access_token":"a","token_type":"Bearer","authorization_details":[{"type":"credential","credentialID":"c","documentDigests":[{"hash":"x","label":null}]}]}`,
	} {
		f.Add([]byte(s))
	}
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := parseToken(body, now)
		if err != nil {
			return
		}
		if token.Value == "" || strings.ContainsAny(token.Value, " \r\n\x00") || !token.Expires.After(now) {
			t.Errorf("took %q: %+v", body, token)
		}
	})
}
