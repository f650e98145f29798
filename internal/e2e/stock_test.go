package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// stockClient finds the script that drives openid-client, a certified OAuth client
// that we did not write. ORACLES names the folder of such scripts. Without it the
// answer is empty, which is said aloud; with CI=true it must be usable.
func stockClient(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ORACLES")
	if dir == "" {
		t.Log("NOT TESTED with a stock client, so nothing is proven by it: ORACLES does not name the folder of its driver")
		return ""
	}
	script, err := filepath.Abs(filepath.Join(dir, "csc", "oauth_client.mjs"))
	if err == nil {
		err = usable(t, script)
	}
	if err == nil {
		return script
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("NOT TESTED with a stock client: %v", err)
	}
	t.Logf("NOT TESTED with a stock client, so nothing is proven by it: %v", err)
	return ""
}

// usable looks whether the driver and its client are there. In CI the client is
// installed when it is not.
func usable(t *testing.T, script string) error {
	t.Helper()
	if _, err := os.Stat(script); err != nil {
		return err
	}
	if _, err := exec.LookPath("node"); err != nil {
		return err
	}
	cache := os.Getenv("ORACLES_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		cache = filepath.Join(home, ".cache", "countersign-oracles")
	}
	client := filepath.Join(cache, "csc", "npm", "node_modules", "openid-client")
	_, err := os.Stat(client)
	if errors.Is(err, os.ErrNotExist) && os.Getenv("CI") == "true" {
		setup := filepath.Join(filepath.Dir(script), "setup.sh")
		if out, err := exec.CommandContext(t.Context(), "bash", setup, "npm").CombinedOutput(); err != nil {
			return fmt.Errorf("%s npm: %w: %s", setup, err, out)
		}
		_, err = os.Stat(client)
	}
	if err != nil {
		return fmt.Errorf("%w: run setup.sh npm beside the driver", err)
	}
	return nil
}

// stockClientGoesThrough runs the client with two ways to prove who it is. Its
// steps include what must be refused.
func (in *installation) stockClientGoesThrough(t *testing.T, script string) {
	key := newECKey(t)
	pub, err := key.PublicKey.Bytes() // 0x04 ‖ X ‖ Y
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	jwks := in.write("stock.jwks.json", fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","use":"sig","alg":"ES256","x":%q,"y":%q}]}`, b64(pub[1:33]), b64(pub[33:])))
	in.must(t, "admin", "client", "--id", "stock", "--name", "Stock client", "--auth", "private_key_jwt", "--jwks", jwks, "--dpop", "--par",
		"--redirect", in.redirect, "--signer", in.signer.Signer)
	file := in.write("stock.pem", keyPEM(t, key))
	jwt := []string{"--client-id", "stock", "--auth", "jwt", "--key", file, "--kid", "k1", "--dpop"}
	basic := []string{"--client-id", clientID, "--auth", "basic", "--secret", in.env["COUNTERSIGN_CLIENT_SECRET"]}
	flow := []string{"discovery", "par", "approve", "code", "call", "code replay refused", "authorization_details echoed"}
	for name, c := range map[string]struct{ args, steps []string }{
		"PAR, RAR, PKCE, DPoP, private_key_jwt": {append(jwt, in.credentialFlow(t)...), append(flow, "other DPoP key refused", "DPoP token as Bearer refused")},
		"PAR, RAR, PKCE, client_secret_basic":   {append(basic, in.credentialFlow(t)...), flow},
		"client credentials":                    {append(basic, "--grant", "client_credentials"), []string{"client_credentials", "introspect", "revoke"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{
				script, "--issuer", in.issuer, "--ca", in.path("tls-ca.pem"), "--redirect", in.redirect, "--rfc7009",
				"--approve", program(t, "countersign") + " authenticator approve",
			}, c.args...)
			cmd := exec.CommandContext(t.Context(), "node", args...)
			cmd.Env, cmd.Dir = in.environ(), in.dir
			r := finish(t, cmd, args)
			if r.code != 0 {
				t.Fatalf("the client complains: %v", r)
			}
			steps := map[string]any{}
			for line := range strings.Lines(r.out) {
				var s struct {
					Step string
					OK   any
				}
				if json.Unmarshal([]byte(line), &s) == nil {
					steps[s.Step] = s.OK
				}
			}
			for _, step := range c.steps {
				if steps[step] != true {
					t.Errorf("step %q is missing or failed: %v", step, r)
				}
			}
		})
	}
}

// credentialFlow has the client get a token for one signature and call signHash.
func (in *installation) credentialFlow(t *testing.T) []string {
	t.Helper()
	p := in.party(t)
	h := hash()
	rar, err := json.Marshal(p.details(h))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(p.request(h))
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--scope", "credential", "--rar", string(rar), "--call", in.issuer + "/csc/v2/signatures/signHash", "--body", string(body), "--skip", "verifier"}
}
