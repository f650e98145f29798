package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store"
)

// withForgedRows writes into the gateway's database what only approvals should
// write there, and asks the real gateway with the tokens that come of it.
func (r *rogue) withForgedRows(t *testing.T) (tried int) {
	t.Helper()
	mine := hash()
	by := &thumb{}
	token, err := r.own.token(t.Context(), by, mine)
	if err != nil {
		t.Fatal(err)
	}
	ada := r.in.signer.Credential
	for _, f := range []struct {
		name            string
		client, signer  string
		credential, sid string
		hash            []byte
	}{
		{"its own approval on Ada's key", r.own.id, "ada", ada, by.sid, mine},
		{"its own approval for Ada's relying party on her key", clientID, "ada", ada, by.sid, mine},
		{"a request that nobody approved", clientID, "ada", ada, r.pending.SID, r.hash},
		{"a request that Ada rejected", clientID, "ada", ada, r.rejected.SID, r.hash},
		{"an approval of Ada's for another hash", clientID, "ada", ada, r.approved.sid, r.hash},
		{"an approval of Ada's for another client", r.own.id, "ada", ada, r.approved.sid, r.approved.hashes[1]},
		{"an approval of Ada's on its own key", clientID, "mallory", r.own.who.Credential, r.approved.sid, r.approved.hashes[1]},
		{"no approval at all", clientID, "ada", ada, "", r.hash},
	} {
		r.in.inDatabase(t, "gateway", func(ctx context.Context, db *store.DB) error {
			n, err := db.Exec(ctx, `UPDATE oauth_token SET client_id = $1, signer = $2, credential_id = $3, sid = $4, state = 'active'
				WHERE kind = 'access' AND scope = 'credential' AND (client_id = $5 OR details LIKE $6)`,
				f.client, f.signer, f.credential, f.sid, r.own.id, "%"+r.own.who.Credential+"%")
			if err == nil && n != 1 {
				err = fmt.Errorf("%d tokens were forged, not one", n)
			}
			return err
		})
		q := r.own.request(f.hash)
		q.CredentialID = f.credential
		body, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		p := fetch(t, r.browser, http.MethodPost, r.in.issuer+"/csc/v2/signatures/signHash", "application/json", string(body), "Authorization", "Bearer "+token.Value)
		tried++
		var said struct {
			Error string `json:"error"`
		}
		decode(t, []byte(p.body), &said)
		if p.status < 400 || p.status >= 500 || said.Error == "invalid_token" || strings.Contains(p.body, "signatures\"") {
			t.Errorf("%s: answered %d %s, want the module's refusal", f.name, p.status, p.body)
		}
		r.holdsNothing(t, f.name, []byte(p.body))
	}
	return tried
}

// asNobody connects to a socket as a user who is nobody in particular.
func asNobody(t *testing.T, path string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Where the test binary lies, nobody may not look.
	dir, err := os.MkdirTemp("", "countersign-nobody") //nolint:usetesting // t.TempDir lies in a folder that nobody may enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "e2e")
	if err := os.WriteFile(copied, program, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir, copied} {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), copied)
	c.Env = []string{connectTo + "=" + path}
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("run this program as another user: %v: %s", err, out)
	}
	return string(out)
}

// connectTo makes this program connect to a socket and say how it was received.
const connectTo = "COUNTERSIGN_E2E_CONNECT"

func connect(path string) string {
	conn, err := net.DialTimeout("unix", path, 5*time.Second)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("POST /v1/identity HTTP/1.1\r\nHost: sam\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")); err != nil {
		return "refused"
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err.Error()
	}
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if n == 0 && !os.IsTimeout(err) {
		return "refused"
	}
	return fmt.Sprintf("answered %q, %v", b[:n], err)
}
