package federation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
)

// Links says whose credentials a client may see. "ada@b" is the user ada of the
// peer b, as ada is called there.
type Links interface {
	Signers(ctx context.Context, org, client string) ([]string, error)
}

// Events is the event log: what is appended is in it exactly when the transaction
// commits.
type Events interface {
	Append(ctx context.Context, tx store.Querier, e audit.Event) error
}

// PeersConfig says what is needed to use peers. All but Log, Count, Events, the
// times and Now are required.
type PeersConfig struct {
	DB       *store.DB
	Registry *Registry
	Store    *Store // of receipts
	Links    Links
	// Secrets seal tokens and signatures in the database; the first seals, all open.
	Secrets [][]byte
	// Browser reports whether a request comes from the browser that started the
	// authorisation with that sid.
	Browser func(r *http.Request, sid string) (bool, error)
	// Approved is the authorisation server's own return address, to which the browser
	// is sent with sid and handle.
	Approved string
	Events   Events
	// Count counts what peers did: peer, outcome.
	Count func(peer, outcome string)

	ListTime time.Duration // for all peers of one credentials/list; 0 is 3 s
	InfoAge  time.Duration // how long a peer's description of a credential is used; 0 is 30 s
	SignTime time.Duration // a signHash without an answer is uncertain after it; 0 is 90 s
	Log      *slog.Logger
	Now      func() time.Time
}

// defaultSignTime is how long a peer may take to sign.
const defaultSignTime = 60 * time.Second

// Peers is the service that peers' credentials are reached through. It implements
// csc.Service and csc.Deliverer, and takes approvals at a peer's page. All methods
// may be called at once.
type Peers struct {
	config   PeersConfig
	db       *store.DB
	registry *Registry
	sealer   *sealer
	statuses *statuses
	open     opened
	log      *slog.Logger
	now      func() time.Time

	mu        sync.Mutex
	handles   map[string]*handle
	looks     map[string]look
	delivered []arrival // operations whose answer left, not yet noted
	purged    time.Time
	cleared   time.Time
}

var (
	_ csc.Signer    = (*Peers)(nil)
	_ csc.Deliverer = (*Peers)(nil)
)

// NewPeers checks the configuration and returns the service. The tables are those
// of the Store.
func NewPeers(c PeersConfig) (*Peers, error) {
	if c.DB == nil || c.Registry == nil || c.Store == nil || c.Links == nil || c.Browser == nil || c.Approved == "" {
		return nil, errors.New("federation: DB, Registry, Store, Links, Browser and Approved are required")
	}
	s, err := newSealer(c.Secrets)
	if err != nil {
		return nil, err
	}
	for _, d := range []struct {
		to    *time.Duration
		value time.Duration
	}{{&c.ListTime, 3 * time.Second}, {&c.InfoAge, 30 * time.Second}, {&c.SignTime, defaultSignTime + 30*time.Second}} {
		if *d.to == 0 {
			*d.to = d.value
		}
	}
	p := &Peers{config: c, db: c.DB, registry: c.Registry, sealer: s, log: c.Log, now: c.Now}
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.config.Count == nil {
		p.config.Count = func(string, string) {}
	}
	p.statuses = &statuses{now: p.now}
	return p, nil
}

// usable finds a peer that may be asked for an organisation: in the list, allowed
// by the rules, and not quarantined.
func (p *Peers) usable(ctx context.Context, org, peer string, level Level) (*entry, Decision, error) {
	e, d, err := p.routed(org, peer, level)
	if err != nil {
		return nil, d, err
	}
	return e, d, p.quarantined(ctx, p.db, peer)
}

// routed finds a peer that is in the list and allowed by the rules.
func (p *Peers) routed(org, peer string, level Level) (*entry, Decision, error) {
	e, err := p.registry.peer(peer)
	if err != nil {
		return nil, Decision{}, err
	}
	d := p.registry.Decide(org, peer, level)
	if !d.Allowed {
		return nil, d, fault.New(fault.Forbidden, "the rules of this gateway do not allow this credential: %s", d.Reason).WithCode("not_routed")
	}
	return e, d, nil
}

// CredentialsList implements csc.Service: the credentials of the peers' users that
// are linked to the client. A peer that does not answer is left out, and the
// answer says that something is.
func (p *Peers) CredentialsList(ctx context.Context, by csc.Caller, q *csc.CredentialsListRequest) (*csc.CredentialsListResponse, error) {
	out := &csc.CredentialsListResponse{CredentialIDs: []string{}, OnlyValid: q.OnlyValid}
	users, err := p.users(ctx, by, q.UserID)
	if err != nil || len(users) == 0 {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.config.ListTime)
	defer cancel()
	var wg sync.WaitGroup
	found, missing := make([][]csc.CredentialInfo, len(users)), make([]bool, len(users))
	for i, u := range users {
		wg.Go(func() {
			var err error
			if found[i], err = p.listAt(ctx, by, u, q); err != nil {
				missing[i] = true
				p.config.Count(u.peer, "list_failed")
				p.log.WarnContext(ctx, "peer left out of a list", "peer", u.peer, "error", err)
			}
		})
	}
	wg.Wait()
	for i, list := range found {
		if missing[i] {
			out.Incomplete = "Credentials are left out: a trust service that holds some does not answer at the moment."
		}
		for _, info := range list {
			out.CredentialIDs = append(out.CredentialIDs, info.CredentialID)
			if q.CredentialInfo {
				out.CredentialInfos = append(out.CredentialInfos, info)
			}
		}
	}
	return out, nil
}

