// Package ra does what a registration authority does: it identifies people,
// orders keys for them from the activation module, and hands the certification
// authority the two signed statements on which it issues.
package ra

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// Module is what is needed of the activation module. It carries out orders that
// are sealed with a registered key, whoever brings them.
type Module interface {
	Identity(ctx context.Context) (samapi.Identity, error)
	EnrolSigner(ctx context.Context, order signing.Signed) (samapi.Enrolment, error)
	AssignKey(ctx context.Context, order signing.Signed) (samapi.Assigned, error)
	BindCertificate(ctx context.Context, order signing.Signed) error
}

// Issuer is what is needed of the certification authority.
type Issuer interface {
	Issue(ctx context.Context, r pki.IssueRequest) (pki.Issued, error)
}

// Person is somebody whose identity was proved, and how.
type Person struct {
	ID        string // the authority's own: 1 to 64 of a-z 0-9 . _ -
	Subject   signing.Subject
	Assurance string // low, substantial or high (CIR 2015/1502)
	Method    string // how identity was proved, in words
}

// Authority is a registration authority with its key.
type Authority struct {
	Name string
	Key  crypto.Signer
	Now  func() time.Time
}

// Ticket lets one device be enrolled. URL and code go to the signer on two
// different channels.
type Ticket struct {
	samapi.Enrolment
	Code string
}

// ticketLife is how long an activation code holds.
const ticketLife = 24 * time.Hour

// Enrol registers a person as a signer and makes an activation code for one
// device of that person.
func (a *Authority) Enrol(ctx context.Context, m Module, p Person, mechanism string) (Ticket, error) {
	id, err := m.Identity(ctx)
	if err != nil {
		return Ticket{}, fmt.Errorf("ask the module who it is: %w", err)
	}
	now := a.Now()
	o := samapi.EnrolSigner{
		Order: samapi.NewOrder(id.Module, now), Signer: p.ID, Subject: p.Subject, Assurance: p.Assurance,
		Mechanism: mechanism, CodeExpires: now.UTC().Truncate(time.Second).Add(ticketLife),
	}
	code := samapi.NewActivationCode()
	if o.CodeHash, err = samapi.ActivationCodeHash(o.ID, code); err != nil {
		return Ticket{}, err
	}
	s, err := a.seal(samapi.DomainEnrolSigner, o)
	if err != nil {
		return Ticket{}, err
	}
	e, err := m.EnrolSigner(ctx, s)
	if err != nil {
		return Ticket{}, fmt.Errorf("enrol %s: %w", p.ID, err)
	}
	return Ticket{Enrolment: e, Code: code}, nil
}

// Wish is the key that is ordered for a signer.
type Wish struct {
	Mechanism  string
	KeyType    signing.KeyType
	Multisign  int
	MinWysiwys int
}

// Certified is a credential with its certificate.
type Certified struct {
	Credential string
	Serial     string
	Chain      [][]byte
}

// Certify orders a key for an enrolled signer, vouches for the person, has the
// certificate issued on the two statements, and gives it to the credential.
func (a *Authority) Certify(ctx context.Context, m Module, ca Issuer, p Person, w Wish) (Certified, error) {
	id, err := m.Identity(ctx)
	if err != nil {
		return Certified{}, fmt.Errorf("ask the module who it is: %w", err)
	}
	order, err := a.seal(samapi.DomainAssignKey, samapi.AssignKey{
		Order: samapi.NewOrder(id.Module, a.Now()), Signer: p.ID, Mechanism: w.Mechanism,
		KeyType: w.KeyType, Multisign: w.Multisign, MinWysiwys: w.MinWysiwys,
	})
	if err != nil {
		return Certified{}, err
	}
	assigned, err := m.AssignKey(ctx, order)
	if err != nil {
		return Certified{}, fmt.Errorf("order a key for %s: %w", p.ID, err)
	}
	proofing, err := a.vouch(id, p, assigned)
	if err != nil {
		return Certified{}, err
	}
	issued, err := ca.Issue(ctx, pki.IssueRequest{KeyRecord: assigned.KeyRecord, Proofing: proofing})
	if err != nil {
		return Certified{}, fmt.Errorf("have a certificate issued for %s: %w", p.ID, err)
	}
	bind, err := a.seal(samapi.DomainBindCertificate, samapi.BindCertificate{
		Order: samapi.NewOrder(id.Module, a.Now()), Credential: assigned.Credential, Chain: issued.Chain,
	})
	if err != nil {
		return Certified{}, err
	}
	if err := m.BindCertificate(ctx, bind); err != nil {
		return Certified{}, fmt.Errorf("give the credential its certificate: %w", err)
	}
	return Certified{Credential: assigned.Credential, Serial: issued.Serial, Chain: issued.Chain}, nil
}

// vouch makes the proofing record for a key. It believes the key record only if
// the module signed it, and only what it says of this signer.
func (a *Authority) vouch(id samapi.Identity, p Person, assigned samapi.Assigned) (signing.Signed, error) {
	pub, err := x509.ParsePKIXPublicKey(id.SPKI)
	if err != nil {
		return signing.Signed{}, fmt.Errorf("the module's key: %w", err)
	}
	payload, err := assigned.KeyRecord.Open(signing.DomainKeyRecord, pub)
	if err != nil {
		return signing.Signed{}, fault.New(fault.Unavailable, "the module's key record does not verify").Because(err)
	}
	var k signing.KeyRecord
	if err := signing.DecodeCanonical(payload, &k); err != nil {
		return signing.Signed{}, fault.New(fault.Unavailable, "the module's key record is malformed").Because(err)
	}
	if k.Signer != p.ID || k.Credential != assigned.Credential {
		return signing.Signed{}, fault.New(fault.Unavailable, "the module's key record is for %s of %s, not for the key that was ordered", k.Credential, k.Signer)
	}
	sum := sha256.Sum256(k.SPKI)
	now := a.Now().UTC().Truncate(time.Second)
	return a.seal(signing.DomainProofing, signing.ProofingRecord{
		Version: 1, ID: strings.ToLower(rand.Text()), Authority: a.Name, Signer: p.ID, Credential: k.Credential, KeyHash: sum[:],
		Subject: p.Subject, Assurance: p.Assurance, Method: p.Method, Proved: now, Expires: now.Add(24 * time.Hour),
	})
}

func (a *Authority) seal(domain string, v any) (signing.Signed, error) {
	b, err := signing.EncodeCanonical(v)
	if err != nil {
		return signing.Signed{}, err
	}
	return signing.Seal(domain, b, a.Key)
}

// LoadKey reads a P-256 key from a PEM file that only its owner may read, and
// makes it when there is none.
func LoadKey(name string) (crypto.Signer, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return newKey(name)
	}
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others: chmod 600 it", name)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s holds no PEM private key", name)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that cannot sign", name)
	}
	return s, nil
}

func newKey(name string) (crypto.Signer, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return k, f.Close()
}
