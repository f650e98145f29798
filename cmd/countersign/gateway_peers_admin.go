package main

import (
	"context"
	"net/http"
	"slices"

	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/cmd/internal/local"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/fault"
)

// administerPeers adds the operator's operations on peers and receipts.
func (g *gateway) administerPeers(mux *http.ServeMux) {
	local.Handle(mux, "GET /peers", g.listPeers)
	local.Handle(mux, "POST /peers/lift", g.liftPeer)
	local.Handle(mux, "POST /peers/explain", g.explainPeer)
	local.Handle(mux, "GET /receipts/key", g.receiptKey)
	local.Handle(mux, "POST /receipts", g.exportReceipts)
}

func (f *federated) need() error {
	if f.peers == nil {
		return fault.New(fault.NotFound, "this gateway has no peers: set peers.list in its configuration")
	}
	return nil
}

func (g *gateway) listPeers(ctx context.Context, _ struct{}) (sockets.Peers, error) {
	if err := g.peers.need(); err != nil {
		return sockets.Peers{}, err
	}
	quarantined, err := g.peers.peers.Quarantines(ctx)
	if err != nil {
		return sockets.Peers{}, err
	}
	list := g.peers.registry.List()
	out := sockets.Peers{Serial: list.Serial, Expires: list.Expires, Peers: []sockets.Peer{}}
	for _, p := range list.Peers {
		one := sockets.Peer{ID: p.ID, Name: p.Name, Country: p.Country, Issuer: p.Issuer, Until: p.Until}
		if i := slices.IndexFunc(quarantined, func(q federation.Quarantine) bool { return q.Peer == p.ID }); i >= 0 {
			q := quarantined[i]
			one.Quarantine, one.Since, one.Detail = q.Reason, q.Since, q.Detail
		}
		out.Peers = append(out.Peers, one)
	}
	return out, nil
}

func (g *gateway) liftPeer(ctx context.Context, l sockets.Lift) (struct{}, error) {
	if err := g.peers.need(); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, g.peers.peers.Lift(ctx, l.Peer, l.By, l.Why)
}

func (g *gateway) explainPeer(_ context.Context, q sockets.Explain) (sockets.Decision, error) {
	if err := g.peers.need(); err != nil {
		return sockets.Decision{}, err
	}
	d := g.peers.registry.Decide(q.Org, q.Peer, federation.Level(q.Level))
	return sockets.Decision{Peer: d.Peer, Rule: d.Rule, Serial: d.Serial, Allowed: d.Allowed, Reason: d.Reason}, nil
}

func (f *federated) needLog() error {
	if f.log == nil {
		return fault.New(fault.NotFound, "this gateway signs no receipts: set peers.receipt_key in its configuration")
	}
	return nil
}

func (g *gateway) receiptKey(context.Context, struct{}) (sockets.Receipts, error) {
	if err := g.peers.needLog(); err != nil {
		return sockets.Receipts{}, err
	}
	return sockets.Receipts{Key: g.peers.log.VerifierKey()}, nil
}

func (g *gateway) exportReceipts(ctx context.Context, q sockets.ReceiptsOf) (sockets.Receipts, error) {
	if err := g.peers.needLog(); err != nil {
		return sockets.Receipts{}, err
	}
	if q.Peer == "" && q.Client == "" {
		return sockets.Receipts{}, fault.New(fault.Invalid, "name the peer, or the client that is one")
	}
	file, err := g.peers.receipts.ExportReceipts(ctx, g.peers.log, q.Org, federation.Partner{Peer: q.Peer, Client: q.Client}, q.Since)
	return sockets.Receipts{Key: g.peers.log.VerifierKey(), File: string(file)}, err
}
