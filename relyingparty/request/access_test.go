package request_test

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/request"
)

func TestSecondSignerWaitsForTheFirst(t *testing.T) {
	r := newRig(t, sqlite(t))
	q := r.sent(ada, blaise)
	link := r.LinkOf(q.Signers[1].ID)
	if l, err := r.Landing(t.Context(), link); err != nil || l.State != request.LandNotYet {
		t.Fatalf("landing %+v, %v", l, err)
	}
	r.refused(r.SendCode(t.Context(), link, visitor), fault.Forbidden, request.CodeNotYourTurn)
	_, err := r.Enter(t.Context(), link, "000000", visitor)
	r.refused(err, fault.Forbidden, request.CodeNotYourTurn)
	r.click(r.enter(ada.Email))
	if l, err := r.Landing(t.Context(), link); err != nil || l.State != request.LandSign || r.link(blaise.Email) != link {
		t.Errorf("after the first: %+v, %v", l, err)
	}
}

func TestLinkAloneShowsNothingOfTheDocument(t *testing.T) {
	t.Attr("feature", "E5")
	r := newRig(t, sqlite(t))
	q := r.sent(ada)
	link := r.link(ada.Email)
	l, err := r.Landing(t.Context(), link)
	if err != nil || l.State != request.LandSign || l.Sender != sender.Name || l.SentTo != "a•••@one.example" {
		t.Fatalf("landing %+v, %v", l, err)
	}
	for _, visit := range []string{"", link, "x"} {
		_, err := r.Visit(t.Context(), link, visit)
		r.refused(err, fault.Unauthenticated, request.CodeVisit)
		_, err = r.OpenVisit(t.Context(), visit, q.Documents[0].ID, visitor)
		r.refused(err, fault.Unauthenticated, request.CodeVisit)
		r.refused(r.Click(t.Context(), visit, q.Seq, visitor), fault.Unauthenticated, request.CodeVisit)
		r.refused(r.Reject(t.Context(), visit, "no", visitor), fault.Unauthenticated, request.CodeVisit)
	}
	_, err = r.Enter(t.Context(), link, "", visitor)
	r.refused(err, fault.Expired, request.CodeNoCode)
	for _, mail := range r.catcher.Messages("") {
		if strings.Contains(mail.Raw, "lease.pdf") {
			t.Error("the mail names a document")
		}
	}
	_, err = r.Landing(t.Context(), "unknown")
	r.refused(err, fault.NotFound, request.CodeLink)
}

