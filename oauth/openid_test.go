package oauth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/oauth"
)

// driver finds the scripts that drive openid-client, a certified OAuth client that
// we did not write. ORACLES names their folder.
func driver(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ORACLES")
	if dir == "" {
		t.Skip("NOT TESTED with openid-client: ORACLES does not name the folder of its driver")
	}
	script, err := filepath.Abs(filepath.Join(dir, "csc", "oauth_client.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	give := t.Skipf
	if os.Getenv("CI") == "true" {
		give = t.Fatalf
	}
	if _, err := os.Stat(script); err != nil {
		give("NOT TESTED with openid-client: %v", err)
	}
	cache := os.Getenv("ORACLES_CACHE")
	if cache == "" {
		home, _ := os.UserHomeDir()
		cache = filepath.Join(home, ".cache", "countersign-oracles")
	}
	if _, err := os.Stat(filepath.Join(cache, "csc", "npm", "node_modules", "openid-client")); err != nil {
		give("NOT TESTED with openid-client: %v (run setup.sh npm beside the driver)", err)
	}
	if _, err := exec.LookPath("node"); err != nil {
		give("NOT TESTED with openid-client: %v", err)
	}
	return script
}

// live is a rig on a real address with a real certificate.
type live struct {
	*rig
	script, issuer, ca, dir string
}

func newLive(t *testing.T, change ...func(*oauth.Config)) *live {
	t.Helper()
	l := &live{script: driver(t), dir: t.TempDir()}
	server := httptest.NewUnstartedServer(nil)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	l.issuer = "https://localhost:" + port
	l.rig = newRig(t, storetest.SQLite(t), func(c *oauth.Config) {
		c.Issuer, c.Now = l.issuer, nil
		for _, f := range change {
			f(c)
		}
	})
	l.clock.t = time.Now()
	l.approver.page = l.issuer + "/approve/"
	l.mux.HandleFunc(http.MethodGet, "/approve/{sid}", func(w http.ResponseWriter, r *http.Request) { // a signer who always agrees
		sid := r.PathValue("sid")
		q := url.Values{"sid": {sid}, "handle": {l.approver.decide(sid)}}
		http.Redirect(w, r, l.issuer+oauth.ReturnPath+"?"+q.Encode(), http.StatusSeeOther)
	})
	cert, caPEM := certificate(t)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.Config.Handler = l.mux
	server.StartTLS()
	t.Cleanup(server.Close)
	l.ca = l.write("ca.pem", caPEM)
	return l
}

func (l *live) write(name string, b []byte) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// run drives the client and returns its steps by name. Every one must have gone
// well unless failing is expected.
func (l *live) run(args ...string) (steps map[string]map[string]any, ok bool, log string) {
	l.t.Helper()
	approve := "node " + filepath.Join(filepath.Dir(l.script), "selftest", "approve.mjs") + " " + l.ca
	full := append([]string{l.script, "--issuer", l.issuer, "--ca", l.ca, "--redirect", redirect, "--approve", approve}, args...)
	cmd := exec.CommandContext(l.t.Context(), "node", full...)
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	err := cmd.Run()
	steps = map[string]map[string]any{}
	for line := range strings.Lines(out.String()) {
		var step map[string]any
		if json.Unmarshal([]byte(line), &step) == nil {
			name, _ := step["step"].(string)
			steps[name] = step
		}
	}
	return steps, err == nil, out.String() + trouble.String()
}

// certificate makes a test CA and a certificate of localhost.
func certificate(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	issue := func(tmpl, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = priv
		}
		tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &priv.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, priv
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, caKey := issue(ca, ca, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, priv := issue(leaf, ca, caKey)
	return tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: priv}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
}

// TestOpenIDClientCompletesEveryFlow runs openid-client, unmodified. Its steps
// include what must fail: a wrong verifier, a replayed code, a bound token with
// another key and as Bearer.
func TestOpenIDClientCompletesEveryFlow(t *testing.T) {
	l := newLive(t)
	key := l.write("rp.pem", l.key.privatePEM())
	rar := l.write("rar.json", []byte(strings.Replace(details("a.pdf", "b.pdf"), `"credentialID"`, `"numSignatures":2,"credentialID"`, 1)))
	call := []string{"--call", l.issuer + resourcePath, "--body", "{}", "--rfc7009"}
	jwt := []string{"--client-id", "key", "--auth", "jwt", "--key", key, "--kid", "k1"}
	basic := []string{"--client-id", "secret", "--auth", "basic", "--secret", l.secret}
	post := []string{"--client-id", "secret", "--auth", "post", "--secret", l.secret}
	public := []string{"--client-id", "public"}
	credential := []string{"--scope", "credential", "--rar", rar}
	plain := []string{
		"--scope", "credential", "--param", "credentialID=cred-1", "--param", "numSignatures=1", "--param", "hashAlgorithmOID=2.16.840.1.101.3.4.2.1",
		"--param", "hashes=" + strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(digest("a")), "="),
	}
	service := []string{"--grant", "client_credentials"}
	join := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	flow := []string{"discovery", "par", "approve", "wrong code_verifier refused", "code", "call", "introspect", "revoke", "revoked token inactive", "code replay refused"}
	bound := []string{"other DPoP key refused", "DPoP token as Bearer refused"}
	for name, c := range map[string]struct{ args, steps []string }{
		"PAR, RAR, DPoP, private_key_jwt":        {join(jwt, credential, call, []string{"--dpop"}), join(flow, bound, []string{"authorization_details echoed"})},
		"the same with OpenID discovery":         {join(jwt, credential, call, []string{"--dpop", "--oidc"}), join(flow, bound)},
		"DPoP with Ed25519":                      {join(jwt, credential, call, []string{"--dpop", "Ed25519"}), join(flow, bound)},
		"client_secret_basic":                    {join(basic, credential, call), flow},
		"client_secret_post":                     {join(post, credential, call), flow},
		"public client with DPoP":                {join(public, credential, call, []string{"--dpop", "--skip", "introspect"}), join(bound, []string{"par", "code", "call", "revoke", "code replay refused"})},
		"parameters of CSC instead of RAR":       {join(basic, plain, call), flow},
		"without PAR":                            {join(basic, credential, call, []string{"--no-par"}), []string{"authorization_url", "approve", "code", "call"}},
		"client credentials, refresh, basic":     {join(basic, service, call), []string{"client_credentials", "call", "introspect", "refresh", "revoke", "revoked token inactive"}},
		"client credentials, refresh, jwt, DPoP": {join(jwt, service, call, []string{"--dpop"}), join(bound, []string{"client_credentials", "call", "refresh", "revoke"})},
		"client credentials, client_secret_post": {join(post, service, call), []string{"client_credentials", "call", "refresh", "revoke"}},
	} {
		t.Run(name, func(t *testing.T) {
			steps, ok, log := l.run(c.args...)
			if !ok {
				t.Fatalf("the client complains:\n%s", log)
			}
			for _, step := range c.steps {
				if steps[step] == nil || steps[step]["ok"] != true {
					t.Errorf("step %q is missing or failed:\n%s", step, log)
				}
			}
		})
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"another key":                {join([]string{"--client-id", "key", "--auth", "jwt", "--key", l.write("other.pem", newKey(t).privatePEM()), "--kid", "k1"}, credential), "invalid_client"},
		"wrong secret":               {join([]string{"--client-id", "secret", "--auth", "post", "--secret", oauth.NewSecret()}, credential), "invalid_client"},
		"authorization code service": {join(basic, []string{"--scope", "service"}), "invalid_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok, log := l.run(c.args...); ok || !strings.Contains(log, c.says) {
				t.Errorf("want %s:\n%s", c.says, log)
			}
		})
	}
}

// TestOpenIDClientRepeatsItsRequestWithOurNonce has the server demand nonces.
func TestOpenIDClientRepeatsItsRequestWithOurNonce(t *testing.T) {
	l := newLive(t, func(c *oauth.Config) { c.NonceLife = time.Minute })
	rar := l.write("rar.json", []byte(details("a.pdf")))
	jwt := []string{"--client-id", "key", "--auth", "jwt", "--key", l.write("rp.pem", l.key.privatePEM()), "--kid", "k1", "--dpop", "--verbose"}
	for name, more := range map[string][]string{
		"client credentials": {"--grant", "client_credentials"},
		"code":               {"--scope", "credential", "--rar", rar, "--call", l.issuer + resourcePath},
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok, log := l.run(append(more, jwt...)...); !ok || !strings.Contains(log, "use_dpop_nonce") {
				t.Errorf("the client complains, or was not asked for a nonce:\n%s", log)
			}
		})
	}
}
