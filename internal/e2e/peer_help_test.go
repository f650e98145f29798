package e2e_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/sam/device"
)

// pair is two installations that are peers: a relying party of A signs with the key
// of a signer of B.
type pair struct {
	a, b   *installation
	list   *federation.List // of A
	client *cscclient.Client
	key    *device.Key
	handle string // of B's signer, for A's first relying party
	cert   *x509.Certificate
}

// receipts is the setting with which a gateway signs its receipts.
func receipts(o options) options {
	settings := map[string]map[string]any{}
	maps.Copy(settings, o.settings)
	g := map[string]any{"peers": map[string]any{"receipt_key": "receipts.pem"}}
	maps.Copy(g, settings["gateway"])
	settings["gateway"] = g
	o.settings = settings
	return o
}

// federate starts two installations and makes them peers.
func federate(t testing.TB, a, b options) *pair {
	t.Helper()
	p := &pair{a: install(t, receipts(a)), b: install(t, receipts(b))}
	toB := p.b.registerPeer(t, "gateway-a", p.a.issuer+federation.ReturnPath+"b", p.b.signer.Signer)
	toA := p.a.registerPeer(t, "gateway-b", p.b.issuer+federation.ReturnPath+"a")
	p.list = p.a.peers(p.b.peer(t, "b", "gateway-a", "gateway-b"))
	p.a.usePeers(t, p.list, map[string]string{"b": toB})
	p.b.usePeers(t, p.b.peers(p.a.peer(t, "a", "gateway-b", "gateway-a")), map[string]string{"a": toA})
	p.a.must(t, "admin", "client", "--id", clientID, "--name", "Archive", "--redirect", p.a.redirect, "--redirect", "http://127.0.0.1/callback",
		"--signer", p.b.signer.Signer+"@b")
	p.connect(t)
	return p
}

