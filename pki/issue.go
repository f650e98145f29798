package pki

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/signing"
)

// skew is how far ahead another clock may be.
const skew = time.Minute

// IssueRequest is what a certificate is issued on.
type IssueRequest struct {
	KeyRecord signing.Signed `json:"keyRecord"` // signing.KeyRecord, sealed by the activation module
	Proofing  signing.Signed `json:"proofing"`  // signing.ProofingRecord, sealed by the registration authority
}

// Issued is a certificate with its issuers.
type Issued struct {
	Serial string   `json:"serial"` // lower-case hex
	Chain  [][]byte `json:"chain"`  // DER: the signer's, the issuing CA's, the root
}

// application is an issue request whose every statement was verified. Only
// verify makes one.
type application struct {
	request   IssueRequest
	key       signing.KeyRecord
	proofing  signing.ProofingRecord
	authority Party
	subject   subject
	public    any
}

// Issue issues a signer's certificate on two statements that name the same
// signer, credential and key: the module's, that it made the key and who can
// activate it, and the registration authority's, whose it is. Each proofing
// record serves once, and each key has one certificate for ever. The
// certificate is stored and logged before Issue returns it.
func (a *Authority) Issue(ctx context.Context, r IssueRequest) (Issued, error) {
	app, err := a.verify(ctx, r)
	if err == nil {
		var out Issued
		if out, err = a.issue(ctx, app); err == nil {
			return out, nil
		}
	}
	return Issued{}, errors.Join(err, a.refused(ctx, app, err))
}

// refused logs that a registered authority asked for what it does not get. The
// attempts of strangers are not logged: they could fill the log.
func (a *Authority) refused(ctx context.Context, app application, why error) error {
	f := fault.Of(why)
	if app.authority.KeyID == "" || f.Kind == fault.Internal {
		return nil
	}
	return a.cfg.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return a.record(ctx, tx, audit.Event{
			Type: "pki.certificate.refused", Subject: hexSHA256(app.key.SPKI), Actor: app.authority.KeyID, Outcome: audit.Failure,
			Data: refusalEvent{Code: f.Code, Detail: f.Detail, KeyRecord: hexSHA256(app.request.KeyRecord.Payload), Proofing: hexSHA256(app.request.Proofing.Payload)},
		})
	})
}

// refusalEvent is what the log keeps of a request that was refused.
type refusalEvent struct {
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	KeyRecord string `json:"keyRecord"`
	Proofing  string `json:"proofing"`
}

func (a *Authority) issue(ctx context.Context, app application) (Issued, error) {
	if err := a.issuerLives(ctx); err != nil {
		return Issued{}, err
	}
	now := a.cfg.Now()
	t, err := a.signerTemplate(app.subject, now)
	if err != nil {
		return Issued{}, err
	}
	// Signed outside of the transaction, which may run twice; what a lost race
	// leaves over never leaves this function.
	cert, err := certify(t, app.public, a.ca, a.ca.key)
	if err != nil {
		return Issued{}, fmt.Errorf("issue certificate: %w", err)
	}
	if err := a.keep(ctx, app, cert, now); err != nil {
		return Issued{}, err
	}
	return Issued{Serial: serialText(cert.SerialNumber), Chain: a.chain(cert.Raw)}, nil
}

func (a *Authority) verify(ctx context.Context, r IssueRequest) (application, error) {
	app := application{request: r}
	module, payload, err := a.open(ctx, Module, signing.DomainKeyRecord, r.KeyRecord)
	if err != nil {
		return app, err
	}
	if err := signing.DecodeCanonical(payload, &app.key); err != nil {
		return app, fault.New(fault.Invalid, "the key record is malformed").WithCode("key_record").Because(err)
	}
	if app.authority, payload, err = a.open(ctx, RA, signing.DomainProofing, r.Proofing); err != nil {
		return app, err
	}
	if err := signing.DecodeCanonical(payload, &app.proofing); err != nil {
		return app, fault.New(fault.Invalid, "the proofing record is malformed").WithCode("proofing").Because(err)
	}
	if err := app.signedAs(module); err != nil {
		return app, err
	}
	if err := app.agree(); err != nil {
		return app, err
	}
	if err := a.timely(app); err != nil {
		return app, err
	}
	if app.public, err = checkPublicKey(app.key); err != nil {
		return app, err
	}
	if a.cfg.QC != nil {
		if err := a.cfg.QC.bear(app.key, app.proofing); err != nil {
			return app, err
		}
	}
	app.subject, err = newSubject(app.proofing.Subject)
	return app, err
}

// signedAs checks that both records are made in the names under which their keys
// are registered: nobody makes a statement in another's name.
func (app application) signedAs(module Party) error {
	if app.key.Module != module.Name {
		return fault.New(fault.Forbidden, "the key record names module %q, its key is registered for %q", app.key.Module, module.Name).WithCode("other_module")
	}
	if app.proofing.Authority != app.authority.Name {
		return fault.New(fault.Forbidden, "the proofing record names registration authority %q, its key is registered for %q",
			app.proofing.Authority, app.authority.Name).WithCode("other_authority")
	}
	return nil
}

// agree checks that the two records speak of the same thing.
func (app application) agree() error {
	k, p := app.key, app.proofing
	sum := sha256.Sum256(k.SPKI)
	switch {
	case k.Version != 1 || p.Version != 1:
		return fault.New(fault.Invalid, "records of versions %d and %d: this authority knows version 1", k.Version, p.Version).WithCode("version")
	case k.Signer == "" || k.Credential == "" || p.ID == "":
		return fault.New(fault.Invalid, "a record without signer, credential or id").WithCode("incomplete")
	case k.Signer != p.Signer:
		return fault.New(fault.Forbidden, "the proofing record is for another signer").WithCode("other_signer")
	case k.Credential != p.Credential:
		return fault.New(fault.Forbidden, "the proofing record is for another credential").WithCode("other_credential")
	case !bytes.Equal(sum[:], p.KeyHash):
		return fault.New(fault.Forbidden, "the proofing record is for another key").WithCode("other_key")
	}
	return nil
}

