package request_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	adespdf "github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/csc/csctest"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/relyingparty/documents"
	"github.com/countersign/countersign/relyingparty/keys"
	"github.com/countersign/countersign/relyingparty/notify"
	"github.com/countersign/countersign/relyingparty/request"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/signing"
)

// machineSeal is the organisation's seal with an approval that always comes. It can
// fail before and after it worked.
type machineSeal struct {
	signer        *signer.Signer
	service       *csctest.Service
	before, after func(files []request.File) error
	used          atomic.Int64 // files
}

func (m *machineSeal) Seal(ctx context.Context, files []request.File, t request.Terms) (request.Outcome, error) {
	if m.before != nil {
		if err := m.before(files); err != nil {
			return request.Outcome{}, err
		}
	}
	job := signer.Job{Level: t.Level, Reason: t.Reason, Approve: m.service.Approve}
	for _, f := range files {
		job.Files = append(job.Files, signer.File{In: f.In, Out: f.Out, Label: f.Label})
	}
	r, err := m.signer.Sign(ctx, job)
	if err != nil {
		return request.Outcome{}, err
	}
	m.used.Add(int64(len(files)))
	if m.after != nil {
		if err := m.after(files); err != nil {
			return request.Outcome{}, err
		}
	}
	return request.Outcome{Credential: r.Credential, Subject: r.Signer}, nil
}

const org = "acme"

var sender = request.Sender{Org: org, User: "u1", Name: "Grace Hopper", Email: "grace@acme.example", Address: "192.0.2.1"}

// rig is a relying party with everything around it.
type rig struct {
	*testing.T

	dsn, dir string
	db       *store.DB
	jobs     *jobs.Queue
	docs     *documents.Store
	outbox   *notify.Outbox
	catcher  *notify.Catcher
	service  *csctest.Service
	seal     *machineSeal
	personal request.PersonalKeys
	policy   request.Policy
	offset   atomic.Int64 // of the clock
	skew     atomic.Int64 // of the clock of who signs
	mailAddr string
	*request.Service
}

func newRig(t *testing.T, dsn string, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{T: t, dsn: dsn, dir: t.TempDir(), service: csctest.Start(t, signing.P256)}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	dkim := notify.DKIM{Domain: "acme.example", Selector: "s1", Key: key}
	if r.catcher, err = notify.NewCatcher(t.Context(), notify.CatcherConfig{DKIM: dkim}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.catcher.Close(); err != nil {
			t.Error(err)
		}
	})
	r.mailAddr = r.catcher.Addr()
	client, err := cscclient.New(cscclient.Config{
		BaseURL: r.service.Base, Issuer: r.service.Issuer, ClientID: csctest.ClientID, ClientSecret: csctest.ClientSecret, RedirectURI: csctest.RedirectURI,
	})
	if err != nil {
		t.Fatal(err)
	}
	config := signer.Config{
		Service: client, Fetcher: cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true}), Anchors: r.service.PKI.Anchors(),
		Now: func() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) },
	}
	if r.personal, err = keys.NewPersonal(config); err != nil {
		t.Fatal(err)
	}
	config.Credential = csctest.CredentialID
	s, err := signer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	r.seal = &machineSeal{signer: s, service: r.service}
	for _, c := range change {
		c(r)
	}
	r.open(dkim)
	return r
}

// open starts the relying party on what is on disk.
func (r *rig) open(dkim notify.DKIM) {
	r.Helper()
	var err error
	must := func(err error) {
		r.Helper()
		if err != nil {
			r.Fatal(err)
		}
	}
	ctx := r.Context()
	r.db, err = store.Open(ctx, r.dsn)
	must(err)
	r.jobs, err = jobs.Open(ctx, jobs.Config{DB: r.db, Now: r.now, Lease: 2 * time.Second})
	must(err)
	r.docs, err = documents.New(ctx, documents.Config{DB: r.db, Dir: filepath.Join(r.dir, "documents"), Now: r.now})
	must(err)
	secret := bytes.Repeat([]byte{7}, 32)
	r.outbox, err = notify.New(ctx, notify.Config{
		DB: r.db, Jobs: r.jobs, Secret: secret, Transport: transport{r}, Texter: r.catcher, From: "sign@acme.example", DKIM: dkim, Now: r.now,
	})
	must(err)
	r.Service, err = request.New(ctx, request.Config{
		DB: r.db, Jobs: r.jobs, Documents: r.docs, Outbox: r.outbox, Seal: r.seal, Personal: r.personal, Anchors: r.service.PKI.Anchors(),
		Secret: secret, BaseURL: "http://portal.localhost:1", OrgName: "Acme", Policy: r.policy, Now: r.now,
	})
	must(err)
	r.Cleanup(func() { _ = r.db.Close() })
}

// restart ends the relying party and starts it again.
func (r *rig) restart() {
	r.Helper()
	if err := r.db.Close(); err != nil {
		r.Fatal(err)
	}
	r.open(notify.DKIM{})
}

// transport is SMTP to an address that may change.
type transport struct{ r *rig }

func (t transport) Send(ctx context.Context, m *notify.Envelope) error {
	return (&notify.SMTP{Addr: t.r.mailAddr, Security: notify.Plain, Timeout: 5 * time.Second}).Send(ctx, m)
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.offset.Load())) }

func (r *rig) later(d time.Duration) { r.offset.Add(int64(d)) }

// work runs the jobs that are due.
func (r *rig) work() {
	r.Helper()
	if _, err := r.jobs.RunDue(r.Context()); err != nil {
		r.Fatal(err)
	}
}

