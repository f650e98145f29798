package samrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samrpc"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

var (
	_ samrpc.Service = (*sam.Module)(nil)
	_ samrpc.Admin   = (*sam.Module)(nil)
)

// serve runs a handler on a real socket and returns its path.
func serve(t *testing.T, h http.Handler, uids ...uint32) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sam") //nolint:usetesting // a path of t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := web.ListenUnix(t.Context(), web.SocketConfig{Path: path, UIDs: uids, Mode: 0o666})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- web.Server{Handler: web.Wrap(h, web.Config{Name: "sam"})}.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return path
}

// TestOneSignatureOverTheSocket does everything that a gateway and an RA do, from
// the order for a key to the acknowledged signature.
func TestOneSignatureOverTheSocket(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	c := samrpc.NewClient(serve(t, samrpc.Handler(r.Module)))
	ctx := t.Context()
	id, err := c.Identity(ctx)
	if err != nil || id.Module != samtest.Approval || id.Keystore != "soft" || len(id.SPKI) == 0 {
		t.Fatalf("identity %+v, %v", id, err)
	}
	p := r.Enrolled(samapi.DeviceKey)
	a, err := c.AssignKey(ctx, r.Seal(samapi.DomainAssignKey, samapi.AssignKey{Order: r.Order(), Signer: p.ID, Mechanism: samapi.DeviceKey, KeyType: signing.P256, Multisign: 3}))
	if err != nil {
		t.Fatal(err)
	}
	p.Credential, p.Leaf = a.Credential, r.CA.Leaf(p.Subject, r.Record(a).SPKI)
	bind := samapi.BindCertificate{Order: r.Order(), Credential: a.Credential, Chain: [][]byte{p.Leaf.Raw, r.CA.Cert.Raw}}
	if err := c.BindCertificate(ctx, r.Seal(samapi.DomainBindCertificate, bind)); err != nil {
		t.Fatal(err)
	}
	list, err := c.Credentials(ctx, samapi.CredentialQuery{Signers: []string{p.ID}})
	want := []samapi.Credential{{
		ID: p.Credential, Signer: p.ID, SignerName: p.Subject.CommonName, KeyType: signing.P256, SPKI: p.Leaf.RawSubjectPublicKeyInfo,
		Chain: bind.Chain, Mechanism: samapi.DeviceKey, SCAL: 2, Multisign: 3, State: samapi.CredentialActive,
	}}
	if diff := cmp.Diff(want, list); err != nil || diff != "" {
		t.Fatalf("credentials: %v\n%s", err, diff)
	}
	h := samtest.Hash("x")
	begun, err := c.Begin(ctx, r.Intent(p, h))
	if err != nil {
		t.Fatal(err)
	}
	view := begun.URL[strings.Index(begun.URL, "?v=")+3:]
	seen, err := r.View(ctx, begun.SID, view)
	if err != nil {
		t.Fatal(err)
	}
	q := &samtest.Pending{Begun: begun, View: view, Raw: seen.SAD, Number: seen.Number}
	if _, err := r.Approve(ctx, begun.SID, p.Yes(q)); err != nil {
		t.Fatal(err)
	}
	back, err := r.Return(ctx, begun.SID, view)
	if err != nil {
		t.Fatal(err)
	}
	handle := back[strings.Index(back, "handle=")+7 : strings.Index(back, "&sid")]
	out, err := c.Outcome(ctx, begun.SID, handle)
	if err != nil || out.State != samapi.Approved || out.Signer != p.ID {
		t.Fatalf("outcome %+v, %v", out, err)
	}
	got, err := c.Sign(ctx, r.SignRequest(p, q, h))
	if err != nil {
		t.Fatal(err)
	}
	if err := signing.Verify(p.Leaf.PublicKey, signing.ECDSAWithSHA256, h, got.Signatures[0]); err != nil {
		t.Error(err)
	}
	again, err := c.Result(ctx, begun.SID, samtest.Client)
	if err != nil || !cmp.Equal(again.Signatures, got.Signatures) {
		t.Errorf("result %+v, %v", again, err)
	}
	if err := c.Acknowledge(ctx, begun.SID, samtest.Client, again.Signatures); err != nil {
		t.Error(err)
	}
	if _, err := c.Result(ctx, begun.SID, samtest.Client); !errors.Is(err, fault.NotFound) {
		t.Errorf("result after the acknowledgement: %v", err)
	}
	if cp, err := c.Checkpoint(ctx); err != nil || cp.Size == 0 {
		t.Errorf("checkpoint %+v, %v", cp, err)
	}
	checkBundle(t, c, id, begun.SID)
}

