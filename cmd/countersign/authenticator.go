package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/countersign/countersign/sam/device"
)

type authenticatorCmd struct {
	Enrol   enrolDeviceCmd `cmd:"" help:"Make this device the signer's authenticator."`
	Approve approveCmd     `cmd:"" help:"Show what is to be signed, ask PIN and number, approve; print the address the browser ends on."`
}

// deviceFlags name the device's key file and how to reach its approval origin.
type deviceFlags struct {
	Device  string `required:"" env:"COUNTERSIGN_DEVICE" type:"path" placeholder:"FILE" help:"The device's key file."`
	PINFile string `name:"pin-file" env:"COUNTERSIGN_PIN_FILE" type:"path" placeholder:"FILE" help:"Answers the PIN where there is no terminal."`
	TLSCA   string `name:"tls-ca" env:"COUNTERSIGN_TLS_CA" type:"path" placeholder:"PEM" help:"Authority of the https certificates; default: the system's."`
}

func (d *deviceFlags) net() (device.Net, error) {
	roots, err := (&service{TLSCA: d.TLSCA}).roots()
	return device.Net{Roots: roots}, err
}

type enrolDeviceCmd struct {
	deviceFlags
	URL      string `arg:"" help:"Address that the registration authority gave."`
	CodeFile string `type:"path" placeholder:"FILE" help:"File with the activation code; else it is asked for."`
	Name     string `help:"Name of this device; default: the computer's."`
	Machine  bool   `help:"This is a machine that uses a seal without a person: it has no PIN."`
}

// Run makes the key, and sets the PIN that was chosen.
func (c *enrolDeviceCmd) Run(ctx context.Context, t terminal) error {
	loud, err := t.hush()
	if err != nil {
		return withCode(exitLocal, err)
	}
	defer loud()
	e := device.Enrolment{URL: c.URL, Name: c.Name, Path: c.Device, Machine: c.Machine}
	if e.Net, err = c.net(); err != nil {
		return err
	}
	if e.Name == "" {
		if e.Name, err = os.Hostname(); err != nil {
			return withCode(exitLocal, err)
		}
	}
	if e.Code, err = c.code(ctx, t); err != nil {
		return err
	}
	if !c.Machine {
		if e.PIN, err = c.newPIN(ctx, t); err != nil {
			return err
		}
	}
	k, err := device.Enrol(ctx, e)
	if err != nil {
		return err
	}
	t.say("%s is now an authenticator of %s; its key is in %s", k.Name, k.SignerName, c.Device)
	return nil
}

func (c *enrolDeviceCmd) code(ctx context.Context, t terminal) (string, error) {
	if c.CodeFile != "" {
		b, err := os.ReadFile(c.CodeFile)
		return strings.TrimSpace(string(b)), withCode(exitLocal, err)
	}
	code, err := t.ask(ctx, "Activation code: ")
	if errors.Is(err, errNoTerminal) {
		return "", withCode(exitUsage, errors.New("there is no terminal to ask the activation code on: name a file with --code-file"))
	}
	return code, err
}

// newPIN asks twice, so that a slip of the finger does not lock its owner out.
func (c *enrolDeviceCmd) newPIN(ctx context.Context, t terminal) (string, error) {
	if !t.interactive() {
		return (&approver{PINFile: c.PINFile}).pin(ctx, t)
	}
	one, err := t.askSecret(ctx, "Choose a PIN of 6 to 12 digits: ")
	if err != nil {
		return "", err
	}
	two, err := t.askSecret(ctx, "The same again: ")
	if err != nil {
		return "", err
	}
	if string(one) != string(two) {
		return "", withCode(exitNo, errors.New("the two differ; nothing was enrolled"))
	}
	return string(one), nil
}

type approveCmd struct {
	deviceFlags
	URL string `arg:"" help:"Authorisation URL of the relying party, or address of the approval page."`
}

