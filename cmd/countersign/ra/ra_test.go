package ra_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/cmd/countersign/ra"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/pki"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/signing"
)

// module answers an order for a key with a record that a test may spoil.
type module struct {
	key    crypto.Signer
	spoil  func(*signing.KeyRecord)
	forger crypto.Signer // signs the record instead, if set
	bound  int
}

func (m *module) Identity(context.Context) (samapi.Identity, error) {
	spki, err := x509.MarshalPKIXPublicKey(m.key.Public())
	return samapi.Identity{Module: "m", SPKI: spki}, err
}

func (m *module) EnrolSigner(context.Context, signing.Signed) (samapi.Enrolment, error) {
	return samapi.Enrolment{ID: "e"}, nil
}

func (m *module) AssignKey(_ context.Context, o signing.Signed) (samapi.Assigned, error) {
	var order samapi.AssignKey
	if err := signing.DecodeCanonical(o.Payload, &order); err != nil {
		return samapi.Assigned{}, err
	}
	r := signing.KeyRecord{Version: 1, Module: "m", Credential: "c", Signer: order.Signer, KeyType: order.KeyType, SPKI: []byte("spki"), Made: time.Now().UTC()}
	if m.spoil != nil {
		m.spoil(&r)
	}
	b, err := signing.EncodeCanonical(r)
	if err != nil {
		return samapi.Assigned{}, err
	}
	by := m.key
	if m.forger != nil {
		by = m.forger
	}
	s, err := signing.Seal(signing.DomainKeyRecord, b, by)
	return samapi.Assigned{Credential: "c", KeyRecord: s}, err
}

func (m *module) BindCertificate(context.Context, signing.Signed) error { m.bound++; return nil }

// issuer counts what it was asked to certify.
type issuer struct{ asked int }

func (i *issuer) Issue(context.Context, pki.IssueRequest) (pki.Issued, error) {
	i.asked++
	return pki.Issued{Serial: "1", Chain: [][]byte{{1}}}, nil
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTheAuthorityVouchesOnlyForTheKeyItOrdered(t *testing.T) {
	tests := []struct {
		name   string
		spoil  func(*signing.KeyRecord)
		forged bool
		ok     bool
	}{
		{name: "as ordered", ok: true},
		{name: "another signer", spoil: func(r *signing.KeyRecord) { r.Signer = "eve" }},
		{name: "another credential", spoil: func(r *signing.KeyRecord) { r.Credential = "d" }},
		{name: "signed by somebody else", forged: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, ca := &module{key: newKey(t), spoil: tt.spoil}, &issuer{}
			if tt.forged {
				m.forger = newKey(t)
			}
			a := ra.Authority{Name: "ra", Key: newKey(t), Now: time.Now}
			_, err := a.Certify(t.Context(), m, ca, ra.Person{ID: "ada"}, ra.Wish{Mechanism: samapi.DeviceKey, KeyType: signing.P256, Multisign: 1})
			if (err == nil) != tt.ok || ca.asked != m.bound || (ca.asked == 1) != tt.ok {
				t.Errorf("error %v, %d certificates asked for, %d bound", err, ca.asked, m.bound)
			}
			if err != nil && !errors.Is(err, fault.Unavailable) {
				t.Errorf("got %v, want unavailable: the service answered wrongly", err)
			}
		})
	}
}

func TestAKeyFileThatOthersMayReadIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ra.pem")
	first, err := ra.LoadKey(name)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ra.LoadKey(name)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := first.Public().(*ecdsa.PublicKey); !ok || !k.Equal(again.Public()) {
		t.Error("the second time it is another key")
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ra.LoadKey(name); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v", err)
	}
}