// connect makes A's first relying party one in this process and finds the credential.
func (p *pair) connect(t testing.TB) {
	t.Helper()
	var err error
	p.client, err = cscclient.New(cscclient.Config{
		BaseURL: p.a.issuer + "/csc/v2", Issuer: p.a.issuer, ClientID: clientID, ClientSecret: p.a.env["COUNTERSIGN_CLIENT_SECRET"],
		RedirectURI: p.a.redirect, RootCAs: p.a.roots,
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.key, err = device.Load(p.b.signer.Device); err != nil {
		t.Fatal(err)
	}
	list, err := p.client.CredentialsList(t.Context(), &csc.CredentialsListRequest{CredentialInfo: true, Certificates: "chain", CertInfo: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range list.CredentialInfos {
		if !strings.HasPrefix(info.CredentialID, federation.HandlePrefix) {
			continue
		}
		p.handle = info.CredentialID
		der, err := base64.StdEncoding.DecodeString(info.Cert.Certificates[0])
		if err != nil {
			t.Fatal(err)
		}
		if p.cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	if p.handle == "" {
		t.Fatalf("no credential of a peer in %+v; gateway: %s", list, p.a.role("gateway").lastWords())
	}
}

// party is A's relying party with B's signer, so that it can do what one with a
// signer of its own does.
func (p *pair) party() *party {
	return &party{
		in: p.a, id: clientID, secret: p.a.env["COUNTERSIGN_CLIENT_SECRET"], client: p.client, key: p.key, cert: p.cert, end: p.a.redirect,
		who: &person{Signer: p.b.signer.Signer, Credential: p.handle, Device: p.b.signer.Device}, net: device.Net{Transport: device.NewTransport(nil)},
	}
}

// registerPeer makes another gateway a client of this one.
func (in *installation) registerPeer(t testing.TB, id, redirect string, signers ...string) (secret string) {
	t.Helper()
	args := []string{"admin", "client", "--id", id, "--name", "Gateway " + id, "--new-secret", "--par", "--redirect", redirect}
	for _, s := range signers {
		args = append(args, "--signer", s)
	}
	return strings.TrimSpace(in.must(t, args...).out)
}

// peer is this installation as it stands in another's list.
func (in *installation) peer(t testing.TB, id, clientThere, clientHere string) federation.Peer {
	t.Helper()
	b, err := os.ReadFile(in.path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	now := time.Now().Truncate(time.Second)
	p := federation.Peer{
		ID: id, Name: "Trust centre " + strings.ToUpper(id), Country: "FI", Issuer: in.issuer, CSC: in.issuer + "/csc/v2", ClientID: clientThere, Inbound: clientHere,
		ReceiptKey: strings.TrimSpace(in.must(t, "admin", "peers", "receipt-key").out), Anchors: []string{base64.StdEncoding.EncodeToString(block.Bytes)},
		Levels: []federation.Level{federation.AES, federation.QES}, SCAL: 2, Countries: []string{"FI"}, Limits: federation.Limits{Hashes: 100},
		Results: true, From: now.Add(-time.Hour), Until: now.Add(24 * time.Hour),
	}
	return p
}

// peers is a list for this installation.
func (in *installation) peers(list ...federation.Peer) *federation.List {
	now := time.Now().Truncate(time.Second)
	return &federation.List{
		Version: 1, Gateway: in.issuer, Serial: 1, Issued: now.Add(-time.Minute), Expires: now.Add(24 * time.Hour), Peers: list,
		Rules: []federation.Rule{{ID: "everybody", Orgs: []string{"*"}, Peers: []string{"*"}}},
	}
}

// signPeers signs a list with the operator's key and puts it where the gateway reads it.
func (in *installation) signPeers(t testing.TB, l *federation.List) {
	t.Helper()
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	in.must(t, "admin", "peers", "sign", in.write("peers.json", text), "--key", in.path("operator.pem"), "-o", in.path("peers.jws"))
}

// usePeers gives a gateway its peers and starts it anew.
func (in *installation) usePeers(t testing.TB, l *federation.List, secrets map[string]string) {
	t.Helper()
	in.mkdir("peer-secrets")
	for id, s := range secrets {
		in.write("peer-secrets/"+id+".secret", []byte(s+"\n"))
	}
	in.must(t, "admin", "peers", "key", in.path("operator.pem"))
	in.signPeers(t, l)
	in.reconfigure(t, "gateway", func(c map[string]any) {
		c["peers"] = map[string]any{
			"receipt_key": "receipts.pem", "list": in.path("peers.jws"), "key": in.path("operator.pem.pub"), "secrets": in.path("peer-secrets"), "evidence_loopback": true,
		}
	})
}

// reconfigure changes a role's configuration and starts it anew.
func (in *installation) reconfigure(t testing.TB, name string, change func(map[string]any)) {
	t.Helper()
	file := name + "/config.yaml"
	text, err := os.ReadFile(in.path(file))
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	change(c)
	if text, err = json.MarshalIndent(c, "", "  "); err != nil {
		t.Fatal(err)
	}
	r := in.role(name)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	in.write(file, text)
	if err := r.start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// compare exports both sides' receipts and has the command say whether they fit.
func (p *pair) compare(t testing.TB) *federation.Comparison {
	t.Helper()
	p.a.must(t, "audit", "receipts", "--peer", "b", "-o", p.a.path("receipts-a.jsonl"))
	p.b.must(t, "audit", "receipts", "--client", "gateway-a", "-o", p.b.path("receipts-b.jsonl"))
	keyA, keyB := p.a.must(t, "admin", "peers", "receipt-key").out, p.b.must(t, "admin", "peers", "receipt-key").out
	r := p.a.run(t, "audit", "compare", p.a.path("receipts-a.jsonl"), p.b.path("receipts-b.jsonl"), "--key-a", strings.TrimSpace(keyA), "--key-b", strings.TrimSpace(keyB), "--json")
	var c federation.Comparison
	if err := json.Unmarshal([]byte(r.out), &c); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	if (r.code == 0) != c.Fits() {
		t.Errorf("the command says %d: %v", r.code, r)
	}
	return &c
}

// trustBoth is a file with both installations' anchors.
func (p *pair) trustBoth(t testing.TB) string {
	t.Helper()
	var all []byte
	for _, in := range []*installation{p.a, p.b} {
		b, err := os.ReadFile(in.path("ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return p.a.write("both.pem", all)
}

// signWithB is the environment of a command of A's relying party with B's signer.
func (p *pair) signWithB(t testing.TB) []string {
	t.Helper()
	return []string{"COUNTERSIGN_CREDENTIAL=" + p.handle, "COUNTERSIGN_DEVICE=" + p.b.signer.Device, "COUNTERSIGN_TRUST=" + p.trustBoth(t)}
}

func (p *pair) String() string { return fmt.Sprintf("A %s, B %s", p.a.issuer, p.b.issuer) }

// newDoor is a server that ends with the test.
func newDoor(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func must(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// metrics is what the gateway measures.
func (in *installation) metrics(t testing.TB) string {
	t.Helper()
	r := in.role("gateway")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(r.ready, "/readyz", "/metrics", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// counted counts events of a type in the gateway's log.
func (in *installation) counted(t testing.TB, kind string) (n int) {
	t.Helper()
	in.inDatabase(t, "gateway", func(ctx context.Context, db *store.DB) error {
		list, err := readEvents(ctx, db)
		n = count(list, kind)
		return err
	})
	return n
}
