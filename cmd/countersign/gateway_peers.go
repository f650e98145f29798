package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/csc/cscclient"
	"github.com/countersign/countersign/federation"
	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/oauth"
)

// peerSettings say who the peers of a gateway are.
type peerSettings struct {
	List       config.Path `config:"list" doc:"Signed list of peers, from countersign admin peers sign. It is read again when it changes; without it there are no peers."`
	Key        config.Path `config:"key" doc:"PEM public key of the operator who signs the list."`
	Secrets    config.Path `config:"secrets" doc:"Folder with a file ID.secret for each peer: this gateway's client secret there."`
	ReceiptKey config.Path `config:"receipt_key" doc:"PEM file with the Ed25519 key that signs the log of receipts; made at the first start. With it receipts are chained and signed; peers need it."`
	Loopback   bool        `config:"evidence_loopback" doc:"Whether OCSP responders of peers may be on this machine."`
}

// federated is what a gateway has of its peers. Without a list, registry and peers
// are nil; without a receipt key the log is.
type federated struct {
	receipts *federation.Store
	log      *audit.Log
	registry *federation.Registry
	peers    *federation.Peers
}

// openPeers opens receipts, their log, and the peers.
func openPeers(ctx context.Context, p *daemon.Process, s *gatewaySettings, db *store.DB, auth *oauth.Server, secrets [][]byte) (*federated, error) {
	f := &federated{}
	var err error
	if f.receipts, err = federation.NewStore(ctx, db); err != nil {
		return nil, err
	}
	if s.Peers.ReceiptKey != "" {
		if f.log, err = openReceiptLog(ctx, p, s, db); err != nil {
			return nil, err
		}
		p.Every(time.Second, "receipts", func(ctx context.Context) error { return f.receipts.LogReceipts(ctx, f.log) })
	}
	switch {
	case s.Peers.List == "":
		return f, nil
	case f.log == nil:
		return nil, errors.New("peers need peers.receipt_key: what goes to a peer leaves a signed receipt")
	case s.Peers.Key == "" || s.Peers.Secrets == "":
		return nil, errors.New("peers.list needs peers.key and peers.secrets")
	}
	return f, f.open(ctx, p, s, db, auth, secrets)
}

func (f *federated) open(ctx context.Context, p *daemon.Process, s *gatewaySettings, db *store.DB, auth *oauth.Server, secrets [][]byte) error {
	key, err := readPublicKey(string(s.Peers.Key))
	if err != nil {
		return err
	}
	f.registry, err = federation.OpenRegistry(ctx, federation.RegistryConfig{
		DB: db, File: string(s.Peers.List), Key: key, Gateway: s.Issuer, Connect: s.connectPeer,
		Evidence: func(peer *federation.Peer) federation.OCSP {
			return cscclient.NewFetcher(cscclient.FetcherConfig{Hosts: peer.EvidenceHosts, Loopback: s.Peers.Loopback, Timeout: 10 * time.Second})
		},
	})
	if err != nil {
		return err
	}
	f.peers, err = federation.NewPeers(federation.PeersConfig{
		DB: db, Registry: f.registry, Store: f.receipts, Links: auth, Secrets: secrets, Browser: auth.StartedBy, Approved: s.Issuer + oauth.ReturnPath,
		Events: f.log, Log: p.Log, Count: peerCounter(p),
	})
	if err != nil {
		return err
	}
	p.Metrics.Gauge("countersign_peers_quarantined", "Peers that lied and get no traffic.", func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		list, err := f.peers.Quarantines(ctx)
		if err != nil {
			return -1
		}
		return float64(len(list))
	})
	p.Every(2*time.Second, "peers", func(ctx context.Context) error {
		changed, err := f.registry.Reload(ctx)
		if changed {
			p.Log.InfoContext(ctx, "list of peers taken", "serial", f.registry.List().Serial)
		}
		return errors.Join(err, f.peers.Sweep(ctx))
	})
	return nil
}

func peerCounter(p *daemon.Process) func(peer, outcome string) {
	count := p.Metrics.Counter("countersign_peer_operations_total", "What became of requests to peers.", "peer", "outcome")
	return func(peer, outcome string) { count(peer, outcome) }
}

