package request_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/notify"
	"github.com/countersign/countersign/relyingparty/request"
)

// TestTwoSignersInOrder is the whole way: two documents, two signers by click with
// codes by mail, seal and results.
func TestTwoSignersInOrder(t *testing.T) {
	t.Attr("feature", "C2")
	t.Attr("feature", "D14")
	each(t, func(t *testing.T, dsn string) {
		r := newRig(t, dsn)
		q := r.sent(ada, blaise)
		if q.State != request.Running || q.Signers[0].State != request.Invited || q.Signers[1].State != request.Waiting {
			t.Fatalf("after sending: %s, %s, %s", q.State, q.Signers[0].State, q.Signers[1].State)
		}
		if n := len(r.catcher.Messages(blaise.Email)); n != 0 {
			t.Fatalf("signer 2 got %d mails before their turn", n)
		}
		first := r.enter(ada.Email)
		v, err := r.Visit(t.Context(), r.link(ada.Email), first)
		r.must(err)
		if v.Title != q.Title || len(v.Documents) != 2 || v.Me.Name != ada.Name || len(v.Signers) != 2 || v.Signers[1].Email != "" {
			t.Errorf("view: %+v", v)
		}
		r.click(first)
		q = r.request(q.ID)
		if q.State != request.Running || q.Signers[0].State != request.Signed || q.Signers[0].Verdict != "TOTAL-PASSED" || q.Signers[1].State != request.Invited {
			t.Fatalf("after signer 1: %s, %+v", q.State, q.Signers)
		}
		verified(t, r, q, 1)
		leftAfter(t, r, q)
		r.click(r.enter(blaise.Email))
		q = r.request(q.ID)
		if q.State != request.Completed || q.Log == "" || q.Ended.IsZero() {
			t.Fatalf("at the end: %+v, events %v", q, r.events(q.ID))
		}
		verified(t, r, q, 3)
		for _, to := range []string{ada.Email, blaise.Email, sender.Email} {
			if m := r.catcher.Messages(to)[0]; !strings.Contains(m.Subject, "Lease of the mill") || m.DKIM != "pass" {
				t.Errorf("last mail to %s: %q, DKIM %s", to, m.Subject, m.DKIM)
			}
		}
		if n := r.count(q.ID, request.EventSealUsed); n != 7 { // twice two by click, two files and the log at the end
			t.Errorf("%d uses of the seal are logged", n)
		}
	})
}

// leftAfter checks that the second invitation left within seconds of the first
// signature, and not before it was verified.
func leftAfter(t *testing.T, r *rig, q request.Request) {
	t.Helper()
	var checked, signed, invited, left request.Event
	for _, e := range r.events(q.ID) {
		switch {
		case e.Type == request.EventSignatureChecked:
			checked = e
		case e.Type == request.EventSigned:
			signed = e
		case e.Type == request.EventInvited && e.Signer == q.Signers[1].ID:
			invited = e
		case e.Type == request.EventMailSent && e.Data["to"] == q.Signers[1].Email:
			left = e
		}
	}
	if checked.Seq >= signed.Seq || signed.Seq >= invited.Seq || invited.Seq >= left.Seq || checked.Seq == 0 || checked.Data["verdict"] != "TOTAL-PASSED" {
		t.Errorf("order: checked %d (%v), signed %d, invited %d, mail %d", checked.Seq, checked.Data, signed.Seq, invited.Seq, left.Seq)
	}
	if d := left.At.Sub(signed.At); d < 0 || d > 3*time.Second {
		t.Errorf("the invitation left %s after the signature", d)
	}
}

