package e2e_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/internal/store/storetest"
)

// options say how an installation differs from the plain one.
type options struct {
	postgres bool
	https    bool // at the gateway
	fronts   bool // the test stands before the doors that relying parties use
	direct   bool // the portal is a client of the gateway and has its page to sign on
	workflow bool // and its pages for requests; mail is caught
	// settings are more lines of the roles' configuration.
	settings map[string]map[string]any
}

// installation is a whole one: four processes, four databases, a relying party,
// and as many signers as a test enrols.
type installation struct {
	t        testing.TB
	dir      string
	roles    []*role // in the order in which they start
	dsn      map[string]string
	fronts   map[string]*front // gateway, approval, pki; nil without
	issuer   string
	approval string
	pki      string
	redirect string
	portal   string
	roots    *x509.CertPool // of https; nil without
	env      map[string]string
	signer   *person // the first
}

// person is an enrolled signer.
type person struct {
	Signer, Credential, Device string
}

const (
	pin      = "270915"
	raName   = "registry"
	clientID = "archive"
)

// install starts an installation that ends with the test.
func install(t testing.TB, o options) *installation {
	t.Helper()
	// A socket's path has at most 107 bytes: not under t.TempDir.
	dir, err := os.MkdirTemp("/tmp", "cse2e") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	in := &installation{t: t, dir: dir, dsn: map[string]string{}}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	in.configure(o)
	t.Cleanup(in.stop) // before the databases go away
	for _, r := range in.roles {
		if err := r.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.name == "pki" {
			in.fetchAnchors(r)
		}
	}
	in.setUp()
	return in
}

// stop ends every process, in the order in which requests go, and looks how they
// end.
func (in *installation) stop() {
	for _, r := range slices.Backward(in.roles) {
		if err := r.stop(); err != nil {
			in.t.Error(err)
		}
		if in.t.Failed() {
			in.t.Logf("%s said last: %s", r.name, r.lastWords())
		}
	}
}

func (in *installation) path(elem ...string) string {
	return filepath.Join(append([]string{in.dir}, elem...)...)
}

func (in *installation) sockets() sockets.Dir { return sockets.Dir(in.path("run")) }

func (in *installation) role(name string) *role {
	i := slices.IndexFunc(in.roles, func(r *role) bool { return r.name == name })
	if i < 0 {
		in.t.Fatalf("there is no role %s", name)
	}
	return in.roles[i]
}

// doors are the roles' addresses: where they listen, and where everybody finds them.
func (in *installation) doors(o options) (listen, public map[string]int) {
	names := []string{"pki", "approval", "gateway", "portal"}
	listen = map[string]int{}
	for i, p := range freePorts(in.t, len(names)) {
		listen[names[i]] = p
	}
	public = maps.Clone(listen)
	if o.fronts {
		in.fronts = map[string]*front{}
		for _, name := range names {
			f := newFront(in.t)
			f.lead(loopback(listen[name]))
			in.fronts[name], public[name] = f, f.port()
		}
	}
	return listen, public
}

// configure writes what the roles need to start.
func (in *installation) configure(o options) {
	listen, public := in.doors(o)
	in.pki = fmt.Sprintf("http://127.0.0.1:%d", public["pki"])
	in.approval = fmt.Sprintf("http://approve.localhost:%d", public["approval"])
	in.issuer = fmt.Sprintf("http://sign.localhost:%d", public["gateway"])
	in.portal = fmt.Sprintf("http://portal.localhost:%d", public["portal"])
	in.redirect = in.portal + "/callback"
	door := func(port int, socket string) map[string]any {
		return map[string]any{"listen": loopback(port), "admin_socket": in.path("run", socket)}
	}
	gatewayDoor := door(listen["gateway"], sockets.GatewayAdmin)
	if o.https {
		in.issuer = fmt.Sprintf("https://localhost:%d", public["gateway"])
		in.certify(gatewayDoor)
	}
	configs := map[string]map[string]any{
		"pki": {
			"door": door(listen["pki"], sockets.PKIAdmin), "base_url": in.pki, "name": "Countersign Test",
			"keys": in.path("pki", "keys"), "passphrase_file": in.path("pki", "secret"),
		},
		"sam": {
			"door": door(listen["approval"], sockets.SAMAdmin), "approval_url": in.approval, "organisation": "Countersign Test", "test": true,
			"keys": in.path("sam", "keys"), "passphrase_file": in.path("sam", "secret"),
			"socket": in.path("run", sockets.SAM), "anchors": []string{in.path("ca.pem")},
		},
		"gateway": {
			"door": gatewayDoor, "issuer": in.issuer, "name": "Countersign Test", "secret_file": in.path("gateway", "secret"),
			"sam_socket": in.path("run", sockets.SAM), "tsa": in.pki + "/tsa", "evidence_loopback": true,
		},
		"portal": {"door": door(listen["portal"], sockets.PortalAdmin), "url": in.portal, "organisation": "Countersign Test", "test": true},
	}
	if o.direct {
		configs["portal"]["signing"] = map[string]any{
			"csc": in.issuer + "/csc/v2", "client_id": portalClient, "client_secret_file": in.path("portal", "client-secret"), "anchors": []string{in.path("ca.pem")},
		}
		configs["portal"]["rate"], configs["portal"]["burst"] = 1000, 1000
	}
	in.mkdir("run")
	if o.workflow {
		in.mkdir("portal")
		in.write(filepath.Join("portal", "secret"), []byte(randomHex()))
		configs["portal"]["workflow"] = workflowSettings()
	}
	for _, name := range []string{"pki", "sam", "gateway", "portal"} {
		in.mkdir(name)
		c := configs[name]
		maps.Copy(c, o.settings[name])
		in.dsn[name] = "sqlite:" + in.path(name, name+".db")
		if o.postgres {
			in.dsn[name] = storetest.PostgresDSN(in.t)
		}
		c["database"] = in.dsn[name]
		if _, ok := c["passphrase_file"]; ok || name == "gateway" {
			in.write(filepath.Join(name, "secret"), []byte(randomHex()))
		}
		text, err := json.MarshalIndent(c, "", "  ") // JSON is YAML
		if err != nil {
			in.t.Fatal(err)
		}
		in.addRole(name, in.write(filepath.Join(name, "config.yaml"), text), listen)
	}
}

