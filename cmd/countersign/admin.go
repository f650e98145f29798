package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/countersign/countersign/cmd/countersign/ra"
	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/signing"
)

// adminCmd administers the processes of this machine through their sockets.
type adminCmd struct {
	RAKey           raKeyCmd           `cmd:"" name:"ra-key" help:"Make the key of a registration authority."`
	RegisterRA      registerRACmd      `cmd:"" name:"register-ra" help:"Let module and certification authority trust a registration authority."`
	RegisterModule  registerModuleCmd  `cmd:"" help:"Let the certification authority trust the activation module's key records."`
	RegisterGateway registerGatewayCmd `cmd:"" help:"Tell the module where approvals of a gateway return to."`
	Client          clientCmd          `cmd:"" help:"Register or change a client of the gateway."`
	Enrol           enrolCmd           `cmd:"" help:"Register a signer and make an activation code for one device."`
	Devices         devicesCmd         `cmd:"" help:"List a signer's devices."`
	RevokeDevice    revokeDeviceCmd    `cmd:"" help:"End the use of a signer's device."`
	LiftBlock       liftBlockCmd       `cmd:"" help:"Let a client ask a signer again who had said: this was not me."`
	Peers           peersCmd           `cmd:"" help:"Other trust services whose credentials this gateway offers."`
	Account         accountCmd         `cmd:"" help:"Make an account of the portal for somebody who sends requests."`
	PersonalKey     personalKeyCmd     `cmd:"" help:"Say which credential a person signs with when the portal asks for their own key."`
	Certify         certifyCmd         `cmd:"" help:"Order a key for an enrolled signer and have its certificate issued."`
}

// socketsFlag names the folder in which the processes have their sockets.
type socketsFlag struct {
	Sockets string `env:"COUNTERSIGN_SOCKETS" default:"/run/countersign" type:"path" placeholder:"DIR" help:"Folder with the sockets of the processes."`
}

func (s socketsFlag) dir() sockets.Dir { return sockets.Dir(s.Sockets) }

type raKeyCmd struct {
	File string `arg:"" type:"path" help:"PEM file to write; an existing key is kept."`
}

// Run makes the key and prints its public half.
func (c *raKeyCmd) Run(t terminal) error {
	k, err := ra.LoadKey(c.File)
	if err != nil {
		return withCode(exitLocal, err)
	}
	id, err := signing.KeyID(k.Public())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.out, id)
	return err
}

type registerRACmd struct {
	socketsFlag
	Key  string `required:"" type:"existingfile" placeholder:"PEM" help:"Key file of the authority."`
	Name string `required:"" help:"Name of the authority."`
}

// Run registers the public half with both.
func (c *registerRACmd) Run(ctx context.Context) error {
	k, err := ra.LoadKey(c.Key)
	if err != nil {
		return withCode(exitLocal, err)
	}
	spki, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return err
	}
	return c.dir().RegisterRA(ctx, c.Name, spki)
}

type registerModuleCmd struct{ socketsFlag }

// Run carries the module's public key from one socket to the other.
func (c *registerModuleCmd) Run(ctx context.Context) error { return c.dir().RegisterModule(ctx) }

type registerGatewayCmd struct {
	socketsFlag
	Issuer string `required:"" env:"COUNTERSIGN_ISSUER" placeholder:"URL" help:"Issuer of the gateway."`
	Return string `placeholder:"URL" help:"Where approvals return to; default ISSUER/oauth2/approved."`
}

// Run registers the gateway.
func (c *registerGatewayCmd) Run(ctx context.Context) error {
	if c.Return == "" {
		c.Return = c.Issuer + "/oauth2/approved"
	}
	return c.dir().ModuleAdmin().RegisterGateway(ctx, c.Issuer, c.Return)
}

type clientCmd struct {
	socketsFlag
	ID        string   `required:"" help:"client_id."`
	Org       string   `default:"default" help:"Organisation that it belongs to."`
	Name      string   `required:"" help:"Name shown to signers."`
	Auth      string   `default:"client_secret" enum:"client_secret,private_key_jwt,none" help:"How it proves who it is: ${enum}."`
	JWKS      string   `name:"jwks" type:"existingfile" placeholder:"FILE" help:"Its public keys, for private_key_jwt."`
	Redirect  []string `sep:"none" placeholder:"URL" help:"Where authorisations may return to."`
	Refresh   bool     `help:"Give it refresh tokens."`
	DPoP      bool     `name:"dpop" help:"Refuse tokens that are not bound to a key."`
	PAR       bool     `name:"par" help:"Refuse authorisation requests that were not pushed."`
	Signer    []string `help:"Signers whose credentials it may list."`
	NewSecret bool     `help:"Make a new secret and print it."`
}

