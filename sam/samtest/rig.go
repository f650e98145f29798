package samtest

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/keystore/soft"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// Names of the rig's world.
const (
	Approval = "http://approve.localhost:9443"
	Gateway  = "https://sign.example"
	Return   = "https://sign.example/oauth2/approved"
	Client   = "northgate"
)

// Clock is a clock that the test sets.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add lets time pass, or goes back.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Config is what a test may change.
type Config struct {
	Limits sam.Limits
	// Wrap puts something between module and keystore.
	Wrap     func(keystore.Store) keystore.Store
	Approval string // default: Approval
	Log      *slog.Logger
}

// Rig is a module and its world.
type Rig struct {
	*sam.Module

	TB     testing.TB
	DB     *store.DB
	Clock  *Clock
	CA     *CA
	RA     crypto.Signer
	Audit  *audit.Log
	Config sam.Config

	serial int
}

// New makes a module on the database, with a registered RA and gateway.
func New(tb testing.TB, db *store.DB, c Config) *Rig {
	tb.Helper()
	ctx := tb.Context()
	r := &Rig{TB: tb, DB: db, Clock: &Clock{now: time.Now().UTC().Truncate(time.Second)}}
	r.CA, r.RA = NewCA(tb, r.Clock), Key(tb)
	keys, err := soft.Open(ctx, soft.Config{Dir: tb.TempDir() + "/keys", Passphrase: []byte(strings.Repeat("0123456789abcdef", 4))})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = keys.Close() })
	note, err := keys.NewService(ctx, "sam-audit", signing.KeyEd25519)
	if err != nil {
		tb.Fatal(err)
	}
	if _, ok := note.Public().(ed25519.PublicKey); !ok {
		tb.Fatalf("audit key of type %T", note.Public())
	}
	r.Audit, err = audit.New(ctx, audit.Config{DB: db, Origin: "approve.localhost/sam", Signer: note, Now: r.Clock.Now})
	if err != nil {
		tb.Fatal(err)
	}
	r.Config = sam.Config{
		Keys: keys, DB: db, Audit: r.Audit, Anchors: []*x509.Certificate{r.CA.Root},
		ApprovalURL: Approval, Now: r.Clock.Now, Limits: c.Limits, Logger: c.Log,
	}
	if c.Approval != "" {
		r.Config.ApprovalURL = c.Approval
	}
	if c.Wrap != nil {
		r.Config.Keys = c.Wrap(keys)
	}
	r.Restart()
	spki, err := x509.MarshalPKIXPublicKey(r.RA.Public())
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := r.RegisterAuthority(ctx, "ra-1", spki); err != nil {
		tb.Fatal(err)
	}
	if err := r.RegisterGateway(ctx, Gateway, Return); err != nil {
		tb.Fatal(err)
	}
	return r
}

// Restart opens the module again, as after a crash.
func (r *Rig) Restart() {
	r.TB.Helper()
	m, err := sam.New(context.WithoutCancel(r.TB.Context()), r.Config)
	if err != nil {
		r.TB.Fatalf("open module: %v", err)
	}
	r.Module = m
}

// Order begins an order for the module.
func (r *Rig) Order() samapi.Order { return samapi.NewOrder(r.Config.ApprovalURL, r.Clock.Now()) }

// Seal seals an order with the RA's key.
func (r *Rig) Seal(domain string, order any) signing.Signed {
	r.TB.Helper()
	return r.SealWith(r.RA, domain, order)
}

// SealWith seals an order with any key.
func (r *Rig) SealWith(key crypto.Signer, domain string, order any) signing.Signed {
	r.TB.Helper()
	b, err := signing.EncodeCanonical(order)
	if err != nil {
		r.TB.Fatal(err)
	}
	s, err := signing.Seal(domain, b, key)
	if err != nil {
		r.TB.Fatal(err)
	}
	return s
}

// Events returns the types of all events of a SID, oldest first; of all events if
// sid is empty.
func (r *Rig) Events(sid string) []string {
	r.TB.Helper()
	ctx := context.WithoutCancel(r.TB.Context())
	if err := r.Audit.Sequence(ctx); err != nil {
		r.TB.Fatal(err)
	}
	all, err := r.Audit.Records(ctx, audit.Filter{SID: sid})
	if err != nil {
		r.TB.Fatal(err)
	}
	out := make([]string, len(all))
	for i, e := range all {
		out[i] = e.Type
	}
	return out
}

// Exec changes the database behind the module's back.
func (r *Rig) Exec(query string, args ...any) int64 {
	r.TB.Helper()
	n, err := r.DB.Exec(context.WithoutCancel(r.TB.Context()), query, args...)
	if err != nil {
		r.TB.Fatalf("%s: %v", query, err)
	}
	return n
}

// ErrInjected is what injected failures are.
var ErrInjected = errors.New("injected failure")

// Faults is a keystore that fails on command. A hook that returns an error makes
// the operation fail, before or after its effect.
type Faults struct {
	keystore.Store

	mu   sync.Mutex
	hook func(op string) error
	used map[string]int
}

// Around puts the faults around a keystore; it fits Config.Wrap.
func (f *Faults) Around(s keystore.Store) keystore.Store {
	f.Store = s
	return f
}

// Set sets the hook: it is called with open, sign and close, before their effects,
// and with signed after a signature was made.
func (f *Faults) Set(hook func(op string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// Used is how often an operation was called.
func (f *Faults) Used(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used[op]
}

func (f *Faults) run(op string) error {
	f.mu.Lock()
	if f.used == nil {
		f.used = map[string]int{}
	}
	f.used[op]++
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	if err := hook(op); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// Open implements keystore.Store.
func (f *Faults) Open(ctx context.Context, k keystore.WrappedKey) (keystore.Handle, error) {
	if err := f.run("open"); err != nil {
		return nil, err
	}
	h, err := f.Store.Open(ctx, k)
	if err != nil {
		return nil, err
	}
	return &faultyHandle{h, f}, nil
}

type faultyHandle struct {
	keystore.Handle

	faults *Faults
}

func (h *faultyHandle) Sign(ctx context.Context, alg signing.Algorithm, d []byte) ([]byte, error) {
	if err := h.faults.run("sign"); err != nil {
		return nil, err
	}
	sig, err := h.Handle.Sign(ctx, alg, d)
	if err != nil {
		return nil, err
	}
	return sig, h.faults.run("signed")
}

func (h *faultyHandle) Close() error { return errors.Join(h.faults.run("close"), h.Handle.Close()) }

// Swapped is a keystore that, once stuck, hands out the key that it opened last,
// whichever is asked for: a module that mixes up its handles.
type Swapped struct {
	keystore.Store

	Stuck atomic.Bool
	last  atomic.Pointer[keystore.WrappedKey]
}

// Open implements keystore.Store.
func (s *Swapped) Open(ctx context.Context, k keystore.WrappedKey) (keystore.Handle, error) {
	if last := s.last.Load(); last != nil && s.Stuck.Load() {
		return s.Store.Open(ctx, *last)
	}
	s.last.Store(&k)
	return s.Store.Open(ctx, k)
}
