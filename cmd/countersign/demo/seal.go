package demo

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/countersign/ra"
	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/relyingparty/portal/desk"
	"github.com/countersign/countersign/relyingparty/portal/mailbox"
	"github.com/countersign/countersign/sam/device"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// People of the demonstration's requests for signatures.
const (
	senderEmail = "sender@demo.example"
	signerEmail = "signer@demo.example"
)

// Files of the portal's seal and of its first account.
func (l *layout) machineFile() string { return l.path("portal", "machine.json") }
func (l *layout) sealFile() string    { return l.path("portal", "seal-credential") }
func (l *layout) senderPassword() string {
	return l.path("portal", "sender-password")
}

func (l *layout) senderSecond() string { return l.path("portal", "sender-second") }

// randomSecond makes the secret of a second factor.
func randomSecond() (string, error) {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	return base32.StdEncoding.EncodeToString(b[:]), nil
}

// offerRequests says how to ask people for signatures.
func (d *Demo) offerRequests() error {
	var secrets []any
	for _, name := range []string{d.l.senderPassword(), d.l.senderSecond()} {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		secrets = append(secrets, strings.TrimSpace(string(b)))
	}
	d.say("\nAsk people to sign, one after the other: %s%s", d.l.portal(), desk.Path)
	d.say("  log in as:  %s\n  password:   %s", senderEmail, secrets[0])
	d.say("  code:       from an authenticator app that has the secret %s\n              (or: oathtool --totp --base32 %s)", secrets[1], secrets[1])
	d.say("  mail:       goes nowhere, and is shown at %s%s", d.l.portal(), mailbox.Path)
	d.say("  %s signs with the key of %s if you ask for their own key; everybody else by a click", signerEmail, d.Name)
	return nil
}

// workflow are the portal's settings for requests: mail goes nowhere and is shown.
func (l *layout) workflow() setting {
	return setting{"workflow", []setting{
		{"documents", l.path("portal", "documents")},
		{"secret_file", l.path("portal", "secret")},
		{"seal", []setting{{"credential_file", l.sealFile()}, {"machine_key", l.machineFile()}}},
		{"mail", []setting{{"from", "sign@demo.example"}, {"catch", true}}},
	}}
}

// putSeal gives the portal's organisation a seal: a machine key, enrolled with an
// activation code like every device, and a credential that it may use without a
// person.
func (d *Demo) putSeal(ctx context.Context, s *state, a *ra.Authority) error {
	if s.Seal.Credential != "" && time.Until(s.Seal.Ends) > 24*time.Hour {
		return nil
	}
	p := ra.Person{
		ID: "seal-" + strings.ToLower(rand.Text()[:8]), Assurance: "substantial", Method: "none: a demonstration",
		Subject: signing.Subject{CommonName: d.l.name() + " (seal)", Organization: d.l.name(), Country: "EU"},
	}
	p.Subject.SerialNumber = strings.ToUpper(p.ID)
	m := d.l.sockets().Module()
	ticket, err := a.Enrol(ctx, m, p, samapi.Delegation)
	if err != nil {
		return fmt.Errorf("open an enrolment for the portal's machine: %w", err)
	}
	if err := os.Remove(d.l.machineFile()); err != nil && !errors.Is(err, os.ErrNotExist) { // of a run that was cut off, or ended
		return err
	}
	if _, err := device.Enrol(ctx, device.Enrolment{URL: ticket.URL, Code: ticket.Code, Name: "Portal", Path: d.l.machineFile(), Machine: true}); err != nil {
		return err
	}
	ca := &pki.Client{BaseURL: d.l.pki(), HTTP: &http.Client{Timeout: 30 * time.Second}}
	got, err := a.Certify(ctx, m, ca, p, ra.Wish{Mechanism: samapi.Delegation, KeyType: signing.P256, Multisign: 100})
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(got.Chain[0])
	if err != nil {
		return err
	}
	if err := writeFile(d.l.sealFile(), []byte(got.Credential+"\n")); err != nil {
		return err
	}
	d.say("  the portal has a seal (credential %s), which its machine key uses without a person", got.Credential)
	s.Seal = enrolled{Signer: p.ID, Credential: got.Credential, Ends: leaf.NotAfter}
	return d.l.save(s)
}

// putSender makes the first account of the portal, and says whose the signer's key
// is.
func (d *Demo) putSender(ctx context.Context, who enrolled) error {
	b, err := os.ReadFile(d.l.senderPassword())
	if err != nil {
		return err
	}
	dir := d.l.sockets()
	second, err := os.ReadFile(d.l.senderSecond())
	if err != nil {
		return err
	}
	if err := dir.PutAccount(ctx, sockets.Account{
		Email: senderEmail, Name: "Sam Sender", Role: "admin", Password: strings.TrimSpace(string(b)), Second: strings.TrimSpace(string(second)), Keep: true,
	}); err != nil {
		return fmt.Errorf("make the portal's first account: %w", err)
	}
	return dir.LinkPersonalKey(ctx, sockets.PersonalKey{Email: signerEmail, Credential: who.Credential})
}