// connectPeer gives the access to a peer.
func (s *gatewaySettings) connectPeer(peer *federation.Peer) (federation.Remote, error) {
	return federation.Dial(federation.DialConfig{
		Secret: func(id string) (string, error) {
			b, err := daemon.Secret(filepath.Join(string(s.Peers.Secrets), id+".secret"))
			return string(b), err
		},
		Redirect: func(id string) string { return s.Issuer + federation.ReturnPath + id },
	}, peer)
}

// held are the clients that are peers: they ask again for what was lost.
func (f *federated) held(client string) bool {
	return f.registry != nil && f.registry.Inbound(client) != ""
}

// routes are the credentials that peers hold.
func (f *federated) routes() []federation.Route {
	if f.peers == nil {
		return nil
	}
	return []federation.Route{{Prefix: federation.HandlePrefix, Name: "peers", Service: f.peers}}
}

// mount adds the doors for browsers that come back and for peers that ask again.
func (f *federated) mount(m federation.Mux, router *federation.Router, auth *oauth.Server) {
	(&federation.Results{Router: router, Auth: auth}).Mount(m)
	if f.peers != nil {
		f.peers.Mount(m)
	}
}

// openReceiptLog opens the log of receipts and keeps it going.
func openReceiptLog(ctx context.Context, p *daemon.Process, s *gatewaySettings, db *store.DB) (*audit.Log, error) {
	key, err := receiptKey(string(s.Peers.ReceiptKey))
	if err != nil {
		return nil, fmt.Errorf("key of the receipts: %w", err)
	}
	u, err := url.Parse(s.Issuer)
	if err != nil {
		return nil, err
	}
	events, err := audit.New(ctx, audit.Config{DB: db, Origin: u.Host + "/gateway", Signer: key, Log: p.Log})
	if err != nil {
		return nil, fmt.Errorf("log of receipts: %w", err)
	}
	p.Go(events.Run)
	return events, nil
}

// receiptKey reads the key, and makes it where there is none.
func receiptKey(name string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return newEd25519(name)
	}
	if err != nil {
		return nil, err
	}
	k, err := parsePrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ed, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a %T: it must be Ed25519", name, k)
	}
	return ed, nil
}

func newEd25519(name string) (ed25519.PrivateKey, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return k, errors.Join(pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}), f.Sync(), f.Close())
}

func parsePrivateKey(b []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it holds no PEM PRIVATE KEY")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", k)
	}
	return s, nil
}

func readPublicKey(name string) (crypto.PublicKey, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("%s holds no PEM PUBLIC KEY: countersign admin peers key writes it", name)
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return k, nil
}

// isOfPeer reports whether a credential or an approval is a peer's.
func isOfPeer(id string) bool { return strings.HasPrefix(id, federation.HandlePrefix) }

// begin implements oauth.Approver for a peer's credential.
func (f *federated) begin(ctx context.Context, r oauth.ApprovalRequest) (oauth.Approval, error) {
	w := federation.Wish{Org: r.Org, Client: r.Client, Credential: r.Credential, HashOID: r.HashOID, Qualifier: r.Qualifier}
	for _, d := range r.Documents {
		w.Documents = append(w.Documents, federation.Document{Label: d.Label, Size: d.Size, DTBSR: d.DTBSR, DocHash: d.DocHash, SignedAttrs: d.SignedAttrs})
	}
	b, err := f.peers.Begin(ctx, w)
	return oauth.Approval{SID: b.SID, URL: b.URL, Expires: b.Expires}, err
}

// outcome implements oauth.Approver for a peer's credential.
func (f *federated) outcome(ctx context.Context, sid, handle string) (oauth.Outcome, error) {
	o, err := f.peers.Outcome(ctx, sid, handle)
	return oauth.Outcome{
		SID: o.SID, State: o.State, Signer: o.Signer, Credential: o.Credential, Client: o.Client, Count: o.Count, Expires: o.Expires, Reason: o.Reason,
	}, err
}
