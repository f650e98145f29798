package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/federation"
)

// peersCmd is the operator's work with peers.
type peersCmd struct {
	Key        peersKeyCmd        `cmd:"" help:"Make the key that signs lists of peers."`
	Sign       peersSignCmd       `cmd:"" help:"Check and sign a list of peers."`
	Show       peersShowCmd       `cmd:"" help:"Check a signed list and print it."`
	List       peersListCmd       `cmd:"" help:"Print the gateway's peers and which are in quarantine."`
	Lift       peersLiftCmd       `cmd:"" help:"End a peer's quarantine, after somebody has looked into it."`
	Explain    peersExplainCmd    `cmd:"" help:"Say how the rules decide, and why."`
	ReceiptKey peersReceiptKeyCmd `cmd:"" name:"receipt-key" help:"Print the public key of the gateway's log of receipts."`
}

type peersKeyCmd struct {
	File string `arg:"" type:"path" help:"PEM file to write; an existing key is kept. The public half goes to FILE.pub."`
}

// Run makes the key.
func (c *peersKeyCmd) Run(t terminal) error {
	k, err := receiptKey(c.File) // the same kind of key
	if err != nil {
		return withCode(exitLocal, err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.File+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		return withCode(exitLocal, err)
	}
	t.say("%s signs lists of peers; the gateway gets %s.pub as peers.key", c.File, c.File)
	return nil
}

type peersSignCmd struct {
	List string `arg:"" type:"existingfile" help:"The list as JSON."`
	Key  string `required:"" type:"existingfile" placeholder:"PEM" help:"The operator's key."`
	Out  string `short:"o" required:"" type:"path" placeholder:"FILE" help:"File to write; a running gateway takes it when it changes."`
}

// Run signs the list. The file appears whole or not at all.
func (c *peersSignCmd) Run(t terminal) error {
	text, err := os.ReadFile(c.List)
	if err != nil {
		return withCode(exitLocal, err)
	}
	l, err := federation.ParseList(text)
	if err != nil {
		return withCode(exitInput, err)
	}
	b, err := os.ReadFile(c.Key)
	if err != nil {
		return withCode(exitLocal, err)
	}
	k, err := parsePrivateKey(b)
	if err != nil {
		return withCode(exitInput, fmt.Errorf("%s: %w", c.Key, err))
	}
	signed, err := federation.SignList(l, k)
	if err != nil {
		return withCode(exitInput, err)
	}
	tmp := c.Out + ".part"
	if err := errors.Join(os.WriteFile(tmp, signed, 0o600), os.Rename(tmp, c.Out)); err != nil {
		return withCode(exitLocal, err)
	}
	t.say("%s: %d peers, %d rules, serial %d, until %s", c.Out, len(l.Peers), len(l.Rules), l.Serial, l.Expires.Format(time.RFC3339))
	return nil
}

type peersShowCmd struct {
	File    string `arg:"" type:"existingfile" help:"The signed list."`
	Key     string `required:"" type:"existingfile" placeholder:"PEM" help:"Public key of the operator."`
	Gateway string `required:"" placeholder:"URL" help:"Issuer of the gateway that it is for."`
}

// Run prints the list.
func (c *peersShowCmd) Run(t terminal) error {
	b, err := os.ReadFile(c.File)
	if err != nil {
		return withCode(exitLocal, err)
	}
	k, err := readPublicKey(c.Key)
	if err != nil {
		return withCode(exitLocal, err)
	}
	l, err := federation.OpenList(b, k, c.Gateway, time.Now())
	if err != nil {
		return withCode(exitNo, err)
	}
	e := json.NewEncoder(t.out)
	e.SetIndent("", "  ")
	return e.Encode(l)
}

type peersListCmd struct {
	socketsFlag
	JSON bool `help:"One JSON object a line for each peer."`
}

// Run prints the peers; it answers 1 if one is in quarantine.
func (c *peersListCmd) Run(ctx context.Context, t terminal) error {
	p, err := c.dir().Peers(ctx)
	if err != nil {
		return err
	}
	bad := 0
	for _, one := range p.Peers {
		if one.Quarantine != "" {
			bad++
		}
		if c.JSON {
			if err := json.NewEncoder(t.out).Encode(one); err != nil {
				return withCode(exitLocal, err)
			}
			continue
		}
		state := "in use until " + one.Until.Format(time.DateOnly)
		if one.Quarantine != "" {
			state = fmt.Sprintf("IN QUARANTINE since %s: %s (%s)", one.Since.Format(time.RFC3339), one.Quarantine, one.Detail)
		}
		fmt.Fprintf(t.out, "%-16s %s  %s, %s: %s\n", one.ID, one.Country, one.Name, one.Issuer, state)
	}
	t.say("list %d, good until %s", p.Serial, p.Expires.Format(time.RFC3339))
	if bad > 0 {
		return withCode(exitNo, fmt.Errorf("%d of %d peers in quarantine", bad, len(p.Peers)))
	}
	return nil
}

type peersLiftCmd struct {
	socketsFlag
	Peer string `arg:"" help:"Id of the peer."`
	By   string `required:"" help:"Who decides; it is recorded."`
	Why  string `required:"" help:"What was found; it is recorded."`
}

// Run lifts the quarantine.
func (c *peersLiftCmd) Run(ctx context.Context) error {
	return c.dir().LiftPeer(ctx, sockets.Lift{Peer: c.Peer, By: c.By, Why: c.Why})
}

type peersExplainCmd struct {
	socketsFlag
	Peer  string `arg:"" help:"Id of the peer that holds the credential."`
	Org   string `default:"default" help:"Organisation that asks."`
	Level string `enum:",AES,AESQC,QES" default:"" help:"Level of the certificate: AES, AESQC, QES; any without it."`
}

// Run prints the decision; it answers 1 for no.
func (c *peersExplainCmd) Run(ctx context.Context, t terminal) error {
	d, err := c.dir().ExplainPeer(ctx, sockets.Explain{Org: c.Org, Peer: c.Peer, Level: c.Level})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(t.out).Encode(d); err != nil {
		return withCode(exitLocal, err)
	}
	if !d.Allowed {
		return withCode(exitNo, errors.New(d.Reason))
	}
	return nil
}

type peersReceiptKeyCmd struct{ socketsFlag }

// Run prints the key.
func (c *peersReceiptKeyCmd) Run(ctx context.Context, t terminal) error {
	k, err := c.dir().ReceiptKey(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.out, k)
	return withCode(exitLocal, err)
}
