package notify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/i18n/i18ntest"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/relyingparty/notify"
)

func TestEveryLanguageHasEveryText(t *testing.T) {
	i18ntest.Check(t, os.DirFS("."), "render.go")
}

// rig is an outbox with a catcher behind it.
type rig struct {
	*testing.T
	*notify.Outbox

	db      *store.DB
	jobs    *jobs.Queue
	catcher *notify.Catcher
	fail    func(*notify.Envelope) error // instead of sending
	told    []notify.Delivery
	offset  atomic.Int64
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.offset.Load())) }

// Send implements notify.Transport.
func (r *rig) Send(ctx context.Context, m *notify.Envelope) error {
	if r.fail != nil {
		return r.fail(m)
	}
	return (&notify.SMTP{Addr: r.catcher.Addr(), Security: notify.Plain}).Send(ctx, m)
}

// Delivered implements notify.Outcomes.
func (r *rig) Delivered(_ context.Context, _ *store.Tx, d notify.Delivery) error {
	r.told = append(r.told, d)
	return nil
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func newRig(t *testing.T, db *store.DB, key crypto.Signer) *rig {
	t.Helper()
	r := &rig{T: t, db: db}
	d := notify.DKIM{Domain: "acme.example", Selector: "s1", Key: key}
	var err error
	r.catcher, err = notify.NewCatcher(t.Context(), notify.CatcherConfig{DKIM: d})
	r.must(err)
	t.Cleanup(func() {
		if err := r.catcher.Close(); err != nil {
			t.Error(err)
		}
	})
	r.jobs, err = jobs.Open(t.Context(), jobs.Config{DB: db, Now: r.now})
	r.must(err)
	r.Outbox, err = notify.New(t.Context(), notify.Config{
		DB: db, Jobs: r.jobs, Secret: bytes.Repeat([]byte{3}, 32), Transport: r, Texter: r.catcher, From: "sign@mail.acme.example", DKIM: d, Outcomes: r, Now: r.now, Test: true,
	})
	r.must(err)
	return r
}

func edKey(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var invitation = notify.Message{
	Org: "acme", Request: "r1", Kind: notify.Invitation, To: "ada@one.example", ToName: "Ada Lovelace", Lang: "en", Link: "https://sign.acme.example/s/secretlink",
	Sender: "Grace Hopper", SenderOrg: "Acme", ReplyTo: "grace@acme.example", Title: "Lease", Text: "Please sign.\nThank you.", Deadline: time.Date(2031, 2, 3, 4, 5, 0, 0, time.UTC),
}

func (r *rig) queue(m notify.Message) string {
	r.Helper()
	var id string
	r.must(r.db.Tx(r.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		id, err = r.Queue(ctx, tx, m)
		return err
	}))
	return id
}

func (r *rig) work() {
	r.Helper()
	_, err := r.jobs.RunDue(r.Context())
	r.must(err)
}

func (r *rig) delivery() notify.Delivery {
	r.Helper()
	list, err := r.Deliveries(r.Context(), "acme", "r1")
	r.must(err)
	if len(list) != 1 {
		r.Fatalf("%d deliveries", len(list))
	}
	return list[0]
}

// TestMailIsWhatReceiversExpect looks at an invitation as a mail server gets it.
func TestMailIsWhatReceiversExpect(t *testing.T) {
	t.Attr("feature", "G1")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"Ed25519": edKey(t), "RSA": rsaKey} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, storetest.SQLite(t), key)
			r.queue(invitation)
			r.work()
			m := r.catcher.Messages("ada@one.example")[0]
			if m.DKIM != "pass" {
				t.Errorf("DKIM: %s", m.DKIM)
			}
			if m.From != "sign@mail.acme.example" || m.Subject != "Grace Hopper asks you to sign: Lease" {
				t.Errorf("from %q, subject %q", m.From, m.Subject)
			}
			msg, err := mail.ReadMessage(strings.NewReader(m.Raw))
			r.must(err)
			from, err := msg.Header.AddressList("From")
			if err != nil || len(from) != 1 || from[0].Address != m.From || !strings.Contains(from[0].Name, "Grace Hopper") {
				t.Errorf("From %v, %v: not aligned with the envelope, or without the sender's name", from, err)
			}
			for header, want := range map[string]string{"Reply-To": "<grace@acme.example>", "Auto-Submitted": "auto-generated", "Content-Language": "en"} {
				if got := msg.Header.Get(header); got != want {
					t.Errorf("%s: %q", header, got)
				}
			}
			if !strings.HasPrefix(msg.Header.Get("Content-Type"), "multipart/alternative") || msg.Header.Get("Message-Id") == "" || msg.Header.Get("Date") == "" {
				t.Errorf("header %v", msg.Header)
			}
			if n := strings.Count(m.Text, invitation.Link); n != 1 {
				t.Errorf("the text part has the link %d times", n)
			}
			if n := strings.Count(m.HTML, `href="`); n != 1 || !strings.Contains(m.HTML, `href="`+invitation.Link+`"`) {
				t.Errorf("the HTML part has %d links", n)
			}
			for _, part := range []string{m.Text, m.HTML} {
				for _, want := range []string{"Ada Lovelace", "Grace Hopper", "Acme", "Lease", "Please sign.", "2031", "Test installation"} {
					if !strings.Contains(part, want) {
						t.Errorf("%q is missing in\n%s", want, part)
					}
				}
			}
			for line := range strings.SplitSeq(m.Raw, "\r\n") {
				if len(line) > 998 {
					t.Errorf("a line of %d bytes", len(line))
				}
			}
			changed := strings.Replace(m.Raw, "Please", "Pleaze", 1)
			r.must((&notify.SMTP{Addr: r.catcher.Addr(), Security: notify.Plain}).Send(t.Context(), &notify.Envelope{From: m.From, To: "x@y.example", Body: []byte(changed)}))
			if got := r.catcher.Messages("x@y.example")[0].DKIM; got == "pass" || got == "none" {
				t.Errorf("a changed mail has DKIM %q", got)
			}
		})
	}
}

