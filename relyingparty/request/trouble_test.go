package request_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/request"
)

func TestDoubleClickAndTwoTabsSignOnce(t *testing.T) {
	each(t, func(t *testing.T, dsn string) {
		r := newRig(t, dsn)
		q := r.sent(ada)
		visits := []string{r.enter(ada.Email), r.enter(ada.Email)}
		v, err := r.Visit(t.Context(), "", visits[0])
		r.must(err)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if err := r.Click(t.Context(), visits[i%2], v.Seq, visitor); err != nil {
					t.Errorf("click: %v", err)
				}
			})
		}
		wg.Wait()
		r.refused(r.Reject(t.Context(), visits[0], "no", visitor), fault.Conflict, request.CodeWorking)
		r.work()
		r.must(r.Click(t.Context(), visits[1], v.Seq, visitor)) // reload
		if q = r.request(q.ID); q.State != request.Completed {
			t.Fatalf("%s", q.State)
		}
		if n := r.count(q.ID, request.EventSigningBegun); n != 1 {
			t.Errorf("%d yeses are in the log", n)
		}
		verified(t, r, q, 2)
		if n := r.service.SAM.Made(); n != 5 {
			t.Errorf("%d signatures were made, want 5", n)
		}
	})
}

func TestYesToAnotherPageIsRefused(t *testing.T) {
	r := newRig(t, sqlite(t))
	q := r.sent(ada, blaise)
	before := r.request(q.ID).Seq
	r.click(r.enter(ada.Email))
	visit := r.enter(blaise.Email)
	for _, seq := range []int64{before, 0, 10000} {
		r.refused(r.Click(t.Context(), visit, seq, visitor), fault.Conflict, request.CodeState)
	}
}