func (a *Authority) timely(app application) error {
	now := a.cfg.Now()
	k, p := app.key, app.proofing
	switch {
	case k.Made.After(now.Add(skew)) || p.Proved.After(now.Add(skew)):
		return fault.New(fault.Invalid, "a record from the future: look at the clocks").WithCode("future")
	case now.Sub(k.Made) > a.cfg.MaxKeyAge:
		return fault.New(fault.Expired, "the key record is older than %v: make a new key", a.cfg.MaxKeyAge).WithCode("key_record_expired")
	case !now.Before(p.Expires) || now.Sub(p.Proved) > a.cfg.MaxProofingAge:
		return fault.New(fault.Expired, "the proofing record has expired: prove the identity again").WithCode("proofing_expired")
	}
	return nil
}

// checkPublicKey accepts the keys that ETSI TS 119 312 allows for new
// certificates, in the one encoding that the uniqueness of keys is kept over.
func checkPublicKey(k signing.KeyRecord) (any, error) {
	pub, err := x509.ParsePKIXPublicKey(k.SPKI)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the key record has no DER SubjectPublicKeyInfo").WithCode("key").Because(err)
	}
	again, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil || !bytes.Equal(again, k.SPKI) {
		return nil, fault.New(fault.Invalid, "the public key is not encoded the one way that counts").WithCode("key")
	}
	t, err := signing.KeyTypeOf(pub)
	if err != nil {
		return nil, fault.New(fault.Invalid, "key not allowed for a new certificate: P-256, P-384, P-521, Ed25519, RSA of 3072 or 4096 bits").
			WithCode("key_type").Because(err)
	}
	if t != k.KeyType {
		return nil, fault.New(fault.Invalid, "the key record says %s, the key is %s", k.KeyType, t).WithCode("key_type")
	}
	if r, ok := pub.(*rsa.PublicKey); ok && (r.E < 65537 || r.E%2 == 0) {
		return nil, fault.New(fault.Invalid, "RSA keys need an odd public exponent of 65537 or more").WithCode("key_type")
	}
	return pub, nil
}

// issuerLives refuses to issue from a CA that was revoked or is at its end.
func (a *Authority) issuerLives(ctx context.Context) error {
	row, err := certificateBySerial(ctx, a.cfg.DB, a.ca.row.Serial)
	if err != nil {
		return fmt.Errorf("look for the CA certificate: %w", err)
	}
	if !row.Revoked.IsZero() {
		return fault.New(fault.Unavailable, "the issuing CA was revoked").WithCode("ca_revoked")
	}
	if now := a.cfg.Now(); now.Before(row.NotBefore) || now.Add(day).After(row.NotAfter) {
		return fault.New(fault.Unavailable, "the issuing CA is not valid now").WithCode("ca_expired")
	}
	return nil
}

// keep stores and logs what was issued. The database decides who is first.
func (a *Authority) keep(ctx context.Context, app application, cert *x509.Certificate, now time.Time) error {
	keyRecord, err := signing.EncodeCanonical(app.request.KeyRecord)
	if err != nil {
		return err
	}
	proofing, err := signing.EncodeCanonical(app.request.Proofing)
	if err != nil {
		return err
	}
	serial := serialText(cert.SerialNumber)
	row := certificate{
		Serial: serial, Slot: serial, Issuer: string(RoleCA), Role: RoleSigner,
		KeyHash: hexSHA256(app.key.SPKI), Subject: cert.Subject.String(), Signer: app.key.Signer, Credential: app.key.Credential,
		KeyRecord: string(keyRecord), Proofing: string(proofing), DER: cert.Raw,
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, Made: now,
	}
	return a.cfg.DB.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		unused, err := useProofing(ctx, tx, app.authority.KeyID, app.proofing.ID, now)
		if err != nil {
			return err
		}
		if !unused {
			return fault.New(fault.Conflict, "this proofing record was used before: a certificate needs one of its own").WithCode("proofing_used")
		}
		isNew, err := insertCertificate(ctx, tx, row)
		if err != nil {
			return err
		}
		if !isNew {
			return fault.New(fault.Conflict, "this key has a certificate already: make a new key").WithCode("key_certified")
		}
		if err := touchCRL(ctx, tx, row.Issuer); err != nil {
			return err
		}
		e := eventOf(row)
		e.KeyRecord, e.Proofing = hexSHA256(app.request.KeyRecord.Payload), hexSHA256(app.request.Proofing.Payload)
		e.ProofingID = app.proofing.ID
		return a.record(ctx, tx, audit.Event{Type: "pki.certificate.issued", Subject: serial, Actor: app.authority.KeyID, Data: e})
	})
}

// Chain returns the certificate that was issued for a key, by the hex SHA-256 of
// its SubjectPublicKeyInfo: the answer of Issue, for whoever lost it.
func (a *Authority) Chain(ctx context.Context, hash string) (Issued, error) {
	row, err := certificateByKey(ctx, a.cfg.DB, hash)
	if noRows(err) || err == nil && row.Role != RoleSigner {
		return Issued{}, fault.New(fault.NotFound, "no certificate was issued for that key")
	}
	if err != nil {
		return Issued{}, err
	}
	return Issued{Serial: row.Serial, Chain: a.chain(row.DER)}, nil
}
