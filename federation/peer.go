package federation

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/loopback"
)

// Peer is another trust service whose credentials this gateway may offer, or which
// may ask for signatures here.
type Peer struct {
	ID      string `json:"id"`   // a-z 0-9 and -, at most 32 characters
	Name    string `json:"name"` // for people
	Country string `json:"country"`
	// Issuer is its authorisation server, CSC the base of its API (…/csc/v2).
	Issuer string `json:"issuer"`
	CSC    string `json:"csc"`
	// ClientID is this gateway's client_id there.
	ClientID string `json:"client_id"`
	// Inbound is the peer's client_id here, if it asks for signatures too: signatures
	// made for it are kept until their time runs out, so that it can ask again for
	// one whose answer was lost.
	Inbound string `json:"inbound,omitempty"`
	// ReceiptKey is the public key of its receipts, as `admin receipt-key` prints it there.
	ReceiptKey string `json:"receipt_key,omitempty"`
	// Anchors are the certificates, base64 DER, under which its signers' certificates
	// must be issued. TLSAnchors are those of its https; without any it is the system's.
	Anchors    []string `json:"anchors"`
	TLSAnchors []string `json:"tls_anchors,omitempty"`
	// EvidenceHosts are hosts of its OCSP responders that may be at private addresses.
	EvidenceHosts []string `json:"evidence_hosts,omitempty"`
	// Levels are those its certificates may have. SCAL is the least sole control
	// assurance level of a key there.
	Levels []Level `json:"levels"`
	SCAL   int     `json:"scal"`
	// Countries, if there are any, are those that a signer's certificate may name.
	Countries []string `json:"countries,omitempty"`
	Limits    Limits   `json:"limits"`
	// Results says that a result whose answer was lost can be read there
	// (POST ISSUER/federation/v1/result).
	Results bool      `json:"results,omitempty"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
}

// Limits bound what is asked of a peer.
type Limits struct {
	Hashes  int `json:"hashes"`   // of one approval
	PerHour int `json:"per_hour"` // approvals; 0 is no limit
}

// Rule lets organisations use peers. The first rule that names the organisation
// and the peer decides.
type Rule struct {
	ID        string   `json:"id"`
	Orgs      []string `json:"orgs"`  // "*" is every one
	Peers     []string `json:"peers"` // "*" is every one
	Countries []string `json:"countries,omitempty"`
	// MinLevel is the least level of a certificate; empty is AES.
	MinLevel Level `json:"min_level,omitempty"`
}

// List is what the operator signs: who the peers are and who may use them.
type List struct {
	Version int `json:"version"` // 1
	// Gateway is the issuer of the gateway that it is for.
	Gateway string `json:"gateway"`
	// Serial grows with every list; an older one is refused.
	Serial  int64     `json:"serial"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	Peers   []Peer    `json:"peers"`
	Rules   []Rule    `json:"rules"`
}

var (
	peerID  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	country = regexp.MustCompile(`^[A-Z]{2}$`)
)

// Check says what is wrong with a list, whatever the time.
func (l *List) Check() error {
	switch {
	case l.Version != 1:
		return fmt.Errorf("version %d is not known: it is 1", l.Version)
	case l.Gateway == "":
		return errors.New("gateway is missing: name the issuer that the list is for")
	case l.Serial < 1:
		return errors.New("serial must be at least 1 and grow with every list")
	case l.Issued.IsZero() || !l.Expires.After(l.Issued):
		return errors.New("issued and expires are needed, in this order")
	}
	seen, clients := map[string]bool{}, map[string]bool{}
	for i := range l.Peers {
		p := &l.Peers[i]
		if err := p.check(); err != nil {
			return fmt.Errorf("peer %d (%q): %w", i+1, p.ID, err)
		}
		if seen[p.ID] || (p.Inbound != "" && clients[p.Inbound]) {
			return fmt.Errorf("peer %q or its inbound client is there twice", p.ID)
		}
		seen[p.ID], clients[p.Inbound] = true, true
	}
	for i, r := range l.Rules {
		if err := r.check(seen); err != nil {
			return fmt.Errorf("rule %d (%q): %w", i+1, r.ID, err)
		}
	}
	return nil
}

func (p *Peer) check() error {
	if !peerID.MatchString(p.ID) {
		return errors.New("id must be lower-case letters, digits and -, at most 32")
	}
	if p.Name == "" || len(p.Name) > 255 || !country.MatchString(p.Country) {
		return errors.New("name and country (two capital letters) are needed")
	}
	if err := address(p.Issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if err := address(p.CSC); err != nil || !strings.HasSuffix(p.CSC, "/csc/v2") {
		return errors.Join(errors.New("csc must be the base of the API and end in /csc/v2"), err)
	}
	switch {
	case p.ClientID == "":
		return errors.New("client_id is missing: this gateway's name there")
	case len(p.Levels) == 0 || slices.ContainsFunc(p.Levels, func(v Level) bool { return v.rank() == 0 }):
		return fmt.Errorf("levels must name some of %s", strings.Join(levelNames(), ", "))
	case p.SCAL != 1 && p.SCAL != 2:
		return errors.New("scal must be 1 or 2")
	case slices.ContainsFunc(p.Countries, func(c string) bool { return !country.MatchString(c) }):
		return errors.New("countries must be two capital letters each")
	case p.Limits.Hashes < 1 || p.Limits.PerHour < 0:
		return errors.New("limits.hashes must be at least 1, limits.per_hour not negative")
	case p.From.IsZero() || !p.Until.After(p.From):
		return errors.New("from and until are needed, in this order")
	}
	if _, err := certificatesOf(p.Anchors); err != nil || len(p.Anchors) == 0 {
		return errors.Join(errors.New("anchors must be base64 DER certificates, at least one"), err)
	}
	if _, err := certificatesOf(p.TLSAnchors); err != nil {
		return fmt.Errorf("tls_anchors: %w", err)
	}
	return nil
}

func (r *Rule) check(peers map[string]bool) error {
	if r.ID == "" || len(r.Orgs) == 0 || len(r.Peers) == 0 {
		return errors.New("id, orgs and peers are needed")
	}
	for _, p := range r.Peers {
		if p != "*" && !peers[p] {
			return fmt.Errorf("there is no peer %q", p)
		}
	}
	if r.MinLevel != "" && r.MinLevel.rank() == 0 {
		return fmt.Errorf("min_level must be one of %s", strings.Join(levelNames(), ", "))
	}
	if slices.ContainsFunc(r.Countries, func(c string) bool { return !country.MatchString(c) }) {
		return errors.New("countries must be two capital letters each")
	}
	return nil
}

// address refuses what a peer must not be reached at: http is for this machine only.
func address(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "" {
		return fmt.Errorf("%q is no absolute URL without user, query and fragment", text)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())) {
		return fmt.Errorf("%q must be https; http is for this machine only", text)
	}
	return nil
}

func certificatesOf(list []string) ([]*x509.Certificate, error) {
	out := make([]*x509.Certificate, len(list))
	for i, text := range list {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("certificate %d is not base64: %w", i+1, err)
		}
		if out[i], err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
	}
	return out, nil
}