func TestEveryKindInEveryLanguage(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), edKey(t))
	for _, kind := range []notify.Kind{notify.Invitation, notify.Reminder, notify.Code, notify.Rejected, notify.Withdrawn, notify.Expired, notify.Stopped, notify.Completed} {
		for _, lang := range []string{"en", "de", "xx"} {
			m := invitation
			m.Kind, m.Lang, m.Reason, m.Who, m.Deadline = kind, lang, "too dear", "Blaise", r.now().Add(time.Hour)
			if kind == notify.Code {
				m.Code, m.Link = "123456", ""
			}
			r.queue(m)
			r.work()
			got := r.catcher.Messages(m.To)[0]
			if got.DKIM != "pass" || strings.Contains(got.Text+got.HTML+got.Subject, "mail.") || strings.Contains(got.Text, "{{") || strings.Contains(got.Text, "<no value>") {
				t.Errorf("%s in %s: %q\n%s", kind, lang, got.Subject, got.Text)
			}
		}
	}
	if len(r.told) != 24 {
		t.Errorf("%d deliveries were told", len(r.told))
	}
}

func TestWordsCannotBecomeHeadersOrMarkup(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), edKey(t))
	m := invitation
	m.Title, m.Sender = "x\r\nBcc: all@the.example\r\n\r\n<script>", "G\u202eR <b>"
	m.Text = "<img src=x onerror=alert(1)>\n.\nQUIT"
	m.ToName = "Ada\r\nX-Evil: 1"
	r.queue(m)
	r.work()
	got := r.catcher.Messages("ada@one.example")[0]
	msg, err := mail.ReadMessage(strings.NewReader(got.Raw))
	r.must(err)
	if msg.Header.Get("Bcc") != "" || msg.Header.Get("X-Evil") != "" || strings.Contains(got.HTML, "<script") || strings.Contains(got.HTML, "<img") || strings.Contains(got.Text, "\u202e") {
		t.Errorf("%s", got.Raw)
	}
	if !strings.Contains(got.Text, "QUIT") {
		t.Error("the mail was cut off at a dot")
	}
}

