package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// Authority is the certification authority with its OCSP responder and its
// time-stamping unit. All methods may be called at once.
type Authority struct {
	cfg  checked
	root *holder
	ca   *holder

	answers answerCache
	numbers numberPool

	// mu guards the two that are replaced when they come to their end.
	mu   sync.RWMutex
	ocsp *holder
	tsa  *holder

	building sync.Mutex // one revocation list at a time is signed
}

// holder is one of the authority's own certificates with its key.
type holder struct {
	row  certificate
	cert *x509.Certificate
	key  crypto.Signer
	alg  signing.Algorithm
}

// New opens the authority, and makes its keys and certificates when the
// database has none. What it made is stored when New returns.
func New(ctx context.Context, c Config) (*Authority, error) {
	cfg, err := c.check()
	if err != nil {
		return nil, err
	}
	if err := cfg.DB.Migrate(ctx, "pki", migrations); err != nil {
		return nil, err
	}
	a := &Authority{cfg: cfg}
	a.answers.life = cfg.StatusCache
	for _, issuer := range []Role{RoleRoot, RoleCA} {
		if err := makeCRLRow(ctx, cfg.DB, issuer); err != nil {
			return nil, fmt.Errorf("pki: prepare revocation list: %w", err)
		}
	}
	if a.root, err = a.own(ctx, RoleRoot); err != nil {
		return nil, err
	}
	if a.ca, err = a.own(ctx, RoleCA); err != nil {
		return nil, err
	}
	return a, a.Maintain(ctx)
}

// Maintain replaces the certificates of the OCSP responder and the
// time-stamping unit that come to their end or were revoked, and signs
// revocation lists that have grown old. Run calls it.
func (a *Authority) Maintain(ctx context.Context) error {
	ocsp, err := a.own(ctx, RoleOCSP)
	if err != nil {
		return err
	}
	tsa, err := a.own(ctx, RoleTSA)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.ocsp, a.tsa = ocsp, tsa
	a.mu.Unlock()
	for _, issuer := range []Role{RoleRoot, RoleCA} {
		if _, err := a.CRL(ctx, issuer); err != nil {
			return err
		}
	}
	return nil
}

// Run maintains the authority until ctx ends. Trouble is logged and tried again.
func (a *Authority) Run(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := a.Maintain(ctx); err != nil && ctx.Err() == nil {
				a.cfg.Logger.ErrorContext(ctx, "maintain certification authority", "error", err)
			}
		}
	}
}

// own returns the authority's certificate for a role, made if there is none
// that can be used on.
func (a *Authority) own(ctx context.Context, role Role) (*holder, error) {
	for range 3 {
		row, err := newest(ctx, a.cfg.DB, role)
		if err != nil && !noRows(err) {
			return nil, fmt.Errorf("pki: look for the %s certificate: %w", role, err)
		}
		generation := 1
		if err == nil {
			if a.lasts(row) {
				return a.load(ctx, row)
			}
			generation = row.Generation + 1
		}
		if err := a.make(ctx, role, generation); err != nil {
			return nil, fmt.Errorf("pki: make the %s certificate: %w", role, err)
		}
	}
	return nil, fmt.Errorf("pki: the new %s certificate cannot be used at once: is the clock right?", role)
}

// lasts reports whether a certificate of our own is still the one to use. Root
// and issuing CA always are: what has become of them is for people to decide.
func (a *Authority) lasts(row certificate) bool {
	if row.Role == RoleRoot || row.Role == RoleCA {
		return true
	}
	if !row.Revoked.IsZero() {
		return false
	}
	// One that ends with the CA cannot be had longer.
	return a.cfg.Now().Before(row.NotAfter.Add(-lives[row.Role].renew)) || !row.NotAfter.Before(a.ca.cert.NotAfter)
}

