package device_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/device"
	"github.com/countersign/countersign/sam/samapi"
)

// edited changes the members of the approval origin's JSON answers.
func edited(edit func(m map[string]any)) func(http.Handler, http.ResponseWriter, *http.Request) {
	return func(h http.Handler, w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		var m map[string]any
		if strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") && json.Unmarshal(body, &m) == nil {
			edit(m)
			body, _ = json.Marshal(m)
		}
		for name, values := range rec.Header() {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
	}
}

// TestTwoRequestsApprove where the page says what it can say at once; a page that
// does not is asked for the rest.
func TestTwoRequestsApprove(t *testing.T) {
	for name, row := range map[string]struct {
		page func(http.Handler, http.ResponseWriter, *http.Request)
		want []string
	}{
		"at once": {nil, []string{"GET SID", "POST approve"}},
		"one after the other": {
			edited(func(m map[string]any) { delete(m, "sadBytes"); delete(m, "to") }),
			[]string{"GET SID", "GET sad", "POST approve", "GET return"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.page, w.asked = row.page, nil
			end, _, err := w.approve(yes)
			if err != nil || end != party+"?state=approved" {
				t.Fatalf("ended at %q, %v", end, err)
			}
			w.asked[0] = strings.Replace(w.asked[0], w.sid, "SID", 1)
			if !slices.Equal(w.asked, row.want) {
				t.Errorf("asked %q, want %q", w.asked, row.want)
			}
		})
	}
}

// TestPageThatLies: what comes along with the page is held to the same rules as what
// is fetched.
func TestPageThatLies(t *testing.T) {
	for name, edit := range map[string]func(w *world, m map[string]any){
		"a way back to another gateway": func(_ *world, m map[string]any) {
			if m["to"] != nil {
				m["to"] = "https://other.example/approved?sid=x"
			}
		},
		"another request's bytes": func(_ *world, m map[string]any) {
			if m["sid"] != nil {
				m["sid"] = "another"
			}
		},
		"bytes that are no request": func(_ *world, m map[string]any) {
			if m["sadBytes"] != nil {
				m["sadBytes"] = "e30="
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.page = edited(func(m map[string]any) { edit(w, m) })
			end, s, err := w.approve(yes)
			if err == nil || end != "" || (!errors.Is(err, fault.Forbidden) && !errors.Is(err, fault.Unavailable)) {
				t.Errorf("ended at %q after %d questions, %v", end, len(s.asked), err)
			}
		})
	}
}

// TestApprovalsShareATransport and nothing else: each has cookies of its own.
func TestApprovalsShareATransport(t *testing.T) {
	w := newWorld(t)
	carrier := device.NewTransport(nil)
	t.Cleanup(carrier.CloseIdleConnections)
	for range 3 {
		s := &script{t: t, answers: []func(device.Request) (device.Answer, error){yes}}
		d := device.Device{Key: w.key, Prompt: s, Now: w.Clock.Now, Net: device.Net{Transport: carrier}}
		if end, err := d.Approve(t.Context(), w.gateway.URL+"/authorize"); err != nil || end != party+"?state="+samapi.Approved {
			t.Errorf("ended at %q, %v", end, err)
		}
	}
}
