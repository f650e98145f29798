package main_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// byHand starts a role as an operator does who has said ". .demo/env" before: with
// the demo's configuration, except for what is set here in the environment.
func byHand(t *testing.T, in *installation, role string, settings map[string]string) (address string) {
	t.Helper()
	dir := demoDir(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Not CommandContext: it ends with its standard input.
	c := exec.Command(filepath.Join(programs, "countersign"), "serve", role, "--config", filepath.Join(in.dir, role, "config.yaml"), "--with-parent")
	c.Env = os.Environ()
	for name, value := range in.vars {
		c.Env = append(c.Env, name+"="+value)
	}
	prefix := "COUNTERSIGN_" + strings.ToUpper(role) + "_"
	c.Env = append(c.Env, prefix+"DOOR_LISTEN="+listen, prefix+"DOOR_ADMIN_SOCKET="+filepath.Join(dir, "admin"), prefix+"DATABASE=sqlite:"+filepath.Join(dir, "db"))
	for name, value := range settings {
		c.Env = append(c.Env, name+"="+strings.ReplaceAll(value, "$DIR", dir))
	}
	said, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	c.Stderr = said
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stdin.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	})
	for range 300 {
		if res, err := ask(t, http.MethodGet, "http://"+listen+"/readyz"); err == nil && res.status == http.StatusOK {
			return "http://" + listen
		}
		time.Sleep(50 * time.Millisecond)
	}
	words, err := os.ReadFile(said.Name())
	t.Fatalf("%s is not ready: %s %v", role, words, err)
	return ""
}

type answer struct {
	status int
	again  string // Retry-After
	body   string
}

func ask(t *testing.T, method, address string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return answer{res.StatusCode, res.Header.Get("Retry-After"), string(body)}, err
}

func TestARoleStartedByHandTakesNoClientsVariables(t *testing.T) {
	in, err := sharedInstallation()
	if err != nil {
		t.Fatal(err)
	}
	address := byHand(t, in, "gateway", map[string]string{"COUNTERSIGN_ISSUER": "http://127.0.0.1:1", "COUNTERSIGN_GATEWAY_REGION": "NO"})
	got, err := ask(t, http.MethodGet, address+"/.well-known/oauth-authorization-server")
	if want := fmt.Sprintf(`"issuer":%q`, in.vars["COUNTERSIGN_ISSUER"]); err != nil || !strings.Contains(strings.ReplaceAll(got.body, `": "`, `":"`), want) {
		t.Errorf("%q is not in %q (%v)", want, got.body, err)
	}
	if got, err := ask(t, http.MethodPost, address+"/csc/v2/info"); err != nil || !strings.Contains(got.body, `"NO"`) {
		t.Errorf("its own variable was not taken: %q %v", got.body, err)
	}
}

// TestOneClientCannotKeepARoleBusy asks for more than it may, of what exists and
// of what does not.
func TestOneClientCannotKeepARoleBusy(t *testing.T) {
	in, err := sharedInstallation()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		role     string
		settings map[string]string
		requests []string
	}{
		{"portal", nil, []string{"GET /callback?code=x", "GET /", "GET /nothing", "POST /callback"}},
		{
			"pki",
			map[string]string{"COUNTERSIGN_PKI_KEYS": "$DIR/keys"},
			[]string{"POST /ocsp", "GET /ocsp/AAAA", "POST /tsa", "POST /issue", "POST /revoke", "GET /ca.crl", "GET /nothing", "PUT /tsa"},
		},
		{
			"gateway", nil,
			[]string{"GET /.well-known/oauth-authorization-server", "POST /oauth2/token", "POST /csc/v2/info", "GET /nothing", "GET /csc/v2/nothing", "PUT /oauth2/token"},
		},
	} {
		t.Run(c.role, func(t *testing.T) {
			const burst = 3
			prefix := "COUNTERSIGN_" + strings.ToUpper(c.role) + "_"
			settings := map[string]string{prefix + "RATE": "0.001", prefix + "BURST": fmt.Sprint(burst)}
			maps.Copy(settings, c.settings)
			address := byHand(t, in, c.role, settings)
			request := func(r string) answer {
				method, path, _ := strings.Cut(r, " ")
				got, err := ask(t, method, address+path)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			for range burst {
				if got := request(c.requests[0]); got.status == http.StatusTooManyRequests {
					t.Fatalf("%s: refused within its burst", c.requests[0])
				}
			}
			for _, r := range c.requests {
				if got := request(r); got.status != http.StatusTooManyRequests || got.again == "" {
					t.Errorf("%s: %d, Retry-After %q, want 429", r, got.status, got.again)
				}
			}
			for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
				if got := request("GET " + path); got.status != http.StatusOK {
					t.Errorf("%s: %d, although it is the operator's", path, got.status)
				}
			}
		})
	}
}
