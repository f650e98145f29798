package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/approval"
	"github.com/countersign/countersign/sam/samtest"
)

// approvalSite is the approval origin with its module, and a stand-in for the
// gateway to which browsers go back.
type approvalSite struct {
	*samtest.Rig

	t    *testing.T
	base string
	away atomic.Bool // the server cuts every connection

	mu   sync.Mutex
	back *url.URL // with what the browser came back
}

// newApprovalSite serves the pages for real, on a name that browsers treat as a
// secure context.
func newApprovalSite(t *testing.T) *approvalSite {
	t.Helper()
	s := &approvalSite{t: t}
	var c net.ListenConfig
	l, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	s.base = "http://approve.localhost:" + port
	s.Rig = samtest.New(t, storetest.SQLite(t), samtest.Config{Approval: s.base, Limits: sam.Limits{Pending: 50}})
	if err := s.RegisterGateway(t.Context(), samtest.Gateway, "http://sign.localhost:"+port+"/returned"); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	pages, err := approval.New(approval.Config{
		Module: s.Module, Origin: s.base, Now: s.Clock.Now, Stop: stop,
		Site:      ui.Site{Org: "Nordlys Trust Centre", Test: true},
		Approvals: &web.Limiter{Rate: 1000, Burst: 1000}, Views: &web.Limiter{Rate: 1000, Burst: 1000},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if s.away.Load() {
			panic(http.ErrAbortHandler)
		}
		pages.ServeHTTP(w, r)
	})
	mux.HandleFunc("sign.localhost/returned", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.back = r.URL
		_, _ = io.WriteString(w, "<!doctype html><title>Back</title><h1>Back at the gateway</h1>")
	})
	// Another site on a name below the approval origin's, which may use its RP ID.
	mux.HandleFunc("evil.approve.localhost/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		_, _ = io.WriteString(w, "<!doctype html><title>Evil</title><h1>Another site</h1>")
	})
	server := &http.Server{Handler: web.Wrap(mux, web.Config{Name: "approval"}), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }() // it ends by Shutdown
	t.Cleanup(func() {
		close(stop)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("streams of events keep the server from stopping: %v", err)
		}
		<-done
	})
	return s
}

// returned is with what the browser came back to the gateway.
func (s *approvalSite) returned() url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.back == nil {
		return nil
	}
	return s.back.Query()
}

// local is a page of the approval origin by the address that the module gave.
func (s *approvalSite) local(address string) string {
	return s.base + strings.TrimPrefix(address, s.Config.ApprovalURL)
}

// chromium starts a browser with an empty profile. Where there is none, the test is
// left out aloud; in CI it fails.
func chromium(t testing.TB) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is not installed (Debian: apt install chromium)")
		}
		t.Skip("LEFT OUT: chromium is not installed (Debian: apt install chromium)")
	}
	dir, err := os.MkdirTemp("", "countersign-chromium") //nolint:usetesting // the browser writes until after the test
	if err != nil {
		t.Fatal(err)
	}
	alloc, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(dir), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("lang", "en"))
	t.Cleanup(func() {
		stop()
		for range 20 { // the browser's last processes may still write
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	return alloc
}

// approvalTab is a page in the browser.
type approvalTab struct {
	t   testing.TB
	ctx context.Context
}

// open opens a page in a tab of a profile of its own.
func (s *approvalSite) open(alloc context.Context) *approvalTab {
	s.t.Helper()
	ctx, cancel := chromedp.NewContext(alloc)
	s.t.Cleanup(cancel)
	// The browser lives as long as the context of the first action.
	if err := chromedp.Do(ctx); err != nil {
		s.t.Fatalf("start the browser: %v", err)
	}
	b := &approvalTab{s.t, ctx}
	b.do(chromedp.EmulateViewport(1280, 800))
	return b
}

func (b *approvalTab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.shot("failed")
		b.t.Fatalf("%v; the page shows:\n%s", err, b.text())
	}
}

func (b *approvalTab) goTo(address string) { b.t.Helper(); b.do(chromedp.Navigate(address)) }

// text is what a person reads on the page.
func (b *approvalTab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// sees waits until the page shows the text.
func (b *approvalTab) sees(text string) {
	b.t.Helper()
	quoted, err := json.Marshal(strings.ToLower(text))
	if err != nil {
		b.t.Fatal(err)
	}
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		// While a page loads there may be none.
		found, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`!!document.body && document.body.innerText.toLowerCase().includes(`+string(quoted)+`)`))
		if err == nil && found {
			return
		}
	}
	b.shot("failed")
	b.t.Fatalf("the page does not show %q, but:\n%s", text, b.text())
}

