package web_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/web"
)

func TestLimiterGivesBurstThenRate(t *testing.T) {
	now := time.Unix(1000, 0)
	l := &web.Limiter{Rate: 2, Burst: 3, MaxKeys: 2, Now: func() time.Time { return now }}
	take := func(key string, want bool) time.Duration {
		t.Helper()
		ok, wait := l.Allow(key)
		if ok != want {
			t.Errorf("%s at %v: %v", key, now, ok)
		}
		return wait
	}
	for range 3 {
		take("a", true)
	}
	if wait := take("a", false); wait != 500*time.Millisecond {
		t.Errorf("wait %v", wait)
	}
	now = now.Add(499 * time.Millisecond)
	take("a", false)
	now = now.Add(time.Millisecond)
	take("a", true)
	take("a", false)
	take("b", true) // another key has its own
	// No room for more keys: the new ones share a bucket, the old ones keep theirs.
	for i := range 3 {
		take(fmt.Sprint("c", i), true)
	}
	take("c9", false)
	take("b", true)
	now = now.Add(time.Minute) // all are idle: forgotten
	for range 3 {
		take("c9", true)
	}
	take("c9", false)
	if ok, _ := new(web.Limiter).Allow("a"); ok {
		t.Error("the zero limiter allows")
	}
}

func TestIdleKeysAreLookedForOnceASecond(t *testing.T) {
	now := time.Unix(1000, 0)
	l := &web.Limiter{Rate: 10, Burst: 1, MaxKeys: 1, Now: func() time.Time { return now }}
	for _, step := range []struct {
		after time.Duration
		key   string
		want  bool
	}{
		{0, "a", true},
		{0, "b", true},                       // looked, no room: shares
		{200 * time.Millisecond, "c", true},  // "a" is idle, but it is too soon to look again
		{0, "d", false},                      // shares with "c"
		{900 * time.Millisecond, "e", true},  // looked: there is room
		{0, "f", true},                       // shares again, and alone
		{0, "e", false},                      // it has a bucket of its own
		{1100 * time.Millisecond, "g", true}, // and so on
	} {
		now = now.Add(step.after)
		if ok, _ := l.Allow(step.key); ok != step.want {
			t.Errorf("%s at %v: %v", step.key, now.Sub(time.Unix(1000, 0)), ok)
		}
	}
}