// verified checks every document of a request: n signatures that pass, each over
// all that was there before, and digests that equal the files.
func verified(t *testing.T, r *rig, q request.Request, n int) {
	t.Helper()
	for _, d := range q.Documents {
		b, down := r.file(q.ID, d.ID)
		if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != d.SHA256 || got != down.SHA256 || down.Name != d.Name {
			t.Errorf("%s: digest %s is shown as %s", d.Name, got, d.SHA256)
		}
		if got := fmt.Sprintf("%x", sha512.Sum512(b)); got != d.SHA512 || d.Size != int64(len(b)) {
			t.Errorf("%s: SHA-512 or size differ from the file", d.Name)
		}
		report, err := validate.File(bytes.NewReader(b), int64(len(b)), validate.Options{Anchors: r.service.PKI.Anchors()})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Signatures) != n || !report.Passed() {
			t.Errorf("%s: %d signatures, want %d, all passed: %v", d.Name, len(report.Signatures), n, report.Passed())
		}
		for i, s := range report.Signatures {
			if i > 0 && s.Revision <= report.Signatures[i-1].Revision {
				t.Errorf("%s: signature %d covers revision %d, the one before %d", d.Name, i+1, s.Revision, report.Signatures[i-1].Revision)
			}
		}
		if d.Revision != n {
			t.Errorf("%s: revision %d, want %d", d.Name, d.Revision, n)
		}
	}
}

func TestPersonalKeyIsUsedAfterApproval(t *testing.T) {
	each(t, func(t *testing.T, dsn string) {
		r := newRig(t, dsn)
		own := ada
		own.Level, own.Factor = request.Personal, request.NoFactor
		d := r.draft(own)
		r.refused(r.Send(t.Context(), sender, d.ID), fault.Invalid, request.CodeNoKey)
		r.must(r.LinkCredential(t.Context(), org, own.Email, "cred-1"))
		r.must(r.Send(t.Context(), sender, d.ID))
		r.work()
		visit, err := r.Enter(t.Context(), r.link(own.Email), "", visitor)
		r.must(err)
		// Two tabs: two approvals, one yes.
		var back []string
		for range 2 {
			to, err := r.BeginPersonal(t.Context(), visit, visitor)
			r.must(err)
			final, err := r.service.Approve(t.Context(), to)
			r.must(err)
			back = append(back, final)
		}
		who, err := r.SignerOfReturn(t.Context(), back[0])
		if err != nil || who != d.Signers[0].ID {
			t.Fatalf("return belongs to %q, %v", who, err)
		}
		r.restart()
		for _, final := range []string{back[0], back[0], back[1]} {
			link, err := r.FinishPersonal(t.Context(), visit, final, visitor)
			if err != nil || !strings.HasSuffix(link, request.LinkPath+r.link(own.Email)) {
				t.Fatalf("finish: %q, %v", link, err)
			}
		}
		r.restart()
		r.work()
		q := r.request(d.ID)
		if q.State != request.Completed || q.Signers[0].Certificate == "" {
			t.Fatalf("%s: %+v, events %v", q.State, q.Signers, r.events(q.ID))
		}
		verified(t, r, q, 2)
		if n := r.service.SAM.Made(); n != 2+2+1 { // two documents by the signer, then seals on them and on the log
			t.Errorf("%d signatures were made", n)
		}
	})
}

func TestRefusedApprovalLetsTheSignerBeginAgain(t *testing.T) {
	r := newRig(t, sqlite(t))
	own := ada
	own.Level, own.Factor, own.Credential = request.Personal, request.NoFactor, "cred-1"
	q := r.sent(own)
	visit, err := r.Enter(t.Context(), r.link(own.Email), "", visitor)
	r.must(err)
	r.service.Refuse = true
	to, err := r.BeginPersonal(t.Context(), visit, visitor)
	r.must(err)
	final, err := r.service.Approve(t.Context(), to)
	r.must(err)
	_, err = r.FinishPersonal(t.Context(), visit, final, visitor)
	r.refused(err, fault.Forbidden, request.CodeRefusedApproval)
	if s := r.request(q.ID).Signers[0].State; s != request.Opened {
		t.Fatalf("after the refusal: %s", s)
	}
	r.service.Refuse = false
	to, err = r.BeginPersonal(t.Context(), visit, visitor)
	r.must(err)
	final, err = r.service.Approve(t.Context(), to)
	r.must(err)
	_, err = r.FinishPersonal(t.Context(), visit, final, visitor)
	r.must(err)
	r.work()
	if s := r.request(q.ID).State; s != request.Completed {
		t.Fatalf("after the approval: %s", s)
	}
}

