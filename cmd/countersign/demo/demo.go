package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Config says what to show.
type Config struct {
	Dir     string // where everything is kept; made if missing
	Program string // countersign
	Module  string // countersign-sam
	Name    string // of the signer
	File    string // to sign; empty is a sample
	Out     string // empty is beside the file
	Issuer  string // https://localhost:PORT, or empty for http://sign.localhost
	// Databases are the DSNs of roles that do not keep theirs in the folder.
	Databases map[string]string
	HSM       bool // the module's keys are in a PKCS#11 token; Module is a build with cgo
	Peer      bool // start a second installation and sign with the key of its signer
	Keep      bool // stay up until the context ends
	NoSign    bool // set everything up, sign nothing

	In       io.Reader
	Text     io.Writer // what the demo says
	Err      io.Writer
	Terminal bool // a person can be asked
}

// Demo is one run.
type Demo struct {
	Config

	l     *layout
	peer  *Demo // trust centre B, or nil
	roles []*process
	http  *http.Client
	start time.Time

	peerSigner enrolled // at B
}

// readyTime is how long a role may take to come up.
const readyTime = time.Minute

// stopTime is how long it may take to end.
const stopTime = 25 * time.Second

// Run does everything. An *exec.ExitError in the chain is that of signing or
// verifying.
func Run(ctx context.Context, c Config) (err error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	var token *hsm
	if c.HSM {
		// An installation of its own: records are sealed with the keystore's MAC key.
		dir = filepath.Join(dir, "hsm")
		if token, err = findHSM(); err != nil {
			return err
		}
	}
	d := &Demo{Config: c, l: &layout{dir: dir, databases: c.Databases, hsm: token}, start: time.Now(), http: &http.Client{Timeout: 5 * time.Second}}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.makeToken(ctx); err != nil {
		return err
	}
	if err := d.startPeer(ctx); err != nil {
		return err
	}
	if err := d.startRoles(ctx); err != nil {
		return err
	}
	if err := d.sayProof(ctx); err != nil {
		return err
	}
	s, who, err := d.setUp(ctx)
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	if err := d.putSender(ctx, who); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	own := who
	if who, err = d.meetPeer(ctx, s, who); err != nil {
		return fmt.Errorf("meet the peer: %w", err)
	}
	if err := d.l.writeEnv(s, who); err != nil {
		return err
	}
	if !d.NoSign {
		if err := d.signAndVerify(ctx, s, who); err != nil {
			return err
		}
	}
	if !d.Keep {
		return nil
	}
	d.say("\nEverything stays up. In another terminal:\n  . %s\n  %s sign FILE.pdf -o SIGNED.pdf\nControl-C ends it.", d.l.path("env"), d.Program)
	if err := d.offerPasskey(ctx, s, own); err != nil {
		return err
	}
	if err := d.offerApp(ctx, own); err != nil {
		return err
	}
	if err := d.offerRequests(); err != nil {
		return err
	}
	d.say("ready: %s", d.l.portal())
	return d.wait(ctx)
}

func (d *Demo) say(format string, args ...any) { fmt.Fprintf(d.Text, format+"\n", args...) }

// prepare chooses ports and writes what the roles need to start.
func (d *Demo) prepare(ctx context.Context) error {
	d.say("Countersign: a whole installation on this machine, in %s. A few seconds.", d.l.dir)
	d.say("All processes run as one user: this shows the protocol, not the separation by the operating system.")
	port, https, err := parseIssuer(d.Issuer)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.l.dir, 0o700); err != nil {
		return err
	}
	if d.l.ports, err = loadPorts(ctx, d.l.dir, port); err != nil {
		return err
	}
	if port != 0 && d.l.ports.Gateway != port {
		return fmt.Errorf("%s was set up with port %d for the gateway; certificates and clients know it: take another --dir", d.l.dir, d.l.ports.Gateway)
	}
	d.l.issuer = fmt.Sprintf("http://sign.localhost:%d", d.l.ports.Gateway)
	if https {
		d.l.issuer = fmt.Sprintf("https://localhost:%d", d.l.ports.Gateway)
		f, err := loadTLS(d.l.dir, time.Now())
		if err != nil {
			return err
		}
		d.l.tls = &f
	}
	return d.l.writeConfigs()
}

