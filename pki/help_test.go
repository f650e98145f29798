package pki_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/pki"
)

func sha(b []byte) []byte           { s := sha256.Sum256(b); return s[:] }
func hexHash(b []byte) string       { return hex.EncodeToString(sha(b)) }
func hexText(s string) string       { return hex.EncodeToString([]byte(s)) }
func hexBytes(b []byte) string      { return hex.EncodeToString(b) }
func tick(f *fixture)               { f.clock.add(time.Second) }
func reader(b []byte) *bytes.Reader { return bytes.NewReader(b) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// find returns the value of an extension.
func find(c *x509.Certificate, id string) ([]byte, bool) {
	for _, e := range c.Extensions {
		if e.Id.String() == id {
			return e.Value, true
		}
	}
	return nil, false
}

// ocsp asks for a certificate's status by POST and checks the answer's signature.
func (f *fixture) ocsp(cert, issuer *x509.Certificate) *ocsp.Response {
	f.t.Helper()
	req, err := ocsp.CreateRequest(cert, issuer, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	r, err := ocsp.ParseResponseForCert(f.do(http.MethodPost, "/ocsp", "application/ocsp-request", reader(req), http.StatusOK), cert, issuer)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// serveAdmin serves the admin handler on a Unix socket.
func serveAdmin(t *testing.T, f *fixture) *pki.AdminClient {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin.sock")
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: f.AdminHandler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return pki.NewAdminClient(path)
}

// fuzzAuthority returns a function that calls an authority's handler directly.
func fuzzAuthority(f *testing.F) func(method, path, contentType string, body []byte) (int, []byte) {
	f.Helper()
	db, err := store.Open(f.Context(), "sqlite:"+filepath.Join(f.TempDir(), "pki.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = db.Close() })
	a, err := pki.New(f.Context(), pki.Config{
		Keys: openKeys(f, filepath.Join(f.TempDir(), "keys")), DB: db, BaseURL: "http://127.0.0.1:8084", Name: "Fuzz",
	})
	if err != nil {
		f.Fatal(err)
	}
	h := a.Handler()
	return func(method, path, contentType string, body []byte) (int, []byte) {
		r := httptest.NewRequestWithContext(context.Background(), method, path, bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.Bytes()
	}
}