func TestMailWaitsForTheServerAndIsSeen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db, edKey(t))
		r.fail = func(*notify.Envelope) error {
			return fault.New(fault.Unavailable, "the mail server cannot be reached; delivery is tried again")
		}
		id := r.queue(invitation)
		for attempt := 1; attempt <= 3; attempt++ {
			r.work()
			d := r.delivery()
			if d.State != notify.Queued || d.Attempts != attempt || !strings.Contains(d.Error, "cannot be reached") || !d.Next.After(r.now()) {
				t.Errorf("attempt %d: %+v", attempt, d)
			}
			r.offset.Add(int64(time.Minute))
		}
		var sealed string
		r.must(db.QueryRow(t.Context(), `SELECT sealed FROM notify_message WHERE id = $1`, id).Scan(&sealed))
		if sealed == "" || strings.Contains(sealed, "secretlink") {
			t.Errorf("the database holds %q", sealed)
		}
		r.fail = nil
		r.work()
		d := r.delivery()
		if d.State != notify.Sent || d.Attempts != 4 || d.Error != "" || d.Sent.IsZero() || !d.Next.IsZero() || len(r.told) != 1 {
			t.Errorf("at last: %+v, told %v", d, r.told)
		}
		r.must(db.QueryRow(t.Context(), `SELECT sealed FROM notify_message WHERE id = $1`, id).Scan(&sealed))
		if sealed != "" || len(r.catcher.Messages("")) != 1 {
			t.Errorf("left: %q, %d mails", sealed, len(r.catcher.Messages("")))
		}
		if list, err := r.Deliveries(t.Context(), "other", "r1"); err != nil || len(list) != 0 {
			t.Errorf("another organisation sees %v, %v", list, err)
		}
	})
}

func TestMailIsGivenUp(t *testing.T) {
	down := fault.New(fault.Unavailable, "down")
	for name, c := range map[string]struct {
		err     error
		message func(*notify.Message)
		wait    time.Duration
		word    string
	}{
		"refused for good": {notify.Permanent(fault.New(fault.Invalid, "no such address")), nil, 0, "no such address"},
		"too old":          {down, nil, 73 * time.Hour, "down"},
		"code ended": {down, func(m *notify.Message) {
			m.Kind, m.Code, m.Link, m.Deadline = notify.Code, "123456", "", time.Now().Add(10*time.Minute)
		}, 11 * time.Minute, "ended"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, storetest.SQLite(t), edKey(t))
			r.fail = func(*notify.Envelope) error { return c.err }
			m := invitation
			if c.message != nil {
				c.message(&m)
			}
			r.queue(m)
			r.work()
			r.offset.Add(int64(c.wait))
			r.work()
			if d := r.delivery(); d.State != notify.Failed || !strings.Contains(d.Error, c.word) || len(r.told) != 1 || r.told[0].State != notify.Failed {
				t.Errorf("%+v, told %v", d, r.told)
			}
			r.offset.Add(int64(time.Hour))
			if n, err := r.jobs.RunDue(t.Context()); err != nil || n != 0 {
				t.Errorf("%d jobs are left, %v", n, err)
			}
		})
	}
}

// refusing is a mail server that says one thing to every recipient.
type refusing struct{ code int }

func (refusing) Reset()                               {}
func (refusing) Logout() error                        { return nil }
func (refusing) Mail(string, *smtp.MailOptions) error { return nil }
func (r refusing) Rcpt(string, *smtp.RcptOptions) error {
	return &smtp.SMTPError{Code: r.code, Message: "no"}
}
func (refusing) Data(io.Reader) error { return nil }