// must ends the test at an error.
func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// refused checks that an error is the fault with that code.
func (r *rig) refused(err error, kind fault.Kind, code string) {
	r.Helper()
	f := fault.Of(err)
	if err == nil || f.Kind != kind || f.Code != code || f.Detail == "" {
		r.Errorf("got %v (%s, %q), want %s, %q", err, f.Kind, f.Code, kind, code)
	}
}

var (
	ada    = request.NewSigner{Name: "Ada Lovelace", Email: "ada@one.example", Level: request.Click, Factor: request.MailCode, Lang: "en"}
	blaise = request.NewSigner{Name: "Blaise Pascal", Email: "blaise@two.example", Level: request.Click, Factor: request.MailCode, Lang: "de"}
)

// draft makes a draft that is complete.
func (r *rig) draft(signers ...request.NewSigner) request.Request {
	r.Helper()
	d, err := r.Create(r.Context(), sender, request.NewDraft{Title: "Lease of the mill", Message: "Please sign.\nThank you.", Lang: "en", Deadline: r.now().Add(48 * time.Hour)})
	r.must(err)
	for _, name := range []string{"lease.pdf", "annex.pdf"} {
		_, err := r.AddDocument(r.Context(), sender, d.ID, name, bytes.NewReader(pdf(name)))
		r.must(err)
	}
	r.must(r.SetSigners(r.Context(), sender, d.ID, signers))
	return r.request(d.ID)
}

func (r *rig) request(id string) request.Request {
	r.Helper()
	q, err := r.Request(r.Context(), sender, id)
	r.must(err)
	return q
}

// sent makes a request and sends it.
func (r *rig) sent(signers ...request.NewSigner) request.Request {
	r.Helper()
	d := r.draft(signers...)
	r.must(r.Send(r.Context(), sender, d.ID))
	r.work()
	return r.request(d.ID)
}

var linkInMail = regexp.MustCompile(`http://portal\.localhost:1/s/([A-Za-z0-9_-]+)`)

// link is the link in the newest mail to an address.
func (r *rig) link(to string) string {
	r.Helper()
	for _, m := range r.catcher.Messages(to) {
		if found := linkInMail.FindStringSubmatch(m.Text); found != nil {
			return found[1]
		}
	}
	r.Fatalf("no mail to %s has a link", to)
	return ""
}

var codeInText = regexp.MustCompile(`(?m)^ {4}([0-9A-Za-z]+)\r?$`)

// enter orders a code, reads it from the mail and opens a visit.
func (r *rig) enter(to string) string {
	r.Helper()
	link := r.link(to)
	r.must(r.SendCode(r.Context(), link, visitor))
	r.work()
	visit, err := r.Enter(r.Context(), link, r.code(to), visitor)
	r.must(err)
	return visit
}

func (r *rig) code(to string) string {
	r.Helper()
	found := codeInText.FindStringSubmatch(r.catcher.Messages(to)[0].Text)
	if found == nil {
		r.Fatalf("no code in %q", r.catcher.Messages(to)[0].Text)
	}
	return found[1]
}

var visitor = request.Visitor{Address: "198.51.100.7", Agent: "test"}

// click signs by click.
func (r *rig) click(visit string) {
	r.Helper()
	v, err := r.Visit(r.Context(), "", visit)
	r.must(err)
	r.must(r.Click(r.Context(), visit, v.Seq, visitor))
	r.work()
}

// events are the types of what happened, in order.
func (r *rig) events(id string) []request.Event {
	r.Helper()
	list, err := r.Events(r.Context(), sender, id, 0)
	r.must(err)
	return list
}

func (r *rig) count(id string, t request.EventType) int {
	n := 0
	for _, e := range r.events(id) {
		if e.Type == t {
			n++
		}
	}
	return n
}

// file reads a document as the sender downloads it.
func (r *rig) file(id, document string) ([]byte, *request.Download) {
	r.Helper()
	d, err := r.Open(r.Context(), sender, id, document)
	r.must(err)
	b, err := io.ReadAll(d.File)
	r.must(err)
	r.must(d.File.Close())
	return b, d
}

// each runs a test on both engines.
func each(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, storetest.SQLiteDSN(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, storetest.PostgresDSN(t)) })
}

// pdf is a small document that says text.
func pdf(text string) []byte {
	content := fmt.Sprintf("BT /F1 24 Tf 72 700 Td (%s) Tj ET\n", text)
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	var table strings.Builder
	for i, o := range objects {
		fmt.Fprintf(&table, "%010d 00000 n \n", b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, table.String(), len(objects)+1, start)
	return b.Bytes()
}

func sqlite(t *testing.T) string { return storetest.SQLiteDSN(t) }

// logText is the file that is attached to a log.
func (r *rig) logText(log []byte) string {
	r.Helper()
	f, err := adespdf.Open(bytes.NewReader(log), int64(len(log)), adespdf.Options{})
	r.must(err)
	catalog, err := f.Catalog()
	r.must(err)
	files, err := f.Array(catalog.Get("AF"))
	r.must(err)
	spec, err := f.Dict(files[0])
	r.must(err)
	ef, err := f.Dict(spec.Get("EF"))
	r.must(err)
	object, err := f.Resolve(ef.Get("F"))
	r.must(err)
	stream, ok := object.(*adespdf.Stream)
	if !ok {
		r.Fatalf("the attachment is %T", object)
	}
	b, err := f.Decode(stream)
	r.must(err)
	return string(b)
}