// Run prints, as its last line on standard output, where the browser ends.
func (c *approveCmd) Run(ctx context.Context, t terminal) error {
	a := approver{Device: c.Device, PINFile: c.PINFile}
	final, err := a.approve(ctx, t, &service{TLSCA: c.TLSCA}, c.URL)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(t.out, final); err != nil {
		return withCode(exitLocal, err)
	}
	if u, err := url.Parse(final); err == nil && u.Query().Get("error") != "" {
		return withCode(exitNo, fmt.Errorf("not approved: %s", u.Query().Get("error")))
	}
	return nil
}

// approve runs the authenticator in this terminal, without echo from the beginning
// on, because people type ahead.
func (a *approver) approve(ctx context.Context, t terminal, s *service, authorizationURL string) (string, error) {
	loud, err := t.hush()
	if err != nil {
		return "", withCode(exitLocal, err)
	}
	defer loud()
	k, err := device.Load(a.Device)
	if err != nil {
		return "", withCode(exitLocal, err)
	}
	roots, err := s.roots()
	if err != nil {
		return "", err
	}
	d := device.Device{Key: k, Net: device.Net{Roots: roots}, Prompt: &prompt{t: t, a: a}, End: s.Redirect}
	return d.Approve(ctx, authorizationURL)
}

// prompt is the person at this terminal or, without one, the file with the PIN.
type prompt struct {
	t terminal
	a *approver
}

// Decide implements device.Prompter.
func (p *prompt) Decide(ctx context.Context, r device.Request) (device.Answer, error) {
	if !p.t.interactive() {
		return p.alone(ctx, r)
	}
	if r.Refused != nil {
		p.t.say("Not taken: %s", sentence(r.Refused))
	} else {
		p.show(r)
	}
	p.t.say("The page that started this shows the number %s.", r.Shown)
	number, err := p.t.ask(ctx, `Type the number to approve, or "no": `)
	if err != nil {
		return device.Answer{}, err
	}
	if number == "no" || number == "" {
		return device.Answer{Reason: "declined at the device"}, nil
	}
	pin, err := p.t.askSecret(ctx, "PIN: ")
	if err != nil {
		return device.Answer{}, err
	}
	return device.Answer{Approve: true, PIN: string(pin), Number: number}, nil
}

// alone answers where nobody can be asked, and says so. It answers once: the
// module counts wrong answers.
func (p *prompt) alone(ctx context.Context, r device.Request) (device.Answer, error) {
	if r.Refused != nil {
		return device.Answer{}, r.Refused
	}
	pin, err := p.a.pin(ctx, p.t)
	if err != nil {
		return device.Answer{}, err
	}
	p.show(r)
	p.t.say("  (no terminal: the PIN comes from %s and the number %s from the page)", p.a.PINFile, r.Shown)
	return device.Answer{Approve: true, PIN: pin, Number: r.Shown}, nil
}

// show prints what stands in the bytes that will be signed.
func (p *prompt) show(r device.Request) {
	s := r.SAD
	p.t.say("\n  %s (%s) asks %s to sign with key %s:", s.Party.Name, s.Party.Client, s.SignerName, s.Credential)
	for i, d := range s.Documents {
		size := ""
		if d.Size > 0 {
			size = fmt.Sprintf(", %d bytes", d.Size)
		}
		p.t.say("    %s%s", d.Name, size)
		if len(d.DocHash) > 0 {
			p.t.fingerprint("      ", d.DocHash)
		}
		p.t.say("      %s", checked(r.Checked, i))
	}
	p.t.say("  until %s; activation %s\n", s.Expires.Local().Format("15:04:05"), s.SID)
}

func checked(levels []int, i int) string {
	level := 0
	if i < len(levels) {
		level = levels[i]
	}
	return []string{
		"only the name is known; what is signed was not checked",
		"the module checked that this digest is what is signed",
		"this device computed the digest from the document itself",
	}[min(max(level, 0), 2)]
}

var _ device.Prompter = (*prompt)(nil)
