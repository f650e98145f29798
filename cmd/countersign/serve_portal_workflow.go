package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/jobs"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/relyingparty/account"
	"github.com/countersign/countersign/relyingparty/documents"
	"github.com/countersign/countersign/relyingparty/notify"
	"github.com/countersign/countersign/relyingparty/request"
)

// workflowSettings say how people are asked to sign documents that rest here.
type workflowSettings struct {
	Documents config.Path   `config:"documents" doc:"Folder of the documents. Without it nobody is asked to sign anything."`
	Secret    config.Path   `config:"secret_file" doc:"File with a random secret of 32 bytes or more: links, codes and second factors depend on it."`
	MaxSize   int           `config:"max_document_mb" doc:"Largest document, in MB."`
	Seal      sealSettings  `config:"seal" doc:"The organisation's seal, with which requests end and clicks are sealed."`
	Mail      mailSettings  `config:"mail" doc:"How invitations, codes and results are sent."`
	SMS       smsSettings   `config:"sms" doc:"How codes are sent by SMS; empty: not at all."`
	Codes     codeSettings  `config:"codes" doc:"One-time codes."`
	Remind    time.Duration `config:"reminder_interval" doc:"Least time between two reminders of a request."`
	Deadline  time.Duration `config:"longest_deadline" doc:"How far ahead a deadline may lie."`
	Keep      time.Duration `config:"keep_results" doc:"How long links show results after the end."`
}

type sealSettings struct {
	Credential config.Path `config:"credential_file" doc:"File with the seal's credential at the signing service."`
	Machine    config.Path `config:"machine_key" doc:"Key file of this machine, enrolled for the seal (countersign authenticator enrol --machine)."`
}

type mailSettings struct {
	From     string      `config:"from" doc:"Address in From; replies go to the person who asks."`
	Name     string      `config:"from_name" doc:"Name beside it; default: the organisation."`
	Server   string      `config:"server" doc:"Mail server, host:port."`
	Security string      `config:"security" doc:"starttls, tls, or plain (this machine only)."`
	User     string      `config:"username" doc:"Name at the mail server; empty: none is needed."`
	Password config.Path `config:"password_file" doc:"File with the password there."`
	Domain   string      `config:"dkim_domain" doc:"Domain of the DKIM signature; default: that of From."`
	Selector string      `config:"dkim_selector" doc:"Selector of the DKIM key."`
	Key      config.Path `config:"dkim_key" doc:"PEM file with the DKIM key (PKCS #8, RSA or Ed25519); without it mails are not signed."`
	Catch    bool        `config:"catch" doc:"For demonstrations: messages go nowhere and are shown on a page."`
}

type smsSettings struct {
	URL    string      `config:"url" doc:"Gateway that takes a JSON object {\"to\",\"text\"} by POST."`
	Token  config.Path `config:"token_file" doc:"File with its bearer token."`
	Folder config.Path `config:"folder" doc:"Folder into which messages are written as files, in place of url."`
}

type codeSettings struct {
	Length   int           `config:"length" doc:"4 to 12 letters."`
	Alphabet string        `config:"alphabet" doc:"Letters of codes, at least ten different ones."`
	Tries    int           `config:"tries" doc:"Tries for one code."`
	Life     time.Duration `config:"life" doc:"How long a code is good."`
	Orders   int           `config:"orders" doc:"Codes that may be ordered within the window."`
	Window   time.Duration `config:"window" doc:"See orders."`
}

func workflowDefaults() workflowSettings {
	return workflowSettings{
		MaxSize: 200, Remind: 24 * time.Hour, Deadline: 90 * 24 * time.Hour, Keep: 30 * 24 * time.Hour, Mail: mailSettings{Security: "starttls"},
		Codes: codeSettings{Length: 6, Alphabet: "0123456789", Tries: 5, Life: 10 * time.Minute, Orders: 5, Window: 2 * time.Hour},
	}
}

// workflow is what the portal's pages for requests work with.
type workflow struct {
	accounts *account.Service
	requests *request.Service
	catcher  *notify.Catcher // nil but in demonstrations
	sms      bool            // codes can go by SMS
	queue    *jobs.Queue
}

// workflowOrg is the organisation of everything in the portal's database.
const workflowOrg = "default"

// openWorkflow opens the engine; nil if no folder for documents is configured.
func openWorkflow(ctx context.Context, p *daemon.Process, s *portalSettings, db *store.DB) (*workflow, error) {
	w := s.Workflow
	if w.Documents == "" {
		return nil, nil //nolint:nilnil // no requests is a choice
	}
	secret, err := daemon.Secret(string(w.Secret))
	if err != nil {
		return nil, fmt.Errorf("workflow.secret_file: %w", err)
	}
	anchors, err := s.Signing.anchors()
	if err != nil {
		return nil, err
	}
	f := &workflow{}
	if f.queue, err = jobs.Open(ctx, jobs.Config{DB: db, Log: p.Log}); err != nil {
		return nil, err
	}
	if f.accounts, err = account.New(ctx, account.Config{DB: db, Secret: secret, Issuer: s.Org}); err != nil {
		return nil, err
	}
	docs, err := documents.New(ctx, documents.Config{DB: db, Dir: string(w.Documents), MaxSize: int64(w.MaxSize) << 20})
	if err != nil {
		return nil, err
	}
	outbox, err := f.openOutbox(ctx, s, db, secret)
	if err != nil {
		return nil, err
	}
	f.sms = outbox.HasSMS()
	own := &portalKeys{settings: s, anchors: anchors}
	f.requests, err = request.New(ctx, request.Config{
		DB: db, Jobs: f.queue, Documents: docs, Outbox: outbox, Seal: own, Personal: own, Anchors: anchors, Secret: secret,
		BaseURL: s.URL, OrgName: s.Org, Log: p.Log,
		Policy: request.Policy{
			CodeLength: w.Codes.Length, CodeAlphabet: w.Codes.Alphabet, CodeTries: w.Codes.Tries, CodeLife: w.Codes.Life,
			CodeOrders: w.Codes.Orders, CodeWindow: w.Codes.Window, Remind: w.Remind, Deadline: w.Deadline, Keep: w.Keep,
		},
	})
	if err != nil {
		return nil, err
	}
	p.Go(f.queue.Run)
	p.Every(time.Hour, "purge jobs", f.queue.Purge)
	p.Every(time.Hour, "purge sessions", f.accounts.Purge)
	p.Every(time.Hour, "purge visits", f.requests.Purge)
	return f, nil
}