func (a *Authority) load(ctx context.Context, row certificate) (*holder, error) {
	cert, err := x509.ParseCertificate(row.DER)
	if err != nil {
		return nil, fmt.Errorf("pki: read the %s certificate: %w", row.Role, err)
	}
	key, err := a.cfg.Keys.Service(ctx, row.KeyName)
	if errors.Is(err, keystore.ErrNoKey) {
		return nil, fmt.Errorf("pki: the keystore does not hold %s, the key of the %s certificate in the database: "+
			"keystore and database belong together, restore both from one backup: %w", row.KeyName, row.Role, err)
	}
	if err != nil {
		return nil, fmt.Errorf("pki: open key %s: %w", row.KeyName, err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	if hexSHA256(spki) != row.KeyHash {
		return nil, fmt.Errorf("pki: key %s is not the key of the %s certificate in the database: restore both from one backup", row.KeyName, row.Role)
	}
	alg, err := algorithmFor(key.Public())
	if err != nil {
		return nil, err
	}
	return &holder{row: row, cert: cert, key: key, alg: alg}, nil
}

// make makes key and certificate of a role. That another process was faster is
// no error.
func (a *Authority) make(ctx context.Context, role Role, generation int) error {
	name := "pki-" + string(role)
	if generation > 1 {
		name = fmt.Sprintf("%s-%d", name, generation)
	}
	key, err := a.serviceKey(ctx, name)
	if err != nil {
		return err
	}
	now := a.cfg.Now()
	t, err := a.ownTemplate(role, generation, now)
	if err != nil {
		return err
	}
	issuer, issuerKey, issuerRole := a.ca, key, RoleCA
	switch role {
	case RoleRoot:
		issuer, issuerRole = nil, RoleRoot
	case RoleCA:
		issuer, issuerKey, issuerRole = a.root, a.root.key, RoleRoot
	case RoleOCSP, RoleTSA, RoleSigner:
		issuerKey = a.ca.key
	}
	cert, err := certify(t, key.Public(), issuer, issuerKey)
	if err != nil {
		return err
	}
	row := certificate{
		Serial: serialText(cert.SerialNumber), Slot: fmt.Sprintf("%s/%d", role, generation), Issuer: string(issuerRole),
		Role: role, Generation: generation, KeyName: name, KeyHash: hexSHA256(cert.RawSubjectPublicKeyInfo), Subject: cert.Subject.String(),
		DER: cert.Raw, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, Made: now,
	}
	return a.cfg.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if isNew, err := insertCertificate(ctx, tx, row); err != nil || !isNew {
			return err
		}
		if err := touchCRL(ctx, tx, row.Issuer); err != nil {
			return err
		}
		return a.record(ctx, tx, audit.Event{
			Type: "pki.certificate.issued", Subject: row.Serial, Actor: "pki", Data: eventOf(row),
		})
	})
}

func (a *Authority) serviceKey(ctx context.Context, name string) (crypto.Signer, error) {
	key, err := a.cfg.Keys.Service(ctx, name)
	if !errors.Is(err, keystore.ErrNoKey) {
		return key, err
	}
	key, err = a.cfg.Keys.NewService(ctx, name, a.cfg.KeyType)
	if errors.Is(err, keystore.ErrExists) {
		return a.cfg.Keys.Service(ctx, name)
	}
	return key, err
}

// algorithmFor chooses the signature algorithm of one of our own keys. RSA keys
// sign with PKCS#1 v1.5, which every validator knows.
func algorithmFor(pub crypto.PublicKey) (signing.Algorithm, error) {
	t, err := signing.KeyTypeOf(pub)
	if err != nil {
		return 0, err
	}
	for _, alg := range t.Algorithms() {
		if alg.Family() != signing.EdDSA && !alg.PSS() {
			return alg, nil
		}
	}
	return 0, fmt.Errorf("a %s key for an authority: %w", t, signing.ErrAlgorithm)
}

func (a *Authority) responder() *holder {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.ocsp
}

func (a *Authority) timestamper() *holder {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.tsa
}

// Root returns the root certificate.
func (a *Authority) Root() *x509.Certificate { return a.root.cert }

// Issuer returns the certificate of the issuing CA.
func (a *Authority) Issuer() *x509.Certificate { return a.ca.cert }

// TSA returns the certificate of the time-stamping unit in use.
func (a *Authority) TSA() *x509.Certificate { return a.timestamper().cert }

// OCSP returns the certificate of the OCSP responder in use.
func (a *Authority) OCSP() *x509.Certificate { return a.responder().cert }

// Anchors returns the trust anchors in PEM: the root, with which everything that
// the authority signs validates.
func (a *Authority) Anchors() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.cert.Raw})
}

// chain is a certificate with its issuers up to the root.
func (a *Authority) chain(der []byte) [][]byte {
	return slices.Concat([][]byte{der}, [][]byte{a.ca.cert.Raw, a.root.cert.Raw})
}

// record logs an event in the transaction that it is about.
func (a *Authority) record(ctx context.Context, tx *store.Tx, e audit.Event) error {
	if a.cfg.Log == nil {
		return nil
	}
	return a.cfg.Log.Append(ctx, tx, e)
}

// certificateEvent is what the log keeps of a certificate: what it is for and
// hashes that bind the certificate and the two statements behind it. The person's
// name is in the database only, because the log forgets nothing.
type certificateEvent struct {
	Role        Role      `json:"role"`
	Certificate string    `json:"certificate"` // hex SHA-256
	KeyHash     string    `json:"keyHash"`
	NotAfter    time.Time `json:"notAfter"`
	Signer      string    `json:"signer,omitempty"`
	Credential  string    `json:"credential,omitempty"`
	KeyRecord   string    `json:"keyRecord,omitempty"` // hex SHA-256 of the signed payload
	Proofing    string    `json:"proofing,omitempty"`
	ProofingID  string    `json:"proofingId,omitempty"`
}

func eventOf(row certificate) certificateEvent {
	return certificateEvent{
		Role: row.Role, Certificate: hexSHA256(row.DER), KeyHash: row.KeyHash, NotAfter: row.NotAfter,
		Signer: row.Signer, Credential: row.Credential,
	}
}
