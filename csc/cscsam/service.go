// Package cscsam is the CSC service of the local signature activation module: it
// asks the module for signatures, brings it the fresh OCSP answer that it
// demands, verifies what comes back, and describes the module's credentials in
// CSC's words. It holds no keys and can sign nothing by itself.
package cscsam

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// SAM is what is needed of the signature activation module.
type SAM interface {
	Credentials(ctx context.Context, q samapi.CredentialQuery) ([]samapi.Credential, error)
	Sign(ctx context.Context, r samapi.SignRequest) (samapi.SignResult, error)
	// Result returns signatures that were made and not yet acknowledged.
	Result(ctx context.Context, sid, client string) (samapi.SignResult, error)
	// AcknowledgeAll says that these signatures have arrived; no others are forgotten.
	AcknowledgeAll(ctx context.Context, arrived []samapi.Arrival) error
}

// Links says which signers allowed a client to see their credentials.
type Links interface {
	Signers(ctx context.Context, org, client string) ([]string, error)
}

// OCSP posts a DER OCSP request to a responder and returns the DER answer.
type OCSP interface {
	OCSP(ctx context.Context, url string, request []byte) ([]byte, error)
}

// TSA posts a DER RFC 3161 query and returns the DER answer.
type TSA interface {
	Timestamp(ctx context.Context, url string, query []byte) ([]byte, error)
}

// Config says what the service is made of. SAM, Links and OCSP are required.
type Config struct {
	SAM   SAM
	Links Links
	OCSP  OCSP
	// OCSPURL is asked instead of the responder that a certificate names.
	OCSPURL string
	// OCSPAge is how long an OCSP answer may be used, counted from its
	// thisUpdate; the default is 8 minutes, the module takes at most 10.
	OCSPAge time.Duration
	// Issuers are CA certificates, for credentials whose chain ends with the leaf.
	Issuers []*x509.Certificate

	TSA    TSA    // nil: no time-stamps
	TSAURL string // of the time-stamping authority

	Log *slog.Logger
	Now func() time.Time
}

// Service implements csc.Service, csc.Signer and csc.Deliverer. All methods may be
// called at once.
type Service struct {
	config   Config
	status   *statusCache
	held     *held
	arrivals *arrivals
	log      *slog.Logger
	now      func() time.Time
}

var (
	_ csc.Signer    = (*Service)(nil)
	_ csc.Deliverer = (*Service)(nil)
)

// New checks the configuration and returns the service.
func New(c Config) (*Service, error) {
	if c.SAM == nil || c.Links == nil || c.OCSP == nil {
		return nil, errors.New("local CSC service: SAM, Links and OCSP are required")
	}
	if c.TSA != nil && c.TSAURL == "" {
		return nil, errors.New("local CSC service: the time-stamping authority's URL is missing")
	}
	if c.OCSPAge == 0 {
		c.OCSPAge = 8 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{config: c, held: &held{now: c.Now}, arrivals: &arrivals{sam: c.SAM, log: c.Log}, log: c.Log, now: c.Now}
	s.status = &statusCache{ocsp: c.OCSP, url: c.OCSPURL, age: c.OCSPAge, now: c.Now}
	return s, nil
}

// credential is a credential with its certificates parsed.
type credential struct {
	samapi.Credential
	chain  []*x509.Certificate // leaf first
	issuer *x509.Certificate   // nil if unknown
}

func (s *Service) parse(c samapi.Credential) (*credential, error) {
	out := &credential{Credential: c}
	for _, der := range c.Chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate of credential %s: %w", c.ID, err)
		}
		out.chain = append(out.chain, cert)
	}
	if len(out.chain) == 0 {
		return out, nil
	}
	for _, i := range slices.Concat(out.chain[1:], s.config.Issuers) {
		if out.chain[0].CheckSignatureFrom(i) == nil {
			out.issuer = i
			break
		}
	}
	return out, nil
}

// visible says whether a credential is shown at all: it has a certificate and
// its key was not destroyed.
func (c *credential) visible() bool {
	return len(c.chain) > 0 && c.State != samapi.CredentialDestroyed
}

// find returns a credential that the caller may use: a credential token its own,
// a user's token the user's, a client's token those of the linked signers. What a
// caller may not see does not exist for it.
func (s *Service) find(ctx context.Context, by csc.Caller, id string) (*credential, error) {
	list, err := s.config.SAM.Credentials(ctx, samapi.CredentialQuery{IDs: []string{id}})
	if err != nil {
		return nil, translate(err)
	}
	i := slices.IndexFunc(list, func(c samapi.Credential) bool { return c.ID == id })
	if i < 0 {
		return nil, csc.InvalidParameter("credentialID")
	}
	c, err := s.parse(list[i])
	if err != nil {
		return nil, err
	}
	allowed := by.Scope == csc.ScopeCredential && by.Credential == id
	if by.Scope == csc.ScopeService {
		signers, err := s.signers(ctx, by)
		if err != nil {
			return nil, err
		}
		allowed = slices.Contains(signers, c.Signer)
	}
	if !allowed || !c.visible() {
		return nil, csc.InvalidParameter("credentialID")
	}
	s.held.keep(c)
	return c, nil
}

// signers are the people whose credentials a service token reaches.
func (s *Service) signers(ctx context.Context, by csc.Caller) ([]string, error) {
	if by.Subject != "" {
		return []string{by.Subject}, nil
	}
	signers, err := s.config.Links.Signers(ctx, by.Org, by.Client)
	if err != nil {
		return nil, fmt.Errorf("signers linked to client %s: %w", by.Client, err)
	}
	return signers, nil
}