func TestAnotherSignersReturnIsRefused(t *testing.T) {
	r := newRig(t, sqlite(t))
	own := ada
	own.Level, own.Factor, own.Credential = request.Personal, request.NoFactor, "cred-1"
	r.sent(own)
	mine, err := r.Enter(t.Context(), r.link(own.Email), "", visitor)
	r.must(err)
	other := own
	other.Email = "mallory@three.example"
	r.sent(other)
	theirs, err := r.Enter(t.Context(), r.link(other.Email), "", visitor)
	r.must(err)
	to, err := r.BeginPersonal(t.Context(), mine, visitor)
	r.must(err)
	final, err := r.service.Approve(t.Context(), to)
	r.must(err)
	_, err = r.FinishPersonal(t.Context(), theirs, final, visitor)
	r.refused(err, fault.Unauthenticated, request.CodeVisit)
	_, err = r.FinishPersonal(t.Context(), mine, "https://rp.example/callback?code=x&state=unknown", visitor)
	r.refused(err, fault.NotFound, request.CodeReturn)
}

func TestRejectClosesTheRequestForAll(t *testing.T) {
	t.Attr("feature", "F9")
	each(t, func(t *testing.T, dsn string) {
		r := newRig(t, dsn)
		q := r.sent(ada, blaise)
		first := r.enter(ada.Email)
		r.refused(r.Reject(t.Context(), first, " \n", visitor), fault.Invalid, request.CodeReason)
		r.must(r.Reject(t.Context(), first, "The price is wrong", visitor))
		r.work()
		if q = r.request(q.ID); q.State != request.Rejected || q.Reason != "The price is wrong" || q.By != ada.Name {
			t.Fatalf("%s: %q by %q", q.State, q.Reason, q.By)
		}
		for _, to := range []string{blaise.Email, sender.Email} {
			m := r.catcher.Messages(to)
			if len(m) == 0 || !strings.Contains(m[0].Text, "The price is wrong") {
				t.Errorf("%s was not told the reason: %v", to, m)
			}
		}
		for _, to := range []string{ada.Email, blaise.Email} {
			l, err := r.Landing(t.Context(), r.link(to))
			if err != nil || l.State != request.LandRejected || l.Reason == "" {
				t.Errorf("link of %s: %+v, %v", to, l, err)
			}
			r.refused(r.SendCode(t.Context(), r.link(to), visitor), fault.Conflict, request.CodeClosed)
		}
		_, err := r.Visit(t.Context(), "", first)
		r.refused(err, fault.Conflict, request.CodeClosed)
		r.refused(r.Click(t.Context(), first, q.Seq, visitor), fault.Conflict, request.CodeClosed)
	})
}

func TestWithdrawnRequestSaysSoEverywhere(t *testing.T) {
	r := newRig(t, sqlite(t))
	q := r.sent(ada, blaise)
	visit := r.enter(ada.Email)
	other := sender
	other.User = "u2"
	r.refused(r.Withdraw(t.Context(), other, q.ID, ""), fault.NotFound, "")
	r.must(r.Withdraw(t.Context(), sender, q.ID, "A mistake"))
	r.must(r.Withdraw(t.Context(), sender, q.ID, "A mistake"))
	r.work()
	l, err := r.Landing(t.Context(), r.link(ada.Email))
	if err != nil || l.State != request.LandWithdrawn || l.Reason != "A mistake" {
		t.Errorf("landing %+v, %v", l, err)
	}
	if m := r.catcher.Messages(ada.Email)[0]; !strings.Contains(m.Subject, "Withdrawn") {
		t.Errorf("signer was told %q", m.Subject)
	}
	if n := len(r.catcher.Messages(blaise.Email)); n != 0 {
		t.Errorf("who was never asked got %d mails", n)
	}
	_, err = r.OpenVisit(t.Context(), visit, q.Documents[0].ID, visitor)
	r.refused(err, fault.Conflict, request.CodeClosed)
	if n := r.count(q.ID, request.EventWithdrawn); n != 1 {
		t.Errorf("withdrawn %d times", n)
	}
}

