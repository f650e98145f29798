package federation_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/cmd/evilpeer/evil"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/signing"
)

const (
	gateway  = "http://127.0.0.1:1"
	approved = gateway + "/oauth2/approved"
)

// clock is the gateway's.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func (c *clock) pass(d time.Duration) { c.set(c.now().Add(d)) }

// counts are what the gateway counted.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) count(peer, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[peer+" "+outcome]++
}

func (c *counts) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

// rig is gateway A with an evil peer, over HTTP.
type rig struct {
	mu       sync.Mutex // of what tests note
	t        testing.TB
	db       *store.DB
	dsn      string
	evil     *evil.Peer
	clock    *clock
	counts   *counts
	operator ed25519.PrivateKey
	file     string
	list     *federation.List
	links    map[string][]string // by org and client
	foreign  bool                // the browser is another one
	between  func(federation.Remote) federation.Remote
	infoAge  time.Duration
	signTime time.Duration
	signing  time.Duration // the time that a signature takes, by the gateway's clock
	dial     federation.DialConfig

	log      *audit.Log
	receipts *federation.Store
	registry *federation.Registry
	peers    *federation.Peers
	router   *federation.Router
	mux      *http.ServeMux
}

func newRig(t testing.TB, db *store.DB) *rig {
	t.Helper()
	r := &rig{t: t, db: db, clock: &clock{at: time.Now()}, counts: &counts{n: map[string]int{}}, file: filepath.Join(t.TempDir(), "peers.jws"), infoAge: 1}
	r.links = map[string][]string{"org rp": {evil.SignerID + "@b"}, "org other": {evil.SignerID + "@b"}, "org2 rp2": {evil.SignerID + "@b"}}
	server := httptest.NewUnstartedServer(nil)
	var err error
	r.evil, err = evil.New(evil.Config{URL: "http://" + server.Listener.Addr().String(), Redirect: gateway + federation.ReturnPath + "b"})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = r.evil
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(r.evil.Close) // before the server waits
	if _, r.operator, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	r.list = r.newList(1, r.evil.Entry("b"))
	r.write(r.list)
	r.dial = federation.DialConfig{Timeout: 2 * time.Second, SignTimeout: 2 * time.Second}
	if _, err := federation.NewStore(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	r.reset()
	r.open()
	return r
}

func (r *rig) newList(serial int64, peers ...federation.Peer) *federation.List {
	now := r.clock.now().Truncate(time.Second)
	return &federation.List{
		Version: 1, Gateway: gateway, Serial: serial, Issued: now.Add(-time.Minute), Expires: now.Add(12 * time.Hour), Peers: peers,
		Rules: []federation.Rule{{ID: "all", Orgs: []string{"*"}, Peers: []string{"*"}}},
	}
}

func (r *rig) write(l *federation.List) {
	r.t.Helper()
	b, err := federation.SignList(l, r.operator)
	if err == nil {
		err = os.WriteFile(r.file, b, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// Signers implements federation.Links.
func (r *rig) Signers(_ context.Context, org, client string) ([]string, error) {
	return r.links[org+" "+client], nil
}

func (r *rig) connect(p *federation.Peer) (federation.Remote, error) {
	c := r.dial
	c.Secret = func(string) (string, error) { return evil.ClientSecret, nil }
	c.Redirect = func(id string) string { return gateway + federation.ReturnPath + id }
	remote, err := federation.Dial(c, p)
	if err != nil {
		return nil, err
	}
	if r.between != nil {
		remote = r.between(remote)
	}
	return ticking{remote, r}, nil
}

// ticking lets time pass while the peer signs.
type ticking struct {
	federation.Remote

	r *rig
}

// SignHash implements federation.Remote.
func (x ticking) SignHash(ctx context.Context, token *cscclient.Token, q *csc.SignHashRequest) (*csc.SignHashResponse, bool, error) {
	answer, sent, err := x.Remote.SignHash(ctx, token, q)
	x.r.clock.pass(x.r.signing)
	return answer, sent, err
}

// reset forgets what another test left in a database that they share.
func (r *rig) reset() {
	r.t.Helper()
	for _, table := range []string{"quarantine", "operation", "grant", "authorization", "receipt", "handle", "list"} {
		if _, err := r.db.Exec(r.t.Context(), `DELETE FROM federation_`+table); err != nil {
			r.t.Fatal(err)
		}
	}
}

// tryRegistry opens the list as a gateway that starts.
func (r *rig) tryRegistry() (*federation.Registry, error) {
	return federation.OpenRegistry(r.t.Context(), federation.RegistryConfig{
		DB: r.db, File: r.file, Key: r.operator.Public(), Gateway: gateway, Connect: r.connect, Now: r.clock.now,
		Evidence: func(*federation.Peer) federation.OCSP {
			return cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true, Timeout: 2 * time.Second})
		},
	})
}

// open starts the gateway, or starts it anew on what is in the database.
func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.receipts, err = federation.NewStore(r.t.Context(), r.db); err != nil {
		r.t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.log, err = audit.New(r.t.Context(), audit.Config{DB: r.db, Origin: "a.example/gateway", Signer: key}); err != nil {
		r.t.Fatal(err)
	}
	if r.registry, err = r.tryRegistry(); err != nil {
		r.t.Fatal(err)
	}
	r.peers, err = federation.NewPeers(federation.PeersConfig{
		DB: r.db, Registry: r.registry, Store: r.receipts, Links: r, Secrets: [][]byte{[]byte(strings.Repeat("s", 32))}, Approved: approved,
		Browser: func(*http.Request, string) (bool, error) { return !r.foreign, nil },
		Events:  r.log, Count: r.counts.count, InfoAge: r.infoAge, SignTime: r.signTime, Now: r.clock.now, ListTime: 2 * time.Second,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.router, err = federation.New(federation.Config{
		Local: &holder{}, Recorder: r.receipts, Routes: []federation.Route{{Prefix: federation.HandlePrefix, Name: "peers", Service: r.peers}}, Now: r.clock.now,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.mux = http.NewServeMux()
	r.peers.Mount(mux{r.mux})
}

type mux struct{ *http.ServeMux }

func (m mux) Handle(method, pattern string, h http.Handler) {
	m.ServeMux.Handle(method+" "+pattern, h)
}

var rp = csc.Caller{Org: "org", Client: "rp", Scope: csc.ScopeService}

// choose lists the credentials of a caller and returns the only one.
func (r *rig) choose(by csc.Caller) string {
	r.t.Helper()
	list, err := r.router.CredentialsList(r.t.Context(), by, &csc.CredentialsListRequest{CredentialInfo: true})
	if err != nil || len(list.CredentialIDs) != 1 || list.Incomplete != "" {
		r.t.Fatalf("list %+v, %v", list, err)
	}
	return list.CredentialIDs[0]
}

func digest(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func wish(by csc.Caller, credential string, texts ...string) federation.Wish {
	w := federation.Wish{Org: by.Org, Client: by.Client, Credential: credential, HashOID: signing.OIDSHA256}
	for _, text := range texts {
		w.Documents = append(w.Documents, federation.Document{Label: text + ".pdf", Size: 9, DTBSR: digest(text), DocHash: digest("doc " + text)})
	}
	return w
}

// browse follows the signer's browser from the peer's page, where everything is
// approved at once, to the gateway's return address, which is not asked yet.
func (r *rig) browse(at string) *url.URL {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, at, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = resp.Body.Close()
	u, err := resp.Location()
	if err != nil {
		r.t.Fatalf("%s: %v", resp.Status, err)
	}
	return u
}

// back asks the return address, and returns where it sends the browser.
func (r *rig) back(at string) (*url.URL, *httptest.ResponseRecorder) {
	w := httptest.NewRecorder()
	r.mux.ServeHTTP(w, httptest.NewRequestWithContext(r.t.Context(), http.MethodGet, at, nil))
	u, err := w.Result().Location()
	if err != nil {
		return nil, w
	}
	return u, w
}

// approve is the whole way to a token for these texts.
func (r *rig) approve(credential string, texts ...string) csc.Caller {
	r.t.Helper()
	by, err := r.tryApprove(credential, texts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return by
}

func (r *rig) tryApprove(credential string, texts ...string) (csc.Caller, error) {
	p, err := r.peers.Begin(r.t.Context(), wish(rp, credential, texts...))
	if err != nil {
		return csc.Caller{}, err
	}
	to, w := r.back(r.browse(p.URL).RequestURI())
	if to == nil {
		return csc.Caller{}, errors.New(w.Body.String())
	}
	o, err := r.peers.Outcome(r.t.Context(), to.Query().Get("sid"), to.Query().Get("handle"))
	if err != nil {
		return csc.Caller{}, err
	}
	if o.State != federation.Approved {
		return csc.Caller{}, errors.New(o.State + ": " + o.Reason)
	}
	return csc.Caller{Org: "org", Client: "rp", Subject: o.Signer, Scope: csc.ScopeCredential, Credential: credential, SID: o.SID, Expires: o.Expires}, nil
}

func (r *rig) sign(by csc.Caller, texts ...string) (*csc.SignHashResponse, error) {
	return r.router.SignHash(r.t.Context(), by, ask(by.Credential, texts...))
}

// code is the word of an answer in CSC's form.
func code(err error) string {
	if err == nil {
		return ""
	}
	return csc.ErrorOf(err).Code
}

func (r *rig) quarantines() []federation.Quarantine {
	r.t.Helper()
	list, err := r.peers.Quarantines(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// kept are the receipts of an approval.
func (r *rig) kept(sid string) []federation.Receipt {
	r.t.Helper()
	list, err := r.receipts.Receipts(r.t.Context(), "org", sid)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// logged counts events of a type in the gateway's log.
func (r *rig) logged(kind string) int {
	r.t.Helper()
	if err := r.log.Sequence(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	list, err := r.log.Records(r.t.Context(), audit.Filter{Type: kind})
	if err != nil {
		r.t.Fatal(err)
	}
	return len(list)
}

func (r *rig) states() (list []string) {
	r.t.Helper()
	rows, err := r.db.Query(r.t.Context(), `SELECT state FROM federation_operation ORDER BY created, id`)
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			r.t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

func sqlite(t testing.TB) *store.DB {
	t.Helper()
	return sqliteAt(t, sqliteDSN(t))
}

func sqliteDSN(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "a.db") }

func sqliteAt(t testing.TB, dsn string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// details are what the peer was asked for last.
func (r *rig) details() csc.AuthorizationDetail {
	r.t.Helper()
	pushes := r.evil.Pushes()
	var d []csc.AuthorizationDetail
	if err := json.Unmarshal([]byte(pushes[len(pushes)-1].Get("authorization_details")), &d); err != nil || len(d) != 1 {
		r.t.Fatalf("%d details, %v", len(d), err)
	}
	return d[0]
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// signer is the certificate of a credential, as a relying party gets it.
func (r *rig) signer(id string) *x509.Certificate {
	r.t.Helper()
	info, err := r.router.CredentialsInfo(r.t.Context(), rp, &csc.CredentialsInfoRequest{CredentialID: id})
	if err != nil {
		r.t.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(info.Cert.Certificates[0])
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// reopen starts the gateway anew on the database that it left.
func (r *rig) reopen() {
	r.t.Helper()
	var err error
	if r.db, err = store.Open(r.t.Context(), r.dsn); err != nil {
		r.t.Fatal(err)
	}
	db := r.db
	r.t.Cleanup(func() { _ = db.Close() })
	r.open()
}