// Run registers the client and prints its new secret, if one was made.
func (c *clientCmd) Run(ctx context.Context, t terminal) error {
	r := sockets.Client{
		ID: c.ID, Org: c.Org, Name: c.Name, Auth: c.Auth, Redirects: c.Redirect,
		Refresh: c.Refresh, DPoP: c.DPoP, PAR: c.PAR, Signers: c.Signer, NewSecret: c.NewSecret,
	}
	if c.JWKS != "" {
		b, err := os.ReadFile(c.JWKS)
		if err != nil {
			return err
		}
		r.JWKS = json.RawMessage(b)
	}
	secret, err := c.dir().PutClient(ctx, r)
	if err != nil || secret == "" {
		return err
	}
	_, err = fmt.Fprintln(t.out, secret)
	return err
}

// person is what a registration authority says of somebody.
type person struct {
	Signer       string `required:"" help:"The authority's id of the person: a-z 0-9 . _ -"`
	GivenName    string `help:"Given name, as proved."`
	Surname      string `help:"Surname, as proved."`
	Organization string `help:"Name of the organisation whose seal it is, as proved, in place of a person's."`
	Country      string `required:"" help:"ISO 3166-1 alpha-2."`
	Serial       string `required:"" help:"Serial number of the subject (ETSI EN 319 412-1)."`
	Email        string `help:"E-mail address."`
	Assurance    string `required:"" enum:"low,substantial,high" help:"Level of assurance of the proof: ${enum}."`
	Method       string `required:"" help:"How identity was proved, in words."`
}

func (p person) proved() (ra.Person, error) {
	out := ra.Person{ID: p.Signer, Assurance: p.Assurance, Method: p.Method, Subject: signing.Subject{
		CommonName: p.GivenName + " " + p.Surname, GivenName: p.GivenName, Surname: p.Surname, Organization: p.Organization,
		SerialNumber: p.Serial, Country: p.Country, Email: p.Email,
	}}
	switch {
	case p.Organization == "" && (p.GivenName == "" || p.Surname == ""):
		return out, withCode(exitUsage, errors.New("a person needs --given-name and --surname, an organisation --organization"))
	case p.Organization != "" && p.GivenName+p.Surname != "":
		return out, withCode(exitUsage, errors.New("--organization names an organisation in place of a person: leave out --given-name and --surname"))
	case p.Organization != "":
		out.Subject.CommonName = p.Organization
	}
	return out, nil
}

// authority is the registration authority that a command acts for.
type authority struct {
	Key    string `required:"" type:"existingfile" placeholder:"PEM" help:"Key file of the registration authority."`
	RAName string `name:"ra" required:"" help:"Name of the registration authority."`
}

func (a authority) load() (*ra.Authority, error) {
	k, err := ra.LoadKey(a.Key)
	if err != nil {
		return nil, withCode(exitLocal, err)
	}
	return &ra.Authority{Name: a.RAName, Key: k, Now: time.Now}, nil
}

type enrolCmd struct {
	socketsFlag
	authority
	person
	Mechanism string `default:"devicekey" enum:"devicekey,webauthn,delegated" help:"What the device is: ${enum}."`
}

// Run prints address and activation code, which go to the signer on two channels.
func (c *enrolCmd) Run(ctx context.Context, t terminal) error {
	a, err := c.load()
	if err != nil {
		return err
	}
	who, err := c.proved()
	if err != nil {
		return err
	}
	ticket, err := a.Enrol(ctx, c.dir().Module(), who, c.Mechanism)
	if err != nil {
		return err
	}
	return json.NewEncoder(t.out).Encode(map[string]string{
		"url": ticket.URL, "code": ticket.Code, "expires": ticket.Expires.Format(time.RFC3339),
	})
}

type certifyCmd struct {
	socketsFlag
	authority
	person
	PKI       string `required:"" placeholder:"URL" help:"Address of the certification authority."`
	Mechanism string `default:"devicekey" enum:"devicekey,webauthn,delegated" help:"What approves for this key: ${enum}."`
	KeyType   string `default:"P-256" help:"P-256, P-384, P-521, RSA-3072, RSA-4096 or Ed25519."`
	Multisign int    `default:"50" help:"Most signatures of one approval."`
}

// Run prints the credential.
func (c *certifyCmd) Run(ctx context.Context, t terminal) error {
	a, err := c.load()
	if err != nil {
		return err
	}
	kt, err := signing.ParseKeyType(c.KeyType)
	if err != nil {
		return withCode(exitUsage, err)
	}
	who, err := c.proved()
	if err != nil {
		return err
	}
	got, err := a.Certify(ctx, c.dir().Module(), &pki.Client{BaseURL: c.PKI, HTTP: &http.Client{Timeout: 30 * time.Second}}, who, ra.Wish{Mechanism: c.Mechanism, KeyType: kt, Multisign: c.Multisign})
	if err != nil {
		return err
	}
	return json.NewEncoder(t.out).Encode(map[string]string{"credential": got.Credential, "serial": got.Serial})
}