func TestReminderOncePerInterval(t *testing.T) {
	r := newRig(t, sqlite(t))
	q := r.sent(ada, blaise)
	r.must(r.Remind(t.Context(), sender, q.ID))
	r.work()
	if m := r.catcher.Messages(ada.Email); len(m) != 2 || !strings.HasPrefix(m[0].Subject, "Reminder") || linkInMail.FindString(m[0].Text) != linkInMail.FindString(m[1].Text) {
		t.Errorf("mails: %+v", m)
	}
	if n := len(r.catcher.Messages(blaise.Email)); n != 0 {
		t.Errorf("who is not to act got %d mails", n)
	}
	r.refused(r.Remind(t.Context(), sender, q.ID), fault.TooMany, request.CodeReminder)
	if at := r.RemindAt(r.request(q.ID)); at.IsZero() {
		t.Error("a reminder is said to be possible")
	}
	r.later(25 * 3600e9)
	r.must(r.Remind(t.Context(), sender, q.ID))
	if n := r.count(q.ID, request.EventReminded); n != 2 {
		t.Errorf("%d reminders are in the log", n)
	}
}

func TestDeadlineEndsTheRequest(t *testing.T) {
	t.Attr("feature", "C15")
	r := newRig(t, sqlite(t))
	q := r.sent(ada)
	r.later(47 * 3600e9)
	r.work()
	r.restart() // links live on
	if l, err := r.Landing(t.Context(), r.link(ada.Email)); err != nil || l.State != request.LandSign {
		t.Fatalf("before the deadline: %+v, %v", l, err)
	}
	r.later(2 * 3600e9)
	r.work()
	if s := r.request(q.ID).State; s != request.Expired {
		t.Fatalf("after the deadline: %s", s)
	}
	if l, err := r.Landing(t.Context(), r.link(ada.Email)); err != nil || l.State != request.LandExpired {
		t.Errorf("link: %+v, %v", l, err)
	}
	if m := r.catcher.Messages(sender.Email); len(m) != 1 || !strings.Contains(m[0].Subject, "Expired") {
		t.Errorf("sender was told %v", m)
	}
	r.later(40 * 24 * 3600e9)
	_, err := r.Landing(t.Context(), r.link(ada.Email))
	r.refused(err, fault.NotFound, request.CodeLink)
}

func TestMailServerDownIsShownAndTriedAgain(t *testing.T) {
	r := newRig(t, sqlite(t))
	up := r.mailAddr
	r.mailAddr = "127.0.0.1:1"
	q := r.sent(ada)
	list, err := r.Deliveries(t.Context(), sender, q.ID)
	if err != nil || len(list) != 1 || list[0].State != notify.Queued || list[0].Attempts != 1 || list[0].Error == "" || list[0].Next.IsZero() {
		t.Fatalf("deliveries %+v, %v", list, err)
	}
	r.restart()
	r.mailAddr = up
	r.later(10e9)
	r.work()
	list, err = r.Deliveries(t.Context(), sender, q.ID)
	if err != nil || len(list) != 1 || list[0].State != notify.Sent || list[0].Attempts != 2 || len(r.catcher.Messages(ada.Email)) != 1 {
		t.Errorf("deliveries %+v, %v", list, err)
	}
	if n := r.count(q.ID, request.EventMailSent); n != 1 {
		t.Errorf("%d notes that the mail was sent", n)
	}
}
