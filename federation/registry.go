package federation

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// RegistryConfig says where the list of peers is. All but Now are required.
type RegistryConfig struct {
	DB   *store.DB
	File string
	Key  crypto.PublicKey // of the operator who signs the list
	// Gateway is this gateway's issuer.
	Gateway string
	// Connect gives the access to a peer.
	Connect func(*Peer) (Remote, error)
	// Evidence fetches what a peer's certificates point to.
	Evidence func(*Peer) OCSP
	Now      func() time.Time
}

// Registry is the list of peers in force. All methods may be called at once.
type Registry struct {
	config RegistryConfig
	now    func() time.Time

	mu       sync.RWMutex
	list     *List
	entries  map[string]*entry
	file     [32]byte
	rejected [32]byte // the last file that was refused
}

// entry is a peer of the list with what is made of it once.
type entry struct {
	Peer

	anchors *x509.CertPool
	remote  Remote
	ocsp    OCSP
	gate    *gate
	text    string // the peer as JSON, to see whether it changed
}

// OpenRegistry reads the list. One that is not signed by the key, is changed, has
// expired or is older than one that was in force is an error in a sentence.
func OpenRegistry(ctx context.Context, c RegistryConfig) (*Registry, error) {
	if c.DB == nil || c.File == "" || c.Key == nil || c.Gateway == "" || c.Connect == nil || c.Evidence == nil {
		return nil, errors.New("federation: DB, File, Key, Gateway, Connect and Evidence are required")
	}
	r := &Registry{config: c, now: c.Now, entries: map[string]*entry{}}
	if r.now == nil {
		r.now = time.Now
	}
	_, err := r.Reload(ctx)
	return r, err
}

// Reload takes a file that changed. After an error the list before stays in force
// until it expires; the same wrong file is complained about once.
func (r *Registry) Reload(ctx context.Context) (changed bool, err error) {
	b, err := os.ReadFile(r.config.File)
	if err != nil {
		return false, fmt.Errorf("read the file of peers: %w", err)
	}
	sum := sha256.Sum256(b)
	r.mu.RLock()
	same := r.list != nil && (sum == r.file || sum == r.rejected)
	r.mu.RUnlock()
	if same {
		return false, nil
	}
	if err := r.take(ctx, b, sum); err != nil {
		r.mu.Lock()
		r.rejected = sum
		r.mu.Unlock()
		return false, err
	}
	return true, nil
}

func (r *Registry) take(ctx context.Context, file []byte, sum [32]byte) error {
	l, err := OpenList(file, r.config.Key, r.config.Gateway, r.now())
	if err != nil {
		return err
	}
	entries := map[string]*entry{}
	for i := range l.Peers {
		e, err := r.entry(&l.Peers[i])
		if err != nil {
			return err
		}
		entries[e.ID] = e
	}
	if err := r.advance(ctx, l, hex.EncodeToString(sum[:])); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list, r.entries, r.file, r.rejected = l, entries, sum, [32]byte{}
	return nil
}

// entry makes an entry, or keeps the one that is there: its connections and what
// its breaker knows.
func (r *Registry) entry(p *Peer) (*entry, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", p.ID, err)
	}
	r.mu.RLock()
	old := r.entries[p.ID]
	r.mu.RUnlock()
	if old != nil && old.text == string(text) {
		return old, nil
	}
	e := &entry{Peer: *p, anchors: x509.NewCertPool(), gate: newGate(p.ID), ocsp: r.config.Evidence(p), text: string(text)}
	anchors, err := certificatesOf(p.Anchors)
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", p.ID, err)
	}
	for _, c := range anchors {
		e.anchors.AddCert(c)
	}
	e.remote, err = r.config.Connect(p)
	return e, err
}

// advance notes a list as the newest, and refuses one that is older or differs
// under the same serial.
func (r *Registry) advance(ctx context.Context, l *List, digest string) error {
	return r.config.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var serial int64
		var had string
		err := tx.QueryRow(ctx, `SELECT serial, digest FROM federation_list WHERE org_id = ''`).Scan(&serial, &had)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return fmt.Errorf("read the newest list of peers: %w", err)
		case l.Serial < serial:
			return fmt.Errorf("the file of peers has serial %d, and %d was in force before: sign the list again with a higher serial", l.Serial, serial)
		case l.Serial == serial && digest != had:
			return fmt.Errorf("the file of peers has serial %d like another one that was in force: sign the list again with a higher serial", l.Serial)
		}
		_, err = tx.Exec(ctx, `INSERT INTO federation_list (org_id, serial, digest, loaded) VALUES ('', $1, $2, $3)
			ON CONFLICT (org_id) DO UPDATE SET serial = $1, digest = $2, loaded = $3`, l.Serial, digest, store.Micros(r.now()))
		if err != nil {
			return fmt.Errorf("note the list of peers: %w", err)
		}
		return nil
	})
}

// peer finds a peer that is valid now.
func (r *Registry) peer(id string) (*entry, error) {
	r.mu.RLock()
	l, e := r.list, r.entries[id]
	r.mu.RUnlock()
	now := r.now()
	switch {
	case !now.Before(l.Expires):
		return nil, fault.New(fault.Unavailable, "the gateway's list of peers has expired; its operator must sign a new one").WithCode("peers_expired")
	case e == nil || now.Before(e.From) || !now.Before(e.Until):
		return nil, fault.New(fault.Forbidden, "the trust service that holds this credential is not a peer of this gateway any more").WithCode("not_a_peer")
	}
	return e, nil
}

// Inbound returns the peer that has that client_id here, or "".
func (r *Registry) Inbound(client string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for id, e := range r.entries {
		if client != "" && e.Inbound == client {
			return id
		}
	}
	return ""
}

// List returns the list in force.
func (r *Registry) List() *List {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.list
}

// Decision is the answer of the routing rules, with the reason.
type Decision struct {
	Peer    string `json:"peer"`
	Rule    string `json:"rule"` // "" if none matched
	Serial  int64  `json:"serial"`
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`

	min Level
}

// Decide says whether an organisation may use a peer for certificates of a level.
// The credential decides the peer: nobody else has its key. A level of "" is any.
func (r *Registry) Decide(org, peer string, level Level) Decision {
	r.mu.RLock()
	l, e := r.list, r.entries[peer]
	r.mu.RUnlock()
	d := Decision{Peer: peer, Serial: l.Serial}
	if _, err := r.peer(peer); err != nil {
		d.Reason = fault.Of(err).Detail
		return d
	}
	for _, rule := range l.Rules {
		if !names(rule.Orgs, org) || !names(rule.Peers, peer) {
			continue
		}
		d.Rule, d.min = rule.ID, rule.MinLevel
		if d.min == "" {
			d.min = AES
		}
		switch {
		case len(rule.Countries) > 0 && !slices.Contains(rule.Countries, e.Country):
			d.Reason = fmt.Sprintf("rule %s: peers in %s are not allowed", rule.ID, e.Country)
		case level != "" && !level.atLeast(d.min):
			d.Reason = fmt.Sprintf("rule %s: level %s is below %s", rule.ID, level, d.min)
		default:
			d.Allowed, d.Reason = true, fmt.Sprintf("rule %s: the credential is held by %s", rule.ID, e.Name)
		}
		return d
	}
	d.Reason = "no rule lets this organisation use this peer"
	return d
}

func names(list []string, name string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, name)
}
