package pki

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

const day = 24 * time.Hour

// DefaultTSAPolicy lies in the arc that IANA keeps for examples (RFC 5612): it
// promises nothing. Operators name their own policy.
const DefaultTSAPolicy = "1.3.6.1.4.1.32473.1.1"

// Config is what an Authority needs. Keys, DB, BaseURL and Name are required.
type Config struct {
	// Keys holds the authority's own keys as service keys pki-root, pki-ca,
	// pki-ocsp, pki-tsa; a renewed certificate gets a new key pki-tsa-2 and so on.
	Keys keystore.Store
	// DB is the authority's own database.
	DB *store.DB
	// Log is the event log in DB; nil only in tests that look at something else.
	Log *audit.Log
	// BaseURL is where Handler is reached, e.g. http://127.0.0.1:8084. It is
	// written into certificates and must stay.
	BaseURL string
	// Name is the organisation in the names of the authority's certificates.
	Name string
	// OrganizationID is its identifier after ETSI EN 319 412-1 §5.1.4, e.g.
	// VATBE-0876866142; empty leaves it out.
	OrganizationID string
	// Country is where the organisation is established (ISO 3166-1 alpha-2).
	// Default EU.
	Country string
	// KeyType is the type of the authority's own new keys: P-256 (default),
	// P-384, P-521, RSA-3072 or RSA-4096.
	KeyType signing.KeyType
	// Validity is the life of a signer's certificate. Default one year.
	Validity time.Duration
	// StatusLife is thisUpdate to nextUpdate of CRLs and OCSP answers. Default
	// seven days, never beyond the end of the certificate concerned.
	StatusLife time.Duration
	// StatusCache is how long a signed OCSP answer without nonce is used again,
	// unless the status changes. Default five minutes, negative for never.
	StatusCache time.Duration
	// Policies are the object identifiers of the certificate policies of signers.
	Policies []string
	// QC are the qcStatements of signers' certificates; nil, the default, means
	// that they are not qualified.
	QC *QCStatements
	// TSAPolicy is the policy of time-stamps. Default DefaultTSAPolicy.
	TSAPolicy string
	// Accuracy of time-stamps in whole seconds. Default one second.
	Accuracy time.Duration
	// ClockTrusted may ask the operating system whether the clock is
	// synchronised. While it gives an error no time-stamp is made.
	ClockTrusted func(ctx context.Context) error
	// MaxKeyAge is how old a key record may be. Default seven days.
	MaxKeyAge time.Duration
	// MaxProofingAge is how long ago identity may have been proved, whatever the
	// record's own end. Default thirty days.
	MaxProofingAge time.Duration
	// Logger takes causes of internal errors. Default: none.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// checked is a Config whose every field was looked at.
type checked struct {
	Config
	policies  []x509.OID
	tsaPolicy asn1.ObjectIdentifier
}

func (c Config) check() (checked, error) {
	if c.Keys == nil || c.DB == nil {
		return checked{}, errors.New("pki: keystore and database are required")
	}
	c.defaults()
	u, err := url.Parse(c.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return checked{}, fmt.Errorf("pki: base URL %q: write http://host:port without a query", c.BaseURL)
	}
	c.BaseURL = strings.TrimSuffix(c.BaseURL, "/")
	if err := checkText("name", c.Name, 52); err != nil { // 64 less " Issuing CA"
		return checked{}, fmt.Errorf("pki: %w", err)
	}
	if !isCountry(c.Country) {
		return checked{}, fmt.Errorf("pki: country %q: write two capital letters", c.Country)
	}
	switch c.KeyType {
	case signing.P256, signing.P384, signing.P521, signing.RSA3072, signing.RSA4096:
	case signing.KeyEd25519:
		return checked{}, errors.New("pki: validators do not accept Ed25519 for authorities: use P-256")
	default:
		return checked{}, fmt.Errorf("pki: key type %q is unknown", c.KeyType)
	}
	if c.Validity < time.Minute || c.Validity > 3*366*day {
		return checked{}, fmt.Errorf("pki: validity %v: between a minute and three years", c.Validity)
	}
	if c.StatusLife < time.Hour || c.StatusLife > 30*day {
		return checked{}, fmt.Errorf("pki: status life %v: between an hour and 30 days", c.StatusLife)
	}
	if c.Accuracy < time.Second || c.Accuracy > time.Minute || c.Accuracy%time.Second != 0 {
		return checked{}, fmt.Errorf("pki: accuracy %v: whole seconds, up to a minute", c.Accuracy)
	}
	return c.checkIdentifiers()
}

func (c Config) checkIdentifiers() (checked, error) {
	out := checked{Config: c}
	for _, s := range c.Policies {
		oid, err := x509.ParseOID(s)
		if err != nil {
			return checked{}, fmt.Errorf("pki: certificate policy %q is no object identifier", s)
		}
		out.policies = append(out.policies, oid)
	}
	var err error
	if out.tsaPolicy, err = parseOID(c.TSAPolicy); err != nil {
		return checked{}, fmt.Errorf("pki: time-stamp policy: %w", err)
	}
	if c.QC != nil {
		if err := c.QC.check(); err != nil {
			return checked{}, fmt.Errorf("pki: qcStatements: %w", err)
		}
	}
	return out, nil
}

func (c *Config) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Validity, 365*day)
	set(&c.StatusLife, 7*day)
	set(&c.StatusCache, 5*time.Minute)
	set(&c.Accuracy, time.Second)
	set(&c.MaxKeyAge, 7*day)
	set(&c.MaxProofingAge, 30*day)
	if c.Country == "" {
		c.Country = "EU"
	}
	if c.KeyType == "" {
		c.KeyType = signing.P256
	}
	if c.TSAPolicy == "" {
		c.TSAPolicy = DefaultTSAPolicy
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func parseOID(s string) (asn1.ObjectIdentifier, error) {
	if _, err := x509.ParseOID(s); err != nil {
		return nil, fmt.Errorf("%q is no object identifier", s)
	}
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q has a part that is too large", s)
		}
		oid = append(oid, int(n))
	}
	return oid, nil
}