func TestServersRefusalIsUnderstood(t *testing.T) {
	for code, permanent := range map[int]bool{450: false, 550: true} {
		l := httptest.NewUnstartedServer(nil).Listener
		s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return refusing{code}, nil }))
		go func() { _ = s.Serve(l) }() // ends with Close
		err := (&notify.SMTP{Addr: l.Addr().String(), Security: notify.Plain}).Send(t.Context(), &notify.Envelope{From: "a@b.example", To: "c@d.example", Body: []byte("Subject: x\r\n\r\nx\r\n")})
		if err == nil || (fault.Of(err).Kind == fault.Invalid) != permanent {
			t.Errorf("%d: %v", code, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	err := (&notify.SMTP{Addr: "127.0.0.1:1", Security: notify.Plain}).Send(t.Context(), &notify.Envelope{})
	if fault.Of(err).Kind != fault.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
}

func TestUnprotectedMailIsForLoopbackOnly(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:25": true, "localhost:25": true, "[::1]:25": true, "mail.example:25": false, "10.0.0.1:25": false, "nonsense": false} {
		if err := (&notify.SMTP{Addr: addr, Security: notify.Plain}).Check(); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if err := (&notify.SMTP{Addr: "mail.example:465", Security: "ssl"}).Check(); err == nil {
		t.Error("an unknown protection is taken")
	}
	// A server without TLS gets nothing.
	r := newRig(t, storetest.SQLite(t), edKey(t))
	if err := (&notify.SMTP{Addr: r.catcher.Addr()}).Send(t.Context(), &notify.Envelope{From: "a@b.example", To: "c@d.example", Body: []byte("x")}); err == nil || len(r.catcher.Messages("")) > 0 {
		t.Errorf("without TLS: %v", err)
	}
}

func TestDKIMThatNobodyWouldCountIsRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	db := storetest.SQLite(t)
	q, err := jobs.Open(t.Context(), jobs.Config{DB: db})
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]notify.DKIM{
		"another domain": {Domain: "other.example", Selector: "s", Key: edKey(t)},
		"part of a name": {Domain: "cme.example", Selector: "s", Key: edKey(t)},
		"no selector":    {Domain: "acme.example", Key: edKey(t)},
		"small key":      {Domain: "acme.example", Selector: "s", Key: small},
	} {
		if _, err := notify.New(t.Context(), notify.Config{DB: db, Jobs: q, Secret: make([]byte, 32), Transport: &notify.SMTP{}, From: "a@acme.example", DKIM: d}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestSMSGoesThroughTheGateway(t *testing.T) {
	var (
		got    map[string]string
		bearer string
		status = http.StatusOK
	)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bearer = r.Header.Get("Authorization")
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	h := &notify.HTTPTexter{URL: s.URL, Token: "t"}
	if err := h.Text(t.Context(), "+4915112345678", "123456 is your code"); err != nil || got["to"] != "+4915112345678" || got["text"] == "" || bearer != "Bearer t" {
		t.Errorf("%v, %q, %v", got, bearer, err)
	}
	for code, kind := range map[int]fault.Kind{400: fault.Invalid, 401: fault.Unavailable, 500: fault.Unavailable, 302: fault.Unavailable} {
		status = code
		if err := h.Text(t.Context(), "+4915112345678", "x"); fault.Of(err).Kind != kind {
			t.Errorf("%d: %v", code, err)
		}
	}
	if err := (&notify.HTTPTexter{URL: "http://sms.example/"}).Text(t.Context(), "+4915112345678", "x"); fault.Of(err).Kind != fault.Unavailable {
		t.Errorf("unprotected: %v", err)
	}
	dir := t.TempDir()
	if err := (&notify.FileTexter{Dir: dir}).Text(t.Context(), "+4915112345678", "hello"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.sms"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if b, err := os.ReadFile(files[0]); err != nil || string(b) != "+4915112345678\nhello\n" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestMessageThatCannotArriveIsNotQueued(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), edKey(t))
	for name, change := range map[string]func(*notify.Message){
		"address":        func(m *notify.Message) { m.To = "nobody" },
		"with a name":    func(m *notify.Message) { m.To = "A <a@b.example>" },
		"number":         func(m *notify.Message) { m.Channel, m.To = notify.SMS, "0151" },
		"kind":           func(m *notify.Message) { m.Kind = "advert" },
		"no code":        func(m *notify.Message) { m.Kind = notify.Code },
		"code elsewhere": func(m *notify.Message) { m.Code = "1" },
		"organisation":   func(m *notify.Message) { m.Org = "" },
	} {
		m := invitation
		change(&m)
		err := r.db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := r.Queue(ctx, tx, m)
			return err
		})
		if err == nil {
			t.Errorf("%s is queued", name)
		}
	}
	failed := errors.New("undone")
	if err := r.db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		if _, err := r.Queue(ctx, tx, invitation); err != nil {
			return err
		}
		return failed
	}); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	r.work()
	if n := len(r.catcher.Messages("")); n != 0 {
		t.Errorf("a transaction that was undone sent %d mails", n)
	}
}

func FuzzCaughtMail(f *testing.F) {
	f.Add([]byte("Subject: x\r\n\r\nhello"))
	f.Add([]byte("Subject: =?utf-8?q?x?=\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\naGk=\r\n--b--\r\n"))
	f.Add([]byte("DKIM-Signature: v=1; a=rsa-sha256\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := notify.ReadCaught(raw)
		if err == nil && len(m.Text) > 1<<20 {
			t.Error("too much is shown")
		}
	})
}
