package demo

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/countersign/countersign/cmd/countersign/ra"
	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/relyingparty/portal/direct"
	"github.com/countersign/countersign/relyingparty/request"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// portalClient is the portal as a client of the gateway: another one than that of
// the command line, with a secret and a redirect address of its own.
const portalClient = "portal"

// secretFile is where the portal looks for its secret.
func (l *layout) secretFile() string { return l.path("portal", "client-secret") }

// signing are the portal's settings for its own page to sign on.
func (l *layout) signing() setting {
	more := []setting{
		{"csc", l.csc()},
		{"client_id", portalClient},
		{"client_secret_file", l.secretFile()},
		{"anchors", []string{l.path("ca.pem")}},
	}
	if l.tls != nil {
		more = append(more, setting{"tls_ca", l.tls.CA})
	}
	return setting{"signing", more}
}

// putPortal registers the portal, and lets it see the signer's credentials.
func (d *Demo) putPortal(ctx context.Context, signers ...string) error {
	_, err := os.Stat(d.l.secretFile())
	c := sockets.Client{
		ID: portalClient, Org: "default", Name: "Portal of the demonstration", Auth: "client_secret",
		Redirects: []string{d.l.portal() + direct.ReturnPath, d.l.portal() + request.ReturnPath}, Signers: signers, NewSecret: err != nil,
	}
	secret, err := d.l.sockets().PutClient(ctx, c)
	if err != nil {
		return fmt.Errorf("register the portal: %w", err)
	}
	if secret == "" {
		return nil
	}
	return writeFile(d.l.secretFile(), []byte(secret+"\n"))
}

// offerPasskey lets the signer enrol a passkey in a browser, for a credential of its
// own: a key has one mechanism. The key signs nothing before a passkey is enrolled,
// since nobody can approve.
func (d *Demo) offerPasskey(ctx context.Context, s *state, who enrolled) error {
	key, err := ra.LoadKey(d.l.path("ra.pem"))
	if err != nil {
		return err
	}
	a := &ra.Authority{Name: raName, Key: key, Now: time.Now}
	m := d.l.sockets().Module()
	p := d.person(who.Signer)
	ticket, err := a.Enrol(ctx, m, p, samapi.WebAuthn)
	if err != nil {
		return fmt.Errorf("open an enrolment for a passkey: %w", err)
	}
	if who.Passkey == "" {
		ca := &pki.Client{BaseURL: d.l.pki(), HTTP: &http.Client{Timeout: 30 * time.Second}}
		got, err := a.Certify(ctx, m, ca, p, ra.Wish{Mechanism: samapi.WebAuthn, KeyType: signing.P256, Multisign: 100})
		if err != nil {
			return fmt.Errorf("order a key for the passkey: %w", err)
		}
		who.Passkey = got.Credential
		s.Signers[d.Name] = who
		if err := d.l.save(s); err != nil {
			return err
		}
	}
	d.say("\nSign a PDF in your browser: %s%s", d.l.portal(), direct.Path)
	d.say("  with a passkey for credential %s. Give %s one first, in the same browser; the link works once:", who.Passkey, d.Name)
	d.say("  enrol: %s", ticket.URL)
	d.say("  code:  %s", ticket.Code)
	return nil
}