// TestProcessEndsBetweenAllSteps ends the relying party at every point at which the
// seal was just about to work or has just worked, and starts it again.
func TestProcessEndsBetweenAllSteps(t *testing.T) {
	each(t, func(t *testing.T, dsn string) {
		r := newRig(t, dsn)
		died := errors.New("the process ends")
		ends := 0
		die := func([]request.File) error {
			ends++
			if err := r.db.Close(); err != nil {
				t.Error(err)
			}
			return died
		}
		q := r.sent(ada, blaise)
		r.restart()
		visit := r.enter(ada.Email)
		steps := func(what string) {
			t.Helper()
			for _, hook := range []*func([]request.File) error{&r.seal.before, &r.seal.after} {
				*hook = die
				_, _ = r.jobs.RunDue(t.Context()) // it dies in the middle
				*hook = nil
				r.restart()
				r.later(3 * time.Second) // the lease of the dead
			}
			for range 4 {
				r.work()
				r.later(5 * time.Second)
			}
			if ends == 0 {
				t.Fatalf("%s: nothing was ended", what)
			}
		}
		v, err := r.Visit(t.Context(), "", visit)
		r.must(err)
		r.must(r.Click(t.Context(), visit, v.Seq, visitor))
		r.restart()
		steps("signer 1")
		if q = r.request(q.ID); q.Signers[0].State != request.Signed || q.Signers[1].State != request.Invited {
			t.Fatalf("after signer 1: %+v", q.Signers)
		}
		verified(t, r, q, 1)
		visit = r.enter(blaise.Email)
		v, err = r.Visit(t.Context(), "", visit)
		r.must(err)
		r.must(r.Click(t.Context(), visit, v.Seq, visitor))
		steps("signer 2 and seals")
		steps("the rest")
		if q = r.request(q.ID); q.State != request.Completed {
			t.Fatalf("at the end: %s, %+v", q.State, r.events(q.ID))
		}
		verified(t, r, q, 3)
		for kind, want := range map[request.EventType]int{
			request.EventSigned: 2, request.EventInvited: 2, request.EventCompleted: 1, request.EventSignatureMade: 6, request.EventSignatureChecked: 6, request.EventSigningBegun: 2,
		} {
			if n := r.count(q.ID, kind); n != want {
				t.Errorf("%s %d times, want %d", kind, n, want)
			}
		}
		if n := r.seal.used.Load(); n != 7 {
			t.Errorf("the seal was put on %d files, want 7: something was repeated", n)
		}
		for _, to := range []string{ada.Email, blaise.Email} {
			n := 0
			for _, m := range r.catcher.Messages(to) {
				if strings.Contains(m.Subject, "asks you to sign") || strings.Contains(m.Subject, "bittet um Ihre") {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s was invited %d times", to, n)
			}
		}
	})
}

// personal makes the steps of personal keys fail before or after they worked.
type personal struct {
	request.PersonalKeys

	fail func(step string) error
}

func (p *personal) Redeem(ctx context.Context, progress json.RawMessage, returned string) (json.RawMessage, error) {
	if err := p.fail("before redeem"); err != nil {
		return nil, err
	}
	return p.PersonalKeys.Redeem(ctx, progress, returned)
}

func (p *personal) Finish(ctx context.Context, progress json.RawMessage, files []request.File, save func(json.RawMessage) error) (request.Outcome, error) {
	if err := p.fail("before finish"); err != nil {
		return request.Outcome{}, err
	}
	out, err := p.PersonalKeys.Finish(ctx, progress, files, func(b json.RawMessage) error {
		if err := p.fail("before save"); err != nil {
			return err
		}
		if err := save(b); err != nil {
			return err
		}
		return p.fail("after save")
	})
	if err != nil {
		return out, err
	}
	return out, p.fail("after finish")
}

func TestPersonalSignatureGoesOnWhereItWasLeft(t *testing.T) {
	for _, at := range []string{"before redeem", "before finish", "before save", "after save", "after finish"} {
		t.Run(at, func(t *testing.T) {
			ended := false
			r := newRig(t, sqlite(t))
			r.personal = &personal{r.personal, func(step string) error {
				if step != at || ended {
					return nil
				}
				ended = true
				if err := r.db.Close(); err != nil {
					t.Error(err)
				}
				return errors.New("the process ends")
			}}
			r.restart()
			own := ada
			own.Level, own.Factor, own.Credential = request.Personal, request.NoFactor, "cred-1"
			q := r.sent(own)
			visit, err := r.Enter(t.Context(), r.link(own.Email), "", visitor)
			r.must(err)
			to, err := r.BeginPersonal(t.Context(), visit, visitor)
			r.must(err)
			final, err := r.service.Approve(t.Context(), to)
			r.must(err)
			_, err = r.FinishPersonal(t.Context(), visit, final, visitor)
			r.must(err)
			_, _ = r.jobs.RunDue(t.Context())
			if !ended {
				t.Fatal("the step was not reached")
			}
			r.restart()
			for range 4 {
				r.later(5 * time.Second)
				r.work()
			}
			made := 5
			if at == "before save" {
				// The service's answer was taken and not kept: what it signed is lost, and the
				// signer is told to approve again. No other moment costs an approval.
				for range 4 {
					r.later(time.Minute)
					r.work()
				}
				if g := r.request(q.ID).Signers[0]; g.State != request.Opened || g.Problem == "" {
					t.Fatalf("given back: %s, %q", g.State, g.Problem)
				}
				r.offset.Store(0)
				to, err := r.BeginPersonal(t.Context(), visit, visitor)
				r.must(err)
				final, err := r.service.Approve(t.Context(), to)
				r.must(err)
				_, err = r.FinishPersonal(t.Context(), visit, final, visitor)
				r.must(err)
				r.work()
				made += 2
			}
			if q = r.request(q.ID); q.State != request.Completed {
				t.Fatalf("%s: %+v", q.State, q.Signers)
			}
			verified(t, r, q, 2)
			if n := r.service.SAM.Made(); n != made {
				t.Errorf("%d signatures were made, want %d", n, made)
			}
		})
	}
}

func TestBadSignatureStopsTheRequest(t *testing.T) {
	t.Attr("feature", "K10")
	original := pdf("lease.pdf")
	for name, lie := range map[string]func(r *rig){
		"the service's signature is wrong": func(r *rig) {
			r.service.Rewrite = func(method string, body []byte) []byte {
				var a csc.SignHashResponse
				if method != csc.MethodSignHash || json.Unmarshal(body, &a) != nil {
					return body
				}
				sig, err := base64.StdEncoding.DecodeString(a.Signatures[0])
				if err != nil {
					t.Error(err)
				}
				sig[len(sig)-1] ^= 1
				a.Signatures[0] = base64.StdEncoding.EncodeToString(sig)
				body, err = json.Marshal(a)
				if err != nil {
					t.Error(err)
				}
				return body
			}
		},
		"the signed file is not signed": func(r *rig) {
			r.seal.after = func(files []request.File) error {
				return os.WriteFile(files[0].Out, append(bytes.Clone(original), "\n% no signature\n"...), 0o600)
			}
		},
		"the signed file is another": func(r *rig) {
			r.seal.after = func(files []request.File) error {
				b, err := os.ReadFile(files[1].Out)
				return errors.Join(err, os.WriteFile(files[0].Out, b, 0o600))
			}
		},
		"the signed file was changed": func(r *rig) {
			r.seal.after = func(files []request.File) error {
				b, err := os.ReadFile(files[0].Out)
				b[len(original)/2] ^= 1
				return errors.Join(err, os.WriteFile(files[0].Out, b, 0o600))
			}
		},
		"the signature in the file does not verify": func(r *rig) {
			r.seal.after = func(files []request.File) error {
				b, err := os.ReadFile(files[0].Out)
				if err != nil {
					return err
				}
				at := bytes.Index(b[len(original):], []byte("/Contents <"))
				if at < 0 {
					return errors.New("the signature was not found")
				}
				at += len(original) + 11
				end := at + bytes.IndexByte(b[at:], '>')
				digit := at + len(bytes.TrimRight(b[at:end], "0"))/4 // inside the CMS
				if b[digit]++; b[digit] == ':' || b[digit] > 'f' || b[digit] == 'G' {
					b[digit] = '1'
				}
				return os.WriteFile(files[0].Out, b, 0o600)
			}
		},
		"somebody else signed": func(r *rig) {
			other := newRig(t, sqlite(t)) // another service, under another root
			r.seal.before = func(files []request.File) error {
				r.seal.signer, r.seal.service = other.seal.signer, other.service
				return nil
			}
		},
		"the stored file was changed on disk": func(r *rig) {
			q, err := r.List(r.Context(), sender, request.Filter{})
			r.must(err)
			d, err := r.docs.Document(r.Context(), org, r.request(q[0].ID).Documents[0].Stored)
			r.must(err)
			r.must(os.WriteFile(r.docs.Path(d), pdf("another text"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, sqlite(t))
			q := r.sent(ada, blaise)
			lie(r)
			r.click(r.enter(ada.Email))
			if q = r.request(q.ID); q.State != request.Stopped || q.Reason == "" || q.Signers[0].State == request.Signed {
				t.Fatalf("%s, %q, %s", q.State, q.Reason, q.Signers[0].State)
			}
			if q.Signers[1].State != request.Waiting || len(r.catcher.Messages(blaise.Email)) != 0 {
				t.Error("the next signer was invited")
			}
			if q.Documents[0].Revision != 0 || r.count(q.ID, request.EventSigned) != 0 || r.count(q.ID, request.EventStopped) != 1 {
				t.Errorf("a bad signature was taken: %+v", q.Documents[0])
			}
			if m := r.catcher.Messages(sender.Email); len(m) != 1 || !strings.Contains(m[0].Text, q.Reason) {
				t.Errorf("the sender was told %v", m)
			}
			if l, err := r.Landing(t.Context(), r.link(ada.Email)); err != nil || l.State != request.LandStopped {
				t.Errorf("link: %+v, %v", l, err)
			}
		})
	}
}

func TestTroubleThatPassesIsTriedAgainAndGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		on, off func(r *rig)
		word    string
	}{
		"service down": {
			func(r *rig) {
				r.seal.before = func([]request.File) error {
					return fault.New(fault.Unavailable, "the signing service cannot be reached")
				}
			},
			func(r *rig) { r.seal.before = nil }, "cannot be reached",
		},
		"clock off": {func(r *rig) { r.skew.Store(int64(time.Hour)) }, func(r *rig) { r.skew.Store(0) }, "clock"},
		"disk full": {
			func(r *rig) {
				r.seal.before = func([]request.File) error { return fault.New(fault.Internal, "no space is left").WithCode("disk_full") }
			},
			func(r *rig) { r.seal.before = nil }, "no space",
		},
		"cause unknown": {
			func(r *rig) { r.seal.before = func([]request.File) error { return fmt.Errorf("secret detail") } },
			func(r *rig) { r.seal.before = nil }, "trouble here",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, sqlite(t))
			q := r.sent(ada)
			visit := r.enter(ada.Email)
			c.on(r)
			r.click(visit)
			if s := r.request(q.ID).Signers[0].State; s != request.Signing {
				t.Fatalf("while it is tried again: %s", s)
			}
			for range 8 {
				r.later(time.Minute)
				r.work()
			}
			g := r.request(q.ID).Signers[0]
			if g.State != request.Opened || !strings.Contains(g.Problem, c.word) || strings.Contains(g.Problem, "secret") || g.Code == "" {
				t.Fatalf("given back: %s, %q, %q", g.State, g.Problem, g.Code)
			}
			if n := r.count(q.ID, request.EventSigningFailed); n != 1 {
				t.Errorf("%d failures are in the log", n)
			}
			c.off(r)
			r.offset.Store(0)
			r.click(visit)
			if s := r.request(q.ID).State; s != request.Completed {
				t.Errorf("the second yes: %s", s)
			}
		})
	}
}

func TestWithdrawnWhileSigningAddsNothing(t *testing.T) {
	r := newRig(t, sqlite(t))
	q := r.sent(ada)
	var once atomic.Bool
	r.seal.after = func([]request.File) error {
		if once.CompareAndSwap(false, true) {
			return r.Withdraw(r.Context(), sender, q.ID, "too late")
		}
		return nil
	}
	r.click(r.enter(ada.Email))
	q = r.request(q.ID)
	if q.State != request.Withdrawn || q.Documents[0].Revision != 0 || r.count(q.ID, request.EventSigned) != 0 {
		t.Errorf("%s, revision %d", q.State, q.Documents[0].Revision)
	}
}