// checkBundle verifies the proof of one activation offline.
func checkBundle(t *testing.T, c *samrpc.Client, id samapi.Identity, sid string) {
	t.Helper()
	raw, err := c.Bundle(t.Context(), sid)
	if err != nil {
		t.Fatal(err)
	}
	b, err := audit.ReadBundle(raw)
	if err != nil {
		t.Fatal(err)
	}
	records, err := audit.VerifyBundle(b, id.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, e := range records {
		types = append(types, e.Type)
	}
	want := []string{"sad.created", "sad.approved", "sad.consumed", "signature.created", "signature.delivered"}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Error(diff)
	}
}

func TestFaultsKeepKindCodeAndDetail(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{})
	c := samrpc.NewClient(serve(t, samrpc.Handler(r.Module)))
	in := r.Intent(p, samtest.Hash("x"))
	in.Documents[0].DTBSR = in.Documents[0].DTBSR[:20]
	_, direct := r.Begin(t.Context(), in)
	_, remote := c.Begin(t.Context(), in)
	d, got := fault.Of(direct), fault.Of(remote)
	if got.Kind != d.Kind || got.Code != d.Code || got.Detail != d.Detail || got.Code != samapi.CodeHashLength {
		t.Errorf("over the socket %+v, directly %+v", got, d)
	}
	in.Org = strings.Repeat("x", 300<<10)
	if _, err := c.Begin(t.Context(), in); !errors.Is(err, fault.TooLarge) {
		t.Errorf("a very long request: %v", err)
	}
	r.Exec(`DROP TABLE sam_request`)
	_, err := c.Begin(t.Context(), r.Intent(p, samtest.Hash("x")))
	if f := fault.Of(err); f.Kind != fault.Internal || strings.Contains(f.Detail, "sam_request") {
		t.Errorf("internal trouble is told: %v", err)
	}
}

func TestModuleThatIsAwayIsUnavailable(t *testing.T) {
	c := samrpc.NewClient(filepath.Join(t.TempDir(), "none"))
	if _, err := c.Identity(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("no socket: %v", err)
	}
	for name, h := range map[string]http.HandlerFunc{
		"garbage": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"strange fault": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, `{"kind":"teapot"}`)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://other/", http.StatusFound) },
		"cut off":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		c := samrpc.NewClient(serveRaw(t, h))
		if _, err := c.Identity(t.Context()); !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	c = samrpc.NewClient(serveRaw(t, func(http.ResponseWriter, *http.Request) { <-hang }))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Identity(ctx); !errors.Is(err, fault.Unavailable) {
		t.Errorf("no answer: %v", err)
	}
}

// serveRaw runs a handler that is no module.
func serveRaw(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sam") //nolint:usetesting // as above
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); _ = os.RemoveAll(dir) })
	return path
}

// TestGatewaysSocketHasNoAdministration: what registers authorities and return
// URLs is not there, and what administrators use signs nothing.
func TestGatewaysSocketHasNoAdministration(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	gateway, admin := serve(t, samrpc.Handler(r.Module)), serve(t, samrpc.AdminHandler(r.Module))
	wrong := samrpc.NewAdminClient(gateway)
	if _, err := wrong.RegisterAuthority(t.Context(), "mallory", nil); !errors.Is(err, fault.NotFound) {
		t.Errorf("register an authority through the gateway: %v", err)
	}
	if err := wrong.RegisterGateway(t.Context(), "https://mallory.example", "https://mallory.example/"); !errors.Is(err, fault.NotFound) {
		t.Errorf("register a return URL through the gateway: %v", err)
	}
	if _, err := samrpc.NewClient(admin).Sign(t.Context(), samapi.SignRequest{}); !errors.Is(err, fault.NotFound) {
		t.Errorf("sign through the administrators' socket: %v", err)
	}
}

