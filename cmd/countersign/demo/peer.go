package demo

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/federation"
)

// peerID is what the demo calls its peer, peerClient what the peer calls this one.
const (
	peerID     = "b"
	peerClient = "gateway-a"
)

// peerSettings are the gateway's: receipts are always signed, peers there are when a
// list is.
func (l *layout) peerSettings() setting {
	more := []setting{{"receipt_key", l.path("gateway", "receipts.pem")}}
	if l.peered {
		more = append(more,
			setting{"list", l.path("gateway", "peers.jws")}, setting{"key", l.path("gateway", "operator.pub")},
			setting{"secrets", l.path("gateway", "peers")}, setting{"evidence_loopback", true})
	}
	return setting{"peers", more}
}

// startPeer brings up a second installation that shares nothing with this one but
// the machine and, for whoever plays with it, the PIN: other keys, another authority,
// another signer. Then each learns of the other what peers exchange.
func (d *Demo) startPeer(ctx context.Context) error {
	if !d.Peer {
		return nil
	}
	d.say("\nA peer, trust centre B: a second installation with an authority, keys and a signer of its own.")
	c := d.Config
	c.Peer, c.HSM, c.NoSign, c.Issuer, c.Databases, c.Name = false, false, true, "", nil, "Signer of B"
	b := &Demo{Config: c, l: &layout{dir: d.l.path("peer"), organisation: "Countersign Demo, trust centre B"}, start: d.start, http: d.http}
	d.peer = b
	if err := d.samePIN(b.l); err != nil {
		return err
	}
	if err := b.prepare(ctx); err != nil {
		return fmt.Errorf("trust centre B: %w", err)
	}
	if slices.ContainsFunc(d.l.ports.numbers(), func(n int) bool { return slices.Contains(b.l.ports.numbers(), n) }) {
		return errors.New("trust centre B chose a port of this installation: remove " + b.l.dir + " and start again")
	}
	err := b.startRoles(ctx)
	d.roles = append(d.roles, b.roles...) // they end with ours, whatever comes
	if err != nil {
		return fmt.Errorf("trust centre B: %w", err)
	}
	_, who, err := b.setUp(ctx)
	if err != nil {
		return fmt.Errorf("set up trust centre B: %w", err)
	}
	d.peerSigner = who
	if err := d.agree(ctx, b, who); err != nil {
		return fmt.Errorf("make the two peers: %w", err)
	}
	d.l.peered = true
	return d.l.writeConfigs()
}

