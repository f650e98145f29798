package request_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/request"
)

// TestSealedLogAndFilesShowTampering changes each sealed file at many places.
func TestSealedLogAndFilesShowTampering(t *testing.T) {
	t.Attr("feature", "I6")
	r := newRig(t, sqlite(t))
	q := r.sent(ada)
	r.click(r.enter(ada.Email))
	q = r.request(q.ID)
	log, _ := r.file(q.ID, request.LogDocument)
	list := map[string][]byte{"log": log}
	for _, d := range q.Documents {
		b, _ := r.file(q.ID, d.ID)
		list[d.Name] = b
	}
	passed := func(b []byte) bool {
		report, err := validate.File(bytes.NewReader(b), int64(len(b)), validate.Options{Anchors: r.service.PKI.Anchors()})
		return err == nil && report.Passed()
	}
	for name, b := range list {
		if !passed(b) {
			t.Errorf("%s does not verify", name)
		}
		end := bytes.LastIndex(b, []byte("/ByteRange")) // of the archive time-stamp: behind it only what is excluded
		for i := range 20 {
			c := bytes.Clone(b)
			c[20+(end-20)*i/20] ^= 0x20
			if passed(c) {
				t.Errorf("%s: a change at byte %d is not noticed", name, 20+(end-20)*i/20)
			}
		}
	}
	if strings.Contains(r.logText(log), visitor.Address) {
		t.Error("the log, which every signer gets, has the network address of another")
	}
	for _, d := range q.Documents { // the log names the files as they are
		if !strings.Contains(r.logText(log), d.SHA256) {
			t.Errorf("the log does not name %s with %s", d.Name, d.SHA256)
		}
	}
}

// TestUseOfTheSealNamesWhoCausedIt looks into the events, which the log repeats.
func TestUseOfTheSealNamesWhoCausedIt(t *testing.T) {
	t.Attr("feature", "I9")
	r := newRig(t, sqlite(t))
	q := r.sent(ada)
	r.click(r.enter(ada.Email))
	var people, machines int
	for _, e := range r.events(q.ID) {
		if e.Type != request.EventSealUsed {
			continue
		}
		switch {
		case e.Actor == "signer:"+q.Signers[0].ID && e.Name == ada.Name && e.Data["purpose"] != "" && e.Data["sha256"] != "":
			people++
		case e.Actor == "machine" && e.Data["purpose"] != "":
			machines++
		default:
			t.Errorf("use by %q %q: %v", e.Actor, e.Name, e.Data)
		}
	}
	if people != 2 || machines != 3 || r.seal.used.Load() != 5 {
		t.Errorf("%d uses by people, %d by the machine, the seal was used %d times", people, machines, r.seal.used.Load())
	}
}

func TestSealThatIsNotThereIsWaitedFor(t *testing.T) {
	r := newRig(t, sqlite(t))
	q := r.sent(ada)
	uses := 0
	r.seal.before = func([]request.File) error {
		if uses++; uses == 1 { // her own signature
			return nil
		}
		return fault.New(fault.Unavailable, "the signing service cannot be reached")
	}
	r.click(r.enter(ada.Email))
	for range 20 {
		r.later(5 * time.Minute)
		r.work()
	}
	if q = r.request(q.ID); q.State != request.Sealing {
		t.Fatalf("while the service is down: %s", q.State)
	}
	if n := r.count(q.ID, request.EventSealingFailed); n != 1 {
		t.Errorf("the trouble is in the log %d times", n)
	}
	r.seal.before = nil
	r.later(5 * time.Minute)
	r.work()
	if q = r.request(q.ID); q.State != request.Completed {
		t.Fatalf("when it is back: %s", q.State)
	}
	verified(t, r, q, 2)
}

func TestRequestThatCanNeverBeSealedIsStopped(t *testing.T) {
	r := newRig(t, sqlite(t))
	q := r.sent(ada)
	uses := 0
	r.seal.before = func([]request.File) error {
		if uses++; uses == 1 {
			return nil
		}
		return fault.New(fault.Invalid, "the seal signs at most 1 document")
	}
	r.click(r.enter(ada.Email))
	if q = r.request(q.ID); q.State != request.Stopped || !strings.Contains(q.Reason, "at most 1") {
		t.Errorf("%s: %q", q.State, q.Reason)
	}
}
