// Command evilpeer is a peer that lies on command, for tests and for auditors who
// want to see what a gateway on a test system does about it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/countersign/countersign/cmd/evilpeer/evil"
	"github.com/countersign/countersign/internal/web"
)

type cli struct {
	Listen   string `default:"127.0.0.1:0" help:"Address to listen on; it is loopback, for this peer has no TLS."`
	Redirect string `required:"" placeholder:"URL" help:"Return address of the gateway for this peer: ISSUER/federation/return/ID."`
	ID       string `default:"evil" help:"Id of the peer in the gateway's list."`
	Lie      string `default:"honest" help:"What it does wrong: ${lies}."`
}

func main() {
	var words []string
	for _, l := range evil.Lies() {
		words = append(words, string(l))
	}
	var c cli
	kong.Parse(&c, kong.Name("evilpeer"), kong.Vars{"lies": strings.Join(words, ", ")}, kong.Description(
		"A trust service that lies. It prints its entry for a list of peers, the secret for it, and its signer; PUT ADDRESS/evil/lie with a word as the body changes the lie."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, c)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "evilpeer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c cli) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	p, err := evil.New(evil.Config{URL: "http://" + l.Addr().String(), Redirect: c.Redirect})
	if err != nil {
		return err
	}
	if err := p.Tell(evil.Lie(c.Lie)); err != nil {
		return err
	}
	e := json.NewEncoder(os.Stdout)
	if err := e.Encode(map[string]any{"address": "http://" + l.Addr().String(), "peer": p.Entry(c.ID), "client_secret": evil.ClientSecret, "signer": evil.SignerID + "@" + c.ID}); err != nil {
		return err
	}
	context.AfterFunc(ctx, p.Close)
	return web.Server{Handler: http.Handler(p), Grace: time.Second}.Serve(ctx, l)
}