func (b *approvalTab) shows(text string) bool {
	return strings.Contains(strings.ToLower(b.text()), strings.ToLower(text))
}

func (b *approvalTab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// types empties a field and types into it.
func (b *approvalTab) types(selector, text string) {
	b.t.Helper()
	empty := `document.querySelector(` + strconv.Quote(selector) + `).value = ""`
	b.do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Evaluate[chromedp.Void](empty), chromedp.SendKeys(chromedp.CSS(selector), text))
}

// eval runs a script and waits for its promise.
func eval[T any](b *approvalTab, script string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%v in %s", err, script)
	}
	return v
}

// authenticator gives the tab a passkey device that verifies its user.
func (b *approvalTab) authenticator() webauthn.AuthenticatorID {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	a, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	return a.AuthenticatorID
}

// override makes the passkey device misbehave.
func (b *approvalTab) override(a webauthn.AuthenticatorID, bogusSignature, badUV bool) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, webauthn.SetResponseOverrideBits, webauthn.SetResponseOverrideBitsParams{
		AuthenticatorID: a, IsBogusSignature: &bogusSignature, IsBadUV: &badUV,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *approvalTab) userVerified(a webauthn.AuthenticatorID, yes bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: a, IsUserVerified: yes}); err != nil {
		b.t.Fatal(err)
	}
}

// screens are the sizes and themes in which every page is looked at.
var screens = []struct {
	name          string
	width, height int64
}{{"1280", 1280, 800}, {"360", 360, 740}}

// looksRight holds a page against what can be measured: no sideways scroll at 320
// CSS pixels, and nothing serious by axe-core in both themes. With SCREENSHOTS it
// leaves pictures there.
func (b *approvalTab) looksRight(name string) {
	b.t.Helper()
	for _, theme := range []string{"light", "dark"} {
		b.theme(theme)
		b.do(chromedp.Sleep(200 * time.Millisecond)) // colours turn slowly
		for _, s := range screens {
			b.do(chromedp.EmulateViewport(s.width, s.height))
			b.shot(name + "-" + theme + "-" + s.name)
		}
		b.accessible(name + " " + theme)
	}
	b.theme("light")
	b.do(chromedp.EmulateViewport(320, 700))
	if wide := eval[int](b, `document.documentElement.scrollWidth`); wide > 320 {
		b.t.Errorf("%s: at 320 pixels the page is %d wide", name, wide)
	}
	b.do(chromedp.EmulateViewport(640, 512, chromedp.EmulateScale(2))) // a window of 1280 pixels at 200 %
	if wide := eval[int](b, `document.documentElement.scrollWidth`); wide > 640 {
		b.t.Errorf("%s: at 200 %% the page is %d wide", name, wide)
	}
	b.do(chromedp.EmulateViewport(1280, 800))
}

func (b *approvalTab) theme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// shot leaves a picture of the whole page.
func (b *approvalTab) shot(name string) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second) // very long pages may never come
	defer cancel()
	got, err := chromedp.Call(ctx, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{CaptureBeyondViewport: new(true)})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), got.Data, 0o600)
	}
	if err != nil {
		b.t.Logf("picture %s: %v", name, err)
	}
}

// accessible asks axe-core.
func (b *approvalTab) accessible(name string) {
	b.t.Helper()
	script := axeScript(b.t)
	if script == "" {
		return
	}
	if eval[string](b, `typeof axe`) == "undefined" {
		if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[chromedp.Void](script)); err != nil {
			b.t.Fatalf("load axe-core: %v", err)
		}
	}
	bad := eval[string](b, `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.filter((v) => v.impact === "serious" || v.impact === "critical")
		.map((v) => v.id + ": " + v.nodes.map((n) => n.target.join(" ") + " " + (n.failureSummary || "")).join("; ")).join("\n"))`)
	if bad != "" {
		b.t.Errorf("%s: axe-core finds\n%s", name, bad)
	}
}

// axeScript is axe-core from the cache into which the build fetches it.
func axeScript(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "countersign", "npm", "axe-core-*", "axe.min.js"))
	if err != nil || len(found) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("axe-core is not there: make assets fetches it from npm")
		}
		t.Log("LEFT OUT: nothing was checked by axe-core, which npm would fetch")
		return ""
	}
	b, err := os.ReadFile(found[len(found)-1])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
