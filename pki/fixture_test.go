package pki_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/keystore/soft"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/signing"
)

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fixture is an authority that is served over HTTP, an activation module and a
// registration authority that it knows.
type fixture struct {
	*pki.Authority
	t      *testing.T
	cfg    pki.Config
	clock  *clock
	url    string
	sam    crypto.Signer
	ra     crypto.Signer
	log    *audit.Log
	client *pki.Client
}

var passphrase = []byte(strings.Repeat("5c", 32))

func openKeys(t testing.TB, dir string) *soft.Store {
	t.Helper()
	keys, err := soft.Open(t.Context(), soft.Config{Dir: dir, Passphrase: passphrase})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	return keys
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func spkiOf(t testing.TB, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// newFixture starts an authority on db. change may alter its configuration.
func newFixture(t *testing.T, db *store.DB, change ...func(*pki.Config)) *fixture {
	t.Helper()
	return newFixtureAt(t, db, time.Now(), change...)
}

// newFixtureAt is newFixture with its clock at start.
func newFixtureAt(t *testing.T, db *store.DB, start time.Time, change ...func(*pki.Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: &clock{t: start}, sam: newKey(t), ra: newKey(t)}
	keys := openKeys(t, filepath.Join(t.TempDir(), "keys"))
	f.log = newLog(t, db, keys, f.clock)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + listener.Addr().String()
	f.cfg = pki.Config{
		Keys: keys, DB: db, Log: f.log, BaseURL: f.url, Name: "Test", Now: f.clock.now,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, c := range change {
		c(&f.cfg)
	}
	if f.Authority, err = pki.New(t.Context(), f.cfg); err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: f.Handler(), ReadHeaderTimeout: time.Minute}}
	server.Start()
	t.Cleanup(server.Close)
	f.client = &pki.Client{BaseURL: f.url}
	f.register(pki.Module, f.sam)
	f.register(pki.RA, f.ra)
	return f
}

func newLog(t *testing.T, db *store.DB, keys keystore.Store, c *clock) *audit.Log {
	t.Helper()
	key, err := keys.NewService(t.Context(), "pki-audit", signing.KeyEd25519)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.New(t.Context(), audit.Config{DB: db, Origin: "pki.test", Signer: key, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func (f *fixture) register(role pki.PartyRole, key crypto.Signer) pki.Party {
	f.t.Helper()
	p, err := f.Register(f.t.Context(), role, "test "+string(role), spkiOf(f.t, key.Public()))
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// application is a pair of records before they are sealed.
type application struct {
	key      signing.KeyRecord
	proofing signing.ProofingRecord
}

var ada = signing.Subject{
	CommonName: "Ada Lovelace", GivenName: "Ada", Surname: "Lovelace", SerialNumber: "PNOGB-18151210", Country: "GB",
}

// apply makes records that agree, for a signer's key.
func (f *fixture) apply(pub crypto.PublicKey) application {
	f.t.Helper()
	spki := spkiOf(f.t, pub)
	kt, err := signing.KeyTypeOf(pub)
	if err != nil {
		kt = "unknown"
	}
	sum := sha256.Sum256(spki)
	now := f.clock.now().UTC()
	return application{
		key: signing.KeyRecord{
			Version: 1, Module: "test sam", Credential: "credential-" + store.NewID(), Signer: "ada", KeyType: kt, SPKI: spki,
			Mechanism: "devicekey", SCAL: 2, Keystore: "soft", Made: now,
		},
		proofing: signing.ProofingRecord{
			Version: 1, ID: store.NewID(), Authority: "test ra", Signer: "ada", KeyHash: sum[:], Subject: ada,
			Assurance: "substantial", Method: "passport seen", Proved: now, Expires: now.Add(time.Hour),
		},
	}
}

func seal(t testing.TB, domain string, v any, key crypto.Signer) signing.Signed {
	t.Helper()
	payload, err := signing.EncodeCanonical(v)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signing.Seal(domain, payload, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sealed seals both records with the right keys.
func (f *fixture) sealed(a application) pki.IssueRequest {
	f.t.Helper()
	if a.proofing.Credential == "" {
		a.proofing.Credential = a.key.Credential
	}
	return pki.IssueRequest{
		KeyRecord: seal(f.t, signing.DomainKeyRecord, a.key, f.sam),
		Proofing:  seal(f.t, signing.DomainProofing, a.proofing, f.ra),
	}
}

// signer is a signer's key with its certificate.
type signer struct {
	key    *ecdsa.PrivateKey
	serial string
	cert   *x509.Certificate
}

// issue issues a certificate over HTTP.
func (f *fixture) issue() signer {
	f.t.Helper()
	key := newKey(f.t)
	out, err := f.client.Issue(f.t.Context(), f.sealed(f.apply(key.Public())))
	if err != nil {
		f.t.Fatal(err)
	}
	return signer{key: key, serial: out.Serial, cert: parse(f.t, out.Chain[0])}
}

func (f *fixture) revoke(serial, reason string) {
	f.t.Helper()
	s, err := pki.SealRevocation(pki.Revocation{Version: 1, Serial: serial, Reason: reason, Time: f.clock.now().UTC()}, f.ra)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.client.Revoke(f.t.Context(), s); err != nil {
		f.t.Fatal(err)
	}
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// events returns the log's events of one type, in order.
func (f *fixture) events(kind string) []audit.Record {
	f.t.Helper()
	if err := f.log.Sequence(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	list, err := f.log.Records(f.t.Context(), audit.Filter{Type: kind})
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

// get fetches a path and wants status 200.
func (f *fixture) get(path string) []byte {
	f.t.Helper()
	return f.do(http.MethodGet, path, "", nil, http.StatusOK)
}

func (f *fixture) do(method, path, contentType string, body io.Reader, want int) []byte {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	c := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if resp.StatusCode != want {
		f.t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, want, answer)
	}
	return answer
}

// refused fails the test unless err is a fault of that kind and code.
func refused(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if !errors.Is(err, kind) || fault.Of(err).Code != code {
		t.Errorf("refused with %q (%s, code %q), want %s, code %q", err, fault.Of(err).Kind, fault.Of(err).Code, kind, code)
	}
}

func each(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(t, newFixture(t, db)) })
}