// startRoles brings up the four processes. The pki goes first: the module wants
// its root.
func (d *Demo) startRoles(ctx context.Context) error {
	d.say("\nFour processes, each with its own database and its own address:")
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, fmt.Errorf("not within %s", readyTime))
	defer cancel()
	if err := d.startRole(ctx, "pki", "certificates, OCSP, CRL, time-stamps", d.l.pki(), d.l.ports.PKI); err != nil {
		return err
	}
	if err := d.fetchAnchors(ctx); err != nil {
		return err
	}
	for _, r := range []struct {
		name, what, address string
		port                int
	}{
		{"sam", "keys, activation, the approval page", d.l.approval(), d.l.ports.Approval},
		{"gateway", "OAuth 2 and CSC v2", d.l.issuer, d.l.ports.Gateway},
		{"portal", "the relying party's pages", d.l.portal(), d.l.ports.Portal},
	} {
		if err := d.startRole(ctx, r.name, r.what, r.address, r.port); err != nil {
			return err
		}
	}
	return d.fetchAuditKey(ctx)
}

// fetchAuditKey keeps the public key of the event log, with which reports and
// bundles are checked offline.
func (d *Demo) fetchAuditKey(ctx context.Context) error {
	id, err := d.l.sockets().Module().Identity(ctx)
	if err != nil {
		return fmt.Errorf("ask the module for the key of its log: %w", err)
	}
	return writeFile(d.l.path("audit.key"), []byte(id.Verifier+"\n"))
}

func (d *Demo) startRole(ctx context.Context, name, what, address string, port int) error {
	argv := []string{d.Program, "serve", name, "--config", d.l.path(name, "config.yaml"), "--with-parent"}
	if name == "sam" {
		argv = append([]string{d.Module}, argv[3:]...)
	}
	p, err := start(ctx, name, d.l.dir, d.l.path("log", name+".log"), argv, d.l.environOf(name)...)
	if err != nil {
		return err
	}
	d.roles = append(d.roles, p)
	scheme, client := "http", d.http
	if name == "gateway" && d.l.tls != nil {
		scheme = "https"
		if client, err = d.l.tlsClient(); err != nil {
			return err
		}
	}
	if err := p.ready(ctx, client, fmt.Sprintf("%s://127.0.0.1:%d/readyz", scheme, port)); err != nil {
		return err
	}
	d.say("  %-8s %-34s %s", name, address, what)
	return nil
}

// fetchAnchors keeps the root of the pki as the trust anchor of everything.
func (d *Demo) fetchAnchors(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.l.pki()+"/anchors.pem", nil)
	if err != nil {
		return err
	}
	res, err := d.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the pki answered %s when asked for its root", res.Status)
	}
	return writeFile(d.l.path("ca.pem"), b)
}

// signAndVerify runs the commands that a person would run.
func (d *Demo) signAndVerify(ctx context.Context, s *state, who enrolled) error {
	in, out, err := d.files()
	if err != nil {
		return err
	}
	env := d.l.environ(s, who)
	d.say("\n$ countersign sign %s -o %s", in, out)
	if d.Terminal {
		pin, err := os.ReadFile(d.l.path("pin"))
		if err != nil {
			return err
		}
		d.say("  (you are the signer now; the PIN of this demo is %s)", strings.TrimSpace(string(pin)))
	}
	if err := d.command(ctx, env, "sign", in, "-o", out); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	d.say("\n$ countersign verify %s", out)
	if err := d.command(ctx, env, "verify", out); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if err := d.tellBothSides(ctx, env); err != nil {
		return err
	}
	d.say("\nDone in %.1f seconds: %s", time.Since(d.start).Seconds(), out)
	return nil
}

// files are what is signed, and where the result goes.
func (d *Demo) files() (in, out string, err error) {
	in, out = d.File, d.Out
	if in == "" {
		in = d.l.path("sample.pdf")
		if err := writeFile(in, samplePDF()); err != nil {
			return "", "", err
		}
	}
	if out == "" {
		out = strings.TrimSuffix(in, filepath.Ext(in)) + "-signed.pdf"
	}
	return in, out, nil
}

func (d *Demo) command(ctx context.Context, env []string, args ...string) error {
	c := exec.CommandContext(ctx, d.Program, args...) //nolint:gosec // our own program
	c.Env, c.Stdin, c.Stdout, c.Stderr = env, d.In, d.Text, d.Err
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	return c.Run()
}

// wait stays until it is told to end, or a role ends by itself.
func (d *Demo) wait(ctx context.Context) error {
	ended := make(chan *process, len(d.roles))
	for _, p := range d.roles {
		go func() { <-p.done; ended <- p }()
	}
	select {
	case <-ctx.Done():
		d.say("Ending.")
		return nil
	case p := <-ended:
		return fmt.Errorf("%s ended by itself: %s", p.name, p.lastWords())
	}
}

// stop ends the roles in the order in which requests go, so that none is cut off.
func (d *Demo) stop() error {
	var errs []error
	for _, p := range slices.Backward(d.roles) {
		errs = append(errs, p.stop(stopTime))
	}
	return errors.Join(errs...)
}