func (in *installation) addRole(name, config string, listen map[string]int) {
	argv := []string{program(in.t, "countersign"), "serve", name, "--config", config, "--with-parent"}
	port, scheme := listen[name], "http"
	client := &http.Client{Timeout: 5 * time.Second}
	switch {
	case name == "sam":
		argv = append([]string{program(in.t, "countersign-sam")}, argv[3:]...)
		port = listen["approval"]
	case name == "gateway" && in.roots != nil:
		scheme = "https"
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: in.roots, MinVersion: tls.VersionTLS12}}
	}
	in.roles = append(in.roles, &role{
		name: name, argv: argv, dir: in.dir, log: in.path(name + ".log"), http: client,
		ready: fmt.Sprintf("%s://%s/readyz", scheme, loopback(port)),
	})
}

func (in *installation) fetchAnchors(r *role) {
	req, err := http.NewRequestWithContext(in.t.Context(), http.MethodGet, in.pki+"/anchors.pem", nil)
	if err != nil {
		in.t.Fatal(err)
	}
	res, err := r.http.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil || res.StatusCode != http.StatusOK {
		in.t.Fatalf("anchors: %s %v", res.Status, err)
	}
	in.write("ca.pem", b.Bytes())
}

// setUp does with the operator's commands what the demo does by itself: the parts
// are acquainted with each other, a relying party is registered, and a signer
// gets a device, a key and a certificate.
func (in *installation) setUp() {
	in.env = map[string]string{
		"COUNTERSIGN_SOCKETS": in.path("run"), "COUNTERSIGN_TRUST": in.path("ca.pem"), "COUNTERSIGN_PIN_FILE": in.write("pin", []byte(pin+"\n")),
		"COUNTERSIGN_ISSUER": in.issuer, "COUNTERSIGN_CSC": in.issuer + "/csc/v2", "COUNTERSIGN_CLIENT_ID": clientID, "COUNTERSIGN_REDIRECT": in.redirect,
	}
	if in.roots != nil {
		in.env["COUNTERSIGN_TLS_CA"] = in.path("tls-ca.pem")
	}
	in.must(in.t, "admin", "ra-key", in.path("ra.pem"))
	in.must(in.t, "admin", "register-ra", "--key", in.path("ra.pem"), "--name", raName)
	in.must(in.t, "admin", "register-module")
	in.must(in.t, "admin", "register-gateway", "--issuer", in.issuer)
	in.signer = in.enrol(in.t, "ada", "Ada", "Lovelace")
	in.env["COUNTERSIGN_CLIENT_SECRET"] = in.client(in.t, clientID, in.signer.Signer)
	in.env["COUNTERSIGN_DEVICE"], in.env["COUNTERSIGN_CREDENTIAL"] = in.signer.Device, in.signer.Credential
}

// client registers a relying party for some signers and returns its secret.
func (in *installation) client(t testing.TB, id string, signers ...string) string {
	t.Helper()
	args := []string{"admin", "client", "--id", id, "--name", "Archive of " + id, "--new-secret", "--redirect", in.redirect, "--redirect", "http://127.0.0.1/callback"}
	for _, s := range signers {
		args = append(args, "--signer", s)
	}
	return strings.TrimSpace(in.must(t, args...).out)
}

// enrol gives a person a device, a key and a certificate.
func (in *installation) enrol(t testing.TB, id, given, surname string) *person {
	t.Helper()
	who := []string{
		"--key", in.path("ra.pem"), "--ra", raName, "--signer", id, "--given-name", given, "--surname", surname,
		"--country", "FI", "--serial", "PNOFI-" + id, "--assurance", "substantial", "--method", "a test said so",
	}
	var ticket struct{ URL, Code string }
	in.decode(t, in.must(t, append([]string{"admin", "enrol"}, who...)...), &ticket)
	p := &person{Signer: id, Device: in.path("device-" + id + ".json")}
	code := in.write("code-"+id, []byte(ticket.Code))
	in.must(t, "authenticator", "enrol", ticket.URL, "--code-file", code, "--name", given+"'s phone", "--device", p.Device)
	var key struct{ Credential string }
	in.decode(t, in.must(t, append([]string{"admin", "certify", "--pki", in.pki}, who...)...), &key)
	p.Credential = key.Credential
	return p
}

func (in *installation) mkdir(name string) {
	if err := os.MkdirAll(in.path(name), 0o700); err != nil {
		in.t.Fatal(err)
	}
}

// write makes a file of the installation and returns its path.
func (in *installation) write(name string, b []byte) string {
	in.t.Helper()
	if err := os.WriteFile(in.path(name), b, 0o600); err != nil {
		in.t.Fatal(err)
	}
	return in.path(name)
}

func randomHex() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
