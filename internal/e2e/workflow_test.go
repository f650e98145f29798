package e2e_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/ades/adestest"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/documents"
	"github.com/countersign/countersign/relyingparty/keys"
	"github.com/countersign/countersign/relyingparty/notify"
	"github.com/countersign/countersign/relyingparty/request"
	"github.com/countersign/countersign/relyingparty/signer"
	"github.com/countersign/countersign/sam/device"
)

// sealed gives the relying party an organisation's seal, with the operator's
// commands, and returns its credential and the machine's key file.
func (in *installation) seal(t testing.TB, id, organisation string) (credential, machine string) {
	t.Helper()
	who := []string{
		"--key", in.path("ra.pem"), "--ra", raName, "--signer", id, "--organization", organisation, "--country", "FI",
		"--serial", "VATFI-" + id, "--assurance", "substantial", "--method", "a test said so", "--mechanism", "delegated",
	}
	var ticket struct{ URL, Code string }
	in.decode(t, in.must(t, append([]string{"admin", "enrol"}, who...)...), &ticket)
	machine = in.path("machine-" + id + ".json")
	code := in.write("code-"+id, []byte(ticket.Code))
	in.must(t, "authenticator", "enrol", ticket.URL, "--code-file", code, "--name", "portal", "--device", machine, "--machine")
	var key struct{ Credential string }
	in.decode(t, in.must(t, append([]string{"admin", "certify", "--pki", in.pki}, who...)...), &key)
	return key.Credential, machine
}

func (in *installation) anchorsOf(t testing.TB) (list []*x509.Certificate) {
	t.Helper()
	rest, err := os.ReadFile(in.path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return list
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
}

// TestRequestWithASealAndAPersonalKey runs a request with two signers in order
// against the real service: the first by click with the organisation's seal, which a
// machine's order activates, the second with a key that only her device releases.
func TestRequestWithASealAndAPersonalKey(t *testing.T) {
	in := install(t, options{})
	sealID, machine := in.seal(t, "acme", "Acme Oy")
	in.client(t, "desk", in.signer.Signer, "acme")
	secret := in.client(t, "desk", in.signer.Signer, "acme")
	p := in.partyOf(t, "desk", secret, in.signer)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	machineKey, err := device.Load(machine)
	must(err)
	anchors := in.anchorsOf(t)
	config := signer.Config{Service: p.client, Fetcher: cscclient.NewFetcher(cscclient.FetcherConfig{Loopback: true}), Anchors: anchors}
	personal, err := keys.NewPersonal(config)
	must(err)
	config.Credential, config.Machine = sealID, &signer.Machine{Key: machineKey.Private()}
	seal, err := keys.NewSeal(config)
	must(err)

	dir := t.TempDir()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "desk.db"))
	must(err)
	t.Cleanup(func() { must(db.Close()) })
	queue, err := jobs.Open(ctx, jobs.Config{DB: db})
	must(err)
	docs, err := documents.New(ctx, documents.Config{DB: db, Dir: filepath.Join(dir, "documents")})
	must(err)
	catcher, err := notify.NewCatcher(ctx, notify.CatcherConfig{})
	must(err)
	t.Cleanup(func() { must(catcher.Close()) })
	own := bytes.Repeat([]byte{9}, 32)
	outbox, err := notify.New(ctx, notify.Config{
		DB: db, Jobs: queue, Secret: own, Transport: &notify.SMTP{Addr: catcher.Addr(), Security: notify.Plain}, From: "sign@acme.example",
	})
	must(err)
	desk, err := request.New(ctx, request.Config{
		DB: db, Jobs: queue, Documents: docs, Outbox: outbox, Seal: seal, Personal: personal, Anchors: anchors, Secret: own,
		BaseURL: "http://desk.localhost:1", OrgName: "Acme Oy",
	})
	must(err)
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(running) }()
	t.Cleanup(func() {
		stop()
		must(<-ended)
	})

	sender := request.Sender{Org: "acme", User: "u1", Name: "Grace Hopper", Email: "grace@acme.example"}
	d, err := desk.Create(ctx, sender, request.NewDraft{Title: "Lease", Deadline: time.Now().Add(time.Hour)})
	must(err)
	_, err = desk.AddDocument(ctx, sender, d.ID, "lease.pdf", bytes.NewReader(adestest.NewPDF(t).Data))
	must(err)
	must(desk.SetSigners(ctx, sender, d.ID, []request.NewSigner{
		{Name: "Blaise Pascal", Email: "blaise@two.example", Level: request.Click, Factor: request.NoFactor},
		{Name: "Ada Lovelace", Email: "ada@one.example", Level: request.Personal, Factor: request.NoFactor, Credential: in.signer.Credential},
	}))
	must(desk.Send(ctx, sender, d.ID))

	link := regexp.MustCompile(`/s/([A-Za-z0-9_-]{43})`)
	visit := func(to string) string {
		t.Helper()
		for range 200 {
			for _, m := range catcher.Messages(to) {
				if found := link.FindStringSubmatch(m.Text); found != nil {
					v, err := desk.Enter(ctx, found[1], "", request.Visitor{})
					must(err)
					return v
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		r, _ := desk.Request(ctx, sender, d.ID)
		t.Fatalf("no mail to %s; the request is %+v", to, r)
		return ""
	}
	first := visit("blaise@two.example")
	v, err := desk.Visit(ctx, "", first)
	must(err)
	must(desk.Click(ctx, first, v.Seq, request.Visitor{}))
	second := visit("ada@one.example") // her mail leaves when his signatures are verified
	to, err := desk.BeginPersonal(ctx, second, request.Visitor{})
	must(err)
	final, err := p.approve(ctx, to, &thumb{})
	must(err)
	_, err = desk.FinishPersonal(ctx, second, final, request.Visitor{})
	must(err)

	feed, err := desk.Watch(ctx, sender, d.ID, 0)
	must(err)
	timeout := time.After(time.Minute)
	for open := true; open; {
		select {
		case _, open = <-feed:
		case <-timeout:
			t.Fatal("the request does not end")
		}
	}
	r, err := desk.Request(ctx, sender, d.ID)
	must(err)
	if r.State != request.Completed {
		t.Fatalf("%s: %q, %+v", r.State, r.Reason, r.Signers)
	}
	if !strings.Contains(r.Signers[0].Certificate, "Acme Oy") || !strings.Contains(r.Signers[1].Certificate, "Ada") {
		t.Errorf("signed by %q and %q", r.Signers[0].Certificate, r.Signers[1].Certificate)
	}
	for _, document := range []string{r.Documents[0].ID, request.LogDocument} {
		file, err := desk.Open(ctx, sender, d.ID, document)
		must(err)
		b, err := io.ReadAll(file.File)
		must(err)
		must(file.File.Close())
		out := filepath.Join(dir, document+".pdf")
		must(os.WriteFile(out, b, 0o600))
		in.must(t, "verify", out)
	}

	// The seal is nobody's else: no person's approval, no other machine.
	_, err = p.client.CredentialsAuthorize(ctx, nil)
	if err == nil {
		t.Error("an empty request is authorised")
	}
	if _, err := personal.Begin(ctx, sealID, []request.File{{In: filepath.Join(dir, r.Documents[0].ID+".pdf"), Out: filepath.Join(dir, "x.pdf")}}, request.Terms{}); fault.Of(err).Detail == "" || err == nil {
		t.Errorf("the seal is offered to people: %v", err)
	}
}
