package e2e_test

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdpfetch "github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// key presses a key where the focus is.
func (b *approvalTab) key(name string, shift bool) {
	b.t.Helper()
	keys := map[string]string{"ArrowRight": kb.ArrowRight, "ArrowLeft": kb.ArrowLeft, "ArrowUp": kb.ArrowUp, "ArrowDown": kb.ArrowDown}
	var options []chromedp.KeyOption
	if shift {
		options = append(options, chromedp.KeyModifiers(chromedp.ModifierShift))
	}
	b.do(chromedp.KeyEvent(keys[name], options...))
}

// drag moves something by mouse or by a finger.
func (b *approvalTab) drag(x, y, toX, toY float64, finger bool) {
	b.t.Helper()
	const steps = 8
	for i := range steps + 2 {
		part := min(float64(i)/steps, 1)
		px, py := x+(toX-x)*part, y+(toY-y)*part
		var err error
		if finger {
			kind := input.DispatchTouchEventTypeTouchMove
			points := []*input.TouchPoint{{X: px, Y: py}}
			switch i {
			case 0:
				kind = input.DispatchTouchEventTypeTouchStart
			case steps + 1:
				kind, points = input.DispatchTouchEventTypeTouchEnd, []*input.TouchPoint{}
			}
			_, err = chromedp.Call(b.ctx, input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: kind, TouchPoints: points})
		} else {
			kind := input.DispatchMouseEventTypeMouseMoved
			switch i {
			case 0:
				kind = input.DispatchMouseEventTypeMousePressed
			case steps + 1:
				kind = input.DispatchMouseEventTypeMouseReleased
			}
			_, err = chromedp.Call(b.ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: kind, X: px, Y: py, Button: input.MouseButtonLeft, ClickCount: 1})
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// sits checks that the visible signature stands where it was placed.
func (s *directSite) sits(file string, want box) {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), "qpdf", "--qdf", "--object-streams=disable", file, "-").Output()
	if errors.Is(err, exec.ErrNotFound) {
		s.t.Log("LEFT OUT: where the signature stands, which qpdf would tell")
		return
	}
	found := regexp.MustCompile(`/Rect \[\s*([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s*\]`).FindAllSubmatch(out, -1)
	for _, m := range found {
		var r [4]float64
		for i := range r {
			r[i], _ = strconv.ParseFloat(string(m[i+1]), 64) // the expression lets nothing else through
		}
		got := box{r[0], 842 - r[3], r[2] - r[0], r[3] - r[1]}
		if !near(got.X, want.X) && !near(got.Y, want.Y) && !near(got.Width, want.Width) && !near(got.Height, want.Height) {
			return
		}
	}
	s.t.Errorf("no field stands at %+v: %q", want, found)
}

// emptied checks that nothing of the document is kept after the download.
func (s *directSite) emptied(b *approvalTab) {
	s.t.Helper()
	const look = `new Promise((resolve) => { const r = indexedDB.open("direct", 1); r.onsuccess = () => {
		const q = r.result.transaction("waiting").objectStore("waiting").count(); q.onsuccess = () => resolve(q.result); }; })`
	for range 50 {
		if eval[int](b, look) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Error("the document is still kept in the browser after it was downloaded")
}

// hold stops the tab's next request to an address and keeps it from being made. The
// function that it returns waits for it and tells the address.
func (s *directSite) hold(b *approvalTab, pattern string) func() string {
	s.t.Helper()
	ctx, stop := context.WithCancel(b.ctx)
	held := make(chan *cdpfetch.EventRequestPaused, 1)
	err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*cdpfetch.EventRequestPaused); ok {
			select {
			case held <- e:
			default:
			}
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, cdpfetch.Enable, cdpfetch.EnableParams{Patterns: []*cdpfetch.RequestPattern{{URLPattern: pattern}}}); err != nil {
		s.t.Fatal(err)
	}
	return func() string {
		s.t.Helper()
		defer func() {
			stop()
			if _, err := chromedp.Call(b.ctx, cdpfetch.Disable, cdp.Empty{}); err != nil {
				s.t.Fatal(err)
			}
		}()
		select {
		case e := <-held:
			if _, err := chromedp.Call(b.ctx, cdpfetch.FailRequest, cdpfetch.FailRequestParams{RequestID: e.RequestID, ErrorReason: network.ErrorReasonAborted}); err != nil {
				s.t.Fatal(err)
			}
			return e.Request.URL
		case <-time.After(20 * time.Second):
			s.t.Fatalf("the browser did not come back; the page shows:\n%s", b.text())
			return ""
		}
	}
}