// samePIN lets one PIN serve both signers, for a person who plays both.
func (d *Demo) samePIN(b *layout) error {
	pin, err := os.ReadFile(d.l.path("pin"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	return ensure(b.path("pin"), func() (string, error) { return strings.TrimSpace(string(pin)), nil })
}

// agree is what the operators of A and B do once: B registers A's gateway as a client
// with one return address, A's operator signs a list with B in it.
func (d *Demo) agree(ctx context.Context, b *Demo, who enrolled) error {
	secrets := d.l.path("gateway", "peers")
	if err := os.MkdirAll(secrets, 0o700); err != nil {
		return err
	}
	file := filepath.Join(secrets, peerID+".secret")
	_, missing := os.Stat(file)
	secret, err := b.l.sockets().PutClient(ctx, sockets.Client{
		ID: peerClient, Org: "default", Name: "Trust centre A, for its relying parties", Auth: "client_secret", PAR: true,
		Redirects: []string{d.l.issuer + federation.ReturnPath + peerID}, Signers: []string{who.Signer}, NewSecret: missing != nil,
	})
	if err != nil {
		return err
	}
	if secret != "" {
		if err := writeFile(file, []byte(secret+"\n")); err != nil {
			return err
		}
	}
	receiptKey, err := b.l.sockets().ReceiptKey(ctx)
	if err != nil {
		return err
	}
	anchor, err := os.ReadFile(b.l.path("ca.pem"))
	if err != nil {
		return err
	}
	block, _ := pem.Decode(anchor)
	if block == nil {
		return errors.New("trust centre B has no anchor")
	}
	if err := d.signList(b, receiptKey, block.Bytes); err != nil {
		return err
	}
	d.say("  B knows A's gateway as a client with one return address; A's operator signed a list with B, its authority and its limits")
	return nil
}

func (d *Demo) signList(b *Demo, receiptKey string, anchor []byte) error {
	key, err := d.operatorKey()
	if err != nil {
		return err
	}
	now := time.Now().Truncate(time.Second)
	list, err := federation.SignList(&federation.List{
		Version: 1, Gateway: d.l.issuer, Serial: now.Unix(), Issued: now, Expires: now.Add(30 * 24 * time.Hour),
		Peers: []federation.Peer{{
			ID: peerID, Name: "Trust centre B", Country: "EU", Issuer: b.l.issuer, CSC: b.l.csc(), ClientID: peerClient, ReceiptKey: receiptKey,
			Anchors: []string{base64.StdEncoding.EncodeToString(anchor)}, Levels: []federation.Level{federation.AES}, SCAL: 2,
			Limits: federation.Limits{Hashes: 100, PerHour: 10_000}, Results: true, From: now, Until: now.Add(30 * 24 * time.Hour),
		}},
		Rules: []federation.Rule{{ID: "demo", Orgs: []string{"default"}, Peers: []string{peerID}, Countries: []string{"EU"}, MinLevel: federation.AES}},
	}, key)
	if err != nil {
		return err
	}
	return writeFile(d.l.path("gateway", "peers.jws"), list)
}

// operatorKey signs lists of peers; it is made at the first start.
func (d *Demo) operatorKey() (ed25519.PrivateKey, error) {
	name := d.l.path("operator.pem")
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		private, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			return nil, err
		}
		public, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			return nil, err
		}
		return k, errors.Join(
			writeFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
			writeFile(d.l.path("gateway", "operator.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key", name)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ed, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a %T", name, k)
	}
	return ed, nil
}

// meetPeer lets the relying party of A see B's signer, and returns that signer as A
// knows it: by an opaque name for the credential.
func (d *Demo) meetPeer(ctx context.Context, s *state, own enrolled) (enrolled, error) {
	if d.peer == nil {
		return own, nil
	}
	_, err := d.l.sockets().PutClient(ctx, sockets.Client{
		ID: clientID, Org: "default", Name: "Demo relying party", Auth: "client_secret", Refresh: true,
		Redirects: []string{d.l.redirect(), "http://127.0.0.1/callback"}, Signers: []string{own.Signer, d.peerSigner.Signer + "@" + peerID},
	})
	if err != nil {
		return own, err
	}
	if err := d.trustBoth(); err != nil {
		return own, err
	}
	config := cscclient.Config{BaseURL: d.l.csc(), Issuer: d.l.issuer, ClientID: s.ClientID, ClientSecret: s.ClientSecret}
	if d.l.tls != nil {
		ca, err := os.ReadFile(d.l.tls.CA)
		if err != nil {
			return own, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(ca)
	}
	client, err := cscclient.New(config)
	if err != nil {
		return own, err
	}
	list, err := client.CredentialsList(ctx, &csc.CredentialsListRequest{UserID: d.peerSigner.Signer + "@" + peerID})
	if err != nil {
		return own, err
	}
	if len(list.CredentialIDs) != 1 {
		return own, fmt.Errorf("gateway A shows %d credentials of B's signer: %s", len(list.CredentialIDs), list.Incomplete)
	}
	who := d.peerSigner
	d.say("  a relying party of A sees the credential %s of %s; at B it is called %s", list.CredentialIDs[0], d.peer.Name, who.Credential)
	who.Credential, who.Device = list.CredentialIDs[0], filepath.Join("peer", who.Device)
	return who, nil
}

// trustBoth puts B's anchor beside A's, for validators. A's own module has read the
// file before: it trusts A's authority only.
func (d *Demo) trustBoth() error {
	var all bytes.Buffer
	for _, l := range []*layout{d.l, d.peer.l} {
		b, err := os.ReadFile(l.path("ca.pem"))
		if err != nil {
			return err
		}
		all.Write(b)
	}
	return writeFile(d.l.path("ca.pem"), all.Bytes())
}

// tellBothSides shows what each side recorded, and that it fits.
func (d *Demo) tellBothSides(ctx context.Context, env []string) error {
	if d.peer == nil {
		return nil
	}
	d.say("\nWhat both sides recorded, each in a log of its own, chained by hash and signed:")
	a, b := d.l.path("receipts-a.jsonl"), d.l.path("receipts-b.jsonl")
	keys := make([]string, 2)
	for i, side := range []struct {
		l    *layout
		q    sockets.ReceiptsOf
		file string
	}{{d.l, sockets.ReceiptsOf{Org: "default", Peer: peerID, Since: d.start}, a}, {d.peer.l, sockets.ReceiptsOf{Org: "default", Client: peerClient, Since: d.start}, b}} {
		r, err := side.l.sockets().Receipts(ctx, side.q)
		if err != nil {
			return err
		}
		if err := writeFile(side.file, []byte(r.File)); err != nil {
			return err
		}
		keys[i] = r.Key
	}
	d.say("  A: verified what B signed before it passed it on; B: its signer approved on B's page, its module signed")
	d.say("$ countersign audit compare %s %s", a, b)
	return d.command(ctx, env, "audit", "compare", a, b, "--key-a", keys[0], "--key-b", keys[1])
}

// numbers are the ports.
func (p *Ports) numbers() (list []int) {
	for _, e := range p.all() {
		list = append(list, *e.Port)
	}
	return list
}
