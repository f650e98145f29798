package sockets

import (
	"context"
	"net/http"
	"time"

	"github.com/countersign/countersign/cmd/internal/local"
)

// Peer is a peer of the gateway as its operator sees it.
type Peer struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Country    string    `json:"country"`
	Issuer     string    `json:"issuer"`
	Until      time.Time `json:"until"`
	Quarantine string    `json:"quarantine,omitempty"` // why, or empty
	Since      time.Time `json:"since,omitzero"`
	Detail     string    `json:"detail,omitempty"`
}

// Peers is the list in force.
type Peers struct {
	Serial  int64     `json:"serial"`
	Expires time.Time `json:"expires"`
	Peers   []Peer    `json:"peers"`
}

// Lift ends a peer's quarantine.
type Lift struct {
	Peer string `json:"peer"`
	By   string `json:"by"`
	Why  string `json:"why"`
}

// Explain asks what the rules say.
type Explain struct {
	Org   string `json:"org"`
	Peer  string `json:"peer"`
	Level string `json:"level,omitempty"`
}

// Decision is the answer, with its reason.
type Decision struct {
	Peer    string `json:"peer"`
	Rule    string `json:"rule"`
	Serial  int64  `json:"serial"`
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
}

// ReceiptsOf asks for the receipts that concern a partner.
type ReceiptsOf struct {
	Org    string    `json:"org"`
	Peer   string    `json:"peer,omitempty"`   // its id in the list of peers
	Client string    `json:"client,omitempty"` // its client_id here
	Since  time.Time `json:"since,omitzero"`
}

// Receipts are a file for countersign audit compare.
type Receipts struct {
	Key  string `json:"key"`  // public key of the log
	File string `json:"file"` // a bundle a line
}

func (d Dir) gateway() *local.Client { return local.Dial(d.Path(GatewayAdmin)) }

// Peers asks the gateway for its peers.
func (d Dir) Peers(ctx context.Context) (p Peers, err error) {
	err = d.gateway().Call(ctx, http.MethodGet, "/peers", nil, &p)
	return p, err
}

// LiftPeer ends a quarantine.
func (d Dir) LiftPeer(ctx context.Context, l Lift) error {
	var none struct{}
	return d.gateway().Call(ctx, http.MethodPost, "/peers/lift", l, &none)
}

// ExplainPeer asks the gateway how it would route.
func (d Dir) ExplainPeer(ctx context.Context, q Explain) (out Decision, err error) {
	err = d.gateway().Call(ctx, http.MethodPost, "/peers/explain", q, &out)
	return out, err
}

// ReceiptKey is the public key of the gateway's log of receipts.
func (d Dir) ReceiptKey(ctx context.Context) (string, error) {
	var r Receipts
	err := d.gateway().Call(ctx, http.MethodGet, "/receipts/key", nil, &r)
	return r.Key, err
}

// Receipts exports receipts.
func (d Dir) Receipts(ctx context.Context, q ReceiptsOf) (r Receipts, err error) {
	err = d.gateway().Call(ctx, http.MethodPost, "/receipts", q, &r)
	return r, err
}
