package faultnet_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/faultnet"
)

// counted answers "effect" and counts how often it was reached.
func counted() (http.Handler, *atomic.Int32) {
	var n atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n.Add(1)
		_, _ = io.WriteString(w, "effect"+strings.Repeat(".", 1000))
	}), &n
}

func post(t *testing.T, c *http.Client, url string, timeout time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return "status " + resp.Status, err
	}
	return string(b), err
}

func TestEachFaultHasItsEffect(t *testing.T) {
	for _, c := range []struct {
		fault   faultnet.Fault
		effects int32
		broken  bool   // the client gets an error
		answer  string // else the answer begins with it
		proxy   bool   // the proxy can do it
		direct  bool   // the transport can do it
	}{
		{faultnet.Fault{Kind: faultnet.None}, 1, false, "effect", true, true},
		{faultnet.Fault{Kind: faultnet.Delay, For: 30 * time.Millisecond}, 1, false, "effect", true, true},
		{faultnet.Fault{Kind: faultnet.DropBefore}, 0, true, "", true, true},
		{faultnet.Fault{Kind: faultnet.DropAfter}, 1, true, "", true, true},
		{faultnet.Fault{Kind: faultnet.Truncate, Bytes: 300}, 1, true, "", true, true},
		{faultnet.Fault{Kind: faultnet.Hang}, 0, true, "", true, true},
		{faultnet.Fault{Kind: faultnet.Garbage}, 0, true, "", true, false},
		{faultnet.Fault{Kind: faultnet.Garbage}, 1, false, "\x83", false, true},
		{faultnet.Fault{Kind: faultnet.Twice}, 2, false, "effect", false, true},
		{faultnet.Fault{Kind: faultnet.Status, Bytes: 503}, 0, false, "status", false, true},
	} {
		run := func(t *testing.T, c2 *http.Client, url string, effects *atomic.Int32) {
			t.Helper()
			begin := time.Now()
			got, err := post(t, c2, url, time.Second)
			if (err != nil) != c.broken || (!c.broken && c.answer != "\x83" && !strings.HasPrefix(got, c.answer)) {
				t.Errorf("got %.20q, %v", got, err)
			}
			if c.answer == "\x83" && (len(got) != 512 || strings.Contains(got, "effect")) {
				t.Errorf("got %.20q", got)
			}
			if n := effects.Load(); n != c.effects {
				t.Errorf("%d effects, want %d", n, c.effects)
			}
			if took := time.Since(begin); took < c.fault.For {
				t.Errorf("took %v", took)
			}
			if got, err := post(t, c2, url, 10*time.Second); err != nil || !strings.HasPrefix(got, "effect") {
				t.Errorf("after the script: %.20q, %v", got, err)
			}
		}
		h, effects := counted()
		s := httptest.NewServer(h)
		if c.direct {
			t.Run("transport/"+c.fault.Kind.String(), func(t *testing.T) {
				script := faultnet.NewScript().Add(c.fault)
				run(t, &http.Client{Transport: &faultnet.Transport{Script: script}}, s.URL, effects)
				if script.Used() != 2 {
					t.Errorf("%d requests", script.Used())
				}
			})
		}
		if c.proxy {
			t.Run("proxy/"+c.fault.Kind.String(), func(t *testing.T) {
				effects.Store(0)
				p, err := faultnet.NewProxy(s.Listener.Addr().String(), faultnet.NewScript().Add(c.fault))
				if err != nil {
					t.Fatal(err)
				}
				// net/http tries again by itself what cannot have had an effect.
				run(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+p.Addr(), effects)
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		s.Close()
	}
}

func TestWrongCertificateIsSeen(t *testing.T) {
	h, effects := counted()
	s := httptest.NewTLSServer(h)
	defer s.Close()
	p, err := faultnet.NewProxy(s.Listener.Addr().String(), faultnet.NewScript(faultnet.WrongCert))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	url := "https://" + p.Addr()
	_, err = post(t, s.Client(), url, 5*time.Second)
	if _, refused := errors.AsType[*tls.CertificateVerificationError](err); !refused || effects.Load() != 0 {
		t.Errorf("%v, %d effects", err, effects.Load())
	}
	if got, err := post(t, s.Client(), url, 5*time.Second); err != nil || !strings.HasPrefix(got, "effect") {
		t.Errorf("after it: %.20q, %v", got, err)
	}
}

func TestOnlyMatchingRequestsFail(t *testing.T) {
	h, _ := counted()
	s := httptest.NewServer(h)
	defer s.Close()
	c := &http.Client{Transport: &faultnet.Transport{
		Script: faultnet.NewScript(faultnet.DropBefore), Match: func(r *http.Request) bool { return r.URL.Path == "/sign" },
	}}
	if _, err := post(t, c, s.URL+"/other", 5*time.Second); err != nil {
		t.Errorf("other: %v", err)
	}
	if _, err := post(t, c, s.URL+"/sign", 5*time.Second); !errors.Is(err, faultnet.ErrDropped) {
		t.Errorf("sign: %v", err)
	}
}
