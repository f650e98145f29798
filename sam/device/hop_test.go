package device_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/device"
	"github.com/countersign/countersign/sam/samtest"
)

// after is where the gateway sends the browser in the end.
func (w *world) after() string {
	if w.outer != "" {
		return w.outer + "/return"
	}
	return party
}

// yesMan approves everything.
type yesMan struct{}

// Decide implements device.Prompter.
func (yesMan) Decide(_ context.Context, r device.Request) (device.Answer, error) {
	return device.Answer{Approve: true, PIN: samtest.PIN, Number: r.Shown}, nil
}

// TestTheWayMayLeadThroughAnotherServiceToAKnownEnd: a gateway that has the approval
// taken by the service that holds the key.
func TestTheWayMayLeadThroughAnotherServiceToAKnownEnd(t *testing.T) {
	w := newWorld(t)
	outer := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/start":
			http.SetCookie(rw, &http.Cookie{Name: "outer", Value: "1", Path: "/"})
			http.Redirect(rw, r, w.gateway.URL+"/authorize", http.StatusSeeOther)
		case "/return":
			if _, err := r.Cookie("outer"); err != nil {
				http.Error(rw, `{"error":"access_denied"}`, http.StatusForbidden)
				return
			}
			http.Redirect(rw, r, "/last?"+r.URL.RawQuery, http.StatusSeeOther)
		case "/last":
			http.Redirect(rw, r, party+"?"+r.URL.RawQuery, http.StatusSeeOther)
		}
	}))
	t.Cleanup(outer.Close)
	w.outer = outer.URL
	d := device.Device{Key: w.key, Prompt: yesMan{}, Now: w.Clock.Now, End: party}
	end, err := d.Approve(t.Context(), outer.URL+"/start")
	if err != nil || end != party+"?state=approved" {
		t.Errorf("ended at %q, %v", end, err)
	}
	// The way home leads only through services that it came through.
	stranger := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	w.outer = stranger.URL
	if _, err := d.Approve(t.Context(), outer.URL+"/start"); !errors.Is(err, fault.Forbidden) {
		t.Errorf("through a stranger: %v", err)
	}
	// Where the end is not known, another service is the end.
	d.End = ""
	if end, err := d.Approve(t.Context(), outer.URL+"/start"); err != nil || end != w.gateway.URL+"/authorize" {
		t.Errorf("ended at %q, %v", end, err)
	}
	// A gateway that refuses at once tells the relying party.
	d.End, w.refuse = party, party+"?error=access_denied"
	if end, err := d.Approve(t.Context(), outer.URL+"/start"); err != nil || end != w.refuse {
		t.Errorf("ended at %q, %v", end, err)
	}
}