// user is a user of a peer.
type user struct{ id, peer string }

func (u user) String() string { return u.id + "@" + u.peer }

// users are those of peers that are linked to the client, or the one that is asked for.
func (p *Peers) users(ctx context.Context, by csc.Caller, only string) (list []user, err error) {
	if by.Scope != csc.ScopeService || by.Subject != "" {
		return nil, nil
	}
	signers, err := p.config.Links.Signers(ctx, by.Org, by.Client)
	if err != nil {
		return nil, fmt.Errorf("signers linked to client %s: %w", by.Client, err)
	}
	for _, s := range signers {
		i := strings.LastIndexByte(s, '@')
		if i > 0 && (only == "" || only == s) {
			list = append(list, user{s[:i], s[i+1:]})
		}
	}
	return list, nil
}

func (p *Peers) listAt(ctx context.Context, by csc.Caller, u user, q *csc.CredentialsListRequest) ([]csc.CredentialInfo, error) {
	e, _, err := p.usable(ctx, by.Org, u.peer, "")
	if err != nil {
		return nil, err
	}
	var list *csc.CredentialsListResponse
	err = e.gate.pass(func() (err error) {
		list, err = e.remote.CredentialsList(ctx, &csc.CredentialsListRequest{
			UserID: u.id, CredentialInfo: true, Certificates: "chain", CertInfo: true, AuthInfo: true, OnlyValid: q.OnlyValid, Lang: q.Lang,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []csc.CredentialInfo
	for i := range list.CredentialInfos {
		info := &list.CredentialInfos[i]
		shown, err := p.offer(ctx, by, e, u, info, q.Certificates)
		if l := asLie(err); l != nil {
			return nil, p.quarantine(ctx, finding{org: by.Org, peer: e.ID, lie: l})
		}
		if err != nil {
			if fault.Of(err).Kind == fault.Internal {
				return nil, err
			}
			p.log.InfoContext(ctx, "credential of a peer not offered", "peer", e.ID, "credential", info.CredentialID, "error", err)
			continue
		}
		out = append(out, *shown)
	}
	return out, nil
}

// offer gives a credential of a peer the client's own handle.
func (p *Peers) offer(ctx context.Context, by csc.Caller, e *entry, u user, info *csc.CredentialInfo, certificates string) (*csc.CredentialInfo, error) {
	if info.CredentialID == "" || len(info.CredentialID) > 255 {
		return nil, unfit("it has no usable id")
	}
	now := p.now()
	h, err := e.examine(info, now, nil)
	if err != nil {
		return nil, err
	}
	if d := p.registry.Decide(by.Org, e.ID, h.level); !d.Allowed {
		return nil, unfit("%s", d.Reason)
	}
	k := handle{org: by.Org, client: by.Client, peer: e.ID, signer: u.String(), remote: info.CredentialID, cert: h.digest, level: h.level, scal: h.scal}
	for _, c := range h.chain {
		k.chain = append(k.chain, c.Raw)
	}
	id, err := p.putHandle(ctx, k, now)
	if err != nil {
		return nil, err
	}
	return show(info, h, id, certificates), nil
}

// show is a peer's description of a credential as this gateway passes it on.
func show(info *csc.CredentialInfo, h *holding, id, certificates string) *csc.CredentialInfo {
	v := *info
	v.CredentialID = id
	var ders [][]byte
	for _, c := range h.chain {
		ders = append(ders, c.Raw)
	}
	switch certificates {
	case "none":
		ders = nil
	case "chain":
	default:
		ders = ders[:1]
	}
	v.Cert.Certificates = encodeAll(ders)
	v.Key.Algo = slices.Clone(info.Key.Algo)
	return &v
}

// CredentialsInfo implements csc.Service.
func (p *Peers) CredentialsInfo(ctx context.Context, by csc.Caller, q *csc.CredentialsInfoRequest) (*csc.CredentialInfo, error) {
	k, err := p.handle(ctx, by.Org, by.Client, q.CredentialID)
	if err != nil {
		return nil, csc.InvalidParameter("credentialID").Because(err)
	}
	e, _, err := p.usable(ctx, by.Org, k.peer, k.level)
	if err != nil {
		return nil, said(err)
	}
	l, err := p.look(ctx, e, k, "")
	if err != nil {
		return nil, said(err)
	}
	v := show(l.info, l.holding, "", q.Certificates)
	v.Cert.Status = "valid" // looked up at its responder, not believed
	return v, nil
}

// Timestamp implements csc.Service: a peer's time-stamps are not passed on.
func (p *Peers) Timestamp(context.Context, csc.Caller, *csc.TimestampRequest) (*csc.TimestampResponse, error) {
	return nil, csc.ErrUnsupportedMethod
}

// said puts a fault into CSC's form with its sentence, which the general mapping
// drops for services that are not available: here it says whose fault it is.
func said(err error) error {
	if err == nil || !csc.ErrorOf(err).Is(csc.ErrUnavailable) {
		return err
	}
	f := fault.Of(err)
	code := csc.CodeTemporarilyUnavailable
	if f.Code == codeQuarantined {
		code = f.Code
	}
	return csc.NewError(http.StatusServiceUnavailable, code, f.Detail).Because(err)
}
