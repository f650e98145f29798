package approval_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam/approval"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

func TestOneClientDoesNotTakeAllStreams(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	h, err := approval.New(approval.Config{
		Module: r.Module, Origin: samtest.Approval, Now: r.Clock.Now, Site: ui.Site{Org: "x"}, Views: &web.Limiter{Rate: 1000, Burst: 1000},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(web.Wrap(h, web.Config{Name: "approval"}))
	t.Cleanup(s.Close)
	q := r.Request(r.Person(samtest.Wish{}), samtest.Hash("x"))
	address := s.URL + strings.Replace(strings.TrimPrefix(q.URL, samtest.Approval), "?", "/events?", 1)
	carrier := &http.Transport{}
	t.Cleanup(carrier.CloseIdleConnections)
	open := func() (int, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := carrier.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res.StatusCode, cancel
	}
	var ends []func()
	for i := range 100 {
		status, end := open()
		if status != http.StatusOK {
			t.Fatalf("stream %d: %d", i+1, status)
		}
		ends = append(ends, end)
	}
	if status, _ := open(); status != http.StatusTooManyRequests {
		t.Errorf("one stream more: %d", status)
	}
	for _, end := range ends {
		end()
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if status, _ := open(); status == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			t.Fatal("streams that have ended are still counted")
		}
	}
}

func TestPhonesStreamTellsOfTheRejection(t *testing.T) {
	d := open(t, samtest.Config{})
	q := d.Request(d.Person(samtest.Wish{Mechanism: samapi.WebAuthn}), samtest.Hash("x"))
	token, err := d.PhoneToken(t.Context(), q.SID, q.View)
	if err != nil {
		t.Fatal(err)
	}
	phone := d.events("/p/" + q.SID + "/events?t=" + url.QueryEscape(token))
	if got := next(t, phone); got != "state pending" {
		t.Errorf("the phone's stream begins with %q", got)
	}
	if err := d.PhoneReject(t.Context(), q.SID, token, "no"); err != nil {
		t.Fatal(err)
	}
	if got := next(t, phone); got != "state rejected" {
		t.Errorf("after the rejection: %q", got)
	}
	for _, wrong := range []string{"", "?t=x", "?t=" + q.View} {
		if got := d.json("/p/" + q.SID + "/events" + wrong); got.StatusCode != http.StatusNotFound {
			t.Errorf("%q: %d %s", wrong, got.StatusCode, got.body)
		}
	}
}