// openOutbox joins the outbox to a mail server, or to the catcher.
func (f *workflow) openOutbox(ctx context.Context, s *portalSettings, db *store.DB, secret []byte) (*notify.Outbox, error) {
	m := s.Workflow.Mail
	if m.Name == "" {
		m.Name = s.Org
	}
	dkim, err := m.dkim()
	if err != nil {
		return nil, err
	}
	c := notify.Config{DB: db, Jobs: f.queue, Secret: secret, From: m.From, FromName: m.Name, DKIM: dkim, Test: s.Test}
	if m.Catch {
		if f.catcher, err = notify.NewCatcher(ctx, notify.CatcherConfig{DKIM: dkim}); err != nil {
			return nil, err
		}
		c.Transport, c.Texter = &notify.SMTP{Addr: f.catcher.Addr(), Security: notify.Plain}, f.catcher
		return notify.New(ctx, c)
	}
	server := &notify.SMTP{Addr: m.Server, Security: notify.Security(m.Security), Username: m.User}
	if err := server.Check(); err != nil {
		return nil, fmt.Errorf("workflow.mail: %w", err)
	}
	if m.Password != "" {
		b, err := daemon.Secret(string(m.Password))
		if err != nil {
			return nil, fmt.Errorf("workflow.mail.password_file: %w", err)
		}
		server.Password = string(b)
	}
	c.Transport = server
	if c.Texter, err = s.Workflow.SMS.texter(); err != nil {
		return nil, err
	}
	return notify.New(ctx, c)
}

// dkim reads the key; a demonstration makes one.
func (m *mailSettings) dkim() (notify.DKIM, error) {
	d := notify.DKIM{Domain: m.Domain, Selector: m.Selector}
	if d.Domain == "" {
		d.Domain = m.From[strings.LastIndexByte(m.From, '@')+1:]
	}
	if m.Key == "" {
		if !m.Catch {
			return notify.DKIM{}, nil
		}
		_, key, err := ed25519.GenerateKey(nil)
		d.Key, d.Selector = key, "demo"
		return d, err
	}
	b, err := daemon.Secret(string(m.Key))
	if err != nil {
		return d, fmt.Errorf("workflow.mail.dkim_key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return d, fmt.Errorf("workflow.mail.dkim_key: %s is no PEM file", m.Key)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return d, fmt.Errorf("workflow.mail.dkim_key: %w", err)
	}
	var ok bool
	if d.Key, ok = key.(crypto.Signer); !ok {
		return d, fmt.Errorf("workflow.mail.dkim_key: a %T does not sign", key)
	}
	return d, nil
}

// texter is nil if no SMS are sent.
func (m *smsSettings) texter() (notify.Texter, error) {
	switch {
	case m.URL != "" && m.Folder != "":
		return nil, errors.New("workflow.sms: name url or folder, not both")
	case m.Folder != "":
		return &notify.FileTexter{Dir: string(m.Folder)}, nil
	case m.URL == "":
		return nil, nil //nolint:nilnil // no SMS is a choice
	}
	h := &notify.HTTPTexter{URL: m.URL}
	if m.Token != "" {
		b, err := daemon.Secret(string(m.Token))
		if err != nil {
			return nil, fmt.Errorf("workflow.sms.token_file: %w", err)
		}
		h.Token = string(b)
	}
	return h, nil
}

func (f *workflow) close() error {
	if f == nil || f.catcher == nil {
		return nil
	}
	return f.catcher.Close()
}

// sealCredential reads which credential is the seal.
func (s *sealSettings) credential() (string, error) {
	if s.Credential == "" || s.Machine == "" {
		return "", noSeal(errors.New("workflow.seal is not configured"))
	}
	b, err := os.ReadFile(string(s.Credential))
	if err != nil {
		return "", noSeal(err)
	}
	return strings.TrimSpace(string(b)), nil
}

func noSeal(cause error) error {
	return fault.New(fault.Unavailable, "this portal has no seal yet; tell the operator").WithCode("no_seal").Because(cause)
}

// portalKeys are the portal's keys at the signing service, made when they are first
// needed: the portal may start before it is registered there.
type portalKeys struct {
	settings *portalSettings
	anchors  []*x509.Certificate

	mu       sync.Mutex
	seal     request.Seal
	personal request.PersonalKeys
}