func TestCodeOfConfiguredFormWorksOnce(t *testing.T) {
	t.Attr("feature", "E2")
	r := newRig(t, sqlite(t), func(r *rig) { r.policy = request.Policy{CodeLength: 8, CodeAlphabet: "ABCDEFGHKLMNPQRST"} })
	r.sent(ada)
	link := r.link(ada.Email)
	r.must(r.SendCode(t.Context(), link, visitor))
	r.work()
	code := r.code(ada.Email)
	if len(code) != 8 || strings.Trim(code, "ABCDEFGHKLMNPQRST") != "" {
		t.Errorf("code %q", code)
	}
	var (
		in atomic.Int64
		wg sync.WaitGroup
	)
	for range 8 {
		wg.Go(func() {
			if visit, err := r.Enter(t.Context(), link, code, visitor); err == nil && visit != "" {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("the code worked %d times", in.Load())
	}
	_, err := r.Enter(t.Context(), link, code, visitor)
	r.refused(err, fault.Expired, request.CodeNoCode)
}

func TestWrongCodesBlock(t *testing.T) {
	r := newRig(t, sqlite(t), func(r *rig) { r.policy = request.Policy{CodeTries: 3, CodeOrders: 3} })
	q := r.sent(ada)
	link := r.link(ada.Email)
	for order := range 3 {
		r.must(r.SendCode(t.Context(), link, visitor))
		r.work()
		code := r.code(ada.Email)
		for try := range 3 {
			_, err := r.Enter(t.Context(), link, "wrong", visitor)
			if try < 2 {
				r.refused(err, fault.Forbidden, request.CodeWrongCode)
				continue
			}
			r.refused(err, fault.TooMany, request.CodeBlocked)
		}
		_, err := r.Enter(t.Context(), link, code, visitor)
		r.refused(err, fault.TooMany, request.CodeBlocked)
		if n := r.count(q.ID, request.EventCodeBlocked); n != order+1 {
			t.Errorf("blocked %d times in the log", n)
		}
	}
	r.refused(r.SendCode(t.Context(), link, visitor), fault.TooMany, request.CodeTooSoon)
	if l, err := r.Landing(t.Context(), link); err != nil || l.Again.IsZero() {
		t.Errorf("landing %+v, %v", l, err)
	}
	r.later(2 * time.Hour)
	r.must(r.SendCode(t.Context(), link, visitor))
	r.work()
	code := r.code(ada.Email)
	r.later(11 * time.Minute)
	_, err := r.Enter(t.Context(), link, code, visitor)
	r.refused(err, fault.Expired, request.CodeNoCode)
}

func TestGuessesAtTheSameTimeAreCounted(t *testing.T) {
	each(t, func(t *testing.T, dsn string) {
		r := newRig(t, dsn)
		r.sent(ada)
		link := r.link(ada.Email)
		r.must(r.SendCode(t.Context(), link, visitor))
		var (
			wrong atomic.Int64
			wg    sync.WaitGroup
		)
		for range 20 {
			wg.Go(func() {
				_, err := r.Enter(t.Context(), link, "guess", visitor)
				if fault.Of(err).Code == request.CodeWrongCode {
					wrong.Add(1)
				}
			})
		}
		wg.Wait()
		if wrong.Load() > 4 { // the fifth is told that it was the last
			t.Errorf("%d guesses were compared", wrong.Load()+1)
		}
	})
}

func TestCodeBySMS(t *testing.T) {
	r := newRig(t, sqlite(t))
	phone := ada
	phone.Factor, phone.Phone = request.SMSCode, "+49 151 1234567"
	r.sent(phone)
	link := r.link(ada.Email)
	r.must(r.SendCode(t.Context(), link, visitor))
	r.work()
	sms := r.catcher.Messages("+491511234567")
	if len(sms) != 1 {
		t.Fatalf("SMS: %v", sms)
	}
	code, _, _ := strings.Cut(sms[0].Text, " ")
	if _, err := r.Enter(t.Context(), link, code, visitor); err != nil {
		t.Error(err)
	}
	if l, err := r.Landing(t.Context(), link); err != nil || l.SentTo != "+49 ••• ••67" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestAnotherSignersLinkOpensNothing(t *testing.T) {
	t.Attr("feature", "D1")
	r := newRig(t, sqlite(t))
	one, two := r.sent(ada), r.sent(blaise)
	visit := r.enter(ada.Email)
	_, err := r.Visit(t.Context(), r.link(blaise.Email), visit)
	r.refused(err, fault.Unauthenticated, request.CodeVisit)
	_, err = r.OpenVisit(t.Context(), visit, two.Documents[0].ID, visitor)
	r.refused(err, fault.NotFound, "")
	if d, err := r.OpenVisit(t.Context(), visit, one.Documents[0].ID, visitor); err != nil || d.File.Close() != nil {
		t.Errorf("one's own: %v", err)
	}
	if r.link(ada.Email) == r.link(blaise.Email) {
		t.Error("two signers have one link")
	}
	// The code of one opens nothing with the link of the other.
	r.must(r.SendCode(t.Context(), r.link(ada.Email), visitor))
	r.must(r.SendCode(t.Context(), r.link(blaise.Email), visitor))
	r.work()
	_, err = r.Enter(t.Context(), r.link(blaise.Email), r.code(ada.Email), visitor)
	r.refused(err, fault.Forbidden, request.CodeWrongCode)
}

func TestOneOrganisationSeesNoRequestOfAnother(t *testing.T) {
	each(t, func(t *testing.T, dsn string) {
		r := newRig(t, dsn)
		q := r.draft(ada)
		ctx := t.Context()
		for name, other := range map[string]request.Sender{
			"another organisation":        {Org: "other", User: sender.User, Name: "x", Email: "x@x.example", All: true},
			"another user":                {Org: org, User: "u2", Name: "x", Email: "x@x.example"},
			"nobody of this organisation": {Org: org},
		} {
			_, err := r.Request(ctx, other, q.ID)
			_, eventsErr := r.Events(ctx, other, q.ID, 0)
			_, watchErr := r.Watch(ctx, other, q.ID, 0)
			_, listErr := r.Deliveries(ctx, other, q.ID)
			_, openErr := r.Open(ctx, other, q.ID, q.Documents[0].ID)
			_, addErr := r.AddDocument(ctx, other, q.ID, "x.pdf", bytes.NewReader(pdf("x")))
			for what, err := range map[string]error{
				"request": err, "events": eventsErr, "watch": watchErr, "deliveries": listErr, "open": openErr, "add": addErr,
				"update": r.Update(ctx, other, q.ID, request.NewDraft{}), "signers": r.SetSigners(ctx, other, q.ID, nil),
				"remove": r.RemoveDocument(ctx, other, q.ID, q.Documents[0].ID), "discard": r.Discard(ctx, other, q.ID),
				"send": r.Send(ctx, other, q.ID), "withdraw": r.Withdraw(ctx, other, q.ID, ""), "remind": r.Remind(ctx, other, q.ID),
			} {
				if fault.Of(err).Kind != fault.NotFound {
					t.Errorf("%s: %s: %v", name, what, err)
				}
			}
			if list, err := r.List(ctx, other, request.Filter{}); err != nil || len(list) != 0 {
				t.Errorf("%s: list %v, %v", name, list, err)
			}
			if n, err := r.Counts(ctx, other); err != nil || len(n) != 0 {
				t.Errorf("%s: counts %v, %v", name, n, err)
			}
		}
		admin := request.Sender{Org: org, User: "u3", All: true}
		if list, err := r.List(ctx, admin, request.Filter{Text: "LOVELACE", States: []request.State{request.Draft}}); err != nil || len(list) != 1 || list[0].Signers != 1 {
			t.Errorf("administrator: %+v, %v", list, err)
		}
		if list, err := r.List(ctx, admin, request.Filter{Text: "%"}); err != nil || len(list) != 0 {
			t.Errorf("a percent sign is no pattern: %+v, %v", list, err)
		}
	})
}

func TestListPagesThroughRequests(t *testing.T) {
	each(t, func(t *testing.T, dsn string) {
		r := newRig(t, dsn)
		var want []string
		for range 5 {
			d, err := r.Create(t.Context(), sender, request.NewDraft{Title: "x"})
			r.must(err)
			want = append([]string{d.ID}, want...)
			r.later(time.Second)
		}
		var got []string
		f := request.Filter{Limit: 2}
		for {
			list, err := r.List(t.Context(), sender, f)
			r.must(err)
			if len(list) == 0 {
				break
			}
			for _, m := range list {
				got = append(got, m.ID)
			}
			f.Before = list[len(list)-1].ID
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestDraftThatIsNotCompleteIsNotSent(t *testing.T) {
	r := newRig(t, sqlite(t))
	d := r.draft(ada)
	ctx := t.Context()
	good := request.NewDraft{Title: "T", Deadline: r.now().Add(time.Hour)}
	for name, bad := range map[string]request.NewDraft{
		"no title": {Deadline: good.Deadline}, "no deadline": {Title: "T"}, "past": {Title: "T", Deadline: r.now().Add(-time.Hour)},
		"far": {Title: "T", Deadline: r.now().Add(91 * 24 * time.Hour)},
	} {
		r.must(r.Update(ctx, sender, d.ID, bad))
		if err := r.Send(ctx, sender, d.ID); fault.Of(err).Code != request.CodeIncomplete {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.must(r.Update(ctx, sender, d.ID, good))
	for _, n := range []request.NewSigner{
		{Name: "", Email: "a@b.example"},
		{Name: "A", Email: "no address"},
		{Name: "A", Email: "A <a@b.example>"},
		{Name: "A", Email: "a@b.example", Level: "qes"},
		{Name: "A", Email: "a@b.example", Factor: "oath"},
		{Name: "A", Email: "a@b.example", Factor: request.SMSCode, Phone: "0151"},
	} {
		r.refused(r.SetSigners(ctx, sender, d.ID, []request.NewSigner{n}), fault.Invalid, request.CodeSigner)
	}
	r.must(r.SetSigners(ctx, sender, d.ID, nil))
	r.refused(r.Send(ctx, sender, d.ID), fault.Invalid, request.CodeIncomplete)
	r.must(r.SetSigners(ctx, sender, d.ID, []request.NewSigner{ada}))
	for _, x := range d.Documents {
		r.must(r.RemoveDocument(ctx, sender, d.ID, x.ID))
	}
	r.refused(r.Send(ctx, sender, d.ID), fault.Invalid, request.CodeIncomplete)
	_, err := r.AddDocument(ctx, sender, d.ID, "bad.pdf", strings.NewReader("no PDF"))
	r.refused(err, fault.Invalid, "pdf_not_pdf")
	_, err = r.AddDocument(ctx, sender, d.ID, "good.pdf", bytes.NewReader(pdf("good")))
	r.must(err)
	r.must(r.Send(ctx, sender, d.ID))
	r.must(r.Send(ctx, sender, d.ID)) // a double click
	if n := r.count(d.ID, request.EventSent); n != 1 {
		t.Errorf("sent %d times", n)
	}
	r.refused(r.Update(ctx, sender, d.ID, good), fault.Conflict, request.CodeState)
	_, err = r.AddDocument(ctx, sender, d.ID, "late.pdf", bytes.NewReader(pdf("late")))
	r.refused(err, fault.Conflict, request.CodeState)
	r.refused(r.Discard(ctx, sender, d.ID), fault.Conflict, request.CodeState)
}

func TestDiscardedDraftLeavesNothing(t *testing.T) {
	r := newRig(t, sqlite(t))
	d := r.draft(ada)
	r.must(r.Discard(t.Context(), sender, d.ID))
	_, err := r.Request(t.Context(), sender, d.ID)
	r.refused(err, fault.NotFound, "")
	if _, err := r.docs.Document(t.Context(), org, d.Documents[0].Stored); fault.Of(err).Kind != fault.NotFound {
		t.Errorf("its file: %v", err)
	}
}

func TestBothSidesSeeWhatHappensLive(t *testing.T) {
	each(t, func(t *testing.T, dsn string) {
		r := newRig(t, dsn)
		q := r.sent(ada, blaise)
		visit := r.enter(ada.Email)
		theirs, err := r.WatchVisit(t.Context(), visit, q.Seq)
		r.must(err)
		mine, err := r.Watch(t.Context(), sender, q.ID, 0)
		r.must(err)
		r.must(r.Reject(t.Context(), visit, "No.", visitor))
		last := func(c <-chan request.Event) (types []request.EventType, seq int64) {
			after := time.After(20 * time.Second)
			for {
				select {
				case e, ok := <-c:
					if !ok {
						return types, seq
					}
					if e.Seq <= seq {
						t.Errorf("event %d after %d", e.Seq, seq)
					}
					types, seq = append(types, e.Type), e.Seq
				case <-after:
					t.Fatal("the feed does not end")
				}
			}
		}
		all, n := last(mine)
		some, m := last(theirs)
		if n != m || all[0] != request.EventCreated || all[len(all)-1] != request.EventRejected || len(some) >= len(all) {
			t.Errorf("sender saw %v, signer %v", all, some)
		}
	})
}
