package e2e_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/keystore/soft"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/sam/device"
	"github.com/countersign/countersign/sam/samapi"
)

func TestApprovalsThatFailAreSaidSo(t *testing.T) {
	in := install(t, options{})
	p := in.party(t)
	t.Run("rejected", func(t *testing.T) {
		dir, doc := in.desk(t)
		untouched(t, dir, func() *result {
			w := in.signInBrowser(t, doc, "-o", filepath.Join(dir, "signed.pdf"))
			final, err := p.approve(t.Context(), w.url, &thumb{decide: func(device.Request) (device.Answer, error) {
				return device.Answer{Reason: "I did not order this"}, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			return w.back(final)
		}).ends(t, 1, "no approval|did not approve|refused")
	})
	t.Run("the wrong PIN", func(t *testing.T) {
		in.refusesWith(t, []string{"COUNTERSIGN_PIN_FILE=" + in.write("wrong-pin", []byte("000000\n"))}, 1, "PIN")
	})
	t.Run("the wrong number", func(t *testing.T) {
		dir, doc := in.desk(t)
		w := in.signInBrowser(t, doc, "-o", filepath.Join(dir, "signed.pdf"))
		tries := 0
		_, err := p.approve(t.Context(), w.url, &thumb{decide: func(r device.Request) (device.Answer, error) {
			tries++
			return device.Answer{Approve: true, PIN: pin, Number: "x" + r.Shown}, nil
		}})
		if f := fault.Of(err); tries != 3 || f.Code != samapi.CodeRejected || !strings.Contains(f.Detail, "nothing was signed") {
			t.Errorf("%d tries, %v", tries, err)
		}
		if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		w.wait().ends(t, 1, "broken off; no file was written")
	})
	t.Run("a second use of the way to the approval", func(t *testing.T) {
		dir, doc := in.desk(t)
		out := filepath.Join(dir, "signed.pdf")
		w := in.signInBrowser(t, doc, "-o", out)
		first := in.must(t, "authenticator", "approve", w.url)
		again := in.run(t, "authenticator", "approve", w.url)
		again.ends(t, 4, "request_uri|used|expired|again")
		if r := w.back(strings.TrimSpace(first.out)); r.code != 0 {
			t.Error(r)
		}
		in.verify(t, out)[0].passed(t, "B-LTA", 2)
	})
	t.Run("a second use of the approval", func(t *testing.T) {
		h := hash()
		token, err := p.token(t.Context(), &thumb{}, h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.signHash(t.Context(), token, h); err != nil {
			t.Fatal(err)
		}
		// The signature was delivered and forgotten: another is not made.
		eventually(t, 10*time.Second, "the hash is signed again and again", func() bool {
			_, err = p.signHash(t.Context(), token, h)
			return err != nil
		})
		if f := fault.Of(err); f.Kind != fault.Invalid || !strings.Contains(f.Detail, "not authorized") {
			t.Errorf("%v", err)
		}
		if n := count(in.events(t), "signature.created"); n != 2 { // this one, and that of the case before
			t.Errorf("%d acts of signing, want 2", n)
		}
	})
	t.Run("expired", func(t *testing.T) { expiredApproval(t) })
}

// expiredApproval waits in a browser until the module gives up.
func expiredApproval(t *testing.T) {
	in := install(t, options{settings: map[string]map[string]any{"sam": {"approval_time": "1s"}}})
	dir, doc := in.desk(t)
	untouched(t, dir, func() *result {
		w := in.signInBrowser(t, doc, "-o", filepath.Join(dir, "signed.pdf"))
		browser := in.newBrowser(t)
		page := get(t, browser, w.url).to
		var status struct{ State, Return string }
		eventually(t, 20*time.Second, "the request does not expire", func() bool {
			decode(t, []byte(get(t, browser, page, "Accept", "application/json").body), &status)
			return status.State == samapi.Expired
		})
		return w.back(get(t, browser, get(t, browser, in.approval+status.Return).to).to)
	}).ends(t, 1, "approv|expired|in time")
	in.refusesLate(t)
}

// refusesLate has a device look at a request that is over by its clock.
func (in *installation) refusesLate(t *testing.T) {
	t.Helper()
	p := in.party(t)
	a, err := p.client.Authorize(t.Context(), p.details(hash()))
	if err != nil {
		t.Fatal(err)
	}
	d := device.Device{Key: p.key, Prompt: &thumb{pin: pin}, Now: func() time.Time { return time.Now().Add(time.Hour) }}
	_, err = d.Approve(t.Context(), a.URL)
	if f := fault.Of(err); f.Kind != fault.Expired || !strings.Contains(f.Detail, "by this machine's clock") {
		t.Errorf("a device whose clock is an hour ahead: %v", err)
	}
}

// TestClocksThatAreOffAreSaidSo has the relying party's clock wrong, then the
// authority's.
func TestClocksThatAreOffAreSaidSo(t *testing.T) {
	in := install(t, options{fronts: true})
	for name, off := range map[string]time.Duration{"an hour ahead": time.Hour, "an hour behind": -time.Hour} {
		t.Run("relying party "+name, func(t *testing.T) { in.partyElsewhen(t, off) })
	}
	t.Run("authority an hour behind", func(t *testing.T) {
		in.authorityElsewhen(t, -time.Hour)
		in.refuses(t, 4, "try again later|clock")
	})
	dir, doc := in.desk(t)
	out := filepath.Join(dir, "signed.pdf")
	in.must(t, "sign", doc, "-o", out)
	in.verify(t, out)[0].passed(t, "B-LTA", 2)
	t.Run("authority an hour ahead", func(t *testing.T) {
		in.authorityElsewhen(t, time.Hour)
		in.refuses(t, 4, "try again later|clock")
	})
	// Its time-stamps never go back: it gives none until its clock has caught up.
	in.refuses(t, 4, "try again later|clock")
}

// partyElsewhen signs as a relying party whose clock is off.
func (in *installation) partyElsewhen(t *testing.T, off time.Duration) {
	t.Helper()
	dir, doc := in.desk(t)
	p := in.party(t)
	s, err := signer.New(signer.Config{
		Service: p.client, Fetcher: cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true}), Credential: p.who.Credential,
		Now: func() time.Time { return time.Now().Add(off) },
	})
	if err != nil {
		t.Fatal(err)
	}
	before := folder(t, dir)
	_, err = s.Sign(t.Context(), signer.Job{
		Files:   []signer.File{{In: doc, Out: filepath.Join(dir, "signed.pdf")}},
		Approve: func(ctx context.Context, u string) (string, error) { return p.approve(ctx, u, &thumb{}) },
	})
	f := fault.Of(err)
	if signer.ExitCode(err) != 5 || f.Code != signer.CodeClock || !strings.Contains(f.Detail, "set the clock") {
		t.Errorf("exit %d, %v", signer.ExitCode(err), err)
	}
	t.Logf("exit %d: %s", signer.ExitCode(err), f.Detail)
	if d := cmp.Diff(before, folder(t, dir)); d != "" {
		t.Errorf("the folder has changed (-before +after):\n%s", d)
	}
}

// authorityElsewhen runs the certification authority with its own keys and
// database and another time, until the test ends.
func (in *installation) authorityElsewhen(t *testing.T, off time.Duration) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	role := in.role("pki")
	if err := role.stop(); err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(in.path("pki", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := soft.Open(ctx, soft.Config{Dir: in.path("pki", "keys"), Passphrase: secret})
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(ctx, in.dsn["pki"])
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.New(ctx, pki.Config{
		Keys: keys, DB: db, BaseURL: in.pki, Name: "Countersign Test", Now: func() time.Time { return time.Now().Add(off) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(a.Handler())
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := in.fronts["pki"]
	door := front.door()
	front.lead(u.Host)
	t.Cleanup(func() {
		s.Close()
		front.lead(door)
		if err := errors.Join(keys.Close(), db.Close(), role.start(ctx)); err != nil {
			t.Error(err)
		}
	})
}
