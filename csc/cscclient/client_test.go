package cscclient_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/csc/csctest"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

func config(s *csctest.Service) cscclient.Config {
	return cscclient.Config{BaseURL: s.Base, ClientID: csctest.ClientID, ClientSecret: csctest.ClientSecret, RedirectURI: csctest.RedirectURI}
}

func newClient(t *testing.T, c cscclient.Config) *cscclient.Client {
	t.Helper()
	client, err := cscclient.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func wantFault(t *testing.T, err error, k fault.Kind, code string) {
	t.Helper()
	if f := fault.Of(err); err == nil || f.Kind != k || f.Code != code {
		t.Errorf("error %v (kind %s, code %s), want %s %s", err, f.Kind, f.Code, k, code)
	}
}

func TestWholeWayOfASignature(t *testing.T) {
	s := csctest.Start(t, signing.P256)
	c := newClient(t, config(s))
	ctx := t.Context()
	list, err := c.CredentialsList(ctx, &csc.CredentialsListRequest{CredentialInfo: true})
	if err != nil || len(list.CredentialInfos) != 1 {
		t.Fatalf("list %+v, %v", list, err)
	}
	hash := "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	a, err := c.Authorize(ctx, []csc.AuthorizationDetail{{
		Type: csc.DetailType22, CredentialID: list.CredentialIDs[0], NumSignatures: 1, HashAlgorithmOID: signing.OIDSHA256,
		DocumentDigests: []csc.DocumentDigest{{Hash: hash, Label: "a"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(a.URL, "47DEQ") || !strings.Contains(a.URL, "request_uri=") || strings.Contains(a.URL, a.Verifier) {
		t.Errorf("the URL says too much: %s", a.URL)
	}
	final, err := s.Approve(ctx, a.URL)
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.Redeem(ctx, a, final)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := c.SignHash(ctx, token, &csc.SignHashRequest{CredentialID: list.CredentialIDs[0], Hashes: []string{hash}, SignAlgo: signing.ECDSAWithSHA256.OID()})
	if err != nil || len(signed.Signatures) != 1 {
		t.Fatalf("%+v, %v", signed, err)
	}
	if err := c.Revoke(ctx, token); err != nil {
		t.Error(err)
	}
	if _, err := c.Redeem(ctx, a, final); err == nil {
		t.Error("the code counted twice")
	}
}

func TestServerWithoutMetadataIsFoundByInfo(t *testing.T) {
	s := csctest.Start(t, signing.P256)
	s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/.well-known/") {
			return false
		}
		http.NotFound(w, r)
		return true
	}
	c := newClient(t, config(s))
	if _, err := c.ServiceToken(t.Context()); err != nil {
		t.Error(err)
	}
	named := config(s)
	named.Issuer = s.Issuer
	_, err := newClient(t, named).ServiceToken(t.Context())
	wantFault(t, err, fault.Unavailable, cscclient.CodeGarbage)
}

func TestMetadataOfAnotherIssuer(t *testing.T) {
	s := csctest.Start(t, signing.P256)
	s.Issuer = "https://evil.example"
	c := config(s)
	c.Issuer = s.URL
	_, err := newClient(t, c).ServiceToken(t.Context())
	wantFault(t, err, fault.Unavailable, cscclient.CodeGarbage)
}

func TestSecretsAreNotSentInTheClear(t *testing.T) {
	for _, base := range []string{"http://sign.example/csc/v2", "http://192.0.2.1/csc/v2", "ftp://sign.example/csc/v2", "https://u:p@sign.example/csc/v2", "https://sign.example/csc/v1", "sign.example/csc/v2", "http://localhost.example/csc/v2"} {
		if _, err := cscclient.New(cscclient.Config{BaseURL: base, ClientID: "rp"}); err == nil {
			t.Errorf("%s was taken", base)
		}
	}
	for _, base := range []string{"https://sign.example/csc/v2", "https://sign.example/tenant/csc/v2", "http://sign.localhost:8080/csc/v2", "http://127.0.0.1:8080/csc/v2", "http://[::1]:8080/csc/v2"} {
		if _, err := cscclient.New(cscclient.Config{BaseURL: base, ClientID: "rp"}); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	s := csctest.Start(t, signing.P256)
	s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/.well-known/") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":"http://evil.example/a","token_endpoint":"http://evil.example/t"}`, s.Issuer)
		return true
	}
	_, err := newClient(t, config(s)).ServiceToken(t.Context())
	wantFault(t, err, fault.Unavailable, cscclient.CodeGarbage)
}

func TestNamesBelowLocalhostAreThisMachine(t *testing.T) {
	s := csctest.Start(t, signing.P256)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	c := config(s)
	c.BaseURL = "http://sign.localhost:" + port + "/csc/v2"
	if _, err := newClient(t, c).Info(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReadsAreRepeatedAndSignHashIsNot(t *testing.T) {
	s := csctest.Start(t, signing.P256)
	seen := map[string]int{}
	s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		seen[r.URL.Path]++
		if seen[r.URL.Path] == 1 && strings.HasPrefix(r.URL.Path, "/csc/") {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	}
	c := newClient(t, config(s))
	if _, err := c.CredentialsList(t.Context(), &csc.CredentialsListRequest{}); err != nil {
		t.Error(err)
	}
	_, err := c.SignHash(t.Context(), &cscclient.Token{Value: "x"}, &csc.SignHashRequest{})
	wantFault(t, err, fault.Unavailable, cscclient.CodeGarbage)
	if seen["/csc/v2/credentials/list"] != 2 || seen["/csc/v2/signatures/signHash"] != 1 {
		t.Errorf("requests %v", seen)
	}
}

func TestServiceTokenIsKeptAndRenewed(t *testing.T) {
	s := csctest.Start(t, signing.P256)
	now := time.Now()
	cfg := config(s)
	cfg.Now = func() time.Time { return now }
	c := newClient(t, cfg)
	first, err := c.ServiceToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.ServiceToken(t.Context()); err != nil || again != first {
		t.Errorf("another token: %v", err)
	}
	now = now.Add(290 * time.Second)
	if later, err := c.ServiceToken(t.Context()); err != nil || later.Value == first.Value {
		t.Errorf("the old token: %v", err)
	}
	refused := false
	s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/csc/v2/credentials/list" || refused {
			return false
		}
		refused = true // as after a restart that lost its tokens
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_token"}`))
		return true
	}
	if _, err := c.CredentialsList(t.Context(), &csc.CredentialsListRequest{}); err != nil {
		t.Error(err)
	}
}