// CredentialsList implements csc.Service.
func (s *Service) CredentialsList(ctx context.Context, by csc.Caller, q *csc.CredentialsListRequest) (*csc.CredentialsListResponse, error) {
	signers, err := s.signers(ctx, by)
	if err != nil {
		return nil, err
	}
	if q.UserID != "" {
		if by.Subject != "" {
			return nil, csc.ErrUserIDPresent
		}
		if !slices.Contains(signers, q.UserID) {
			return nil, csc.InvalidParameter("userID")
		}
		signers = []string{q.UserID}
	}
	out := &csc.CredentialsListResponse{CredentialIDs: []string{}, OnlyValid: q.OnlyValid}
	if len(signers) == 0 {
		return out, nil
	}
	list, err := s.config.SAM.Credentials(ctx, samapi.CredentialQuery{Signers: signers})
	if err != nil {
		return nil, translate(err)
	}
	// The module's order: the oldest first, and the same every time.
	for _, raw := range list {
		if !slices.Contains(signers, raw.Signer) {
			continue
		}
		c, err := s.parse(raw)
		if err != nil { // the others can be used
			s.log.ErrorContext(ctx, "credential left out of a list", "credential", raw.ID, "error", err)
			continue
		}
		if !c.visible() || (q.OnlyValid && !s.valid(ctx, c)) {
			continue
		}
		out.CredentialIDs = append(out.CredentialIDs, c.ID)
		if q.CredentialInfo {
			v := s.view(ctx, c, views{q.Certificates, q.CertInfo, q.OnlyValid})
			v.CredentialID = c.ID
			out.CredentialInfos = append(out.CredentialInfos, *v)
		}
	}
	return out, nil
}

// valid says whether a credential can sign now, as far as can be told.
func (s *Service) valid(ctx context.Context, c *credential) bool {
	return c.State == samapi.CredentialActive && s.certStatus(ctx, c, true) == "valid"
}

// CredentialsInfo implements csc.Service.
func (s *Service) CredentialsInfo(ctx context.Context, by csc.Caller, q *csc.CredentialsInfoRequest) (*csc.CredentialInfo, error) {
	c, err := s.find(ctx, by, q.CredentialID)
	if err != nil {
		return nil, err
	}
	return s.view(ctx, c, views{q.Certificates, q.CertInfo, true}), nil
}

// views says what of a credential is wanted.
type views struct {
	certificates string // none, single, chain; "" is single
	certInfo     bool
	ask          bool // the OCSP responder, if it was not asked lately
}

// view describes a credential (CSC API v2.2 §11.7).
func (s *Service) view(ctx context.Context, c *credential, want views) *csc.CredentialInfo {
	v := &csc.CredentialInfo{
		Description: c.SignerName,
		Key:         csc.KeyInfo{Status: "disabled", Algo: algorithms(c.KeyType), Len: c.KeyType.Bits(), Curve: c.KeyType.CurveOID()},
		Auth:        authorisedBy(c.Mechanism),
		SCAL:        fmt.Sprint(max(c.SCAL, 1)),
		Multisign:   max(c.Multisign, 1),
	}
	if c.State == samapi.CredentialActive {
		v.Key.Status = "enabled"
	}
	v.Cert.Status = s.certStatus(ctx, c, want.ask)
	shown := c.chain
	switch want.certificates {
	case "none":
		shown = nil
	case "chain":
	default:
		shown = shown[:1]
	}
	for _, cert := range shown {
		v.Cert.Certificates = append(v.Cert.Certificates, base64.StdEncoding.EncodeToString(cert.Raw))
	}
	if want.certInfo {
		leaf := c.chain[0]
		v.Cert.IssuerDN = leaf.Issuer.String()
		v.Cert.SubjectDN = leaf.Subject.String()
		v.Cert.SerialNumber = fmt.Sprintf("%X", leaf.SerialNumber.Bytes())
		v.Cert.ValidFrom = leaf.NotBefore.UTC().Format("20060102150405Z")
		v.Cert.ValidTo = leaf.NotAfter.UTC().Format("20060102150405Z")
	}
	return v
}

// certStatus is the certificate's status, or "" where it is not known for sure.
func (s *Service) certStatus(ctx context.Context, c *credential, ask bool) string {
	leaf, now := c.chain[0], s.now()
	if now.After(leaf.NotAfter) {
		return "expired"
	}
	answer := s.status.known(leaf)
	if answer == nil && ask && c.issuer != nil {
		var err error
		if answer, err = s.status.get(ctx, leaf, c.issuer, false); err != nil {
			s.log.WarnContext(ctx, "certificate status not available", "credential", c.ID, "error", err)
		}
	}
	switch {
	case answer == nil || now.Before(leaf.NotBefore):
		return ""
	case answer.revoked:
		return "revoked"
	case answer.good:
		return "valid"
	}
	return ""
}

// algorithms lists the object identifiers of what a key signs with, those that
// need no parameters first.
func algorithms(k signing.KeyType) []string {
	var plain, pss []string
	for _, a := range k.Algorithms() {
		list := &plain
		if a.PSS() {
			list = &pss
		}
		if !slices.Contains(*list, a.OID()) {
			*list = append(*list, a.OID())
		}
	}
	return append(plain, pss...)
}
