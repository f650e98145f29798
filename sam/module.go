package sam

import (
	"context"
	"crypto"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/loopback"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

//go:embed migrations/*.sql
var migrations embed.FS

// IdentityKey is the name of the resident key that seals key records.
const IdentityKey = "sam-identity"

// Config is what New needs. A zero value of a limit means its default.
type Config struct {
	// Keys holds the signers' keys, the identity key and the key of the MACs.
	Keys keystore.Store
	// DB is the module's own database; nobody else may write it.
	DB *store.DB
	// Audit is the event log, in the same database.
	Audit *audit.Log
	// Anchors are the certificates up to which signers' certificates must chain.
	// Without any, no certificate can be bound.
	Anchors []*x509.Certificate
	// ApprovalURL is the approval origin, without a path: https, or http for
	// loopback names.
	ApprovalURL string
	// Issuer names the module in SADs, orders and key records. Default: ApprovalURL.
	Issuer string
	// RPID is the WebAuthn relying party ID. Default: the host of ApprovalURL.
	RPID string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Logger gets what operators must know. Default: nothing is written.
	Logger *slog.Logger
	// Limits bound requests.
	Limits Limits
}

// Limits bound what one request may ask for and how long it lives.
type Limits struct {
	Approval     time.Duration  // from Begin until the approval must be given; default 300 s
	Redeem       time.Duration  // from the approval until the last signature; default 5 min
	MaxRedeem    time.Duration  // most that an intent may ask for; default 30 min (SIG-A.5-09)
	Keep         time.Duration  // how long signatures wait to be acknowledged; default and most 24 h
	Pending      int            // most pending requests of one signer and relying party; default 5. Of all parties: the same, or 50
	Documents    int            // most documents of one SAD, whatever the key allows; default 200
	Digits       int            // of the number that is typed, 2 to 4; default 2
	MinWysiwys   int            // what must have been checked for every request; default 0
	PartyWysiwys map[string]int // the same for single clients, by client_id
	OCSPAge      time.Duration  // oldest thisUpdate of an OCSP response; default and most 10 min
}

// Module is the signature activation module. All methods may be called at once.
type Module struct {
	keys     sealer
	activate activator
	db       *store.DB
	audit    *audit.Log
	anchors  *x509.CertPool
	roots    []*x509.Certificate
	approval string
	issuer   string
	rpID     string
	limits   Limits
	logger   *slog.Logger
	clock    clock
	identity crypto.Signer
	spki     []byte
	driver   string

	marks    marks
	memory   *memory
	certs    certificates
	statuses statuses
}

// sealer is what the module needs of a keystore outside of an activation: it
// cannot open a signer's key.
type sealer interface {
	Generate(ctx context.Context, t signing.KeyType) (keystore.WrappedKey, error)
	Rewrap(ctx context.Context, k keystore.WrappedKey) (keystore.WrappedKey, error)
	MAC(ctx context.Context, domain string, data []byte) ([]byte, error)
	Probe(ctx context.Context) (keystore.Capabilities, error)
}

// New opens the module: it brings the tables up to date, makes the identity key if
// there is none, and records what a crash has burned.
func New(ctx context.Context, c Config) (*Module, error) {
	if c.Keys == nil || c.DB == nil || c.Audit == nil {
		return nil, errors.New("open activation module: keystore, database and event log are needed")
	}
	origin, host, err := parseOrigin(c.ApprovalURL)
	if err != nil {
		return nil, fmt.Errorf("open activation module: approval URL %q: %w", c.ApprovalURL, err)
	}
	limits, err := c.Limits.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open activation module: %w", err)
	}
	m := &Module{
		keys:     c.Keys,
		activate: activator{keys: c.Keys},
		db:       c.DB,
		audit:    c.Audit,
		anchors:  x509.NewCertPool(),
		roots:    slices.Clone(c.Anchors),
		approval: origin,
		issuer:   c.Issuer,
		rpID:     c.RPID,
		limits:   limits,
		logger:   c.Logger,
		clock:    clock{now: c.Now},
		memory:   newMemory(),
	}
	if m.issuer == "" {
		m.issuer = origin
	}
	if m.rpID == "" {
		m.rpID = host
	}
	if m.logger == nil {
		m.logger = slog.New(slog.DiscardHandler)
	}
	if m.clock.now == nil {
		m.clock.now = time.Now
	}
	for _, a := range c.Anchors {
		m.anchors.AddCert(a)
	}
	if err := m.open(ctx, c.Keys); err != nil {
		return nil, fmt.Errorf("open activation module: %w", err)
	}
	return m, nil
}

func (m *Module) open(ctx context.Context, keys keystore.Store) error {
	if err := m.db.Migrate(ctx, "sam", migrations); err != nil {
		return err
	}
	key, err := keys.Service(ctx, IdentityKey)
	if errors.Is(err, keystore.ErrNoKey) {
		key, err = keys.NewService(ctx, IdentityKey, signing.P256)
	}
	if err != nil {
		return fmt.Errorf("identity key: %w", err)
	}
	m.identity = key
	if m.spki, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		return fmt.Errorf("identity key: %w", err)
	}
	caps, err := keys.Probe(ctx)
	if err != nil {
		return fmt.Errorf("probe keystore: %w", err)
	}
	m.driver = caps.Keystore()
	if err := m.readClock(ctx); err != nil {
		return err
	}
	return m.recover(ctx)
}

func (l Limits) withDefaults() (Limits, error) {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&l.Approval, 300*time.Second)
	set(&l.Redeem, 5*time.Minute)
	set(&l.MaxRedeem, 30*time.Minute)
	set(&l.Keep, 24*time.Hour)
	set(&l.OCSPAge, 10*time.Minute)
	if l.Pending == 0 {
		l.Pending = 5
	}
	if l.Documents == 0 {
		l.Documents = 200
	}
	if l.Digits == 0 {
		l.Digits = 2
	}
	switch {
	case l.Approval < 0 || l.Redeem < 0 || l.MaxRedeem < 0 || l.Pending < 0 || l.Documents < 0:
		return l, errors.New("a limit is negative")
	case l.Keep < 0 || l.Keep > 24*time.Hour:
		return l, errors.New("signatures are kept at most 24 hours")
	case l.OCSPAge < 0 || l.OCSPAge > 10*time.Minute:
		return l, errors.New("an OCSP response may be at most 10 minutes old")
	case l.Digits < 2 || l.Digits > 4:
		return l, errors.New("the number has 2 to 4 digits")
	case l.MinWysiwys < 0 || l.MinWysiwys > 1:
		return l, errors.New("the least wysiwys is 0 or 1")
	}
	return l, nil
}

// Identity says who the module is.
func (m *Module) Identity(context.Context) (samapi.Identity, error) {
	return samapi.Identity{
		Module:    m.issuer,
		SPKI:      m.spki,
		Keystore:  m.driver,
		Verifier:  m.audit.VerifierKey(),
		Approval:  m.approval,
		RPID:      m.rpID,
		Mechanism: slices.Clone(mechanisms),
	}, nil
}

// parseOrigin returns scheme://host[:port] and the host name.
func parseOrigin(s string) (origin, host string, err error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", "", err
	case u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", "", errors.New("not an origin (scheme, host and port only)")
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback.Is(u.Hostname()):
	default:
		return "", "", errors.New("only https, or http on a loopback name, is allowed")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), strings.ToLower(u.Hostname()), nil
}