func TestWrongClientSecret(t *testing.T) {
	s := csctest.Start(t, signing.P256)
	c := config(s)
	c.ClientSecret = "wrong"
	_, err := newClient(t, c).ServiceToken(t.Context())
	wantFault(t, err, fault.Unauthenticated, cscclient.CodeRefused)
}

func TestCertificateOfTheServiceIsChecked(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"methods":["info"],"authType":["oauth2client"]}`))
	}))
	t.Cleanup(server.Close)
	c := cscclient.Config{BaseURL: server.URL + "/csc/v2", ClientID: "rp"}
	_, err := newClient(t, c).Info(t.Context())
	wantFault(t, err, fault.Unavailable, cscclient.CodeUntrusted)

	c.RootCAs = x509.NewCertPool()
	c.RootCAs.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	c.Counter = &cscclient.Counter{}
	if _, err := newClient(t, c).Info(t.Context()); err != nil {
		t.Error(err)
	}
	if c.Counter.Sent() < 100 || c.Counter.Received() < 100 {
		t.Errorf("counted %d and %d", c.Counter.Sent(), c.Counter.Received())
	}
}

func TestFetcherStaysOutOfPrivateNetworks(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("secret")) }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	public := cscclient.NewFetcher(cscclient.FetcherConfig{Timeout: 2 * time.Second})
	for _, host := range []string{"127.0.0.1", "localhost", "inner.localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "[fe80::1]", "[fd00::1]", "2130706433"} {
		start := time.Now()
		_, err := public.CRL(t.Context(), "http://"+host+":"+port+"/x.crl")
		if fault.Of(err).Kind != fault.Unavailable || time.Since(start) > time.Second {
			t.Errorf("%s: %v after %s", host, err, time.Since(start))
		}
	}
	for _, scheme := range []string{"ldap://x/y", "file:///etc/passwd", "http://", "gopher://x", "http://user@127.0.0.1/"} {
		if _, err := public.CRL(t.Context(), scheme); fault.Of(err).Kind != fault.Unavailable {
			t.Errorf("%s: %v", scheme, err)
		}
	}
	for name, c := range map[string]cscclient.FetcherConfig{"loopback": {Loopback: true}, "named": {Hosts: []string{"127.0.0.1"}}} {
		if body, err := cscclient.NewFetcher(c).CRL(t.Context(), server.URL); err != nil || string(body) != "secret" {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
}

func TestFetcherDoesNotFollowRedirects(t *testing.T) {
	hit := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/inner" {
			hit = true
		}
		http.Redirect(w, r, "/inner", http.StatusFound)
	}))
	t.Cleanup(server.Close)
	_, err := cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true}).Certificate(t.Context(), server.URL+"/ca.crt")
	wantFault(t, err, fault.Unavailable, cscclient.CodeGarbage)
	if hit {
		t.Error("the redirect was followed")
	}
}

func TestProxyMayBeAtAPrivateAddress(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("via " + r.Host)) }))
	t.Cleanup(proxy.Close)
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := cscclient.NewFetcher(cscclient.FetcherConfig{Proxy: http.ProxyURL(u)})
	if body, err := f.CRL(t.Context(), "http://crl.example/ca.crl"); err != nil || string(body) != "via crl.example" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestTokenForAnotherCredential(t *testing.T) {
	s := csctest.Start(t, signing.P256)
	c := newClient(t, config(s))
	a, err := c.Authorize(t.Context(), []csc.AuthorizationDetail{{Type: csc.DetailType22, CredentialID: csctest.CredentialID}})
	if err != nil {
		t.Fatal(err)
	}
	final, err := s.Approve(t.Context(), a.URL)
	if err != nil {
		t.Fatal(err)
	}
	a.Details[0].CredentialID = "another" // what was asked, as far as this client knows
	_, err = c.Redeem(t.Context(), a, final)
	wantFault(t, err, fault.Unavailable, cscclient.CodeGarbage)
}
