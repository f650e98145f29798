package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
)

// approver is who brings the signer to the approval: the authenticator in this
// terminal, or a browser.
type approver struct {
	Device  string `env:"COUNTERSIGN_DEVICE" type:"path" placeholder:"FILE" help:"The signer's device; then the authenticator runs in this terminal."`
	PINFile string `name:"pin-file" env:"COUNTERSIGN_PIN_FILE" type:"path" placeholder:"FILE" help:"Answers the PIN where there is no terminal."`
}

// way is one way to an approval and back.
type way struct {
	redirect string
	approve  func(ctx context.Context, authorizationURL string) (string, error)
	close    func()
}

// way chooses. Without a device the signer's browser comes back to a port of
// this machine (RFC 8252 §7.3).
func (a *approver) way(ctx context.Context, t terminal, s *service) (*way, error) {
	if a.Device != "" {
		if s.Redirect == "" {
			return nil, withCode(exitUsage, errors.New("set --redirect or COUNTERSIGN_REDIRECT to a redirect URI registered for this client"))
		}
		return &way{redirect: s.Redirect, close: func() {}, approve: func(ctx context.Context, u string) (string, error) {
			return a.approve(ctx, t, s, u)
		}}, nil
	}
	return browserWay(ctx, t)
}

// browserPatience is how long a browser may take; the service's own limit is
// shorter.
const browserPatience = 15 * time.Minute

// browserWay prints the address for a browser and waits for it to come back.
func browserWay(ctx context.Context, t terminal) (*way, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, withCode(exitLocal, err)
	}
	redirect := fmt.Sprintf("http://%s/callback", l.Addr())
	came := make(chan string, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		select {
		case came <- redirect + "?" + r.URL.RawQuery:
		default: // it came before
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		// The browser may be gone.
		_, _ = w.Write([]byte("Done here: go back to the terminal.\n"))
	})
	serving, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := (web.Server{Handler: mux, Grace: time.Second}).Serve(serving, l); err != nil && serving.Err() == nil {
			t.say("the way back from the browser is broken: %v", err)
		}
	}()
	return &way{
		redirect: redirect,
		close:    func() { stop(); <-ended },
		approve: func(ctx context.Context, u string) (string, error) {
			t.say("Open this address in a browser, and approve with the signer's device:\n\n  %s\n", u)
			select {
			case final := <-came:
				return final, nil
			case <-time.After(browserPatience):
				return "", fault.New(fault.Forbidden, "nobody approved within %s", browserPatience)
			case <-ctx.Done():
				return "", ctx.Err()
			}
		},
	}, nil
}

// pin is the PIN from the terminal or, where there is none, from the file that
// was named for that.
func (a *approver) pin(ctx context.Context, t terminal) (string, error) {
	if t.interactive() {
		b, err := t.askSecret(ctx, "PIN: ")
		return string(b), err
	}
	if a.PINFile == "" {
		return "", withCode(exitUsage, errors.New("there is no terminal to ask the PIN on: name a file with it in COUNTERSIGN_PIN_FILE"))
	}
	b, err := os.ReadFile(a.PINFile)
	if err != nil {
		return "", withCode(exitLocal, fmt.Errorf("read the PIN: %w", err))
	}
	return strings.TrimSpace(string(b)), nil
}
