package demo

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/countersign/ra"
	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/sam/device"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// raName is the registration authority of the demo.
const raName = "demo-ra"

// clientID is the relying party of the demo.
const clientID = "demo"

// setUp does what an installation does once: it acquaints its parts with each
// other, and enrols the signer. What was done in an earlier run stays.
func (d *Demo) setUp(ctx context.Context) (*state, enrolled, error) {
	s, err := d.l.load()
	if err != nil {
		return nil, enrolled{}, err
	}
	key, err := ra.LoadKey(d.l.path("ra.pem"))
	if err != nil {
		return nil, enrolled{}, err
	}
	if err := d.acquaint(ctx, key.Public()); err != nil {
		return nil, enrolled{}, err
	}
	who, ok := s.Signers[d.Name]
	if ok && time.Until(who.Ends) > 24*time.Hour {
		d.say("  %s was enrolled in an earlier run (credential %s)", d.Name, who.Credential)
	} else {
		a := &ra.Authority{Name: raName, Key: key, Now: time.Now}
		if who, err = d.enrol(ctx, a); err != nil {
			return nil, enrolled{}, err
		}
		s.Signers[d.Name] = who
		if err := d.l.save(s); err != nil {
			return nil, enrolled{}, err
		}
	}
	if err := d.putClient(ctx, s, who); err != nil {
		return nil, enrolled{}, err
	}
	if err := d.putSeal(ctx, s, &ra.Authority{Name: raName, Key: key, Now: time.Now}); err != nil {
		return nil, enrolled{}, err
	}
	return s, who, d.putPortal(ctx, who.Signer, s.Seal.Signer)
}

// acquaint registers the registration authority, the module and the gateway
// where they must be known.
func (d *Demo) acquaint(ctx context.Context, raKey any) error {
	d.say("\nSetting up:")
	spki, err := x509.MarshalPKIXPublicKey(raKey)
	if err != nil {
		return err
	}
	dir := d.l.sockets()
	if err := dir.RegisterRA(ctx, raName, spki); err != nil {
		return err
	}
	if err := dir.RegisterModule(ctx); err != nil {
		return err
	}
	d.say("  module and pki know the registration authority; the pki knows the module")
	return dir.ModuleAdmin().RegisterGateway(ctx, d.l.issuer, d.l.issuer+"/oauth2/approved")
}

// person is the signer as the registration authority proved who that is: not at
// all, which its record says.
func (d *Demo) person(id string) ra.Person {
	given, surname := d.Name, ""
	if i := strings.LastIndexByte(d.Name, ' '); i > 0 {
		given, surname = d.Name[:i], d.Name[i+1:]
	}
	return ra.Person{
		ID: id, Assurance: "substantial", Method: "none: a demonstration",
		Subject: signing.Subject{CommonName: d.Name, GivenName: given, Surname: surname, SerialNumber: strings.ToUpper(id), Country: "EU"},
	}
}

// enrol gives a person a device, a key and a certificate.
func (d *Demo) enrol(ctx context.Context, a *ra.Authority) (enrolled, error) {
	id := "demo-" + strings.ToLower(rand.Text()[:8])
	p := d.person(id)
	m := d.l.sockets().Module()
	ticket, err := a.Enrol(ctx, m, p, samapi.DeviceKey)
	if err != nil {
		return enrolled{}, err
	}
	pin, err := os.ReadFile(d.l.path("pin"))
	if err != nil {
		return enrolled{}, err
	}
	who := enrolled{Signer: id, Device: "device-" + id + ".json"}
	_, err = device.Enrol(ctx, device.Enrolment{
		URL: ticket.URL, Code: ticket.Code, PIN: strings.TrimSpace(string(pin)), Name: "Device of " + d.Name, Path: d.l.path(who.Device),
	})
	if err != nil {
		return enrolled{}, err
	}
	d.say("  %s has a device, enrolled with an activation code; its PIN is in %s", d.Name, d.l.path("pin"))
	ca := &pki.Client{BaseURL: d.l.pki(), HTTP: &http.Client{Timeout: 30 * time.Second}}
	got, err := a.Certify(ctx, m, ca, p, ra.Wish{Mechanism: samapi.DeviceKey, KeyType: signing.P256, Multisign: 100})
	if err != nil {
		return enrolled{}, err
	}
	leaf, err := x509.ParseCertificate(got.Chain[0])
	if err != nil {
		return enrolled{}, err
	}
	who.Credential, who.Ends = got.Credential, leaf.NotAfter
	d.say("  the module made a P-256 key for %s; its certificate was issued on the module's key record and the authority's proofing record", d.Name)
	return who, nil
}

// putClient registers the relying party and lets it see the signer's credential.
func (d *Demo) putClient(ctx context.Context, s *state, who enrolled) error {
	c := sockets.Client{
		ID: clientID, Org: "default", Name: "Demo relying party", Auth: "client_secret", Refresh: true,
		Redirects: []string{d.l.redirect(), "http://127.0.0.1/callback"}, Signers: []string{who.Signer}, NewSecret: s.ClientSecret == "",
	}
	secret, err := d.l.sockets().PutClient(ctx, c)
	if err != nil {
		return fmt.Errorf("register the relying party: %w", err)
	}
	if secret == "" {
		return nil
	}
	d.say("  the gateway knows a relying party and its secret")
	s.ClientID, s.ClientSecret = clientID, secret
	return d.l.save(s)
}

// tlsClient trusts the development certificate.
func (l *layout) tlsClient() (*http.Client, error) {
	b, err := os.ReadFile(l.tls.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no certificate", l.tls.CA)
	}
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}, nil
}