func TestTooManyRequestsAreToldWhenToComeBack(t *testing.T) {
	now := time.Unix(1000, 0)
	limit := web.Limit(&web.Limiter{Rate: 0.1, Burst: 1, Now: func() time.Time { return now }}, web.ClientKey, web.Problem)
	h, _ := wrap(limit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP, web.Config{})
	from := func(addr string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = addr
		return serve(h, r)
	}
	if w := from("[2001:db8::1]:1"); w.Code != 200 {
		t.Errorf("first: %d", w.Code)
	}
	w := from("[2001:db8::ffff]:2") // the same subscriber
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "10" {
		t.Errorf("second: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if w := from("[2001:db8:1::1]:1"); w.Code != 200 {
		t.Errorf("another network: %d", w.Code)
	}
}

func TestReadyNamesWhatFails(t *testing.T) {
	var broken error
	h, l := wrap(web.Ready(web.Checks{
		"database": func(context.Context) error { return broken },
		"keystore": func(context.Context) error { return nil },
	}).ServeHTTP, web.Config{})
	if w := serve(h, httptest.NewRequest(http.MethodGet, "/readyz", nil)); w.Code != 200 || !strings.Contains(w.Body.String(), `"keystore":"ok"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	broken = errors.New("no route to 10.0.0.5")
	w := serve(h, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if s := w.Body.String(); w.Code != 503 || !strings.Contains(s, `"database":"failed"`) || strings.Contains(s, "10.0.0.5") {
		t.Errorf("%d %s", w.Code, s)
	}
	if !strings.Contains(l.String(), "10.0.0.5") {
		t.Errorf("the reason is not in the record: %s", l)
	}
	if w := serve(web.Health(), httptest.NewRequest(http.MethodGet, "/healthz", nil)); w.Code != 200 {
		t.Errorf("health: %d", w.Code)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start runs a server; stop ends it and returns what Serve returned.
func start(t *testing.T, s web.Server, l net.Listener) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestRunningRequestsFinishWhenTheServerStops(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	l := listen(t)
	stop := start(t, web.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		if r.Context().Err() != nil {
			t.Error("the request's context ended with the server's")
		}
		_, _ = io.WriteString(w, "done")
	})}, l)
	got := make(chan string)
	go func() {
		resp, err := new(http.Client).Get("http://" + l.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	<-entered
	ended := make(chan error)
	go func() { ended <- stop() }()
	time.Sleep(20 * time.Millisecond)
	close(leave)
	if s := <-got; s != "done" {
		t.Errorf("the client got %q", s)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the address still answers")
	}
}

func TestRequestsThatDoNotEndAreCutOff(t *testing.T) {
	entered := make(chan struct{})
	l := listen(t)
	stop := start(t, web.Server{Grace: 10 * time.Millisecond, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})}, l)
	go func() {
		if resp, err := new(http.Client).Get("http://" + l.Addr().String()); err == nil {
			_ = resp.Body.Close()
			t.Error("the client got an answer")
		}
	}()
	<-entered
	if err := stop(); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("Serve returned %v", err)
	}
}

func TestServerEndsWithItsListener(t *testing.T) {
	l := listen(t)
	_ = l.Close()
	if err := (web.Server{Handler: web.Health()}).Serve(t.Context(), l); err == nil {
		t.Error("served a closed listener")
	}
}

func TestServerSpeaksTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	l := listen(t)
	stop := start(t, web.Server{Handler: web.Health(), TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}, l)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	resp, err := client.Get("https://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("protocol %s", resp.Proto)
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func unixClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}

func TestSocketKnowsWhoConnects(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: peer credentials are known only on Linux")
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := web.ListenUnix(t.Context(), web.SocketConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	start(t, web.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := web.PeerOf(r.Context())
		_, _ = fmt.Fprintln(w, ok, int(p.UID) == os.Getuid(), int(p.PID) == os.Getpid())
	})}, l)
	resp, err := unixClient(path).Get("http://sam/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "true true true\n" {
		t.Errorf("peer: %s", body)
	}
	if _, err := web.ListenUnix(t.Context(), web.SocketConfig{Path: path}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second listener: %v", err)
	}
}

func TestSocketRefusesOtherUsers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: peer credentials are known only on Linux")
	}
	path := filepath.Join(t.TempDir(), "s")
	var out logged
	l, err := web.ListenUnix(t.Context(), web.SocketConfig{
		Path: path, Mode: 0o666, UIDs: []uint32{uint32(os.Getuid()) + 1}, Log: slog.New(slog.NewJSONHandler(&out, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	reached := false
	stop := start(t, web.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })}, l)
	if resp, err := unixClient(path).Get("http://sam/"); err == nil {
		_ = resp.Body.Close()
		t.Errorf("answered %s", resp.Status)
	}
	if err := stop(); err != nil || reached {
		t.Errorf("handler reached: %v, %v", reached, err)
	}
	if !strings.Contains(out.String(), "refused") {
		t.Errorf("log: %s", out.String())
	}
}

func TestSocketOfADeadProcessIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	l, err := web.ListenUnix(t.Context(), web.SocketConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := web.ListenUnix(t.Context(), web.SocketConfig{Path: path}); err == nil {
		t.Error("a file that is no socket was replaced")
	}
	if _, err := web.ListenUnix(t.Context(), web.SocketConfig{Path: "/nowhere/at/all"}); err == nil {
		t.Error("listening nowhere")
	}
}
