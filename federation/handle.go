package federation

import (
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// HandlePrefix begins every credential id that stands for a peer's credential.
// It says that there is a peer, not which.
const HandlePrefix = "peer-"

// handle is what one client of one organisation calls a credential of a peer.
type handle struct {
	id, org, client string
	peer            string
	signer          string // there
	remote          string // the credential's id there
	cert            [32]byte
	chain           [][]byte
	leaf, issuer    *x509.Certificate // of chain
	level           Level
	scal            int
}

// errNoHandle is the one answer for a credential that does not exist, is another
// client's, or another organisation's.
func errNoHandle() error {
	return fault.New(fault.NotFound, "this credential is not known").WithCode("unknown_credential")
}

// isHandle reports whether a credential id can be one of a peer's credential.
func isHandle(id string) bool { return strings.HasPrefix(id, HandlePrefix) && len(id) < 64 }

// putHandle returns the handle of a credential: the same one as long as client,
// peer, credential and certificate are the same.
func (p *Peers) putHandle(ctx context.Context, h handle, now time.Time) (string, error) {
	chain, err := json.Marshal(h.chain)
	if err != nil {
		return "", fmt.Errorf("encode chain: %w", err)
	}
	cert := hex.EncodeToString(h.cert[:])
	const find = `SELECT id FROM federation_handle WHERE org_id = $1 AND client = $2 AND peer = $3 AND remote = $4 AND cert = $5`
	var id string
	err = p.db.QueryRow(ctx, find, h.org, h.client, h.peer, h.remote, cert).Scan(&id)
	if err == nil {
		return id, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read handle: %w", err)
	}
	_, err = p.db.Exec(ctx, `INSERT INTO federation_handle (id, org_id, client, peer, signer, remote, cert, chain, level, scal, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
		HandlePrefix+store.NewID(), h.org, h.client, h.peer, h.signer, h.remote, cert, string(chain), string(h.level), int64(h.scal), store.Micros(now))
	if err != nil {
		return "", fmt.Errorf("keep handle: %w", err)
	}
	if err := p.db.QueryRow(ctx, find, h.org, h.client, h.peer, h.remote, cert).Scan(&id); err != nil {
		return "", fmt.Errorf("read handle: %w", err)
	}
	return id, nil
}

// handle finds a handle of this client of this organisation. Handles never change,
// so those in use are kept in memory.
func (p *Peers) handle(ctx context.Context, org, client, id string) (*handle, error) {
	if !isHandle(id) {
		return nil, errNoHandle()
	}
	p.mu.Lock()
	h := p.handles[id]
	p.mu.Unlock()
	if h == nil {
		var err error
		if h, err = p.readHandle(ctx, id); err != nil {
			return nil, err
		}
	}
	if h.org != org || h.client != client {
		return nil, errNoHandle()
	}
	return h, nil
}

// maxHandles bounds those in memory.
const maxHandles = 10_000

func (p *Peers) readHandle(ctx context.Context, id string) (*handle, error) {
	h := &handle{id: id}
	var cert, chain, level string
	err := p.db.QueryRow(ctx, `SELECT org_id, client, peer, signer, remote, cert, chain, level, scal FROM federation_handle WHERE id = $1`, id).
		Scan(&h.org, &h.client, &h.peer, &h.signer, &h.remote, &cert, &chain, &level, &h.scal)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoHandle()
	}
	if err != nil {
		return nil, fmt.Errorf("read handle: %w", err)
	}
	if n, err := hex.Decode(h.cert[:], []byte(cert)); err != nil || n != len(h.cert) {
		return nil, fmt.Errorf("handle %s: certificate digest %q", id, cert)
	}
	if err := json.Unmarshal([]byte(chain), &h.chain); err != nil || len(h.chain) == 0 {
		return nil, errors.Join(fmt.Errorf("handle %s: chain cannot be read", id), err)
	}
	if h.leaf, err = x509.ParseCertificate(h.chain[0]); err != nil {
		return nil, fmt.Errorf("handle %s: %w", id, err)
	}
	if h.issuer, err = x509.ParseCertificate(h.chain[min(1, len(h.chain)-1)]); err != nil {
		return nil, fmt.Errorf("handle %s: %w", id, err)
	}
	h.level = Level(level)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handles == nil || len(p.handles) >= maxHandles {
		p.handles = map[string]*handle{}
	}
	p.handles[id] = h
	return h, nil
}

func encodeAll(list [][]byte) []string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = base64.StdEncoding.EncodeToString(b)
	}
	return out
}