func TestAdministrationOverTheSocket(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{})
	c := samrpc.NewAdminClient(serve(t, samrpc.AdminHandler(r.Module)))
	ctx := t.Context()
	key, err := signing.KeyID(samtest.Key(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RevokeAuthority(ctx, key); err == nil {
		t.Error("an unknown authority was revoked")
	}
	list, err := c.Authorities(ctx)
	if err != nil || len(list) != 1 || list[0].Name != "ra-1" {
		t.Fatalf("authorities %+v, %v", list, err)
	}
	if err := c.RegisterGateway(ctx, "https://second.example", "https://second.example/back"); err != nil {
		t.Error(err)
	}
	if err := c.RegisterGateway(ctx, "https://second.example", "https://second.example/other"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"http://second.example/back", "/back", "javascript:alert(1)", "https://u:p@second.example/", "https://second.example/#f"} {
		if err := c.RegisterGateway(ctx, "https://second.example", bad); !errors.Is(err, fault.Invalid) {
			t.Errorf("return URL %s: %v", bad, err)
		}
	}
	gateways, err := c.Gateways(ctx)
	if err != nil || len(gateways) != 2 || gateways[0].ReturnURL != "https://second.example/other" {
		t.Errorf("gateways %+v, %v", gateways, err)
	}
	devices, err := c.Devices(ctx, p.ID)
	if err != nil || len(devices) != 1 || devices[0].State != "active" {
		t.Errorf("devices %+v, %v", devices, err)
	}
	if s, err := c.Status(ctx); err != nil || s.Credentials["active"] != 1 {
		t.Errorf("status %+v, %v", s, err)
	}
	if v, err := c.Verify(ctx); err != nil || len(v.Findings) > 0 || v.Records == 0 {
		t.Errorf("verify %+v, %v", v, err)
	}
	if caps, err := c.Probe(ctx); err != nil || caps.Driver != "soft" || caps.Hardware {
		t.Errorf("probe %+v, %v", caps, err)
	}
	if n, err := c.Rewrap(ctx); err != nil || n != 0 {
		t.Errorf("rewrap %d, %v", n, err)
	}
	if err := c.Ready(ctx); err != nil {
		t.Error(err)
	}
	if err := c.RevokeAuthority(ctx, list[0].Key); err != nil {
		t.Error(err)
	}
	if list, err = c.Authorities(ctx); err != nil || list[0].State != "revoked" {
		t.Errorf("authorities %+v, %v", list, err)
	}
}

func TestOnlyListedUsersConnect(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	stranger := uint32(os.Getuid()) + 1
	path := serve(t, samrpc.Handler(r.Module), stranger)
	if _, err := samrpc.NewClient(path).Identity(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("another user than the listed: %v", err)
	}
}

func TestRequestsAreBoundedAndStrict(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	path := serve(t, samrpc.Handler(r.Module))
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	for _, row := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"too long", http.MethodPost, "/v1/begin", `{"client":"` + strings.Repeat("x", 200<<10) + `"}`, http.StatusRequestEntityTooLarge},
		{"unknown member", http.MethodPost, "/v1/begin", `{"clint":"x"}`, http.StatusBadRequest},
		{"two values", http.MethodPost, "/v1/begin", `{}{}`, http.StatusBadRequest},
		{"no JSON", http.MethodPost, "/v1/begin", `client=x`, http.StatusBadRequest},
		{"unknown operation", http.MethodPost, "/v1/sign-anything", `{}`, http.StatusNotFound},
		{"wrong method", http.MethodGet, "/v1/identity", "", http.StatusNotFound},
	} {
		req, err := http.NewRequestWithContext(t.Context(), row.method, "http://sam"+row.path, strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		var f struct{ Kind string }
		err = json.NewDecoder(resp.Body).Decode(&f)
		_ = resp.Body.Close()
		if resp.StatusCode != row.status || err != nil || f.Kind == "" {
			t.Errorf("%s: status %d, kind %q, %v; want %d", row.name, resp.StatusCode, f.Kind, err, row.status)
		}
	}
	if got := r.Events(""); slices.Contains(got, "sad.created") {
		t.Errorf("events %v", got)
	}
}
